"""What a student keeps when it is rounded afterwards, and how many clips calibrate it.

    python -m studies quantization
    python -m studies quantization --data-root DIR --output results/quantization_real.json

The student trained on labels is exported, and the files themselves answer for every test clip, in
LiteRT. How many calibration clips are enough is asked of the simulation, for many draws of clips.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from asclib.compression import Calibration, agreement, calibration_rows, export, simulate
from asclib.compression.quantization import calibrated_ranges, correct_biases
from asclib.evaluation import paired, score
from asclib.litert import LiteRT
from asclib.runs import Experiment, build
from asclib.runs.provenance import provenance
from asclib.training import predict, probabilities
from studies.command import Commands, add_command, experiments

Kind = tuple[str, str | None, bool]
# the kind, how its ranges are calibrated, and whether biases are corrected beforehand
FILES: dict[str, Kind] = {
    "dynamic range": ("dynamic_range", None, False),
    "corrected dynamic range": ("dynamic_range", None, True),
    "full int8, min max": ("full_int8", "min_max", False),
}
CLIPS = 100  # to calibrate a file with
SEEN = 400  # to correct biases by
NUMBERS = (1, 2, 4, 6, 12, 25, 50, 100)  # of calibration clips; there are six seen devices
DRAWS = 3


def add_parser(commands: Commands) -> None:
    add_command(commands, "quantization", _quantization)


def _quantization(options: argparse.Namespace) -> dict[str, Any]:
    found = experiments(options)
    return provenance(found[0]) | quantization(found)


def quantization(
    experiments: list[Experiment],
    kinds: Mapping[str, Kind] = FILES,
    numbers: Sequence[int] = NUMBERS,
    draws: int = DRAWS,
) -> dict[str, Any]:
    """The figures of `results/quantization.json`.

    Args: experiments of one profile and several seeds; kinds of files, see FILES; numbers of
        calibration clips, each drawn so many times.
    Returns: a row per file and seed, with its own answers' accuracy and the share of clips named as
        in floating point and as in simulation; the paired differences file minus float, with both
        intervals; and for every number of calibration clips the same of the simulation, the draws
        of all seeds pooled, with the worst and the best draw.
    """
    build([experiment.student() for experiment in experiments])
    clips, test = experiments[0].table("test"), experiments[0].clips("test")
    rows, answers, curve = [], {}, {}
    for experiment in experiments:
        net = experiment.student().net()
        logits = predict(net, test.x)
        answers.setdefault("float", []).append(probabilities(logits))
        for name, (lite, simulated) in files(experiment, net, test.x, kinds).items():
            answers.setdefault(name, []).append(probabilities(lite))
            rows.append(
                {
                    "file": name,
                    "seed": experiment.seed,
                    "accuracy": score(probabilities(lite), clips).overall.accuracy,
                    "as_float": agreement(lite, logits),
                    "as_simulated": agreement(lite, simulated),
                }
            )
        for number, drawn in calibrated(experiment, net, test.x, numbers, draws).items():
            curve.setdefault(number, []).extend((one, logits) for one in drawn)
    return {
        "clips": {split: len(experiments[0].table(split)) for split in ("fit", "test")},
        "seeds": [experiment.seed for experiment in experiments],
        "calibration_clips": CLIPS,
        "draws": draws,
        "float_accuracy": [score(answer, clips).overall.accuracy for answer in answers["float"]],
        "files": rows,
        "differences": [
            {"file": name, **paired(answers[name], answers["float"], clips)} for name in kinds
        ],
        "calibration": [
            {"number": number, **_pooled(pairs, clips)} for number, pairs in curve.items()
        ],
    }


def files(
    experiment: Experiment, net: nn.Module, x: Tensor, kinds: Mapping[str, Kind] = FILES
) -> dict[str, tuple[Tensor, Tensor]]:
    """For each kind, the logits (clips, 10) of the file in LiteRT and of its simulation."""
    table, fit = experiment.table("fit"), _plain(experiment)
    rows = calibration_rows(table, min(SEEN, len(table)))  # any first part of them is even as well
    made = {}
    for name, (kind, method, corrected) in kinds.items():
        given = Calibration(fit[rows[:CLIPS]], method) if method else None
        exported = correct_biases(net, fit[rows]) if corrected else net
        with tempfile.TemporaryDirectory() as folder:
            file = LiteRT(export(exported, Path(folder, "net.tflite"), kind, calibration=given))
            lite = torch.from_numpy(file(x))
        made[name] = lite, predict(simulate(exported, kind, given), x)
    return made


def calibrated(
    experiment: Experiment, net: nn.Module, x: Tensor, numbers: Sequence[int], draws: int
) -> dict[int, list[Tensor]]:
    """Logits of the full int8 simulation for each number of calibration clips, and each draw."""
    table, fit = experiment.table("fit"), _plain(experiment)
    simulated = simulate(net, "full_int8", Calibration(fit[:1]))
    logits: dict[int, list[Tensor]] = {}
    for number in numbers:
        for draw in range(draws):
            rows = calibration_rows(table, min(number, len(table)), seed=draw)
            simulated.ranges = calibrated_ranges(simulated.graph, Calibration(fit[rows]))
            logits.setdefault(number, []).append(predict(simulated, x))
    return logits


def _plain(experiment: Experiment) -> Tensor:
    """The clips to fit, one picture for each row of their table."""
    return replace(experiment.data, views=None).clips("fit").x


def _pooled(pairs: list[tuple[Tensor, Tensor]], clips: pd.DataFrame) -> dict[str, Any]:
    same = [agreement(draw, logits) for draw, logits in pairs]
    ours, base = ([probabilities(one) for one in side] for side in zip(*pairs, strict=True))
    return {
        "as_float": float(np.mean(same)),
        "worst": min(same),
        "best": max(same),
        **paired(ours, base, clips),
    }
