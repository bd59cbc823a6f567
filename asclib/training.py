"""One trainer for everything: student, members, fusion and every stage of a distillation.

It knows tensors only: inputs of any shape, classes, and what a teacher says of them.

Chapters: book/networks/student, book/practice/training.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asclib import checked, checkpoint
from asclib.plan import AnswerRows, Batch, BatchTransform, Clips, Training, check, classes_of
from asclib.plan import Monitor as Monitor
from asclib.plan import Schedule as Schedule
from asclib.progress import progress

EVALUATION_BATCH = 256


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
    home = next((weight.device for weight in net.parameters()), torch.device("cpu"))
    where = device()
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
    """Mean of the recalls of the classes present in `labels`.

    Raises: ValueError unless the logits are (n, classes) and the labels (n,).
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"logits {tuple(logits.shape)} and labels {tuple(labels.shape)}: give (n, classes) "
            "and (n,), the class of each clip"
        )
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
    folder: str | Path | None = None,
    label: str = "",
) -> pd.DataFrame:
    """Train `net` in place and leave it with the weights of its best validation epoch.

    Nothing else of it is another afterwards: momentum of BN and layout of weights are its own.

    Args:
        net: any module from inputs to logits.
        fit, validation: the clips to learn from, and those that choose the epoch.
        plan: epochs, rate, schedule, patience, augmentation; see `Training`.
        seed: of the clips' order and of dropout. Same seed, same weights, bit for bit on a CPU.
        objective: the loss; cross-entropy with the plan's label smoothing when None.
        answers: (n, ...) what a teacher says of the clips to fit, row by row, for the objective.
        folder: where a checkpoint is kept after each epoch; made where it is missing. A later call
            with the same folder and all else the same goes on from there, to the same result as an
            unbroken run.
        label: shown on the progress bar.

    Returns: one row an epoch: epoch, loss, validation_loss, validation_accuracy.
    Raises: ValueError when there is nothing to learn from, when clips, labels, answers and outputs
    do not go together or hold NaN, and for the checkpoint of another training; FloatingPointError
    when the loss is not finite, with where that began.
    """
    seed = checked.whole_number("seed", seed, most=2**63 - 1)
    check(fit, validation, answers)
    path = None if folder is None else checkpoint.file_in(folder)
    identity = {}
    if path:
        given = {"clips to fit": fit[:2], "clips to validate on": validation[:2]}
        identity = checkpoint.identity(net, given, plan, seed, objective, answers)
    objective = objective or cross_entropy(plan.label_smoothing)
    keep_memory()
    where = device()
    fit, validation = _to(fit, where), _to(validation, where)
    answers = None if answers is None else answers.to(where)
    size = min(plan.batch_size, len(fit.labels))
    steps = len(fit.labels) // size  # the last, partial batch is dropped: relations need full ones
    # The generators are seeded anew for every epoch, so a resumed run needs no generator state.
    with _lent(net, plan.statistics_momentum), one_thread(), torch.random.fork_rng():
        net.to(where)
        # the clips may not hold all of the classes
        classes = classes_of(_channels_last(net, fit.x[:2]), fit.labels, validation.labels)
        optimizer = torch.optim.Adam(net.parameters(), lr=plan.learning_rate, fused=True)
        schedule = _schedule(optimizer, plan, steps)
        run = _Run(net, optimizer, schedule, path, identity)
        for epoch in progress(range(len(run.history), plan.epochs), label=label):
            if run.waited(plan) >= (plan.patience or plan.epochs):
                break
            torch.manual_seed(stream(seed, epoch))
            batches = _batches(fit, answers, plan.batch, size, classes)
            loss = _epoch(net, batches, objective, optimizer, schedule) / steps
            if not np.isfinite(loss):
                torch.manual_seed(stream(seed, epoch))
                batches = _batches(fit, answers, plan.batch, size, classes)
                net.load_state_dict(run.best)  # of the first epoch: as it was before any step
                cause = "lower the learning rate"
                raise FloatingPointError(
                    f"the loss of epoch {epoch} is {loss}: "
                    f"{(epoch == 0 and _cause(net, batches, objective)) or cause}"
                )
            run.finish_epoch(loss, predict(net, validation.x), validation.labels.cpu(), plan)
        net.load_state_dict(run.best)
        net.to("cpu").eval()
    return pd.DataFrame(run.history)


