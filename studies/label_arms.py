"""The arms of the study of few labels: how a student of one label budget is made.

All arms of a budget show its labelled clips equally often; what comes before that is theirs alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from asclib.distillation import TECHNIQUES
from asclib.networks import TMSIC, ResNet18
from asclib.pretraining import METHODS, SelfSupervised
from asclib.runs import Experiment, Lesson, Run
from asclib.runs.run import VERSION
from asclib.training import BatchTransform, Training
from studies.ready import MEMBERS, Averaged, Together

BUDGETS = (5, 10, 25, 50, 100)  # per cent of the training clips
GROUPS = {
    "curves": ("supervised", "pretrained", "distilled", "both"),
    "controls": ("longer", "own"),
    "losses": tuple(METHODS),
    "authors": ("resnet", "resnet_pretrained", "by_resnet", "by_resnet_pretrained"),
}
ARMS = tuple(arm for group in GROUPS.values() for arm in group)
PRETRAINED = {"pretrained", "both", "own", "resnet_pretrained", *METHODS}
RESNETS = {"resnet", "resnet_pretrained"}  # all others are TMSIC
MEAN = "mean"
TAUGHT = {  # by whom: the mean of MEMBERS students, or the run of another arm
    "distilled": MEAN,
    "both": MEAN,
    "by_resnet": "resnet",
    "by_resnet_pretrained": "resnet_pretrained",
}
BATCH = 128  # clips of a step of pre-training, each in two views
STRIDE = 1_000  # from a student's seed to those of its teacher's members


@dataclass(frozen=True)
class Design:
    """What a run is to be.

    Args:
        arm: one of ARMS; that of a loss is pre-trained with it, others with `method`.
        budget: one of BUDGETS.
        epochs: with labels, of a student that has all of them: see `epochs_of`.
        pretraining: epochs without labels, over all clips to fit.
        batch: everybody's augmentation of labelled clips.
    """

    arm: str
    budget: int
    method: str
    epochs: int
    pretraining: int
    batch: tuple[BatchTransform, ...] = ()

    @property
    def label(self) -> str:
        """What the runs are called in the record."""
        return f"{self.arm}-{self.budget}"

    @property
    def taught_by(self) -> str | None:
        """Who teaches: see TAUGHT; None for nobody."""
        return TAUGHT.get(self.arm)

    @property
    def network(self) -> Callable[[], nn.Module]:
        """What is trained."""
        return ResNet18 if self.arm in RESNETS else TMSIC

    @property
    def loss(self) -> str | None:
        """The method of pre-training, None without any."""
        if self.arm not in PRETRAINED:
            return None
        return self.arm if self.arm in METHODS else self.method

    def run(self, experiment: Experiment) -> Run:
        """The run of this design under an experiment's profile, corpus and seed."""
        own = replace(experiment, subset=self.budget)
        lesson = Lesson(TECHNIQUES["response"], self.teacher(own)) if self.taught_by else None
        start = self.body(own) if self.arm in PRETRAINED else None
        return Run(self.network, own.data, self.plan(own), own.seed, lesson, start)

    def plan(self, experiment: Experiment) -> Training:
        """How labelled clips are learnt from. The last epoch is kept: a small budget has no
        validation clips to choose one by."""
        epochs = epochs_of(self.epochs, self.budget)
        if self.arm == "longer":  # as many clips as pre-training shows, two views counted twice
            epochs += math.ceil(2 * self.pretraining * 100 / self.budget)
        student = experiment.profile.student
        return replace(student, epochs=epochs, batch=self.batch, monitor="last", patience=None)

    def body(self, experiment: Experiment) -> Run:
        """What is learnt without labels: of all clips to fit, or of the budget's own alone."""
        plan = replace(experiment.profile.student, epochs=self.pretraining, batch_size=BATCH)
        run = experiment.pretrained(self.loss or self.method, plan)
        run = replace(run, network=self.network)
        if self.arm != "own":
            return run
        epochs = math.ceil(self.pretraining * 100 / self.budget)  # as many clips in all
        few = replace(run.data, subset=self.budget)
        return replace(run, data=few, plan=replace(plan, epochs=epochs))

    def teacher(self, experiment: Experiment) -> Run | Together:
        """The mean of MEMBERS students of the same labels and nothing else, this seed's own; or
        the run of the arm that teaches, which has the same labels and this seed."""
        by = TAUGHT[self.arm]
        if by != MEAN:
            return replace(self, arm=by).run(experiment)
        alone = replace(self, arm="supervised").run(experiment)
        first = STRIDE * (experiment.seed + 1)
        return Together(Averaged(tuple(replace(alone, seed=first + k) for k in range(MEMBERS))))

    def settings(self) -> dict[str, Any]:
        """What a row says of how it was made, in plain json values; trainings have a version.

        What was learnt without labels is its own body's, or that of the ResNet that teaches it.
        """
        by = TAUGHT.get(self.arm, MEAN)
        one = self if by == MEAN else replace(self, arm=by)
        return {
            "budget": self.budget,
            "method": one.loss,
            "pretraining": self.pretraining if one.arm in PRETRAINED | {"longer"} else None,
            "training_version": VERSION,
        }


def epochs_of(epochs: int, budget: int) -> int:
    """Epochs of a student of this budget, where one of all labels has `epochs`.

    They grow with the root of what is missing: a twentieth of the clips is shown 4.5 times as
    often, in 4.5 times fewer steps. As many epochs would be too few steps to learn anything, and
    as many steps the same few clips twenty times over.
    """
    return max(1, round(epochs * math.sqrt(100 / budget)))


def whole(runs: Iterable[Run]) -> set[Run]:
    """The runs and all that they need, each once."""
    found: set[Run] = set()
    queue = list(runs)
    while queue:
        run = queue.pop()
        if run not in found:
            found.add(run)
            queue += run.needs()
    return found


def passes(run: Run, clips: int) -> float:
    """How many clips this run alone goes through, both views counted, where there are so many."""
    views = 2 if isinstance(run.lesson, SelfSupervised) else 1
    return views * run.plan.epochs * clips * (run.data.subset or 100) / 100


Speeds = Mapping[Any, float]  # clips a second in training, by network


def core_hours(runs: Iterable[Run], clips: int, speeds: Speeds) -> float:
    """Of these runs alone, each at the speed of its network; scoring comes on top."""
    return sum(passes(run, clips) / speeds[run.network] for run in runs) / 3600


def designs(
    arms: Sequence[str],
    budgets: Sequence[int],
    method: str,
    epochs: int,
    pretraining: int,
    batch: tuple[BatchTransform, ...] = (),
) -> list[Design]:
    """Each arm at each budget, budget by budget."""
    return [
        Design(arm, budget, method, epochs, pretraining, batch)
        for budget in budgets
        for arm in arms
    ]
