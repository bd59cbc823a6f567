"""Distillation: a technique is a tuple of stages, and one trainer runs them all.

A stage trains the whole student on `hard · cross-entropy + weight · loss(student, teacher)`, with a
new optimiser, and leaves it with the weights of its best validation epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asclib.distillation import losses
from asclib.settings import Training
from asclib.training import Clips, Objective, device, train

__all__ = ["TECHNIQUES", "Answers", "Stage", "distill", "losses"]


@dataclass(frozen=True)
class Stage:
    """One phase of a technique.

    `loss(student_logits, teacher_logits, **arguments)` is weighted by `weight`, the cross-entropy
    by `hard`. `epochs` multiplies the epochs of the profile's stage training.
    """

    loss: Callable[..., Tensor]
    weight: float
    hard: float
    epochs: float = 1.0
    arguments: dict[str, Any] = field(default_factory=dict)

    def settings(self) -> dict[str, Any]:
        """The stage in plain json values, for the store's keys and the tables of results."""
        return {"loss": self.loss.__name__, "weight": self.weight, "hard": self.hard,
                "epochs": self.epochs, "arguments": self.arguments}  # fmt: skip


def _mixed(loss, alpha: float, scale: float = 1.0, epochs: float = 1.0, **arguments) -> Stage:
    """α · CE + (1 − α) · scale · loss, the authors' way to weigh the two."""
    return Stage(loss, weight=(1 - alpha) * scale, hard=alpha, epochs=epochs, arguments=arguments)


_response = partial(_mixed, losses.response, temperature=3.0)
_relational = partial(_mixed, losses.relational, alpha=0.565, scale=20.0)

TECHNIQUES: dict[str, tuple[Stage, ...]] = {
    # Response-based, as Hinton et al. write it; alpha and temperature of the 2022 submission.
    "response": (_response(alpha=0.1),),
    # The same with the published double softmax.
    "response_faithful": (_mixed(losses.response_double_softmax, alpha=0.1, temperature=3.0),),
    # Relations between the clips of a batch, alone.
    "relational": (_relational(),),
    # RRS: relational first, then response, both over the whole student.
    "rrs": (_relational(), _response(alpha=1e-5)),
    "rrs_faithful": (
        _mixed(losses.relational_on_probabilities, alpha=0.565, scale=20.0),
        _mixed(losses.response_double_softmax, alpha=1e-5, temperature=3.0),
    ),
    # Controls for RRS: is it better, or only longer?
    "response_twice": (_response(alpha=0.1), _response(alpha=1e-5)),
    "response_long": (_response(alpha=0.1, epochs=2.0),),
}


@dataclass(frozen=True)
class Answers:
    """The teacher's logits (n, classes) for the clips that `identifiers` (n,) names."""

    identifiers: np.ndarray
    logits: np.ndarray

    def joined(self, identifiers: np.ndarray) -> Tensor:
        """The logits in the order of `identifiers`.

        Raises: ValueError naming the first clip without an answer, or answered twice.
        """
        position = {identifier: row for row, identifier in enumerate(self.identifiers)}
        if len(position) != len(self.logits):
            raise ValueError(
                f"{len(self.logits)} teacher answers for {len(position)} distinct clips: every "
                "clip needs exactly one; compute the answers again"
            )
        missing = [identifier for identifier in identifiers if identifier not in position]
        if missing:
            raise ValueError(
                f"the teacher has no answer for {missing[0]} ({len(missing)} of {len(identifiers)} "
                "clips missing): compute the answers on the clips the student learns from"
            )
        rows = [position[identifier] for identifier in identifiers]
        return torch.from_numpy(np.ascontiguousarray(self.logits[rows]))


def objective(stage: Stage, teacher_logits: Tensor) -> Objective:
    """The trainer's objective for one stage; row i of `teacher_logits` answers fit clip i."""

    def loss(net: nn.Module, rows: Tensor, x: Tensor, labels: Tensor) -> Tensor:
        student = net(x)
        distilled = stage.loss(student, teacher_logits[rows], **stage.arguments)
        return stage.hard * F.cross_entropy(student, labels) + stage.weight * distilled

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
) -> pd.DataFrame:
    """Train the student in place, stage after stage.

    Args:
        stages: one of TECHNIQUES, or a tuple of your own.
        settings: of each stage, with its epochs multiplied by the stage's.
        Others as `training.train`. Returns: its history, with a column `stage` in front.
    Raises: ValueError when teacher answers and clips do not line up.
    """
    teacher_logits = answers.joined(fit.identifiers)
    histories = []
    for number, stage in enumerate(stages):
        place = folder / f"stage-{number}" if folder else None
        if place:
            place.mkdir(exist_ok=True)
        histories.append(
            train(
                student, fit, validation,
                replace(settings, epochs=round(settings.epochs * stage.epochs)),
                objective=objective(stage, teacher_logits.to(device())),
                seed=seed + 7_919 * number,  # another order of clips in every stage
                folder=place,
                label=f"{stage.loss.__name__}, stage {number + 1} of {len(stages)}",
            ).assign(stage=number)
        )  # fmt: skip
    history = pd.concat(histories, ignore_index=True)
    return history[["stage", *history.columns.drop("stage")]]
