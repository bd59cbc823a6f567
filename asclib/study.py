"""The study runs: every system, several seeds, and the committed results the prose quotes.

    python -m asclib.study scoreboard --seeds 0 1 2
    python -m asclib.study dataset
    python -m asclib.study augmentation
    python -m asclib.study pruning
    python -m asclib.study ensembles
    python -m asclib.study budget
    python -m asclib.study slips
    python -m asclib.study quantization
    python -m asclib.study qat
    python -m asclib.study teachers, then weights, then comparison

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

from asclib.distillation import TECHNIQUES
from asclib.experiment import MEMBERS, Experiment, build
from asclib.store import PROJECT, write_atomic
from asclib.study_augmentation import augmentation
from asclib.study_comparison import (
    SYSTEMS,
    TEACHERS,
    System,
    add,
    comparison,
    keep_teacher,
    weights,
)
from asclib.study_data import dataset
from asclib.study_ensembles import ensembles
from asclib.study_pruning import METHODS, SHARES, pruning
from asclib.study_qat import STUDENTS as AWARE
from asclib.study_qat import qat
from asclib.study_quantization import quantization
from asclib.study_scoreboard import STUDENTS, TAUGHT, budget, scoreboard
from asclib.study_slips import slips

PACKAGES = ("torch", "numpy", "scikit-learn", "librosa", "soxr")


def provenance(experiment: Experiment, techniques: tuple[str, ...] = ()) -> dict[str, Any]:
    """What made the results: settings, versions, processor. No dates, no paths."""
    return {
        "profile": asdict(experiment.profile),
        "corpus": "embedded"
        if experiment.data_root is None
        else f"given {experiment.corpus.fingerprint[:16]}",
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
    board.add_argument("--techniques", nargs="*", default=list(TAUGHT), choices=list(TECHNIQUES))
    data = commands.add_parser("dataset", help="measure the corpus with a light classifier")
    data.set_defaults(run=_dataset)
    changed = commands.add_parser("augmentation", help="train with each augmentation and score it")
    changed.set_defaults(run=_augmentation)
    small = commands.add_parser("pruning", help="prune the student and heal it in two ways")
    small.set_defaults(run=_pruning)
    small.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    small.add_argument("--shares", nargs="+", type=float, default=list(SHARES), choices=SHARES)
    slip = commands.add_parser("slips", help="make four slips, and measure what they do")
    slip.set_defaults(run=_slips)
    rounded = commands.add_parser("quantization", help="ask the student's quantised files")
    rounded.set_defaults(run=_quantization)
    aware = commands.add_parser("qat", help="fine-tune students with int8 in the loop")
    aware.set_defaults(run=_qat)
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
    against.add_argument("--weights", type=Path, default=PROJECT / "results" / "weights.json",
                         help="what `weights` wrote")  # fmt: skip
    for command in (found, against, board):
        command.add_argument("--teachers", type=Path, default=TEACHERS, help="a folder")
    defaults = (
        (board, "study", 3), (data, "study", 8), (changed, "quick", 8), (small, "quick", 3),
        (ten, "quick", 5), (kept, "study", 2), (found, "study", 1), (long, "study", 2),
        (against, "study", 3), (slip, "quick", 5), (rounded, "quick", 3),
        (aware, "quick", 3),
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


def _experiments(options: argparse.Namespace, teacher: int | None = None) -> list[Experiment]:
    """One for each seed; `teacher` as for `Experiment`."""
    return [
        Experiment(options.profile, options.data_root, seed, teacher) for seed in options.seeds
    ]


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
    experiments = _experiments(options)
    build([(experiment, "student") for experiment in experiments])
    return provenance(experiments[0], ("response",)) | pruning(
        experiments, tuple(options.methods), tuple(options.shares)
    )


def _budget(options: argparse.Namespace) -> dict[str, Any]:
    experiments = _experiments(options)
    return provenance(experiments[0]) | {"seeds": options.seeds, "runs": budget(experiments)}


def _ensembles(options: argparse.Namespace) -> dict[str, Any]:
    experiments = _experiments(options)
    return provenance(experiments[0]) | ensembles(experiments)


def _teachers(options: argparse.Namespace) -> None:
    experiments = _experiments(options)
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
    if not options.weights.is_file():
        raise FileNotFoundError(
            f"no weights in {options.weights}: run python -m asclib.study weights first, "
            "or name its output with --weights"
        )
    factors = json.loads(options.weights.read_text())["factors"]
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


def _slips(options: argparse.Namespace) -> dict[str, Any]:
    experiments = _experiments(options)
    build([(Experiment(options.profile, options.data_root), "teacher")])
    return _made_with(experiments[0]) | slips(experiments)


def _quantization(options: argparse.Namespace) -> dict[str, Any]:
    experiments = _experiments(options)
    return provenance(experiments[0]) | quantization(experiments)


def _qat(options: argparse.Namespace) -> dict[str, Any]:
    experiments = _experiments(options, teacher=0)
    return provenance(experiments[0], AWARE) | qat(experiments)


if __name__ == "__main__":
    main()
