"""Many systems against each other: paired tests with correction, effect sizes, and mean ranks.

Chapter: book/distillation/comparison.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats


class Ranking(NamedTuple):
    """Mean ranks (1 is best), Friedman's test that all are equal, and the critical difference."""

    ranks: pd.Series
    statistic: float
    p_value: float
    critical_difference: float


def paired_test(ours: ArrayLike, base: ArrayLike) -> dict[str, float]:
    """Whether two systems differ over seeds that both were trained with.

    Args: scores (seeds,) of both, seed by seed.
    Returns: `difference`, its mean, whose interval `evaluation.over_seeds` gives; `p_value` of the
        paired t test; `effect`, the mean difference in units of its own standard deviation over
        seeds, shrunk by Hedges' factor 1 − 3 / (4 (n − 1) − 1), as few seeds exaggerate it
        (Hedges 1981, Distribution theory for Glass's estimator of effect size).
    Raises: ValueError with fewer than three seeds or unequal numbers of them.
    """
    ours, base = np.asarray(ours, float), np.asarray(base, float)
    if ours.shape != base.shape or ours.ndim != 1 or len(ours) < 3:
        raise ValueError(
            f"{ours.shape} scores against {base.shape}: give both for the same seeds, three or more"
        )
    difference = ours - base
    mean, n, spread = difference.mean(), len(difference), difference.std(ddof=1)
    if spread == 0:  # no chance in it, and no test of it
        effect = float(np.copysign(np.inf, mean)) if mean else 0.0
        return {"difference": float(mean), "p_value": float(mean == 0), "effect": effect}
    return {
        "difference": float(mean),
        "p_value": float(stats.ttest_rel(ours, base).pvalue),
        "effect": float(mean / spread * (1 - 3 / (4 * (n - 1) - 1))),
    }


def rank(losses: pd.DataFrame, level: float = 0.05) -> Ranking:
    """Systems by their mean rank over blocks (Demšar 2006, JMLR 7, section 3.2).

    In each block, a recording say, the system with the lowest loss has rank 1; equals share the
    mean of their ranks. Two systems whose mean ranks are further apart than
    CD = q · sqrt(k (k + 1) / (6 N)) differ at the level, by Nemenyi's test of all k systems on N
    blocks; q is the quantile of the studentised range, divided by √2.

    Args: losses, a row for each block, a column for each system; lower is better.
    Raises: ValueError with fewer than three systems, two blocks, or a loss that is missing.
    """
    n, k = losses.shape
    if k < 3 or n < 2 or losses.isna().any(axis=None):
        raise ValueError(f"{k} systems on {n} blocks: three and two are needed, with every loss")
    test = stats.friedmanchisquare(*(losses[name] for name in losses))
    q = stats.studentized_range.ppf(1 - level, k, np.inf) / 2**0.5
    return Ranking(
        losses.rank(axis=1).mean().sort_values(),
        float(test.statistic),
        float(test.pvalue),
        float(q * (k * (k + 1) / (6 * n)) ** 0.5),
    )


def groups(ranking: Ranking) -> list[tuple[str, ...]]:
    """The largest groups, best first, of systems whose ranks lie within one critical difference.

    A group inside another is left out, and so is a system that is alone.
    """
    names, ranks = list(ranking.ranks.index), ranking.ranks.to_numpy()
    found: list[tuple[str, ...]] = []
    last = 0
    for first in range(len(names)):
        end = int(np.searchsorted(ranks, ranks[first] + ranking.critical_difference, side="right"))
        if end - first > 1 and end > last:
            found.append(tuple(names[first:end]))
            last = end
    return found
