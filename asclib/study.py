"""The study runs: every system, several seeds, and the committed results the prose quotes.

    python -m asclib.study scoreboard --seeds 0 1 2
    python -m asclib.study dataset
    python -m asclib.study augmentation
    python -m asclib.study pruning
    python -m asclib.study quantization
    python -m asclib.study qat

Everything trained lands in the store, so a run that was cut off goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from asclib.distillation import TECHNIQUES
from asclib.evaluation import calibration, evaluate, paired
from asclib.experiment import MEMBERS, Experiment, build
from asclib.quantization import simulate
from asclib.settings import SCENES
from asclib.store import PROJECT, write_atomic
from asclib.study_augmentation import augmentation
from asclib.study_data import dataset, device_gap
from asclib.study_pruning import METHODS, SHARES, pruning
from asclib.study_qat import STUDENTS as AWARE
from asclib.study_qat import OneTeacher, qat
from asclib.study_quantization import quantization
from asclib.teacher import unfused_logits
from asclib.training import predict

STUDENTS = ("student", "student_control")  # taught by no teacher
BASES = (*STUDENTS, "teacher_unfused", "response", "response_twice", "response_long")
TAUGHT = ("response", "response_faithful", "relational", "rrs", "rrs_faithful", "response_twice",
          "response_long")  # fmt: skip
PACKAGES = ("torch", "numpy", "scikit-learn", "librosa", "soxr")


def system_logits(experiment: Experiment, names: tuple[str, ...], x: torch.Tensor) -> dict:
    """Test logits (clips, 10) of every system: both teachers, each student and its int8 form."""
    # The members as trained: inside the fused teacher their bodies have moved on.
    members = [predict(experiment.member(scene), x) for scene in SCENES]
    answers = {
        "teacher_unfused": unfused_logits(torch.stack(members, dim=1)),
        "teacher": predict(experiment.teacher(), x),
        "student_control": predict(experiment.student(control=True), x),
    }
    for name in ("student", *names):
        net = experiment.student() if name == "student" else experiment.distilled(name)
        answers[name] = predict(net, x)
        answers[f"{name}_int8"] = predict(simulate(net), x)
    return answers


def scoreboard(experiments: list[Experiment], names: tuple[str, ...]) -> dict[str, Any]:
    """Scores of every system and seed on the test split, pooled scores, and paired differences."""
    clips = experiments[0].table("test")
    test = experiments[0].clips("test")
    probabilities: dict[str, list[np.ndarray]] = {}
    rows, curves = [], []
    for experiment in experiments:
        for name, logits in system_logits(experiment, names, test.x).items():
            answer = logits.double().softmax(1).numpy()
            probabilities.setdefault(name, []).append(answer)
            score = evaluate(answer, clips, resamples=1)
            rows.append(
                {
                    "system": name,
                    "seed": experiment.seed,
                    "accuracy": score.overall.accuracy,
                    "log_loss": score.overall.log_loss,
                    "unseen_accuracy": score.unseen and score.unseen.accuracy,
                    "calibration_error": calibration(answer, test.labels.numpy()).error,
                }
            )
        for name in (*STUDENTS, *MEMBERS, "teacher", *names):
            history = experiment.history(name)
            curves.append(
                {
                    "network": name,
                    "seed": experiment.seed,
                    "wall_seconds": experiment.wall_seconds(name),
                    **{column: history[column].round(5).tolist() for column in history},
                }
            )
    every_seed = pd.concat([clips] * len(experiments), ignore_index=True)
    scores = {
        name: evaluate(np.concatenate(answers), every_seed)
        for name, answers in probabilities.items()
    }
    differences = [
        {"system": name, "base": base, **paired(probabilities[name], probabilities[base], clips)}
        for name in probabilities
        for base in sorted({*BASES, name.removesuffix("_int8")})
        if name != base and base in probabilities
    ]
    sizes = {split: len(experiments[0].table(split)) for split in ("fit", "validation", "test")}
    hits = {
        name: np.concatenate(answers).argmax(1) == test.labels.repeat(len(answers)).numpy()
        for name, answers in probabilities.items()
    }
    tables = {name: score.table().round(5).to_dict("records") for name, score in scores.items()}
    return {
        "clips": sizes,
        "seeds": [experiment.seed for experiment in experiments],
        "runs": rows,
        "pooled": tables,
        "device_gaps": {name: device_gap(hit, every_seed) for name, hit in hits.items()},
        "confusion": {name: score.confusion.tolist() for name, score in scores.items()},
        "differences": differences,
        "curves": curves,
    }


def provenance(experiment: Experiment, techniques: tuple[str, ...] = ()) -> dict[str, Any]:
    """What made the results: settings, versions, processor. No dates, no paths."""
    return {
        "profile": asdict(experiment.profile),
        "corpus": "embedded" if experiment.data_root is None else "given",
        "techniques": {
            name: [stage.settings() for stage in TECHNIQUES[name]] for name in techniques
        },
        "versions": {name: version(name).partition("+")[0] for name in PACKAGES},
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def main(arguments: list[str] | None = None) -> None:
    """Train what is missing, then write `results/<name>.json`."""
    parser = argparse.ArgumentParser(prog="python -m asclib.study", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    board = commands.add_parser("scoreboard", help="train every system and score it")
    board.set_defaults(run=_scoreboard)
    board.add_argument("--techniques", nargs="*", default=list(TAUGHT))
    data = commands.add_parser("dataset", help="measure the corpus with a light classifier")
    data.set_defaults(run=_dataset)
    changed = commands.add_parser("augmentation", help="train with each augmentation and score it")
    changed.set_defaults(run=_augmentation)
    small = commands.add_parser("pruning", help="prune the student and heal it in two ways")
    small.set_defaults(run=_pruning)
    small.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    small.add_argument("--shares", nargs="+", type=float, default=list(SHARES), choices=SHARES)
    rounded = commands.add_parser("quantization", help="ask the student's quantised files")
    rounded.set_defaults(run=_quantization)
    aware = commands.add_parser("qat", help="fine-tune students with int8 in the loop")
    aware.set_defaults(run=_qat)
    defaults = ((board, "study", 3), (data, "study", 8), (changed, "quick", 8),
                (small, "quick", 3), (rounded, "quick", 3), (aware, "quick", 3))  # fmt: skip
    for command, profile, seeds in defaults:
        command.add_argument("--profile", default=profile)
        command.add_argument("--data-root", default=None)
        command.add_argument("--seeds", type=int, nargs="+", default=list(range(seeds)))
        command.add_argument("--output", type=Path, help="default: results/<command>.json")
    options = parser.parse_args(arguments)
    output = options.output or PROJECT / "results" / f"{options.command}.json"
    results = options.run(options)
    output.parent.mkdir(exist_ok=True)
    write_atomic(output, (json.dumps(results, indent=1) + "\n").encode())


def _scoreboard(options: argparse.Namespace) -> dict[str, Any]:
    experiments = [
        Experiment(options.profile, options.data_root, seed) for seed in options.seeds
    ]
    techniques = tuple(options.techniques)
    for names in ((*STUDENTS, *MEMBERS), ("teacher",), techniques):
        print("training", *names, file=sys.stderr, flush=True)
        build([(experiment, name) for experiment in experiments for name in names])
    return provenance(experiments[0], techniques) | scoreboard(experiments, techniques)


def _dataset(options: argparse.Namespace) -> dict[str, Any]:
    experiment = Experiment(options.profile, options.data_root)
    return _made_with(experiment) | dataset(experiment, options.seeds)


def _augmentation(options: argparse.Namespace) -> dict[str, Any]:
    experiment = Experiment(options.profile, options.data_root)
    return _made_with(experiment) | augmentation(experiment, options.seeds)


def _made_with(experiment: Experiment) -> dict[str, Any]:
    """The provenance of what is not trained with a profile's plans or a technique."""
    everything = provenance(experiment)
    return {name: everything[name] for name in ("corpus", "versions", "python", "machine")}


def _pruning(options: argparse.Namespace) -> dict[str, Any]:
    experiments = [
        Experiment(options.profile, options.data_root, seed) for seed in options.seeds
    ]
    build([(experiment, "student") for experiment in experiments])
    return provenance(experiments[0], ("response",)) | pruning(
        experiments, tuple(options.methods), tuple(options.shares)
    )


def _quantization(options: argparse.Namespace) -> dict[str, Any]:
    experiments = [
        Experiment(options.profile, options.data_root, seed) for seed in options.seeds
    ]
    return provenance(experiments[0]) | quantization(experiments)


def _qat(options: argparse.Namespace) -> dict[str, Any]:
    experiments = [
        OneTeacher(options.profile, options.data_root, seed) for seed in options.seeds
    ]
    return provenance(experiments[0], AWARE) | qat(experiments)


if __name__ == "__main__":
    main()
