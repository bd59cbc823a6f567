"""Distillation losses as pure functions: student first, teacher second, mean over the batch.

The teacher's tensor is detached by the caller (it comes from stored answers). Every docstring
names the paper, its equation and where our conventions differ from programs in circulation.

Chapter: book/distillation/feature_maps.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from asclib.distillation.losses.relations import at_least
from asclib.distillation.losses.response import full_precision

# ---- feature maps ----------------------------------------------------------------------------


def hint(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of two maps (FitNets; Romero et al. 2015, eq. 3).

    Args: student, teacher (batch, channels, mels, frames), of one shape: where the networks differ,
    a learnt 1x1 convolution stands between student and loss, and is not part of either.
    Returns: scalar, mean over all values; the paper halves the sum of a clip instead.
    Raises: ValueError when the shapes differ.
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"student map {tuple(student.shape)} and teacher map {tuple(teacher.shape)}: bring the "
            "student's channels to the teacher's with a 1x1 convolution, its size by pooling"
        )
    with full_precision(student, teacher) as (s, t):
        return F.mse_loss(s, t)


def attention(student: Tensor, teacher: Tensor) -> Tensor:
    """Difference of two maps of attention (Zagoruyko & Komodakis 2017, activation-based).

    Attention is the mean over channels of the squared map, as a vector of unit length. A map larger
    than the teacher's is pooled to the teacher's size first.

    Args: student (batch, c_s, mels, frames), teacher (batch, c_t, ...); channels may differ.
    Returns: scalar, mean squared difference, as the authors' program; the paper takes the length of
    the difference (eq. 2) and sums over layers.
    """
    at_least(1, student, teacher)
    if student.ndim != 4 or teacher.ndim != 4:
        raise ValueError(
            f"student map {tuple(student.shape)} and teacher map {tuple(teacher.shape)}: give maps "
            "(batch, channels, mels, frames)"
        )
    mels, frames = teacher.shape[-2:]
    with full_precision(student, teacher) as (s, t):
        s = F.adaptive_avg_pool2d(s, (mels, frames))
        return F.mse_loss(_attention(s), _attention(t))


def _attention(x: Tensor) -> Tensor:
    return F.normalize(x.pow(2).mean(1).flatten(1), dim=1)


def similarity(student: Tensor, teacher: Tensor) -> Tensor:
    """Difference of the similarities between the clips of a batch (Tung & Mori 2019, eq. 1 to 4).

    Args: student (batch, ...), teacher (batch, ...): any outputs, flattened; sizes may differ.
    Returns: scalar, ‖G_s − G_t‖² / batch², where G holds the inner products of clips and each of
    its rows has unit length.
    """
    at_least(1, student, teacher)
    with full_precision(student, teacher) as (s, t):
        return F.mse_loss(_similarities(s), _similarities(t))


def _similarities(x: Tensor) -> Tensor:
    x = x.flatten(1)
    return F.normalize(x @ x.T, dim=1)


def margin(student: Tensor, teacher: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    """Partial L2 distance to the margin-rectified teacher (OFD; Heo et al. 2019, 1904.01866).

    The target is max(teacher, margin): a negative value says no more than "be negative". Where the
    student is below a target that is not positive, it has done so already, and nothing is asked.

    Args:
        student, teacher: (batch, channels, mels, frames) maps *before* their last ReLU, one shape.
        margin: a number, or (channels, 1, 1), at most zero: `negative_mean` of each channel.
    Returns: scalar, sum over the values of a clip, mean over the batch (the authors' program
    divides by a further 1,000).
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"student map {tuple(student.shape)} and teacher map {tuple(teacher.shape)} differ: "
            "bring the student's channels to the teacher's with a 1x1 convolution"
        )
    margin = torch.as_tensor(margin)
    if margin.ndim and margin.shape != (student.shape[1], 1, 1):
        raise ValueError(
            f"a margin of shape {tuple(margin.shape)} for {student.shape[1]} channels: give a "
            "number, or (channels, 1, 1)"
        )
    with full_precision(student, teacher) as (s, t):
        with torch.no_grad():
            target = torch.maximum(t, margin.to(t))
            # Where nothing is asked, the student is its own target: the lower of the two. Beside a
            # positive target it is set far above. `torch.where` says the same, slower; and the maps
            # have ten times the student's channels, so not each step is written to new memory.
            far_above = target.relu()
            torch.add(s, far_above, alpha=torch.finfo(target.dtype).max, out=far_above)
            torch.minimum(target, far_above, out=target)
        return F.mse_loss(s, target, reduction="sum") / len(s)


def negative_mean(maps: Tensor) -> Tensor:
    """What a channel answers on average when it answers below zero: the margin of `margin`.

    Args: maps (clips, channels, mels, frames) of the teacher before the last ReLU.
    Returns: (channels, 1, 1), zero where a channel is never negative. Heo et al. 2019 define the
    margin so, over the training clips, and then estimate it from BN; with the maps stored we count.
    """
    total = torch.zeros(maps.shape[1], device=maps.device)
    count = torch.zeros_like(total, dtype=torch.int64)
    for part in maps.split(1_024):  # stored maps may be larger than memory
        total = total + part.float().clamp(max=0).sum((0, 2, 3))
        count = count + (part < 0).sum((0, 2, 3))
    return (total / count.clamp(min=1)).view(-1, 1, 1)
