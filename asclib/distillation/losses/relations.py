"""Losses on relations: how the clips of a batch lie to each other.

Chapter: book/distillation/relations.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from asclib.distillation.losses.response import full_precision, response


def relational_distance(student: Tensor, teacher: Tensor, *, diagonal: bool = False) -> Tensor:
    """Huber loss between the pairwise distances of both (RKD-D; Park et al. 2019, eq. 6).

    Args: student (batch, d_s), teacher (batch, d_t): any outputs; d_s and d_t may differ.
    Returns: scalar, mean over ordered pairs i ≠ j; distances are divided by their batch mean.
    `diagonal=True` averages over all B² entries, zeros included, as the reference programs do: the
    value is then (B−1)/B of ours.
    Raises: ValueError when fewer than two rows are given.
    """
    vectors(2, student, teacher)
    batch = len(student)
    with full_precision(student, teacher) as (s, t):
        huber = F.smooth_l1_loss(_relative_distances(s), _relative_distances(t), reduction="sum")
        return huber / (batch**2 if diagonal else batch * (batch - 1))


def relational_angle(student: Tensor, teacher: Tensor, *, diagonal: bool = False) -> Tensor:
    """Huber loss between the angles of all triplets of both (RKD-A; Park et al. 2019, eq. 9).

    Args: student (batch, d_s), teacher (batch, d_t). Costs batch³ numbers: keep the batch at 64.
    Returns: scalar, mean over ordered triplets of distinct rows; `diagonal=True` averages over all
    B³ entries, as the reference programs do: the value is then (B−1)(B−2)/B² of ours.
    Raises: ValueError when fewer than three rows are given.
    """
    vectors(3, student, teacher)
    batch = len(student)
    with full_precision(student, teacher) as (s, t):
        huber = F.smooth_l1_loss(_angles(s), _angles(t), reduction="sum")
        return huber / (batch**3 if diagonal else batch * (batch - 1) * (batch - 2))


def relational(student: Tensor, teacher: Tensor, *, diagonal: bool = False) -> Tensor:
    """Distance plus angle of logits, equally weighted, as AI4EDGE sum them (and multiply by 20).

    The logits of each clip lose their mean first: a softmax does not see a constant added to all of
    them, but distances between clips would. Differs from AI4EDGE, who compare softmax outputs
    (`relational_on_probabilities`), and from Park et al., who compare embeddings
    (`relational_embedding`).

    Args: student, teacher (batch, classes) logits. Returns and raises as `relational_angle`, and
    ValueError for a single class, whose centred logits are all zero.
    """
    several_classes(student, teacher)
    with full_precision(student, teacher) as both:
        s, t = (x - x.mean(1, keepdim=True) for x in both)
        return _distance_and_angle(s, t, diagonal=diagonal)


def relational_embedding(
    student: Tensor, teacher: Tensor, distance: float = 25.0, angle: float = 50.0
) -> Tensor:
    """distance · RKD-D + angle · RKD-A of the penultimate activations, as Park et al. 2019 run it.

    Args: student (batch, d_s), teacher (batch, d_t) embeddings; the two weights are the authors'.
    Returns: scalar, over distinct pairs and triplets. The authors' program averages over all
    entries, zeros included, which at a batch of 64 is 1.6 % less for pairs, 4.6 % for triplets.
    """
    return distance * relational_distance(student, teacher) + angle * relational_angle(
        student, teacher
    )


def _distance_and_angle(student: Tensor, teacher: Tensor, *, diagonal: bool) -> Tensor:
    return relational_distance(student, teacher, diagonal=diagonal) + relational_angle(
        student, teacher, diagonal=diagonal
    )


def unit_probabilities(logits: Tensor) -> Tensor:
    """Softmax outputs scaled to unit length: what the published relational loss looks at."""
    return F.normalize(logits.softmax(1), dim=1)


def relational_on_probabilities(student: Tensor, teacher: Tensor) -> Tensor:
    """The published form: distance plus angle of L2-normalised softmax outputs, all entries."""
    several_classes(student, teacher)
    with full_precision(student, teacher) as (s, t):
        return _distance_and_angle(unit_probabilities(s), unit_probabilities(t), diagonal=True)


def relational_and_response(
    student: Tensor, teacher: Tensor, temperature: float = 3.0, scale: float = 20.0
) -> Tensor:
    """scale · `relational` + `response`: both at once, as AI4EDGE's joint variant sums them."""
    return scale * relational(student, teacher) + response(student, teacher, temperature)


def at_least(rows: int, student: Tensor, teacher: Tensor) -> None:
    if len(student) != len(teacher) or len(student) < rows:
        raise ValueError(
            f"{len(student)} student rows and {len(teacher)} teacher rows: this loss compares "
            f"the same clips, {rows} at the least"
        )


def vectors(rows: int, student: Tensor, teacher: Tensor) -> None:
    """Raises: ValueError unless both are (batch, d) of the same clips, so many at the least."""
    at_least(rows, student, teacher)
    if student.ndim != 2 or teacher.ndim != 2:
        raise ValueError(
            f"student output {tuple(student.shape)} and teacher output {tuple(teacher.shape)}: "
            "this loss compares vectors, (batch, d)"
        )


def several_classes(student: Tensor, teacher: Tensor) -> None:
    """Raises: ValueError for a single class: a softmax tells nothing of it."""
    vectors(1, student, teacher)
    if min(student.shape[1], teacher.shape[1]) < 2:
        raise ValueError(
            f"student logits {tuple(student.shape)} and teacher logits {tuple(teacher.shape)}: "
            "give those of two classes or more"
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
