"""Teachers to keep: trained once, so that whoever repeats a cell of a table need not train them.

    python -m studies teachers --seeds 0 1

One folder for each seed in results/teachers/, with its members and what their trainings took.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from asclib.challenge import SCENES
from asclib.runs import Experiment, Kept, Profile, Run, build, kept
from asclib.store import PROJECT
from studies.command import Commands, add_command, experiments

TEACHERS = PROJECT / "results" / "teachers"


def add_parser(commands: Commands) -> None:
    add_command(commands, "teachers", _teachers, profile="study", seeds=2)


def _teachers(options: argparse.Namespace) -> None:
    all_of_them = experiments(options)
    build([experiment.teacher() for experiment in all_of_them])
    for experiment in all_of_them:
        print(keep_teacher(experiment, options.output.with_suffix("")))


def members(experiment: Experiment) -> dict[str, Run | Kept]:
    """The one-vs-all networks behind an experiment's teacher, under the names they are kept by."""
    teacher = experiment.taught_by
    if isinstance(teacher, Kept):
        names = [f"member_{scene}" for scene in SCENES]
        return {name: replace(teacher, name=name) for name in names}
    return {f"member_{scene}": experiment.member(scene) for scene in SCENES}


def keep_teacher(experiment: Experiment, folder: Path) -> Path:
    """Write a teacher and its members into a folder of their own: a `Kept` reads it."""
    own = folder / f"{experiment.profile.name}-{experiment.seed}"
    ten = members(experiment)
    runs = {"teacher": experiment.teacher(), **ten}
    trainings = {name: (run.history(), run.seconds()) for name, run in runs.items()}
    weights = {name: run.net().state_dict() for name, run in ten.items()}
    kept.keep(experiment.teacher().net().state_dict(), weights, trainings, own)
    return own


def given(folder: Path, profile: Profile, data_root: str | None) -> list[Kept]:
    """The teachers of this profile in a folder.

    Raises: ValueError for the book's own and a folder of recordings, of which these teachers have
        heard nothing; FileNotFoundError where there is none. Both say what to do.
    """
    train = "python -m studies teachers"
    if data_root is not None:
        train += f" --data-root {data_root} --output FOLDER"
        if folder.resolve() == TEACHERS:
            raise ValueError(
                f"the teachers in {folder} learnt from the embedded corpus, not from {data_root}: "
                f"run {train} first, and name the folder with --teachers"
            )
    found = sorted(path for path in folder.glob(f"{profile.name}-*") if path.is_dir())
    if not found:
        raise FileNotFoundError(
            f"no teacher of the profile {profile.name!r} in {folder}: run {train} first"
        )
    return [Kept(str(path)) for path in found]


def in_turn(teachers: Sequence[Kept], seed: int) -> Kept | None:
    """Whose student a seed is: teachers take turns; with none, each seed trains its own."""
    return teachers[seed % len(teachers)] if teachers else None
