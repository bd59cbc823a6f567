"""One trainer for everything: student, members, fusion and every stage of a distillation.

It knows tensors only: inputs of any shape, classes, and what a teacher says of them.

Chapters: book/networks/student, book/practice/training.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import joblib
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asclib.progress import progress
from asclib.store import write_atomic

EVALUATION_BATCH = 256

Schedule = Literal["constant", "one_cycle"]
Monitor = Literal["accuracy", "loss", "last"]


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
    `statistics_momentum` is BN's during training: a running average that moves by 1 % a step (the
    authors') needs some hundreds of steps to catch up, which a short run does not have to spare.
    `batch` are the transforms that each batch goes through, one after the other.
    """

    epochs: int
    learning_rate: float = 1e-3
    batch_size: int = 64
    schedule: Schedule = "one_cycle"
    monitor: Monitor = "accuracy"
    warm_up: int = 0
    patience: int | None = None
    waits_for: Monitor | None = None
    statistics_momentum: float = 0.01
    label_smoothing: float = 0.0
    batch: tuple[BatchTransform, ...] = ()


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


Objective = Callable[[nn.Module, Batch], Tensor]  # the loss of a network on a batch, a scalar


def cross_entropy(label_smoothing: float = 0.0) -> Objective:
    """The plain objective: cross-entropy of the logits with the labels, mean over the batch."""

    def objective(net: nn.Module, batch: Batch) -> Tensor:
        return F.cross_entropy(net(batch.x), batch.targets, label_smoothing=label_smoothing)

    return objective


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch inside the block: sums then have one order, and results one value.

    Independent runs go to one process per core; two multi-threaded runs slow each other five-fold.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@functools.cache
def keep_memory() -> None:
    """Tell glibc to keep freed memory for the next tensor; other systems are left as they are.

    It hands large blocks back by default, and the kernel clears them anew, page by page, for every
    activation of every step; `benchmarks/training.py` counts these page faults.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt:
        m_trim_threshold, m_mmap_max = -1, -4  # malloc.h
        mallopt(m_mmap_max, 0)
        mallopt(m_trim_threshold, 2**31 - 1)


def stream(seed: int, place: int) -> int:
    """A seed for random numbers of one place, such as an epoch, that no other place shares.

    Initial weights are drawn from the seed itself.
    """
    return int(np.random.SeedSequence((seed, place)).generate_state(1, np.uint64)[0])


def device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@torch.no_grad()
def predict(net: nn.Module, x: Tensor, output: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """What the network answers in inference mode, in batches: logits (n, classes) on the CPU.

    `output` names another method of the network to call, e.g. `teacher.member_logits`. The network
    answers on the GPU where there is one, and is afterwards where it was.
    """
    net.eval()
    home, where = next(net.parameters()).device, device()
    answer = output or net
    try:
        net.to(where)
        with one_thread():
            return torch.cat([answer(batch.to(where)).cpu() for batch in x.split(EVALUATION_BATCH)])
    finally:
        net.to(home)


def probabilities(logits: Tensor) -> np.ndarray:
    """What scores are computed from: the softmax of logits (…, classes), in double precision."""
    return logits.double().softmax(-1).numpy()


def macro_accuracy(logits: Tensor, labels: Tensor) -> float:
    """Mean of the recalls of the classes present in `labels`."""
    hits = (logits.argmax(1) == labels).double()
    return float(np.mean([hits[labels == k].mean() for k in labels.unique()]))


def train(
    net: nn.Module,
    fit: Clips,
    validation: Clips,
    plan: Training,
    *,
    seed: int,
    objective: Objective | None = None,
    answers: AnswerRows | None = None,
    folder: Path | None = None,
    label: str = "",
) -> pd.DataFrame:
    """Train `net` in place and leave it with the weights of its best validation epoch.

    Args:
        net: any module from inputs to logits.
        fit, validation: the clips to learn from, and those that choose the epoch.
        plan: epochs, rate, schedule, patience, augmentation; see `Training`.
        seed: of the clips' order and of dropout. Same seed, same weights, bit for bit on a CPU.
        objective: the loss; cross-entropy with the plan's label smoothing when None.
        answers: (n, ...) what a teacher says of the clips to fit, row by row, for the objective.
        folder: where a checkpoint is kept after each epoch. A later call with the same folder goes
            on from there, to the same result as an unbroken run.
        label: shown on the progress bar.

    Returns: one row an epoch: epoch, loss, validation_loss, validation_accuracy.
    Raises: ValueError when there is nothing to learn from; FloatingPointError when the loss is not
    finite.
    """
    if len(fit.labels) < 2 or len(validation.labels) == 0:
        raise ValueError(
            f"{len(fit.labels)} clips to fit and {len(validation.labels)} to validate on: training "
            "needs two and one at the least; does the corpus have two locations for some scene?"
        )
    if answers is not None and len(answers) != len(fit.labels):
        raise ValueError(f"{len(answers)} answers for {len(fit.labels)} clips to fit: one for each")
    objective = objective or cross_entropy(plan.label_smoothing)
    keep_memory()
    where = device()
    fit, validation = _to(fit, where), _to(validation, where)
    answers = None if answers is None else answers.to(where)
    # torch knows memory_format, its stubs do not
    net.to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
    _set_statistics_momentum(net, plan.statistics_momentum)
    size = min(plan.batch_size, len(fit.labels))
    steps = len(fit.labels) // size  # the last, partial batch is dropped: relations need full ones
    optimizer = torch.optim.Adam(net.parameters(), lr=plan.learning_rate, fused=True)
    schedule = _schedule(optimizer, plan, steps)
    run = _Run(net, optimizer, schedule, folder)
    # The generators are seeded anew for every epoch, so a resumed run needs no generator state.
    with one_thread(), torch.random.fork_rng():
        classes = predict(net, fit.x[:1]).shape[1]  # the clips may not hold all of them
        for epoch in progress(range(len(run.history), plan.epochs), label=label):
            if run.waited(plan) >= (plan.patience or plan.epochs):
                break
            torch.manual_seed(stream(seed, epoch))
            batches = _batches(fit, answers, plan.batch, size, classes)
            loss = _epoch(net, batches, objective, optimizer, schedule) / steps
            if not np.isfinite(loss):
                raise FloatingPointError(
                    f"the loss of epoch {epoch} is {loss}: lower the learning rate"
                )
            run.finish_epoch(loss, predict(net, validation.x), validation.labels.cpu(), plan)
    net.load_state_dict(run.best)
    net.to("cpu").eval()
    return pd.DataFrame(run.history)


def _batches(
    fit: Clips,
    answers: AnswerRows | None,
    transforms: tuple[BatchTransform, ...],
    size: int,
    classes: int,
) -> Iterator[Batch]:
    """One epoch of full batches in a random order, each through the transforms."""
    steps = len(fit.labels) // size
    order = torch.randperm(len(fit.labels)).to(fit.x.device)[: steps * size]
    for rows in order.split(size):
        said = None if answers is None else answers[rows]
        batch = Batch(fit.x[rows], fit.labels[rows], said, classes)
        for transform in transforms:
            batch = transform(batch, torch.default_generator)
        yield batch


def _epoch(
    net: nn.Module,
    batches: Iterator[Batch],
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> float:
    """One pass; the sum of its batches' losses."""
    net.train()
    total: Tensor | float = 0.0
    for batch in batches:
        optimizer.zero_grad(set_to_none=True)
        loss = objective(net, batch)
        loss.backward()
        optimizer.step()
        schedule.step()
        total = total + loss.detach()
    return float(total)


