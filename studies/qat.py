"""Is rounding in training worth it? Students rounded afterwards, and trained to be rounded.

    python -m studies qat

Each distilled student is taken three ways. *Rounded*: post-training quantisation. *Tuned, rounded*:
fine-tuned in floating point, then rounded, the control: training longer helps by itself. *Aware*:
fine-tuned for as long with fake quantisers. Activations have eight bits throughout, weights eight
or, as a harder case that no .tflite file here holds, four.
One teacher answers for all seeds.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from asclib.compression import agreement, export
from asclib.compression.qat import FakeQuantised, aware, fine_tuning, range_calibration
from asclib.evaluation import paired, score
from asclib.litert import LiteRT
from asclib.runs import Experiment, Run, build
from asclib.runs.provenance import described, provenance
from asclib.training import predict, probabilities
from studies.command import Commands, add_command, experiments

STUDENTS = ("response", "rrs")
BITS = (8, 4)
COMPARED = (
    ("rounded", "float"),
    ("tuned", "float"),
    ("tuned, rounded", "rounded"),
    ("aware", "rounded"),
    ("aware", "tuned, rounded"),
    ("aware", "float"),
)


def add_parser(commands: Commands) -> None:
    add_command(commands, "qat", _qat)


def _qat(options: argparse.Namespace) -> dict[str, Any]:
    found = experiments(options, one_teacher=True)
    return provenance(found[0], STUDENTS) | qat(found)


def in_litert(net: FakeQuantised, x: Tensor) -> Tensor:
    """What the full int8 file of an aware network answers: logits (clips, 10)."""
    with tempfile.TemporaryDirectory() as folder:
        path = export(
            net.graph, Path(folder, "net.tflite"), "full_int8", calibration=net.calibration
        )
        return torch.from_numpy(LiteRT(path)(x))


def qat(
    experiments: list[Experiment],
    students: Sequence[str] = STUDENTS,
    bits: Sequence[int] = BITS,
    ask: Callable[[FakeQuantised, Tensor], Tensor] = in_litert,
) -> dict[str, Any]:
    """The figures of `results/qat.json`.

    Args: experiments of one profile and several seeds with one teacher; students, by technique;
        bits of the weights, with 8 among them; ask, what the int8 file of a network answers.
    Returns: a row per student, way, bits and seed, with the share of test clips named as the float
        student names them; the int8 files' own answers, from LiteRT; and the paired differences of
        COMPARED, with both intervals.
    """
    build(
        [
            aware(experiment.taught(student), number)
            for experiment in experiments
            for student in students
            for number in (None, *bits)
        ]
    )
    clips, test = experiments[0].table("test"), experiments[0].clips("test")
    rows, files, answers = [], [], {}
    for experiment in experiments:
        for student in students:
            nets = ways(experiment.taught(student), bits)
            logits = {key: predict(net, test.x) for key, net in nets.items()}
            for (way, number), answer in logits.items():
                rows.append(
                    {"student": student, "way": way, "bits": number, "seed": experiment.seed}
                    | _score(answer, clips)
                    | {"agreement": agreement(answer, logits["float", None])}
                )
                answers.setdefault((student, way, number), []).append(probabilities(answer))
            lite = ask(nets["aware", 8], test.x)
            files.append(
                {"student": student, "seed": experiment.seed}
                | _score(lite, clips)
                | {"agreement_with_simulation": agreement(lite, logits["aware", 8])}
            )
    differences = [
        {"student": student, "bits": number, "system": way, "base": base}
        | paired(_of(answers, student, way, number), _of(answers, student, base, number), clips)
        for student in students
        for number in bits
        for way, base in COMPARED
    ]
    return {
        "clips": {split: len(experiments[0].table(split)) for split in ("fit", "test")},
        "seeds": [experiment.seed for experiment in experiments],
        "teacher_seed": 0,
        "calibration_clips": len(range_calibration(experiments[0].data).clips),
        "plan": described(fine_tuning(experiments[0].profile.stage)),
        "runs": rows,
        "files": files,
        "differences": differences,
    }


def ways(student: Run, bits: Sequence[int]) -> dict[tuple[str, int | None], nn.Module]:
    """Every network compared, by its way and the bits of its weights; None where they are float."""
    ranges = range_calibration(student.data)
    net, longer = student.net(), aware(student, None).net()
    nets = {("float", None): net, ("tuned", None): longer}
    for number in bits:
        nets["rounded", number] = FakeQuantised(net, ranges, number)
        nets["tuned, rounded", number] = FakeQuantised(longer.graph, ranges, number)
        nets["aware", number] = aware(student, number).net()
    return nets


def _of(answers: dict, student: str, way: str, bits: int) -> list[np.ndarray]:
    return answers[student, way, None if way in ("float", "tuned") else bits]


def _score(logits: Tensor, clips: pd.DataFrame) -> dict[str, float]:
    found = score(probabilities(logits), clips).overall
    return {"accuracy": found.accuracy, "log_loss": found.log_loss}
