"""The study runs: every system, several seeds, and the committed results the prose quotes.

    python -m asclib.study scoreboard --seeds 0 1 2
    python -m asclib.study dataset
    python -m asclib.study augmentation
    python -m asclib.study pruning
    python -m asclib.study ensembles
    python -m asclib.study budget
    python -m asclib.study teachers, then weights, then comparison

Everything trained lands in the store, so a run that was cut off goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from dataclasses import asdict, replace
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
from asclib.study_comparison import (
    SYSTEMS,
    TEACHERS,
    System,
    add,
    comparison,
    keep_teacher,
    kept_epoch,
    weights,
)
from asclib.study_data import dataset, device_gap
from asclib.study_ensembles import ensembles
from asclib.study_pruning import METHODS, SHARES, pruning
from asclib.teacher import unfused_logits
from asclib.training import predict

STUDENTS = ("student", "student_control")  # taught by no teacher
BASES = (*STUDENTS, "teacher_unfused", "response", "response_twice", "response_long")
TAUGHT = ("response", "response_faithful", "relational", "rrs", "rrs_faithful", "response_twice",
          "response_long")  # fmt: skip
BUDGETS = (6, 12, 24, 40)  # epochs of a student
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


def budget(experiments: list[Experiment]) -> list[dict[str, Any]]:
    """Students trained for longer or shorter, with MixStyle and without, on validation clips alone.

    Returns: a row for each: epochs, mixstyle, seed, validation accuracy and loss of the epoch kept.
    """
    plans = [
        replace(experiments[0].profile.student, epochs=epochs, mixstyle=mixstyle)
        for epochs in sorted(BUDGETS, reverse=True)
        for mixstyle in (0.0, experiments[0].profile.member.mixstyle)
    ]
    runs = [
        Experiment(replace(one.profile, student=plan), one.data_root, one.seed)
        for plan in plans
        for one in experiments
    ]
    build([(run, "student") for run in runs])
    return [
        {"epochs": run.profile.student.epochs, "mixstyle": run.profile.student.mixstyle,
         "seed": run.seed, **kept_epoch(run, "student")}
        for run in runs
    ]  # fmt: skip


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
    long = commands.add_parser("budget", help="how long to train, as validation clips see it")
    long.set_defaults(run=_budget)
    ten = commands.add_parser("ensembles", help="ten one-vs-all networks against other ensembles")
    ten.set_defaults(run=_ensembles)
    kept = commands.add_parser("teachers", help="train the teachers of the comparison, keep them")
    kept.set_defaults(run=_teachers)
    found = commands.add_parser("weights", help="search each technique's weight on validation")
    found.set_defaults(run=_weights)
    against = commands.add_parser("comparison", help="add seeds of all techniques to the results")
    against.set_defaults(run=_comparison)
    against.add_argument("--systems", nargs="+", metavar="NAME[:TIMES]",
                         default=[f"{name}:{times}" for name, times in SYSTEMS])  # fmt: skip
    for command in (found, against, board):
        command.add_argument("--teachers", type=Path, default=TEACHERS, help="a folder")
    defaults = (
        (board, "study", 3), (data, "study", 8), (changed, "quick", 8), (small, "quick", 3),
        (ten, "quick", 5), (kept, "study", 2), (found, "study", 1), (long, "study", 2),
        (against, "study", 3),
    )  # fmt: skip
    for command, profile, seeds in defaults:
        command.add_argument("--profile", default=profile)
        command.add_argument("--data-root", default=None)
        command.add_argument("--seeds", type=int, nargs="+", default=list(range(seeds)))
        command.add_argument("--output", type=Path, help="default: results/<command>.json")
    options = parser.parse_args(arguments)
    options.output = options.output or PROJECT / "results" / f"{options.command}.json"
    options.output.parent.mkdir(exist_ok=True)
    results = options.run(options)
    if results is not None:  # else it has written them itself
        write_atomic(options.output, (json.dumps(results, indent=1) + "\n").encode())


def _scoreboard(options: argparse.Namespace) -> dict[str, Any]:
    """Each seed with the teacher of that seed: one that was kept, or else trained now."""
    folders = [options.teachers / f"{options.profile}-{seed}" for seed in options.seeds]
    experiments = [
        Experiment(options.profile, options.data_root, seed, folder if folder.is_dir() else None)
        for seed, folder in zip(options.seeds, folders, strict=True)
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


def _budget(options: argparse.Namespace) -> dict[str, Any]:
    experiments = [
        Experiment(options.profile, options.data_root, seed) for seed in options.seeds
    ]
    return provenance(experiments[0]) | {"seeds": options.seeds, "runs": budget(experiments)}


def _ensembles(options: argparse.Namespace) -> dict[str, Any]:
    experiments = [
        Experiment(options.profile, options.data_root, seed) for seed in options.seeds
    ]
    return provenance(experiments[0]) | ensembles(experiments)


def _teachers(options: argparse.Namespace) -> None:
    experiments = [
        Experiment(options.profile, options.data_root, seed) for seed in options.seeds
    ]
    build([(experiment, "teacher") for experiment in experiments])
    for experiment in experiments:
        print(keep_teacher(experiment, options.output.with_suffix("")))


def _weights(options: argparse.Namespace) -> dict[str, Any]:
    teachers = _given(options)
    (seed,) = options.seeds
    found = weights(options.profile, options.data_root, seed, teachers)
    names = tuple(name for name in found["factors"] if name in TECHNIQUES)
    return provenance(Experiment(options.profile, options.data_root), names) | found


def _comparison(options: argparse.Namespace) -> None:
    """Add to the results seed by seed, so that a run that is cut off has not been for nothing."""
    teachers = _given(options)
    names = [text.partition(":") for text in options.systems]
    systems = [System(name, int(times or 1)) for name, _, times in names]
    factors = json.loads((options.output.parent / "weights.json").read_text())["factors"]
    made_with = provenance(Experiment(options.profile, options.data_root), tuple(TECHNIQUES))
    made_with |= {"teachers": [path.name for path in teachers], "factors": factors}
    for seed in options.seeds:
        add(options.output, made_with, *comparison(
            options.profile, options.data_root, [seed], teachers, factors, systems,
        ))  # fmt: skip


def _given(options: argparse.Namespace) -> list[Path]:
    """The teachers of this profile in the folder. Raises: FileNotFoundError saying what to do."""
    teachers = sorted(options.teachers.glob(f"{options.profile}-*"))
    if not teachers:
        raise FileNotFoundError(
            f"no teacher of the profile {options.profile!r} in {options.teachers}: run "
            "python -m asclib.study teachers first"
        )
    return teachers


if __name__ == "__main__":
    main()
