"""What a training is given: its plan, its clips, and the batches that its steps are made of.

Chapter: book/practice/training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from asclib import checked

ROWS = 1_024  # looked at together: a teacher's maps may be larger than memory

Schedule = Literal["constant", "one_cycle"]
Monitor = Literal["accuracy", "loss", "last"]


class Clips(NamedTuple):
    """Clips for a network: `x` (n, ...) float32, `labels` (n,) int64, `identifiers` (n,).

    The features of TMSIC are (n, 1, 140, 8); tensors of a reader's own have any shape.
    """

    x: Tensor
    labels: Tensor
    identifiers: np.ndarray

    def take(self, rows: np.ndarray | Tensor) -> Clips:
        """The clips at these positions, or where a mask (n,) is true."""
        return Clips(self.x[rows], self.labels[rows], self.identifiers[np.asarray(rows)])

    def joined(self, other: Clips) -> Clips:
        """These clips, and after them the others."""
        x, labels = (torch.cat(pair) for pair in zip(self[:2], other[:2], strict=True))
        return Clips(x, labels, np.concatenate([self.identifiers, other.identifiers]))


class AnswerRows(Protocol):
    """What a teacher says of n clips: a tensor (n, ...), or what gives one for some of its rows."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Tensor, /) -> Tensor: ...

    def to(self, where: torch.device, /) -> AnswerRows: ...


class Batch(NamedTuple):
    """The clips of one step, with all that must move when they do.

    x: (b, ...) inputs. targets: (b,) int64 classes, or (b, classes) soft labels that sum to one.
    answers: (b, ...) what a teacher says of these clips, or None. classes: how many there are.
    """

    x: Tensor
    targets: Tensor
    answers: Tensor | None
    classes: int

    def soft_targets(self) -> Tensor:
        """The targets as (b, classes) probabilities."""
        if self.targets.is_floating_point():
            return self.targets
        return F.one_hot(self.targets, self.classes).to(self.x.dtype)


# What changes a batch while training: `asclib.augmentation` has some, and any function of a batch
# and a generator of random numbers is one.
BatchTransform = Callable[[Batch, torch.Generator], Batch]


@dataclass(frozen=True)
class Training:
    """How one network is trained: Adam, and the epoch that is kept.

    `schedule` is "constant" (the authors') or "one_cycle" (Smith & Topin 2018, arXiv 1708.07120:
    the rate climbs for the first 30 % of the steps, then falls to zero, so few epochs suffice).
    `monitor` names the validation figure whose best epoch is kept, "accuracy" (macro) or "loss";
    "last" keeps the last epoch: a one-vs-all network that always says "others" has a low loss.
    The first `warm_up` epochs are kept only until there are later ones.
    `patience` counts epochs without a better figure before stopping, the monitor's or that of
    `waits_for`; None never stops early.
    `statistics_momentum` is that of every BN during training; None leaves each layer its own. A
    running average that moves by 1 % a step (TMSIC's own, and the authors') needs some hundreds of
    steps to catch up, which a short run does not have to spare.
    `batch` are the transforms that each batch goes through, one after the other.
    Raises: ValueError naming a value that no training can have.
    """

    epochs: int
    learning_rate: float = 1e-3
    batch_size: int = 64
    schedule: Schedule = "one_cycle"
    monitor: Monitor = "accuracy"
    warm_up: int = 0
    patience: int | None = None
    waits_for: Monitor | None = None
    statistics_momentum: float | None = None
    label_smoothing: float = 0.0
    batch: tuple[BatchTransform, ...] = ()

    def __post_init__(self) -> None:
        whole = {"epochs": 1, "batch_size": 1, "warm_up": 0}
        if self.patience is not None:
            whole["patience"] = 1
        for name, least in whole.items():
            value = checked.whole_number(name, getattr(self, name), least)
            object.__setattr__(self, name, value)
        checked.number("learning_rate", self.learning_rate, 0)
        checked.number("label_smoothing", self.label_smoothing, 0, 1)
        if self.statistics_momentum is not None:
            checked.number("statistics_momentum", self.statistics_momentum, 0, 1)
        checked.one_of("schedule", self.schedule, get_args(Schedule))
        checked.one_of("monitor", self.monitor, get_args(Monitor))
        checked.one_of("waits_for", self.waits_for, (None, *get_args(Monitor)))
        remedy = "give a tuple of transforms, such as (FreqMixStyle(0.4),)"
        object.__setattr__(self, "batch", checked.functions("batch", self.batch, remedy))


# ---- whether they go together ------------------------------------------------------------------


def check(fit: Clips, validation: Clips, answers: AnswerRows | None) -> None:
    """Raises: ValueError for clips, labels and answers that do not go together, or hold NaN."""
    if len(fit.labels) < 2 or len(validation.labels) == 0:
        raise ValueError(
            f"{len(fit.labels)} clips to fit and {len(validation.labels)} to validate on: training "
            "needs two and one at the least; does the corpus have two locations for some scene?"
        )
    for split, clips in (("fit", fit), ("validation", validation)):
        sizes = len(clips.x), len(clips.labels), len(clips.identifiers)
        if len(set(sizes)) > 1:
            raise ValueError(
                f"{split}: {sizes[0]} inputs, {sizes[1]} labels, {sizes[2]} identifiers: one each"
            )
        soft = split == "fit" and clips.labels.ndim == 2 and clips.labels.is_floating_point()
        if not soft and (clips.labels.ndim != 1 or clips.labels.dtype != torch.int64):
            kind = f"{clips.labels.dtype} of shape {tuple(clips.labels.shape)}"
            raise ValueError(f"{split}: labels are {kind}: give int64 (n,), the class of each clip")
        _check_finite(f"{split}: the inputs of", clips.x, clips.identifiers, "leave it out")
    if answers is None:
        return
    if len(answers) != len(fit.labels):
        raise ValueError(f"{len(answers)} answers for {len(fit.labels)} clips to fit: one for each")
    remedy = "look at its teacher, or leave the clip out"
    _check_finite("the teacher's answers for", answers, fit.identifiers, remedy)


def _check_finite(what: str, table: AnswerRows, identifiers: np.ndarray, remedy: str) -> None:
    for first in range(0, len(table), ROWS):
        rows = torch.arange(first, min(first + ROWS, len(table)))
        faulty = ~torch.isfinite(table[rows].flatten(1)).all(1)
        if faulty.any():
            row = first + int(faulty.int().argmax())
            raise ValueError(
                f"{what} {identifiers[row]} (row {row}) hold NaN or infinity: {remedy}"
            )


def classes_of(logits: Tensor, *labels: Tensor) -> int:
    """How many classes a network tells apart, from what it says of two clips.

    Raises: ValueError where it gives no logits, or a label is none of its classes.
    """
    if logits.ndim != 2 or len(logits) != 2:
        raise ValueError(
            f"the network answers two clips with a tensor {tuple(logits.shape)}: give logits "
            "(batch, classes)"
        )
    classes = logits.shape[1]
    for own in labels:
        if own.ndim == 2 and own.shape[1] != classes:
            raise ValueError(f"soft labels of {own.shape[1]} classes, and a network of {classes}")
        if own.ndim == 1 and not 0 <= int(own.min()) <= int(own.max()) < classes:
            raise ValueError(
                f"labels from {int(own.min())} to {int(own.max())} for a network of {classes} "
                f"classes: give 0 to {classes - 1}, or a network with more"
            )
    return classes
