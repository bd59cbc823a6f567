"""Plans, clips and outputs that several test files share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from asclib.corpus.embedded import CorpusSize
from asclib.networks import TMSIC
from asclib.runs import Profile
from asclib.training import Clips, Training, train

# ---- an experiment of one epoch ------------------------------------------------------------------

PLAN = Training(epochs=1, batch_size=16, learning_rate=1e-3)
TINY = Profile("tiny", CorpusSize(120, 180), PLAN, PLAN, PLAN, PLAN)


# ---- tensors that can be learnt ------------------------------------------------------------------

SHORT = Training(epochs=3, learning_rate=3e-3, batch_size=16)  # for FIT


def ripples(count: int, seed: int) -> Clips:
    """Clips of four classes: each has ripples of its own period along mel."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    x = torch.randn(count, 1, 140, 8, generator=generator)
    periods = torch.tensor([3.0, 5.0, 9.0, 17.0])[labels]
    x += 2 * torch.cos(2 * torch.pi * torch.arange(140)[:, None] / periods[:, None, None, None])
    return Clips(x, labels, np.array([f"clip{i}" for i in range(count)]))


FIT, VALIDATION = ripples(64, 0), ripples(24, 1)


def student(seed: int = 0) -> TMSIC:
    """An untrained network for FIT."""
    torch.manual_seed(seed)
    return TMSIC(n_classes=4)


def trained(
    plan: Training = SHORT, seed: int = 0, folder: Path | None = None
) -> tuple[TMSIC, pd.DataFrame]:
    """A student of FIT's labels, and its history."""
    net = student(seed)
    return net, train(net, FIT, VALIDATION, plan, seed=seed, folder=folder)


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    """Whether two networks hold the same numbers, bit for bit."""
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


# ---- outputs for losses --------------------------------------------------------------------------


def outputs(rows: int = 6, columns: int = 5, seed: int = 0) -> Tensor:
    """(rows, columns) logits or embeddings in double precision."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64)


def assert_finite(loss, kind: str) -> None:
    """The value and the gradient, for a student that is extreme in this way."""
    teacher = outputs(6, seed=9).float()
    student = (
        {
            "saturated": teacher * 1e4,
            "duplicates": outputs(6, seed=10).float()[[0, 0, 1, 1, 2, 3]],
            "collapsed": torch.ones_like(teacher),
        }[kind]
        .clone()
        .requires_grad_()
    )
    value = loss(student, teacher)
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(student.grad).all()
