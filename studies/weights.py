"""How much a technique's loss should weigh: a search on validation clips, the test unread.

    python -m studies weights

`results/weights_real.json` was made with `--profile small`, `--data-root` and files of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asclib.distillation import TECHNIQUES
from asclib.runs import Experiment, build
from asclib.runs.provenance import provenance
from studies.command import Commands, add_command
from studies.systems import LONGER, SEARCHED, SYSTEMS, kept_epoch
from studies.teachers import TEACHERS, given, in_turn

FACTORS = (1 / 16, 0.25, 1.0, 4.0)  # of each technique's weight
TRIAL = 0.5  # the epochs of a trial, as a share of a run's


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "weights", _weights, profile="study", seeds=1)
    parser.add_argument("--teachers", type=Path, default=TEACHERS, help="a folder")
    parser.add_argument(
        "--systems",
        nargs="+",
        default=SEARCHED,
        choices=SEARCHED,
        metavar="NAME",
        help=f"of {', '.join(SEARCHED)}; default: all",
    )


def _weights(options: argparse.Namespace) -> dict[str, Any]:
    teachers = given(options.teachers, options.profile, options.data_root)
    (seed,) = options.seeds
    experiment = Experiment(options.profile, options.data_root, seed, in_turn(teachers, seed))
    found = weights(experiment, options.systems)
    names = tuple(name for name in found["factors"] if name in TECHNIQUES)
    return provenance(experiment, names) | found


def weights(
    experiment: Experiment,
    labels: Sequence[str] = SEARCHED,
    factors: Sequence[float] = FACTORS,
    trial: float = TRIAL,
) -> dict[str, Any]:
    """Each system with its weight times each of the factors, on validation clips alone.

    Trials have half the epochs, or the search would cost as much as all that is compared.
    Returns: rows of system, factor, validation accuracy and loss of the epoch kept, and the factor
        each system goes into the comparison with: that of the best accuracy, the loss deciding
        between equals. The control with smoothed labels is searched likewise; response distillation
        of twice the epochs has the factor of response distillation.
    """
    # the weights as they are first: they are wanted whatever the search says
    runs = {
        (label, factor): SYSTEMS[label].run(experiment, factor, trial)
        for factor in sorted(factors, key=lambda factor: factor != 1)
        for label in labels
    }
    build(list(runs.values()))
    rows = [
        {"system": label, "factor": factor, **kept_epoch(run)}
        for (label, factor), run in runs.items()
    ]
    best = sorted(rows, key=lambda row: (-row["validation_accuracy"], row["validation_loss"]))
    chosen = {
        label: next(row["factor"] for row in best if row["system"] == label) for label in labels
    }
    if "response" in chosen:
        chosen |= dict.fromkeys(LONGER, chosen["response"])
    return {"seed": experiment.seed, "rows": rows, "factors": chosen}
