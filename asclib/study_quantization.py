"""What a student keeps when it is rounded afterwards, and how many clips calibrate it.

    python -m asclib.study quantization
    python -m asclib.study quantization --data-root DIR --output results/quantization_real.json

The student trained on labels is exported, and the files themselves answer for every test clip, in
LiteRT. How many calibration clips are enough is asked of the simulation, for many draws of clips.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asclib.evaluation import evaluate, paired
from asclib.experiment import Experiment, build
from asclib.quantization import (
    Calibration,
    LiteRT,
    agreement,
    calibrated_ranges,
    calibration_rows,
    correct_biases,
    export,
    simulate,
)
from asclib.training import predict, probabilities

FILES = {  # the kind, how its ranges are calibrated, and whether biases are corrected beforehand
    "dynamic range": ("dynamic_range", None, False),
    "corrected dynamic range": ("dynamic_range", None, True),
    "full int8, min max": ("full_int8", "min_max", False),
}
CLIPS = 100  # to calibrate a file with
SEEN = 400  # to correct biases by
NUMBERS = (1, 2, 4, 6, 12, 25, 50, 100)  # of calibration clips; there are six seen devices
DRAWS = 3


def quantization(experiments: list[Experiment]) -> dict[str, Any]:
    """The figures of `results/quantization.json`.

    Args: experiments of one profile and several seeds.
    Returns: a row per file and seed, with its own answers' accuracy and the share of clips named as
        in floating point and as in simulation; the paired differences file minus float, with both
        intervals; and for every number of calibration clips the same of the simulation, the draws
        of all seeds pooled, with the worst and the best draw.
    """
    build([(experiment, "student") for experiment in experiments])
    clips, test = experiments[0].table("test"), experiments[0].clips("test")
    rows, answers, curve = [], {}, {}
    for experiment in experiments:
        net = experiment.student()
        logits = predict(net, test.x)
        answers.setdefault("float", []).append(probabilities(logits))
        for name, (lite, simulated) in files(experiment, net, test.x).items():
            answers.setdefault(name, []).append(probabilities(lite))
            rows.append(
                {"file": name, "seed": experiment.seed,
                 "accuracy": evaluate(probabilities(lite), clips, resamples=1).overall.accuracy,
                 "as_float": agreement(lite, logits), "as_simulated": agreement(lite, simulated)}
            )  # fmt: skip
        for number, draws in calibrated(experiment, net, test.x).items():
            curve.setdefault(number, []).extend((draw, logits) for draw in draws)
    return {
        "clips": {split: len(experiments[0].table(split)) for split in ("fit", "test")},
        "seeds": [experiment.seed for experiment in experiments],
        "calibration_clips": CLIPS,
        "draws": DRAWS,
        "float_accuracy": [evaluate(answer, clips, resamples=1).overall.accuracy
                           for answer in answers["float"]],
        "files": rows,
        "differences": [{"file": name, **paired(answers[name], answers["float"], clips)}
                        for name in FILES],
        "calibration": [{"number": number, **_pooled(pairs, clips)}
                        for number, pairs in curve.items()],
    }  # fmt: skip


def files(experiment: Experiment, net, x) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """For each of FILES, the logits (clips, 10) of the file in LiteRT and of its simulation."""
    table, fit = experiment.table("fit"), experiment.clips("fit").x
    rows = calibration_rows(table, min(SEEN, len(table)))  # any first part of them is even as well
    made = {}
    for name, (kind, method, corrected) in FILES.items():
        given = Calibration(fit[rows[:CLIPS]], method) if method else None
        exported = correct_biases(net, fit[rows]) if corrected else net
        with tempfile.TemporaryDirectory() as folder:
            file = LiteRT(export(exported, Path(folder, "net.tflite"), kind, calibration=given))
            lite = torch.from_numpy(file(x))
        made[name] = lite, predict(simulate(exported, kind, given), x)
    return made


def calibrated(experiment: Experiment, net, x) -> dict[int, list[torch.Tensor]]:
    """Logits of the full int8 simulation for each number of calibration clips, and each draw."""
    table, fit = experiment.table("fit"), experiment.clips("fit").x
    simulated = simulate(net, "full_int8", Calibration(fit[:1]))
    logits: dict[int, list[torch.Tensor]] = {}
    for number in NUMBERS:
        for draw in range(DRAWS):
            rows = calibration_rows(table, min(number, len(table)), seed=draw)
            simulated.ranges = calibrated_ranges(simulated.graph, Calibration(fit[rows]))
            logits.setdefault(number, []).append(predict(simulated, x))
    return logits


def _pooled(pairs: list[tuple], clips) -> dict[str, Any]:
    same = [agreement(draw, logits) for draw, logits in pairs]
    ours, base = ([probabilities(one) for one in side] for side in zip(*pairs, strict=True))
    return {
        "as_float": float(np.mean(same)), "worst": min(same), "best": max(same),
        **paired(ours, base, clips),
    }  # fmt: skip
