"""The systems of the comparison: for each line of its table a label, and what makes its run.

Techniques of two stages share the epochs of one: nothing is better for having been trained longer,
except where a system is asked for several times the epochs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from asclib.distillation import stages_of
from asclib.runs import Experiment, Run
from asclib.runs.experiment import SMOOTHING
from asclib.training import Training


class System(NamedTuple):
    """`run(experiment, factor, times)`: the weight of its loss, and its epochs, so many times."""

    label: str
    run: Callable[[Experiment, float, float], Run]


def on_labels(experiment: Experiment, factor: float, times: float) -> Run:
    """The student alone; there is no weight for the factor to change."""
    return replace(experiment.student(), plan=longer(experiment.profile.student, times))


def on_smoothed_labels(experiment: Experiment, factor: float, times: float) -> Run:
    """The student on labels smoothed so many times as much."""
    run = experiment.smoothed(factor * SMOOTHING)
    return replace(run, plan=longer(run.plan, times))


def taught(
    experiment: Experiment,
    factor: float,
    times: float,
    technique: str,
    assisted: bool = False,
    weight: float = 1.0,
) -> Run:
    """A student of the teacher, or of its assistant, who has the assistant's usual epochs.

    Args: technique, of `asclib.distillation.TECHNIQUES`; weight, a factor of the system's own.
    """
    stages = stages_of(technique)
    plan = longer(experiment.profile.stage, times / sum(stage.epochs for stage in stages))
    by = experiment.assistant() if assisted else None
    return experiment.taught(
        tuple(stage.weighted(factor * weight) for stage in stages), by, plan=plan
    )


def longer(plan: Training, times: float) -> Training:
    """A plan of so many times the epochs, of one at the least."""
    return replace(plan, epochs=max(1, round(plan.epochs * times)))


TAUGHT = (
    "response",
    "relational",
    "joint",
    "rrs",
    "response_published",
    "relational_published",
    "rrs_published",
    "rrs_reversed",
    "decoupled",
    "dist",
    "fitnets",
    "fitnets_deep",
    "attention",
    "similarity",
    "ofd",
    "contrastive",
)
LONGER = ("response_long", "response_twice")
SYSTEMS = {
    system.label: system
    for system in (
        System("student", on_labels),
        System("student_smoothed", on_smoothed_labels),
        *(System(name, partial(taught, technique=name)) for name in (*TAUGHT, *LONGER)),
        System("assisted", partial(taught, technique="response", assisted=True)),
        System("assisted_fitnets", partial(taught, technique="fitnets", assisted=True)),
        System("rrs@0.25", partial(taught, technique="rrs", weight=0.25)),
        System("rrs@1", partial(taught, technique="rrs", weight=1.0)),
        System("rrs@4", partial(taught, technique="rrs", weight=4.0)),
    )
}
# whose weight is searched, and who is compared
SEARCHED = ("student_smoothed", *TAUGHT, "assisted", "assisted_fitnets")
COMPARED = ("student", *SEARCHED)
LONG = ("student", "response_long", "response_twice", "rrs")  # twice the epochs in all


def kept_epoch(run: Run) -> dict[str, float]:
    """Validation accuracy and loss of the epoch whose weights were kept, of the last stage."""
    history = run.history()
    if "stage" in history:
        history = history[history["stage"] == history["stage"].max()]
    best = history.sort_values(["validation_accuracy", "validation_loss"], ascending=[False, True])
    return best.iloc[0][["validation_accuracy", "validation_loss"]].round(5).to_dict()
