"""Distillation: a technique is a tuple of stages, and one trainer runs them all.

A stage trains the whole student on `hard · cross-entropy + weight · loss(student, teacher)`, with a
new optimiser, and leaves it with the weights of its best validation epoch. What the loss compares,
logits or maps, is named by the stage (`asclib.distillation.outputs`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asclib.distillation import losses
from asclib.distillation.outputs import MAPS, Connected, look
from asclib.settings import Training
from asclib.training import Clips, Objective, device, train

__all__ = [
    "TECHNIQUES", "Answers", "Stage", "distill", "is_technique", "losses", "stages_of",
]  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """One phase of a technique.

    `loss(student, teacher, **arguments)` is weighted by `weight`, the cross-entropy by `hard`.
    `epochs` multiplies the epochs of the profile's stage training, `monitor` replaces its own.
    `on` names the output of both networks that the loss compares. `connect` puts a learnt linear
    map between: "teacher" from the student's size to the teacher's, "both" from each to a third.
    `needs` names what else the loss asks for: "labels" of the batch, the number of "clips", or the
    teacher's "margin" (`losses.negative_mean`). `teacher` names who answers: the "teacher", or the
    "assistant" that it taught.
    """

    loss: Callable[..., Tensor]
    weight: float
    hard: float
    epochs: float = 1.0
    arguments: dict[str, Any] = field(default_factory=dict)
    on: str = "logits"
    connect: str | None = None
    needs: tuple[str, ...] = ()
    monitor: str | None = None
    teacher: str = "teacher"

    def settings(self) -> dict[str, Any]:
        """The stage in plain json values, for the store's keys and the tables of results.

        `on`, `connect`, `needs`, `monitor`, `teacher` are named only where they are not as usual.
        """
        plain = {"loss": self.loss.__name__, "weight": self.weight, "hard": self.hard,
                 "epochs": self.epochs, "arguments": self.arguments}  # fmt: skip
        rare = [item for item in fields(self) if item.name not in plain]
        changed = {item.name: getattr(self, item.name) for item in rare
                   if getattr(self, item.name) != item.default}  # fmt: skip
        return plain | {key: list(v) if key == "needs" else v for key, v in changed.items()}


def _mixed(loss, alpha: float, scale: float = 1.0, epochs: float = 1.0, **arguments) -> Stage:
    """α · CE + (1 − α) · scale · loss, the authors' way to weigh the two."""
    return Stage(loss, weight=(1 - alpha) * scale, hard=alpha, epochs=epochs, arguments=arguments)


_response = partial(_mixed, losses.response, temperature=3.0)
_relational = partial(_mixed, losses.relational, alpha=0.565, scale=20.0)
_relational_faithful = _mixed(losses.relational_on_probabilities, alpha=0.565, scale=20.0)


def _hint(layer: str) -> Stage:
    """FitNets' first stage: no label is shown, so no epoch is better than the last."""
    return Stage(losses.hint, weight=1.0, hard=0.0, on=layer, connect="teacher", monitor="last")


def _assisted(stage: Stage) -> Stage:
    return replace(stage, teacher="assistant")


TECHNIQUES: dict[str, tuple[Stage, ...]] = {
    # Response-based, as Hinton et al. write it; alpha and temperature of the 2022 submission.
    "response": (_response(alpha=0.1),),
    # The same with the published double softmax.
    "response_faithful": (_mixed(losses.response_double_softmax, alpha=0.1, temperature=3.0),),
    # Relations between the clips of a batch, alone.
    "relational": (_relational(),),
    "relational_faithful": (_relational_faithful,),
    # RRS: relational first, then response, both over the whole student.
    "rrs": (_relational(), _response(alpha=1e-5)),
    "rrs_faithful": (
        _relational_faithful,
        _mixed(losses.response_double_softmax, alpha=1e-5, temperature=3.0),
    ),
    # Controls for RRS: is it better, or only longer?
    "response_twice": (_response(alpha=0.1), _response(alpha=1e-5)),
    "response_long": (_response(alpha=0.1, epochs=2.0),),
    # RRS taken apart: both losses at once, and the phases in the other order.
    "joint": (_mixed(losses.relational_and_response, alpha=0.565),),
    "rrs_reversed": (_response(alpha=0.1), _relational()),
    # Logits, beyond Hinton.
    "decoupled": (Stage(losses.decoupled, weight=1.0, hard=1.0, needs=("labels",)),),
    "dist": (Stage(losses.dist, weight=2.0, hard=1.0),),
    # Feature maps. FitNets, as the authors ran it: a hint, then response.
    "fitnets": (_hint("conv2"), _response(alpha=0.1)),
    "fitnets_deep": (_hint("conv4"), _response(alpha=0.1)),
    "attention": (Stage(losses.attention, weight=1000.0, hard=1.0, on="conv4"),),
    "similarity": (Stage(losses.similarity, weight=3000.0, hard=1.0, on="conv4"),),
    "ofd": (
        Stage(losses.margin, weight=1e-3, hard=1.0, on="norm4", connect="teacher",
              needs=("margin",)),
    ),
    # Embeddings.
    "contrastive": (
        Stage(losses.contrastive, weight=0.8, hard=1.0, on="embedding", connect="both",
              needs=("labels", "clips")),
    ),
    # Taught by the assistant, a wider TMSIC that the teacher has taught by response.
    "assisted": (_assisted(_response(alpha=0.1)),),
    "assisted_fitnets": (_assisted(_hint("conv2")), _assisted(_response(alpha=0.1))),
}  # fmt: skip


