"""One trainer for everything: student, members, fusion and every stage of a distillation."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asclib.augmentation import freq_mixstyle
from asclib.settings import Training
from asclib.store import progress, write_atomic

EVALUATION_BATCH = 256


class Clips(NamedTuple):
    """Clips for a network: `x` (n, 1, 140, 8) float32, `labels` (n,) int64, `identifiers` (n,)."""

    x: Tensor
    labels: Tensor
    identifiers: np.ndarray

    def joined(self, other: Clips) -> Clips:
        """These clips, and after them the others."""
        x, labels = (torch.cat(pair) for pair in zip(self[:2], other[:2], strict=True))
        return Clips(x, labels, np.concatenate([self.identifiers, other.identifiers]))


# An objective turns the network, the rows of the batch, its inputs and labels into a scalar loss.
Objective = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]


def cross_entropy(label_smoothing: float = 0.0) -> Objective:
    """The plain objective: cross-entropy of the logits with the labels, mean over the batch."""

    def objective(net: nn.Module, rows: Tensor, x: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(net(x), labels, label_smoothing=label_smoothing)

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
    settings: Training,
    *,
    seed: int,
    objective: Objective | None = None,
    folder: Path | None = None,
    label: str = "",
) -> pd.DataFrame:
    """Train `net` in place and leave it with the weights of its best validation epoch.

    Args:
        net: any module from inputs to logits.
        fit, validation: the clips to learn from, and those that choose the epoch.
        settings: epochs, rate, schedule, patience; see `Training`.
        seed: of the clips' order and of dropout. Same seed, same weights, bit for bit on a CPU.
        objective: the loss; cross-entropy with the settings' label smoothing when None.
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
    objective = objective or cross_entropy(settings.label_smoothing)
    keep_memory()
    where = device()
    fit, validation = _to(fit, where), _to(validation, where)
    net.to(where, memory_format=torch.channels_last)
    _set_statistics_momentum(net, settings.statistics_momentum)
    batch = min(settings.batch_size, len(fit.labels))
    steps = len(fit.labels) // batch  # the last, partial batch is dropped: relations need full ones
    optimizer = torch.optim.Adam(net.parameters(), lr=settings.learning_rate, fused=True)
    schedule = _schedule(optimizer, settings, steps)
    run = _Run(net, optimizer, schedule, folder)
    # The generators are seeded anew for every epoch, so a resumed run needs no generator state.
    with one_thread(), torch.random.fork_rng():
        for epoch in progress(range(len(run.history), settings.epochs), label=label):
            if run.waited(settings) >= (settings.patience or settings.epochs):
                break
            torch.manual_seed(seed * 1_000_003 + epoch)
            loss = _epoch(net, fit, objective, optimizer, schedule, batch, steps, settings.mixstyle)
            if not np.isfinite(loss):
                raise FloatingPointError(
                    f"the loss of epoch {epoch} is {loss}: lower the learning rate"
                )
            run.finish_epoch(loss, predict(net, validation.x), validation.labels.cpu(), settings)
    net.load_state_dict(run.best)
    net.to("cpu").eval()
    return pd.DataFrame(run.history)


def _epoch(
    net, fit, objective, optimizer, schedule, batch: int, steps: int, mixstyle: float
) -> float:
    net.train()
    total = torch.zeros((), device=fit.x.device)
    order = torch.randperm(len(fit.labels)).to(fit.x.device)[: steps * batch]
    for rows in order.split(batch):
        optimizer.zero_grad(set_to_none=True)
        x = fit.x[rows]
        if mixstyle:
            x = freq_mixstyle(x, mixstyle, generator=torch.default_generator)
        loss = objective(net, rows, x, fit.labels[rows])
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.detach()
    return float(total) / steps


def _set_statistics_momentum(net: nn.Module, momentum: float) -> None:
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = momentum


def _to(clips: Clips, where: torch.device) -> Clips:
    return Clips(clips.x.to(where), clips.labels.to(where), clips.identifiers)


def _schedule(optimizer, settings: Training, steps: int):
    if settings.schedule == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    if settings.schedule == "one_cycle":
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, settings.learning_rate, total_steps=settings.epochs * steps + 1,
            cycle_momentum=False,
        )  # fmt: skip
    raise ValueError(f'no schedule {settings.schedule!r}: choose "constant" or "one_cycle"')


class _Run:
    """What a training run must remember between epochs, on disk when it has a folder."""

    def __init__(self, net, optimizer, schedule, folder: Path | None):
        self.parts = {"net": net, "optimizer": optimizer, "schedule": schedule}
        self.path = folder / "checkpoint.pt" if folder else None
        self.history: list[dict[str, float]] = []
        self.best = _copy(net)
        if self.path and self.path.is_file():
            state = torch.load(self.path, weights_only=True, map_location="cpu")
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
            self.history, self.best = state["history"], state["best"]

    def finish_epoch(self, loss: float, logits: Tensor, labels: Tensor, settings: Training) -> None:
        self.history.append(
            {
                "epoch": len(self.history),
                "loss": loss,
                "validation_loss": float(F.cross_entropy(logits, labels)),
                "validation_accuracy": macro_accuracy(logits, labels),
            }
        )
        if self.waited(settings) == 0 or settings.monitor == "last":
            self.best = _copy(self.parts["net"])
        if self.path:
            state = {name: part.state_dict() for name, part in self.parts.items()}
            buffer = io.BytesIO()
            torch.save(state | {"history": self.history, "best": self.best}, buffer)
            write_atomic(self.path, buffer.getvalue())

    def waited(self, settings: Training) -> int:
        """Epochs since the best one; the earlier of two equally good epochs counts as best."""
        if not self.history:
            return 0
        if settings.monitor == "loss":
            scores = [-row["validation_loss"] for row in self.history]
        else:  # accuracy moves in steps of a clip: the loss decides between equals
            scores = [(row["validation_accuracy"], -row["validation_loss"]) for row in self.history]
        return len(scores) - 1 - scores.index(max(scores))


def _copy(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


def cores() -> int:
    """How many single-threaded runs go side by side."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
