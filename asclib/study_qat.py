"""Is rounding in training worth it? Students rounded afterwards, and trained to be rounded.

    python -m asclib.study qat

Each distilled student is taken three ways. *Rounded*: post-training quantisation. *Tuned, rounded*:
fine-tuned in floating point, then rounded, the control: training longer helps by itself. *Aware*:
fine-tuned for as long with fake quantisers. Activations have eight bits throughout, weights eight
or, as a harder case that no .tflite file here holds, four.
One teacher answers for all seeds.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asclib import qat as aware
from asclib.evaluation import evaluate, paired
from asclib.experiment import Experiment, build
from asclib.parallel import side_by_side
from asclib.qat import FakeQuantised
from asclib.quantization import LiteRT, agreement, export
from asclib.training import predict, probabilities

STUDENTS = ("response", "rrs")
BITS = (8, 4)
COMPARED = (("rounded", "float"), ("tuned", "float"), ("tuned, rounded", "rounded"),
            ("aware", "rounded"), ("aware", "tuned, rounded"), ("aware", "float"))  # fmt: skip


def qat(experiments: list[Experiment]) -> dict[str, Any]:
    """The figures of `results/qat.json`.

    Args: experiments of one profile and several seeds, with the teacher of seed 0.
    Returns: a row per student, way, bits and seed, with the share of test clips named as the float
        student names them; the int8 files' own answers, from LiteRT; and the paired differences of
        COMPARED, with both intervals.
    """
    build([(experiment, name) for experiment in experiments for name in STUDENTS])
    jobs = [(experiment, student, bits) for experiment in experiments for student in STUDENTS
            for bits in (None, *BITS)]  # fmt: skip
    side_by_side(aware.tuned, jobs, "fine-tuned students")
    clips, test = experiments[0].table("test"), experiments[0].clips("test")
    rows, files, answers = [], [], {}
    for experiment in experiments:
        for student in STUDENTS:
            logits = {(way, bits): predict(net, test.x)
                      for (way, bits), net in ways(experiment, student).items()}  # fmt: skip
            for (way, bits), answer in logits.items():
                rows.append(
                    {"student": student, "way": way, "bits": bits, "seed": experiment.seed}
                    | _score(answer, clips)
                    | {"agreement": agreement(answer, logits["float", None])}
                )
                answers.setdefault((student, way, bits), []).append(probabilities(answer))
            net = aware.tuned(experiment, student)
            lite = _in_litert(net, test.x)
            files.append(
                {"student": student, "seed": experiment.seed} | _score(lite, clips)
                | {"agreement_with_simulation": agreement(lite, logits["aware", 8])}
            )  # fmt: skip
    differences = [
        {"student": student, "bits": bits, "system": way, "base": base}
        | paired(_of(answers, student, way, bits), _of(answers, student, base, bits), clips)
        for student in STUDENTS for bits in BITS for way, base in COMPARED
    ]  # fmt: skip
    return {
        "clips": {split: len(experiments[0].table(split)) for split in ("fit", "test")},
        "seeds": [experiment.seed for experiment in experiments],
        "teacher_seed": 0,
        "calibration_clips": len(aware.calibration(experiments[0]).clips),
        "plan": asdict(aware.plan(experiments[0])),
        "runs": rows,
        "files": files,
        "differences": differences,
    }


def ways(experiment: Experiment, student: str) -> dict[tuple[str, int | None], Any]:
    """Every network compared, by its way and the bits of its weights; None where they are float."""
    calibration = aware.calibration(experiment)
    net, tuned = experiment.distilled(student), aware.tuned(experiment, student, None)
    nets = {("float", None): net, ("tuned", None): tuned}
    for bits in BITS:
        nets["rounded", bits] = FakeQuantised(net, calibration, bits)
        nets["tuned, rounded", bits] = FakeQuantised(tuned.graph, calibration, bits)
        nets["aware", bits] = aware.tuned(experiment, student, bits)
    return nets


def _of(answers: dict, student: str, way: str, bits: int) -> list[np.ndarray]:
    return answers[student, way, None if way in ("float", "tuned") else bits]


def _score(logits, clips) -> dict[str, float]:
    score = evaluate(probabilities(logits), clips, resamples=1).overall
    return {"accuracy": score.accuracy, "log_loss": score.log_loss}


def _in_litert(net: FakeQuantised, x):
    """What the full int8 file of an aware network answers: logits (clips, 10)."""
    with tempfile.TemporaryDirectory() as folder:
        path = export(net.graph, Path(folder, "net.tflite"), "full_int8",
                      calibration=net.calibration)  # fmt: skip
        return torch.from_numpy(LiteRT(path)(x))