def is_technique(name: str) -> bool:
    """Whether `stages_of` knows this name."""
    return name.partition("@")[0] in TECHNIQUES


def stages_of(name: str) -> tuple[Stage, ...]:
    """The stages of a technique; "rrs@4" is "rrs" with the weights of its losses times four.

    Labels keep their share, so the number after the @ is what a search for a weight varies.
    Raises: ValueError naming the techniques there are, or the number that is none.
    """
    technique, _, factor = name.partition("@")
    if technique not in TECHNIQUES:
        raise ValueError(f"no technique {technique!r}: choose one of {', '.join(TECHNIQUES)}")
    try:
        times = float(factor or 1)
    except ValueError:
        raise ValueError(f"{name!r}: after the @ stands a number, as in {technique}@0.25") from None
    return tuple(replace(stage, weight=stage.weight * times) for stage in TECHNIQUES[technique])


@dataclass(frozen=True)
class Answers:
    """What the teacher says of the clips that `identifiers` (n,) names, computed once.

    `logits` (n, classes), and by name what else a stage compares: embeddings (n, d) or maps
    (n, channels, mels, frames).
    """

    identifiers: np.ndarray
    logits: np.ndarray
    others: dict[str, np.ndarray] = field(default_factory=dict)

    def joined(self, identifiers: np.ndarray, output: str = "logits") -> Tensor:
        """One output in the order of `identifiers`.

        Raises: ValueError naming the first clip without an answer, or answered twice, or an output
        that was not computed.
        """
        if output != "logits" and output not in self.others:
            known = ", ".join(["logits", *self.others])
            raise ValueError(f"the teacher's {output} was not computed, only {known}")
        values = self.logits if output == "logits" else self.others[output]
        position = {identifier: row for row, identifier in enumerate(self.identifiers)}
        if len(position) != len(values):
            raise ValueError(
                f"{len(values)} teacher answers for {len(position)} distinct clips: every "
                "clip needs exactly one; compute the answers again"
            )
        missing = [identifier for identifier in identifiers if identifier not in position]
        if missing:
            raise ValueError(
                f"the teacher has no answer for {missing[0]} ({len(missing)} of {len(identifiers)} "
                "clips missing): compute the answers on the clips the student learns from"
            )
        rows = [position[identifier] for identifier in identifiers]
        if rows == list(range(len(values))):  # the usual order: a large map stays on the disk
            return torch.from_numpy(values)
        return torch.from_numpy(np.ascontiguousarray(values[rows]))


def objective(stage: Stage, teacher: Tensor) -> Objective:
    """The trainer's objective for one stage; row i of `teacher` answers fit clip i."""
    fixed = dict(stage.arguments)
    if "clips" in stage.needs:
        fixed["clips"] = len(teacher)
    if "margin" in stage.needs:
        fixed["margin"] = losses.negative_mean(teacher)

    def loss(net: nn.Module, rows: Tensor, x: Tensor, labels: Tensor) -> Tensor:
        if stage.on == "logits":
            logits = student = net(x)
        else:
            logits, student = look(net.student if stage.connect else net, x, stage.on)
        answer = teacher[rows].to(student)
        if stage.connect:
            student, answer = net.ours(student), net.theirs(answer)
        more = {"labels": labels} if "labels" in stage.needs else {}
        distilled = stage.weight * stage.loss(student, answer, **fixed, **more)
        if stage.hard == 0:  # a hint on an early map: nothing flows back through the later layers
            return distilled
        return stage.hard * F.cross_entropy(logits, labels) + distilled

    return loss


def distill(
    student: nn.Module,
    answers: Answers,
    fit: Clips,
    validation: Clips,
    stages: tuple[Stage, ...],
    settings: Training,
    *,
    seed: int,
    folder: Path | None = None,
    first: int = 0,
) -> pd.DataFrame:
    """Train the student in place, stage after stage.

    Args:
        stages: one of TECHNIQUES, or a tuple of your own.
        settings: of each stage, with its epochs multiplied by the stage's.
        first: how many stages the student has been through before these.
        Others as `training.train`. Returns: its history, with a column `stage` in front.
    Raises: ValueError when teacher answers and clips do not line up.
    """
    histories = []
    for number, stage in enumerate(stages, first):
        place = folder / f"stage-{number}" if folder else None
        if place:
            place.mkdir(exist_ok=True)
        teacher = answers.joined(fit.identifiers, stage.on)
        histories.append(
            train(
                _connected(student, stage, teacher, fit.x[:1], seed), fit, validation,
                replace(
                    settings,
                    epochs=max(1, round(settings.epochs * stage.epochs)),
                    monitor=stage.monitor or settings.monitor,
                ),
                objective=objective(stage, teacher.to(device())),
                seed=seed + 7_919 * number,  # another order of clips in every stage
                folder=place,
                label=f"{stage.loss.__name__}, stage {number + 1} of {first + len(stages)}",
            ).assign(stage=number)
        )  # fmt: skip
    history = pd.concat(histories, ignore_index=True)
    return history[["stage", *history.columns.drop("stage")]]


def _connected(
    student: nn.Module, stage: Stage, teacher: Tensor, x: Tensor, seed: int
) -> nn.Module:
    """The student, with the learnt maps of the stage around it where it asks for some."""
    if stage.connect is None:
        return student
    with torch.no_grad(), torch.random.fork_rng():
        ours = look(student.eval(), x, stage.on)[1].shape[1]
        torch.manual_seed(seed)
        sizes = (ours, teacher.shape[1])
        return Connected(student, sizes, both=stage.connect == "both", is_map=stage.on in MAPS)
