"""What the commands of all studies share: their options, and the experiments these name."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asclib.runs import PROFILES, Experiment
from asclib.runs.provenance import provenance

Commands = argparse._SubParsersAction  # what `ArgumentParser.add_subparsers` returns


def add_command(
    commands: Commands,
    name: str,
    work: Callable[[argparse.Namespace], dict[str, Any] | None],
    *,
    profile: str = "quick",
    seeds: int = 3,
) -> argparse.ArgumentParser:
    """Register `python -m studies NAME`, whose `work` makes what results/NAME.json holds.

    Args: work, from the options to the figures, or to None when it has written them itself;
        profile, and how many seeds, when none are named: a study of one seed takes one.
    Returns: the command's parser, for options of its own.
    """
    text = sys.modules[work.__module__].__doc__
    parser = commands.add_parser(
        name,
        help=text.splitlines()[0],
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(work=work)
    parser.add_argument("--profile", default=profile, choices=PROFILES, help=f"default: {profile}")
    parser.add_argument("--data-root", help="a folder in TAU layout; default: embedded corpus")
    span = f"0 to {seeds - 1}" if seeds > 1 else "0"
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+" if seeds > 1 else 1,
        default=list(range(seeds)),
        help=f"default: {span}",
    )
    parser.add_argument("--output", type=Path, help=f"default: results/{name}.json")
    return parser


def experiments(options: argparse.Namespace, one_teacher: bool = False) -> list[Experiment]:
    """One for each seed; with one teacher, that of seed 0 teaches all of them."""
    first = Experiment(options.profile, options.data_root)
    teacher = first.teacher() if one_teacher else None
    return [Experiment(options.profile, options.data_root, seed, teacher) for seed in options.seeds]


def origin(experiment: Experiment) -> dict[str, Any]:
    """The provenance of what is not trained with a profile's plans or a technique."""
    everything = provenance(experiment)
    return {name: everything[name] for name in ("corpus", "versions", "python", "machine")}
