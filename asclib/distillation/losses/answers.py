"""Losses that read the same answers, or embeddings, in other ways.

Chapter: book/distillation/answers.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from scipy.special import hyp0f1
from torch import Tensor

from asclib.distillation.losses.relations import vectors
from asclib.distillation.losses.response import (
    divergence,
    full_precision,
    one_label_each,
    response,
    same_logits,
)

# ---- logits, beyond Hinton -------------------------------------------------------------------


def decoupled(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    alpha: float = 1.0,
    beta: float = 8.0,
    temperature: float = 4.0,
) -> Tensor:
    """T² · (α · KL of target against the rest + β · KL among the rest) (Zhao et al. 2022, eq. 7).

    The two parts of the response loss, set free: `response` is α = 1 with β replaced, clip by clip,
    by the teacher's probability of a wrong class.

    Args: student, teacher (batch, classes) logits; labels (batch,) the true classes.
    Returns: scalar, mean over the batch. From logarithms throughout, so it stays finite for
    saturated logits. With two classes the second part is zero.
    """
    same_logits(student, teacher, temperature)
    one_label_each(labels, student)
    with full_precision(student, teacher) as (s, t):
        student_pair, student_rest = _decouple(s / temperature, labels)
        teacher_pair, teacher_rest = _decouple(t / temperature, labels)
        target = divergence(student_pair, teacher_pair)
        rest = divergence(student_rest, teacher_rest)
        return temperature**2 * (alpha * target + beta * rest)


def _decouple(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (batch, 2) of [target, any other class], and (batch, classes - 1) of the others."""
    column = torch.arange(logits.shape[1] - 1, device=logits.device)
    target = labels[:, None]
    rest = logits.gather(1, column + (column >= target))  # a mask would make a GPU be waited for
    return torch.cat([logits.gather(1, target), rest.logsumexp(1, keepdim=True)], dim=1), rest


def standardised(student: Tensor, teacher: Tensor, temperature: float = 2.0) -> Tensor:
    """T² · KL of logits that were standardised clip by clip (Sun et al. 2024, 2403.01427, alg. 1).

    The logits of a clip lose their mean and are divided by their own standard deviation, so that a
    student need not be as sure as its teacher, only order and space the classes as it does.

    Args: student, teacher (batch, classes) logits; temperature, the paper's "base temperature".
    Returns: scalar, mean over the batch, weighted by 9 beside a cross-entropy of weight 1 in the
    authors' program. As there, the deviation is that of a sample (over classes − 1) and T² stands
    in front; 1e-7 is a floor under the deviation here, and added to it there.
    """
    same_logits(student, teacher, temperature)
    with full_precision(student, teacher) as (s, t):
        return response(_standard(s), _standard(t), temperature)


def _standard(logits: Tensor) -> Tensor:
    """Each row with mean 0 and sample standard deviation 1; zero where all are equal."""
    centred = logits - logits.mean(1, keepdim=True)
    variance = centred.square().sum(1, keepdim=True) / (logits.shape[1] - 1)
    return centred / variance.clamp(min=1e-14).sqrt()  # the root of zero has no gradient


def dist(
    student: Tensor,
    teacher: Tensor,
    beta: float = 1.0,
    gamma: float = 1.0,
    temperature: float = 1.0,
) -> Tensor:
    """T² · (β · inter + γ · intra), each 1 − Pearson correlation (Huang et al. 2022, 2205.10536).

    Inter-class: the correlation of both answers to one clip, over the classes. Intra-class: of both
    answers for one class, over the clips of the batch.

    Args: student, teacher (batch, classes) logits.
    Returns: scalar; the means over clips and over classes. T² is in the authors' program, not in
    their paper. Where an answer does not vary, its correlation counts as zero.
    """
    same_logits(student, teacher, temperature)
    with full_precision(student, teacher) as both:
        s, t = ((x / temperature).softmax(1) for x in both)
        inter, intra = 1 - _pearson(s, t).mean(), 1 - _pearson(s.T, t.T).mean()
        return temperature**2 * (beta * inter + gamma * intra)


def _pearson(a: Tensor, b: Tensor) -> Tensor:
    """The correlation of each row of `a` with the same row of `b`: (rows,)."""
    a, b = (x - x.mean(1, keepdim=True) for x in (a, b))
    return F.cosine_similarity(a, b, dim=1)


def contrastive(
    student: Tensor, teacher: Tensor, labels: Tensor, temperature: float = 0.1
) -> Tensor:
    """Tell the teacher's view of the same clip from its views of others (CRD; Tian et al. 2020).

    It is CRD as the authors' program has it (arXiv 1910.10699, eq. 17 and 18), with the other clips
    of the batch as negatives. For N of them the critic says h = σ(s·t/T − log Z − log N), and the
    loss is −log h of the true pair − the sum over the others of log(1 − h), once with the student's
    view held against the teacher's and once the other way round.

    Z, which the paper leaves out, is what e^{s·t/T} is on average for views that have nothing in
    common. Without it the optimum is a student that says the opposite of its teacher. The program
    estimates it in the first batch, against a memory of random views; their directions are uniform,
    so the mean is known and nothing need be remembered: `chance`. The number of clips in the
    training set, which the paper's formula names, cancels.

    Args:
        student, teacher: (batch, d) embeddings of the same clips and size, e.g. after a learnt
            projection each; scaled to unit length here.
        labels: (batch,) scenes; clips of one scene are not set against each other.
    Returns: scalar, the sum of both directions, mean over the batch. Differs from the program: it
    keeps a memory of the views of all clips and draws 16,384 of them, and its temperature is 0.07.
    """
    vectors(2, student, teacher)
    one_label_each(labels, student)
    if student.shape != teacher.shape:
        raise ValueError(
            f"student embedding {tuple(student.shape)} and teacher embedding "
            f"{tuple(teacher.shape)} differ in size: put a learnt projection behind each"
        )
    with full_precision(student, teacher) as (s, t):
        cosines = F.normalize(s, dim=1) @ F.normalize(t, dim=1).T
        other = labels[:, None] != labels[None, :]
        others = other.sum(1).clamp(min=1).to(cosines).log()
        scores = cosines / temperature - chance(student.shape[1], temperature)
        ours, theirs = (_told_apart(way - others[:, None], other) for way in (scores, scores.T))
        return ours + theirs


def _told_apart(odds: Tensor, other: Tensor) -> Tensor:
    """Cross-entropy of the critic's logits (batch, batch): one true pair a row, against others."""
    return -(F.logsigmoid(odds.diagonal()) + (F.logsigmoid(-odds) * other).sum(1)).mean()


def chance(size: int, temperature: float) -> float:
    """log E[e^{u·v/T}] of two independent uniform directions u, v in `size` dimensions.

    About 1 / (2 · size · T²) in many dimensions. The mean is ₀F₁(size / 2; 1 / (4 T²)), a Bessel
    function but for its factor (Mardia & Jupp 2000, Directional Statistics, section 9.3).
    """
    return math.log(hyp0f1(size / 2, 1 / (4 * temperature**2)))