@contextlib.contextmanager
def _lent(net: nn.Module, momentum: float | None) -> Iterator[None]:
    """A network to be trained, with this momentum in its BNs; afterwards its momenta and the layout
    of its weights are again what they were.
    """
    norms = [layer for layer in net.modules() if isinstance(layer, nn.modules.batchnorm._NormBase)]
    own = [layer.momentum for layer in norms]
    turned = [name for name, weight in _of_four_axes(net).items() if weight.is_contiguous()]
    if momentum is not None:
        for layer in norms:
            layer.momentum = momentum
    try:
        yield
    finally:
        for layer, value in zip(norms, own, strict=True):
            layer.momentum = value
        weights = _of_four_axes(net)
        for weight in (weights[name] for name in turned):
            weight.data = weight.data.to(memory_format=torch.contiguous_format)


def _channels_last(net: nn.Module, x: Tensor) -> Tensor:
    """What a network says of x, its weights laid out channels last, which is faster, if it can.

    A network that takes a `view` of its maps may not: it keeps its layout.
    """
    for weight in _of_four_axes(net).values():
        weight.data = weight.data.to(memory_format=torch.channels_last)
    try:
        return predict(net, x)
    except RuntimeError:
        for weight in _of_four_axes(net).values():
            weight.data = weight.data.to(memory_format=torch.contiguous_format)
        return predict(net, x)


def _of_four_axes(net: nn.Module) -> dict[str, Tensor]:
    held = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    return {name: each for name, each in held.items() if each.ndim == 4}


@torch.no_grad()
def _cause(net: nn.Module, batches: Iterator[Batch], objective: Objective) -> str | None:
    """What makes the loss of a first epoch NaN before any step is taken; None where nothing does.

    Args: net, as it was before the epoch; batches, those of the epoch.
    """
    net.train()
    for batch in batches:
        if torch.isfinite(objective(net, batch)).all():
            continue
        answers = batch.x.new_zeros(()) if batch.answers is None else batch.answers
        for name, values in (("inputs", batch.x), ("targets", batch.targets), ("answers", answers)):
            if not torch.isfinite(values).all():
                return f"a transform of the plan's batch makes {name} of NaN or infinity"
        if not torch.isfinite(net(batch.x)).all():
            return "the network answers with NaN or infinity before its first step"
        return "the objective is not finite before the first step, for finite answers"
    return None


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


def _to(clips: Clips, where: torch.device) -> Clips:
    return Clips(clips.x.to(where), clips.labels.to(where), clips.identifiers)


def _schedule(
    optimizer: torch.optim.Optimizer, plan: Training, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    if plan.schedule == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        plan.learning_rate,
        total_steps=plan.epochs * steps + 1,
        cycle_momentum=False,
    )


class _Run:
    """What a training run must remember between epochs, on disk when it has a folder."""

    def __init__(
        self,
        net: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        path: Path | None,
        identity: dict[str, Any],
    ):
        self.parts: dict[str, Any] = {"net": net, "optimizer": optimizer, "schedule": schedule}
        self.path, self.identity = path, identity
        self.history: list[dict[str, float]] = []
        self.best = _copy(net)
        if path and (state := checkpoint.load(path, identity)):
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
            state |= {"history": self.history, "best": self.best}
            checkpoint.save(self.path, state, self.identity)

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


_at_most: ContextVar[int | None] = ContextVar("at_most", default=None)


@contextlib.contextmanager
def at_most(workers: int | None) -> Iterator[None]:
    """Inside the block `cores` says no more than this; None leaves it."""
    token = _at_most.set(workers)
    try:
        yield
    finally:
        _at_most.reset(token)


def cores() -> int:
    """How many single-threaded runs go side by side."""
    return min(joblib.cpu_count(), _at_most.get() or sys.maxsize)  # of those this process may use
