"""Distillation: a technique is a tuple of stages, and one trainer runs them all.

A stage trains the whole student on `hard · cross-entropy + weight · loss(student, teacher)`, with a
new optimiser, and leaves it with the weights of its best validation epoch. What the loss compares,
logits or maps, is named by the stage (`asclib.networks.outputs`); over several maps it is summed.

Chapters: book/distillation/response, book/distillation/rrs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asclib import checked
from asclib.distillation import losses
from asclib.distillation.answers import Answers, SideBySide
from asclib.networks.outputs import MAPS, OUTPUTS, look_at
from asclib.plan import Batch, Clips, Monitor, Training
from asclib.training import Objective, stream, train

CONNECTED = 2**32 - 1  # beyond any epoch: the place of the learnt maps among random streams
Connect = Literal["teacher", "both"]
Need = Literal["labels", "margin"]
SHARED = 128  # numbers both embeddings are brought to, as in CRD


class Connected(nn.Module):
    """A student, and the learnt linear maps that stand between its outputs and the loss.

    Trained with the student and thrown away with it: the student alone is deployed.

    Args:
        student: any network.
        sizes: for each output, channels, or numbers, of the student's and of the teacher's.
        both: bring both embeddings to SHARED numbers instead of the student's to the teacher's.
        is_map: the outputs are maps, and the linear maps 1x1 convolutions.
    """

    def __init__(self, student: nn.Module, sizes: list[tuple[int, int]], both: bool, is_map: bool):
        super().__init__()
        self.student = student
        self.ours, self.theirs = nn.ModuleList(), nn.ModuleList()
        linear = (lambda a, b: nn.Conv2d(a, b, 1)) if is_map else nn.Linear
        for ours, theirs in sizes:
            self.ours.append(linear(ours, SHARED if both else theirs))
            self.theirs.append(linear(theirs, SHARED) if both else nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        return self.student(x)


@dataclass(frozen=True)
class Stage:
    """One phase of a technique.

    `loss(student, teacher, **arguments)` is weighted by `weight`, the cross-entropy by `hard`.
    `epochs` multiplies the epochs of the profile's stage training, `monitor` replaces its own.
    `on` names the output of both networks that the loss compares; of several maps, a tuple, the
    losses are summed. `connect` puts a learnt linear map between: "teacher" from the student's size
    to the teacher's, "both" from each to a third.
    `needs` names what else the loss asks for: "labels" of the batch, or the teacher's "margin"
    (`losses.negative_mean`).
    Raises: ValueError for several outputs that are not all maps, for a name that is none of those
    above, a weight that is no number, no epochs, and arguments that the loss does not take.
    """

    loss: Callable[..., Tensor]
    weight: float
    hard: float
    epochs: float = 1.0
    arguments: dict[str, Any] = field(default_factory=dict)
    on: str | tuple[str, ...] = "logits"
    connect: Connect | None = None
    needs: tuple[Need, ...] = ()
    monitor: Monitor | None = None

    def __post_init__(self) -> None:
        for name in ("on", "needs"):  # a list means the same, and cannot be part of a set
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        if isinstance(self.on, tuple) and not (self.on and set(self.on) <= set(MAPS)):
            raise ValueError(f"several outputs must all be maps, {', '.join(MAPS)}: not {self.on}")
        for output in self.outputs:
            checked.one_of("on", output, OUTPUTS)
        checked.number("weight", self.weight)
        checked.number("hard", self.hard, 0)
        checked.number("epochs", self.epochs, 0)
        if self.epochs == 0:
            raise ValueError("epochs is 0: give how many times the plan's epochs this stage lasts")
        checked.one_of("connect", self.connect, (None, *get_args(Connect)))
        checked.one_of("monitor", self.monitor, (None, *get_args(Monitor)))
        remedy = 'give a tuple, such as ("labels",)'
        checked.kind("needs", self.needs, tuple, remedy)
        for need in self.needs:
            checked.one_of("needs", need, get_args(Need))
        checked.kind("arguments", self.arguments, dict, "give the loss's arguments by name")
        self._check_loss()

    def plan(self, base: Training) -> Training:
        """Of this stage, where the stages' training is `base`: see `epochs` and `monitor`."""
        epochs = max(1, round(base.epochs * self.epochs))
        return replace(base, epochs=epochs, monitor=self.monitor or base.monitor)

    def _check_loss(self) -> None:
        """Raises: ValueError for a loss that cannot be called as the trainer will call it."""
        remedy = "give a function of the student's and the teacher's output"
        checked.function("loss", self.loss, remedy)
        try:
            called = inspect.signature(self.loss)
        except (TypeError, ValueError):  # of a library in C, which does not say
            return
        given = {**{str(need): None for need in self.needs}, **self.arguments}
        try:
            called.bind("student", "teacher", **given)
        except TypeError as error:
            raise ValueError(
                f"{self.name} is called with {', '.join(['student', 'teacher', *given])}, and that "
                f"does not fit ({error}): see the stage's arguments and needs"
            ) from None

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names in `on`, one or several."""
        return self.on if isinstance(self.on, tuple) else (self.on,)

    @property
    def name(self) -> str:
        """What the loss is called: a function, a partial of one, or an object to be called."""
        made = getattr(self.loss, "func", self.loss)
        return getattr(made, "__name__", type(made).__name__)

    def weighted(self, factor: float) -> Stage:
        """The same stage, its loss weighted so many times as much; labels keep their share."""
        return replace(self, weight=self.weight * factor)

    def settings(self) -> dict[str, Any]:
        """The stage in plain json values, for the store's keys and the tables of results.

        `on`, `connect`, `needs`, `monitor` are named only where they are not as usual.
        """
        plain = {
            "loss": self.name,
            "weight": self.weight,
            "hard": self.hard,
            "epochs": self.epochs,
            "arguments": self.arguments,
        }
        rare = [item for item in fields(self) if item.name not in plain]
        changed = {
            item.name: getattr(self, item.name)
            for item in rare
            if getattr(self, item.name) != item.default
        }
        return plain | {key: list(v) if isinstance(v, tuple) else v for key, v in changed.items()}


def objective(stage: Stage, teacher: Tensor | SideBySide) -> Objective:
    """The trainer's objective for one stage; `teacher` (n, ...) answers the clips to fit.

    Raises: ValueError, when it is called, for a loss that needs one class a clip and soft labels,
        or a batch without answers.
    """
    parts = teacher.parts if isinstance(teacher, SideBySide) else (teacher,)
    channels, several = [part.shape[1] for part in parts], len(parts) > 1
    fixed = [dict(stage.arguments) for _ in parts]
    if "margin" in stage.needs:
        for own, part in zip(fixed, parts, strict=True):
            own["margin"] = losses.negative_mean(part)

    def loss(net: nn.Module, batch: Batch) -> Tensor:
        if batch.answers is None:
            raise ValueError("the loss compares with a teacher: give train its answers as well")
        ours: Sequence[Tensor]
        if stage.on == "logits":
            logits = net(batch.x)
            ours = (logits,)
        else:
            student = net.student if isinstance(net, Connected) else net
            logits, ours = look_at(student, batch.x, stage.outputs)
        # answers keep their digits beside a network of half precision
        said = batch.answers.to(ours[0].device, torch.promote_types(ours[0].dtype, torch.float32))
        theirs: Sequence[Tensor] = said.split(channels, dim=1) if several else (said,)
        if isinstance(net, Connected):
            ours = [linear(output) for linear, output in zip(net.ours, ours, strict=True)]
            theirs = [linear(output) for linear, output in zip(net.theirs, theirs, strict=True)]
        more = {}
        if "labels" in stage.needs:
            if batch.targets.is_floating_point():
                raise ValueError(
                    f"{stage.name} needs one class for each clip, and a transform "
                    "of the plan makes soft labels: leave it out of Training.batch"
                )
            more["labels"] = batch.targets
        each = (
            stage.loss(student, answer, **own, **more)
            for student, answer, own in zip(ours, theirs, fixed, strict=True)
        )
        distilled = stage.weight * sum(each, start=logits.new_zeros(()))
        if stage.hard == 0:  # a hint on an early map: nothing flows back through the later layers
            return distilled
        return stage.hard * F.cross_entropy(logits, batch.targets) + distilled

    return loss


def distill(
    student: nn.Module,
    answers: Answers,
    fit: Clips,
    validation: Clips,
    stages: tuple[Stage, ...],
    plan: Training,
    *,
    seed: int,
    folder: str | Path | None = None,
    first: int = 0,
) -> pd.DataFrame:
    """Train the student in place, stage after stage.

    Args:
        stages: one of TECHNIQUES, or a tuple of your own.
        plan: of each stage, with its epochs multiplied by the stage's.
        first: how many stages the student has been through before these.
        Others as `training.train`. Returns: its history, with a column `stage` in front.
    Raises: ValueError when teacher answers and clips do not line up.
    """
    seed = checked.whole_number("seed", seed)
    histories = []
    for number, stage in enumerate(checked_stages(stages), first):
        place = None if folder is None else Path(folder, f"stage-{number}")
        teacher = answers.joined(fit.identifiers, stage.on)
        histories.append(
            train(
                _connected(student, stage, teacher, fit.x[:1], seed),
                fit,
                validation,
                stage.plan(plan),
                objective=objective(stage, teacher),
                answers=teacher,
                seed=another_order(seed, number),
                folder=place,
                label=f"{stage.name}, stage {number + 1} of {first + len(stages)}",
            ).assign(stage=number)
        )
    history = pd.concat(histories, ignore_index=True)
    return history[["stage", *history.columns.drop("stage")]]


def checked_stages(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """The stages. Raises: ValueError where there are none, or what is given is something else."""
    remedy = "give a tuple of stages, such as (Stage(losses.response, weight=1.0, hard=0.1),)"
    checked.kind("stages", stages, (tuple, list), remedy)
    if not stages:
        raise ValueError(f"no stage is given: {remedy}")
    for stage in stages:
        checked.kind("a stage", stage, Stage, remedy)
    return tuple(stages)


def another_order(seed: int, number: int) -> int:
    """The seed of a stage with so many before it: each shows the clips in an order of its own."""
    return seed + 7_919 * number


def _connected(
    student: nn.Module, stage: Stage, teacher: Tensor | SideBySide, x: Tensor, seed: int
) -> nn.Module:
    """The student, with the learnt maps of the stage around it where it asks for some."""
    if stage.connect is None:
        return student
    theirs = teacher.channels if isinstance(teacher, SideBySide) else [teacher.shape[1]]
    with torch.no_grad(), torch.random.fork_rng():
        ours = [output.shape[1] for output in look_at(student.eval(), x, stage.outputs)[1]]
        torch.manual_seed(stream(seed, CONNECTED))  # not as the student's own weights
        return Connected(
            student,
            list(zip(ours, theirs, strict=True)),
            both=stage.connect == "both",
            is_map=stage.outputs[0] in MAPS,
        )
