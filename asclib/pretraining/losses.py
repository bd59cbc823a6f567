"""Losses of self-supervised pre-training: two views of each clip, and no label.

Row i of `one` and row i of `other` are the embeddings of two views of clip i. All losses draw these
two together. They differ in what keeps all clips from ending in one point, where they would be
together as well ("collapse"): a collapsed embedding is dear to Barlow Twins, VICReg and SimCLR,
while SimSiam, to which it is the cheapest of all, never gets there by its stop-gradient.

Chapter: book/challenges/few_labels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from asclib.distillation.losses.response import full_precision

EPSILON = 1e-4  # under the root of a variance


def barlow_twins(one: Tensor, other: Tensor, redundancy: float = 0.005) -> Tensor:
    """Σ_i (1 − C_ii)² + redundancy · Σ_i Σ_{j≠i} C_ij²  (Zbontar et al. 2021, arXiv 2103.03230).

    C_ij = mean over the batch of ẑ_i · ẑ'_j is the correlation of number i of one view with number
    j of the other, ẑ being z with mean 0 and deviation 1 over the batch: views agree, and no number
    says what another one says. A number that is the same for all clips correlates with none.

    Args: one, other (batch, dims) embeddings; redundancy, the paper's λ.
    Returns: scalar, a sum over the dims. Raises: ValueError unless both are (batch, dims) of the
    same clips, two at the least.
    """
    _check(one, other)
    with full_precision(one, other) as both:
        z, z_other = (_standard(x) for x in both)
        correlation = z.T @ z_other / len(z)
        agree = (1 - correlation.diagonal()).square().sum()
        return agree + redundancy * _off_diagonal(correlation).square().sum()


def vicreg(
    one: Tensor,
    other: Tensor,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
) -> Tensor:
    """invariance · s(Z, Z') + variance · (v(Z) + v(Z')) / 2 + covariance · (c(Z) + c(Z')).

    s = mean over clips and dims of (z − z')²; v = mean over dims of max(0, 1 − √(Var z_j + ε));
    c = Σ_{i≠j} Cov(z)_ij² / dims (Bardes et al. 2022, arXiv 2105.04906). The three weights are the
    authors', whose program divides s by the dims and v by two; equations 5 and 6 do not.

    Args: one, other (batch, dims) embeddings. Returns and raises as `barlow_twins`, a mean.
    """
    _check(one, other)
    with full_precision(one, other) as (z, z_other):
        loss = invariance * (z - z_other).square().mean()
        for x in (z, z_other):
            deviation = (x.var(0) + EPSILON).sqrt()
            shared = _off_diagonal(x.T.cov())
            loss = loss + variance * F.relu(1 - deviation).mean() / 2
            loss = loss + covariance * shared.square().sum() / x.shape[1]
        return loss


def simclr(one: Tensor, other: Tensor, temperature: float = 0.5) -> Tensor:
    """NT-Xent: −log exp(s_ij/T) / Σ_{k≠i} exp(s_ik/T)  (Chen et al. 2020, arXiv 2002.05709).

    s is the cosine of two of the 2 · batch views, i any of them and j the same clip's other view,
    T the temperature: each view is to know its partner among all the others.

    Args: one, other (batch, dims) embeddings; temperature > 0, the authors' of CIFAR-10.
    Returns: scalar, mean over the 2 · batch views; log(2 · batch − 1) when all are alike.
    Raises: as `barlow_twins`.
    """
    _check(one, other)
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}: give a number above zero")
    with full_precision(one, other) as both:
        views = F.normalize(torch.cat(both), dim=1)
        itself = torch.eye(len(views), dtype=torch.bool, device=views.device)
        cosines = (views @ views.T / temperature).masked_fill(itself, -torch.inf)
        partner = torch.arange(len(views), device=views.device).roll(len(one))
        return F.cross_entropy(cosines, partner)


def simsiam(one: Tensor, other: Tensor, predictor: Callable[[Tensor], Tensor]) -> Tensor:
    """½ D(h(z), sg(z')) + ½ D(h(z'), sg(z)), D the negative cosine (Chen & He 2021, 2011.10566).

    h is a small learnt network, the predictor, and sg the stop-gradient: what a view is to be is
    taken as given, and no gradient flows into it. This is no detail. The value is lowest, −1, where
    all clips have one embedding, and without sg descent goes straight there; so a low loss is no
    sign of a good embedding.

    Args: one, other (batch, dims) embeddings; predictor, from (batch, dims) to (batch, dims).
    Returns: scalar from −1 to 1, mean over the batch. Raises: as `barlow_twins`.
    """
    _check(one, other)
    with full_precision(one, other) as (z, z_other):
        forth = F.cosine_similarity(predictor(z), z_other.detach(), dim=1)
        back = F.cosine_similarity(predictor(z_other), z.detach(), dim=1)
        return -(forth.mean() + back.mean()) / 2


def _check(one: Tensor, other: Tensor) -> None:
    if one.ndim != 2 or one.shape != other.shape or len(one) < 2:
        raise ValueError(
            f"embeddings {tuple(one.shape)} and {tuple(other.shape)}: give those of two views of "
            "the same clips, (batch, dims) of two clips at the least"
        )


def _standard(x: Tensor) -> Tensor:
    """Mean 0 and deviation 1 over the batch; zero where all rows are alike."""
    return (x - x.mean(0)) / (x.var(0, correction=0) + EPSILON).sqrt()


def _off_diagonal(square: Tensor) -> Tensor:
    return square - square.diagonal().diag()
