"""How long to train a student, as validation clips see it; the test is not read.

    python -m studies budget

Students of more and of fewer epochs, on the plain clips and with what changes the batches of the
teacher's members (Freq-MixStyle). The epochs of the profile "study" were set by what it says.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from asclib.runs import Experiment, build
from asclib.runs.provenance import provenance
from studies.command import Commands, add_command, experiments
from studies.systems import kept_epoch

EPOCHS = (6, 12, 24, 40)


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "budget", _budget, profile="study", seeds=2)
    parser.add_argument("--epochs", type=int, nargs="+", default=EPOCHS, help=f"default: {EPOCHS}")


def _budget(options: argparse.Namespace) -> dict[str, Any]:
    found = experiments(options)
    made_with = provenance(found[0]) | {"seeds": options.seeds}
    return made_with | {"runs": budget(found, options.epochs)}


def budget(experiments: list[Experiment], epochs: Sequence[int] = EPOCHS) -> list[dict[str, Any]]:
    """Students trained for longer or shorter, with the members' batch transforms and without.

    Returns: a row for each: epochs, the names of the transforms (`batch`), seed, validation
        accuracy and loss of the epoch kept.
    """
    profile = experiments[0].profile
    runs = [
        replace(one.student(), plan=replace(profile.student, epochs=number, batch=batch))
        for number in sorted(epochs, reverse=True)  # the last to be trained is short
        for batch in dict.fromkeys((profile.student.batch, profile.member.batch))
        for one in experiments
    ]
    build(runs)
    return [
        {
            "epochs": run.plan.epochs,
            "batch": [type(one).__name__ for one in run.plan.batch],
            "seed": run.seed,
            **kept_epoch(run),
        }
        for run in runs
    ]
