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

from asclib.challenge.task import SCENES
from asclib.compression import Calibration, agreement, calibration_rows, export, simulate
from asclib.compression.quantization import calibrated_ranges, correct_biases
from asclib.evaluation import over_seeds, paired, score
from asclib.evaluation.statistics import difference
from asclib.evaluation.systems import Clips, Measure, System, linear
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
            curve.setdefault(number, []).append((logits, drawn))
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
            {"number": number, **_over_draws(students, clips)} for number, students in curve.items()
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


def _over_draws(
    students: Sequence[tuple[Tensor, Sequence[Tensor]]], clips: pd.DataFrame
) -> dict[str, Any]:
    """Draws of clips minus floating point; students share them, so draw and seed are crossed.

    Args: for each student, its logits and those of its simulation, one for each draw.
    Returns: agreement; differences with intervals over locations, seeds and draws, as `difference`
        takes them over seeds and teachers; their means per seed, with t intervals; and every one
        (seeds, draws) as accuracy_per_draw and log_loss_per_draw.
    """
    same = [agreement(one, logits) for logits, drawn in students for one in drawn]
    seeds, draws = len(students), len(students[0][1])
    runs = [(seed, draw) for seed in range(seeds) for draw in range(draws)]
    truth = pd.Index(SCENES).get_indexer(pd.Index(clips["scene"]))
    ours = [_right_and_loss(one, truth) for _, drawn in students for one in drawn]
    base = [_right_and_loss(logits, truth) for logits, _ in students]
    table = Clips.of(clips)
    found: dict[str, Any] = {"seeds": seeds, "draws": draws, "clips": len(clips)}
    measures: tuple[Measure, ...] = ("accuracy", "log_loss")
    for k, measure in enumerate(measures):
        each = np.stack([one[k] for one in ours])
        system = System("simulation", each, *(tuple(labels) for labels in zip(*runs, strict=True)))
        exact = System("float", np.stack([one[k] for one in base]), tuple(range(seeds)))
        whole = difference(system, exact, table, measure)
        found |= {"locations": whole.locations, measure: whole.estimate}
        found |= {f"{measure}_low": whole.low, f"{measure}_high": whole.high}
        scores, exactly = (linear(one.values, table, measure)[0] for one in (system, exact))
        per_draw = (scores.reshape(seeds, draws) - exactly[:, None]).tolist()
        per_seed = [float(np.mean(row)) for row in per_draw]
        found |= {f"{measure}_per_draw": per_draw, f"{measure}_per_seed": per_seed}
        ends = "seeds" if measure == "accuracy" else "log_loss_seeds"
        found |= dict(zip((f"{ends}_low", f"{ends}_high"), over_seeds(per_seed), strict=True))
    agreed = {"as_float": float(np.mean(same)), "worst": min(same), "best": max(same)}
    return agreed | found


def _right_and_loss(logits: Tensor, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(clips,) of 1 or 0, and of -ln p(true scene)."""
    p = probabilities(logits)
    losses = -np.log(np.clip(p[np.arange(len(truth)), truth], np.finfo(float).eps, 1))
    return (p.argmax(1) == truth).astype(float), losses
