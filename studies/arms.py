"""The arms of the decisive comparison: what each shows the student, phase after phase.

All arms have the same epochs in all, the same augmentation and as many trials of their settings;
an arm of two phases gives each of them half the epochs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from asclib.distillation import TECHNIQUES, Answers, Stage, class_means, permuted
from asclib.distillation.losses import contrastive
from asclib.networks import TMSIC
from asclib.runs import Experiment, Lesson, Run, answers
from asclib.runs.run import VERSION
from asclib.training import BatchTransform
from studies.ready import Teacher


@dataclass(frozen=True)
class Labels:
    """A phase without a teacher: the labels, smoothed or not."""

    smoothing: float = 0.0

    def settings(self) -> dict[str, Any]:
        """In plain json values, as `Stage.settings`."""
        return {"loss": "labels", "smoothing": self.smoothing}


Phase = Labels | Stage
Trial = Mapping[str, float]  # any of smoothing, temperature, factor (of weights), second_rate

_SURE = TECHNIQUES["response_twice"][1]  # response with next to nothing of the labels
DECIDING: dict[str, tuple[Phase, ...]] = {
    "labels": (Labels(),),
    "response_response": TECHNIQUES["response_twice"],
    "labels_response": (Labels(), _SURE),
    "rrs": TECHNIQUES["rrs"],
}
EQUAL: dict[str, tuple[Phase, ...]] = {
    "smoothed": (Labels(0.1),),
    "response": TECHNIQUES["response"],
    "response_alone": (_SURE,),
    "reversed": TECHNIQUES["rrs_reversed"],
    "class_means": TECHNIQUES["response"],
    "permuted": TECHNIQUES["response"],
    **{
        name: TECHNIQUES[name]
        for name in ("joint", "relational", "relational_embedding", "rrs_published", "standardised")
    },
}
_SAME = {"response_twice", "response_long", "rrs_reversed"}  # as an arm under another name
OTHERS: dict[str, tuple[Phase, ...]] = {
    name: stages for name, stages in TECHNIQUES.items() if name not in {*DECIDING, *EQUAL, *_SAME}
}
ARMS = DECIDING | EQUAL | OTHERS
# An arm with the settings of another: it differs from that one in a single thing, its phases.
BORROWED = {"response_alone": "response_response"}
CONTROLS = ("class_means", "permuted")  # what a teacher knows of the single clip is taken away

# ---- settings, tried on validation clips -------------------------------------------------------

TRIALS = 8  # of each arm
SECOND_RATES = (1.0, 1 / 6)  # of the first phase's peak: 3e-3 again, or 5e-4
TUNED_ON = 100  # the first seed of trials: no run of the comparison has it
STRIDE = 1_000  # between the seeds of runs that no teacher tells apart


def trials(name: str) -> list[dict[str, float]]:
    """TRIALS settings of an arm, of what it has: smoothing, temperature, weight, second rate."""
    phases = ARMS[name]
    grid: dict[str, tuple[float, ...]]
    if name == "labels":
        grid = {"smoothing": (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4)}
    elif name == "smoothed":  # never quite without
        grid = {"smoothing": (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)}
    elif len(phases) == 2:
        first = {"smoothing": (0.0, 0.1)} if phases[0] == Labels() else {"factor": (0.25, 1.0)}
        grid = {"temperature": (2.0, 4.0), **first, "second_rate": SECOND_RATES}
    elif _tempered(phases[0]):
        grid = {"temperature": (1.0, 2.0, 4.0, 8.0), "factor": (0.25, 1.0)}
    else:
        grid = {"factor": (1 / 32, 1 / 16, 1 / 8, 0.25, 0.5, 1.0, 2.0, 4.0)}
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def settings_of(name: str, found: Mapping[str, Trial]) -> Trial:
    """The settings of an arm among those that trials have found, its own or BORROWED ones."""
    trial = found.get(BORROWED.get(name, name), {})
    return {key: value for key, value in trial.items() if key in trials(name)[0]}


def with_settings(phases: tuple[Phase, ...], trial: Trial) -> tuple[Phase, ...]:
    """The phases of an arm with the smoothing, the temperature and the weights of a trial."""
    return tuple(_with_settings(phase, trial) for phase in phases)


def _with_settings(phase: Phase, trial: Trial) -> Phase:
    if isinstance(phase, Labels):
        return Labels(trial.get("smoothing", phase.smoothing))
    if "temperature" in trial and _tempered(phase):
        arguments = phase.arguments | {"temperature": trial["temperature"]}
        phase = replace(phase, arguments=arguments)
    return phase.weighted(trial.get("factor", 1.0))


def _tempered(phase: Phase) -> bool:
    """Whether the loss softens answers; the temperature of a critic is another thing."""
    if isinstance(phase, Labels) or phase.loss is contrastive:
        return False
    return "temperature" in inspect.signature(phase.loss).parameters


# ---- runs ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Design:
    """What a run is to be: the arm, its epochs in all, its settings, and everybody's augmentation.

    second_rate: of the first phase's learning rate, in the second; that of the trial when None.
    """

    arm: str
    epochs: int
    trial: tuple[tuple[str, float], ...] = ()
    batch: tuple[BatchTransform, ...] = ()
    second_rate: float | None = None

    @property
    def phases(self) -> tuple[Phase, ...]:
        return with_settings(ARMS[self.arm], dict(self.trial))

    @property
    def rates(self) -> tuple[float, ...]:
        """Of the learning rate, in each phase."""
        second = self.second_rate or dict(self.trial).get("second_rate", 1.0)
        return (1.0, second)[: len(self.phases)]

    @property
    def is_taught(self) -> bool:
        return any(isinstance(phase, Stage) for phase in self.phases)

    def seed(self, seed: int, teacher: int) -> int:
        """Of the training. A run that nobody teaches is one of its own beside each teacher."""
        return seed if self.is_taught else seed + STRIDE * teacher

    def run(self, experiment: Experiment, number: int, teacher: Callable[[], Teacher]) -> Run:
        """The run of this design under an experiment's seed.

        Args: number, of the teacher; teacher, makes it, and is called only where one is needed.
            A control of `CONTROLS` asks it at once, so that it is trained here if it is missing.
        Raises: ValueError when there is not one epoch for each phase.
        """
        if self.epochs < len(self.phases):
            raise ValueError(f"{self.arm}: {self.epochs} epochs for {len(self.phases)} phases")
        seed, run = self.seed(experiment.seed, number), None
        by = self._teacher(experiment, teacher) if self.is_taught else None
        for place, (phase, rate) in enumerate(zip(self.phases, self.rates, strict=True)):
            share, left = divmod(self.epochs, len(self.phases))
            base = experiment.profile.student
            last = place == len(self.phases) - 1
            plan = replace(
                base,
                epochs=share + left * last,
                learning_rate=base.learning_rate * rate,
                batch=self.batch,
            )
            lesson = None
            if isinstance(phase, Labels):
                plan = replace(plan, label_smoothing=phase.smoothing)
            else:
                lesson = Lesson((phase,), by)  # type: ignore[arg-type]  # what a Kept has, it has
            run = Run(TMSIC, experiment.data, plan, seed, lesson, start=run)
        assert run is not None
        return run

    def _teacher(self, experiment: Experiment, teacher: Callable[[], Teacher]) -> Teacher | Answers:
        if self.arm not in CONTROLS:
            return teacher()
        said, labels = answers(teacher(), experiment.data), experiment.clips("fit").labels
        if self.arm == "class_means":
            return class_means(said, labels)
        return permuted(said, labels, seed=experiment.seed)

    def settings(self) -> dict[str, Any]:
        """What a row says of how it was made, in plain json values; trainings have a version."""
        phases = [phase.settings() for phase in self.phases]
        made = {"trial": dict(self.trial), "phases": phases, "rates": list(self.rates)}
        return made | {"training_version": VERSION}