def _set_statistics_momentum(net: nn.Module, momentum: float) -> None:
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = momentum


def _to(clips: Clips, where: torch.device) -> Clips:
    return Clips(clips.x.to(where), clips.labels.to(where), clips.identifiers)


def _schedule(
    optimizer: torch.optim.Optimizer, plan: Training, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    if plan.schedule == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    if plan.schedule == "one_cycle":
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            plan.learning_rate,
            total_steps=plan.epochs * steps + 1,
            cycle_momentum=False,
        )
    raise ValueError(f'no schedule {plan.schedule!r}: choose "constant" or "one_cycle"')


class _Run:
    """What a training run must remember between epochs, on disk when it has a folder."""

    def __init__(
        self,
        net: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        folder: Path | None,
    ):
        self.parts: dict[str, Any] = {"net": net, "optimizer": optimizer, "schedule": schedule}
        self.path = folder / "checkpoint.pt" if folder else None
        self.history: list[dict[str, float]] = []
        self.best = _copy(net)
        if self.path and self.path.is_file():
            state = torch.load(self.path, weights_only=True, map_location="cpu")
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
            self.history, self.best = state["history"], state["best"]

    def finish_epoch(self, loss: float, logits: Tensor, labels: Tensor, plan: Training) -> None:
        self.history.append(
            {
                "epoch": len(self.history),
                "loss": loss,
                "validation_loss": float(F.cross_entropy(logits, labels)),
                "validation_accuracy": macro_accuracy(logits, labels),
            }
        )
        if self._since_best(plan.monitor, plan.warm_up) == 0 or plan.monitor == "last":
            self.best = _copy(self.parts["net"])
        if self.path:
            state = {name: part.state_dict() for name, part in self.parts.items()}
            buffer = io.BytesIO()
            torch.save(state | {"history": self.history, "best": self.best}, buffer)
            write_atomic(self.path, buffer.getvalue())

    def waited(self, plan: Training) -> int:
        """Epochs since the best one by what patience watches."""
        return self._since_best(plan.waits_for or plan.monitor)

    def _since_best(self, monitor: Monitor, warm_up: int = 0) -> int:
        """The earlier of two equally good epochs counts as best, and any after the warm-up."""
        history = self.history[min(warm_up, len(self.history) - 1) :] if self.history else []
        if not history:
            return 0
        scores: list[tuple[float, ...]]
        if monitor == "loss":
            scores = [(-row["validation_loss"],) for row in history]
        else:  # accuracy moves in steps of a clip: the loss decides between equals
            scores = [(row["validation_accuracy"], -row["validation_loss"]) for row in history]
        return len(scores) - 1 - scores.index(max(scores))


def _copy(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


def cores() -> int:
    """How many single-threaded runs go side by side."""
    return joblib.cpu_count()  # of those that this process may use
