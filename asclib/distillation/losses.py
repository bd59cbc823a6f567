"""Distillation losses as pure functions: student first, teacher second, mean over the batch.

The teacher's tensor is detached by the caller (it comes from stored answers). Every docstring
names the paper, its equation and where our conventions differ from programs in circulation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def response(student: Tensor, teacher: Tensor, temperature: float = 3.0) -> Tensor:
    """T² · KL(softmax(t/T) ‖ softmax(s/T)) on logits (Hinton et al. 2015, 1503.02531, section 2).

    Args: student, teacher (batch, classes) logits; temperature > 0.
    Returns: scalar, mean over the batch (`nn.KLDivLoss()`'s default divides by the classes too).
    T² keeps the gradient's size independent of T.
    """
    return temperature**2 * _divergence(student / temperature, teacher / temperature)


def response_double_softmax(student: Tensor, teacher: Tensor, temperature: float = 3.0) -> Tensor:
    """The published slip: probabilities divided by T and softmaxed a second time (AI4EDGE 2022).

    KL(softmax(p_t/T) ‖ softmax(p_s/T)) with p = softmax(logits), without T². At T = 3 even a
    one-hot teacher becomes 0.134 against nine times 0.096. Arguments and return as `response`.
    """
    return _divergence(student.softmax(1) / temperature, teacher.softmax(1) / temperature)


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(softmax(teacher) ‖ softmax(student)), mean over the batch; finite for saturated logits."""
    return F.kl_div(
        student.log_softmax(1), teacher.log_softmax(1), reduction="batchmean", log_target=True
    )


def relational_distance(student: Tensor, teacher: Tensor, *, diagonal: bool = False) -> Tensor:
    """Huber loss between the pairwise distances of both (RKD-D; Park et al. 2019, eq. 6).

    Args: student (batch, d_s), teacher (batch, d_t): any outputs; d_s and d_t may differ.
    Returns: scalar, mean over ordered pairs i ≠ j; distances are divided by their batch mean.
    `diagonal=True` averages over all B² entries, zeros included, as the reference programs do: the
    value is then (B−1)/B of ours.
    Raises: ValueError when fewer than two rows are given.
    """
    _at_least(2, student, teacher)
    batch = len(student)
    huber = F.smooth_l1_loss(
        _relative_distances(student), _relative_distances(teacher), reduction="sum"
    )
    return huber / (batch**2 if diagonal else batch * (batch - 1))


def relational_angle(student: Tensor, teacher: Tensor, *, diagonal: bool = False) -> Tensor:
    """Huber loss between the angles of all triplets of both (RKD-A; Park et al. 2019, eq. 9).

    Args: student (batch, d_s), teacher (batch, d_t). Costs batch³ numbers: keep the batch at 64.
    Returns: scalar, mean over ordered triplets of distinct rows; `diagonal=True` averages over all
    B³ entries, as the reference programs do: the value is then (B−1)(B−2)/B² of ours.
    Raises: ValueError when fewer than three rows are given.
    """
    _at_least(3, student, teacher)
    batch = len(student)
    huber = F.smooth_l1_loss(_angles(student), _angles(teacher), reduction="sum")
    return huber / (batch**3 if diagonal else batch * (batch - 1) * (batch - 2))


def relational(student: Tensor, teacher: Tensor, *, diagonal: bool = False) -> Tensor:
    """Distance plus angle, equally weighted, as AI4EDGE sum them (they multiply the sum by 20)."""
    return relational_distance(student, teacher, diagonal=diagonal) + relational_angle(
        student, teacher, diagonal=diagonal
    )


def unit_probabilities(logits: Tensor) -> Tensor:
    """Softmax outputs scaled to unit length: what the published relational loss looks at."""
    return F.normalize(logits.softmax(1), dim=1)


def relational_on_probabilities(student: Tensor, teacher: Tensor) -> Tensor:
    """The published form: relational loss of L2-normalised softmax outputs, all entries."""
    return relational(unit_probabilities(student), unit_probabilities(teacher), diagonal=True)


def _at_least(rows: int, student: Tensor, teacher: Tensor) -> None:
    if len(student) != len(teacher) or len(student) < rows:
        raise ValueError(
            f"{len(student)} student rows and {len(teacher)} teacher rows: this loss compares "
            f"the same clips, {rows} at the least"
        )


def _relative_distances(x: Tensor) -> Tensor:
    """Pairwise Euclidean distances over their mean, (batch, batch), zero on the diagonal."""
    x = x - x.mean(0)  # |a|²+|b|²-2ab loses all digits when the offset dwarfs the spread
    squares = x.pow(2).sum(1)
    squared = (squares[:, None] + squares[None, :] - 2 * x @ x.T).clamp(min=1e-12)
    apart = ~torch.eye(len(x), dtype=torch.bool, device=x.device)
    distances = torch.where(apart, squared, 1.0).sqrt() * apart
    return distances / (distances.sum() / apart.sum()).clamp(min=1e-6)


def _angles(x: Tensor) -> Tensor:
    """Cosine at j of the triplet (i, j, k): entry [j, i, k]; zero where rows coincide (eq. 8)."""
    edges = F.normalize(x[None, :, :] - x[:, None, :], dim=2)  # [j, i]: from j to i
    cosines = edges @ edges.transpose(1, 2)
    distinct = ~torch.eye(len(x), dtype=torch.bool, device=x.device)
    return cosines * distinct[None, :, :]  # i ≠ k; where i or k is j the edge is zero already
