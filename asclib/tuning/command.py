"""The arguments that name a search: equal for all of its workers, and for its report.

Chapters: book/input/feature_search, book/networks/architecture_search.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from asclib import store
from asclib.runs.experiment import Experiment
from asclib.runs.profiles import Profile
from asclib.tuning.sampler import PROPOSERS
from asclib.tuning.search import EFFORTS, KINDS, Search


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add them to a command's parser."""
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument(
        "--storage",
        help="URL of a database, or path of a journal file; default: a journal in the store",
    )
    parser.add_argument("--profile", default="quick", help="whose corpus; default: quick")
    parser.add_argument("--data-root", help="a folder in TAU layout, instead of that corpus")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--effort", choices=EFFORTS, default="study", help="spent on a trial")
    help_ = "who proposes: TPE, or chance as its control; default: tpe"
    parser.add_argument("--proposer", choices=PROPOSERS, default="tpe", help=help_)
    parser.add_argument("--epochs", type=positive, help="of the longest trials, not the effort's")
    parser.add_argument("--clips", type=positive, help="to fit on, not the effort's number")


def positive(text: str) -> int:
    """For argparse: a whole number from 1 on."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: at least one")
    return number


def search_of(options: argparse.Namespace, profile: Profile | None = None) -> tuple[Search, str]:
    """The search that the options name, and the address of its storage.

    Args: profile, one of your own instead of the one that the options name.
    """
    effort = EFFORTS[options.effort]
    epochs = options.epochs or effort.epochs
    effort = replace(
        effort, epochs=epochs, clips=options.clips or effort.clips, exam=min(effort.exam, epochs)
    )
    experiment = Experiment(profile or options.profile, options.data_root, options.seed)
    search = Search(options.kind, experiment, effort, options.proposer)
    return search, options.storage or str(store.root() / f"{search.name()}.journal")
