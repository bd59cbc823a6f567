"""Locations, seeds and teachers drawn again: the bootstrap, in matrix products.

Chapter: book/distillation/comparison.
"""

from __future__ import annotations

import numpy as np

from asclib import checked
from asclib.evaluation.systems import Clips, Grid, Measure, System, grid, linear, paired


def location_weights(clips: Clips, resamples: int, generator: np.random.Generator) -> np.ndarray:
    """(resamples, locations): how much each location counts when locations are drawn again.

    Of n locations in a stratum n - 1 are drawn, with replacement, and each draw counts n / (n - 1):
    so the spread over resamples has no bias, which n draws would make (n - 1) / n of what it should
    be (Rao & Wu 1988, JASA 83, 231). A mean stays a mean: weights of a stratum sum to its n.
    """
    if resamples < 1:
        raise ValueError(f"resamples = {resamples}: at least one is needed")
    weights = np.empty((resamples, len(clips.strata)))
    for stratum in np.unique(clips.strata):
        inside = clips.strata == stratum
        weights[:, inside] = draws(int(inside.sum()), resamples, generator)
    return weights


def crossed_bootstrap(
    system: System,
    base: System,
    clips: Clips,
    measure: Measure = "accuracy",
    resamples: int = 2000,
    seed: int = 0,
) -> np.ndarray:
    """Differences system - base (resamples,) with locations, seeds and teachers drawn again.

    Each factor is drawn by itself and a run at a location counts the product of its weights (Owen &
    Eckles 2012). For a picture of the spread and a check on `difference`, which decides.
    """
    resamples = checked.whole_number("resamples", resamples, 1)
    generator = np.random.default_rng(checked.whole_number("seed", seed))
    ours, theirs = grid(system), grid(base)
    weights = location_weights(clips, resamples, generator)
    drawn = [_resampled(one.values, clips, measure, weights) for one in (system, base)]
    shares = _run_weights(ours, resamples, generator)
    if paired(system, base, ours, theirs):
        apart = drawn[0][:, ours.rows] - drawn[1][:, theirs.rows]
        if ours.rows.shape[0] < theirs.rows.shape[0]:  # the base has the teachers
            shares = _run_weights(theirs, resamples, generator)
        return (apart * shares).mean((1, 2))
    others = _run_weights(theirs, resamples, generator)
    means = drawn[0][:, ours.rows] * shares, drawn[1][:, theirs.rows] * others
    return means[0].mean((1, 2)) - means[1].mean((1, 2))


def draws(n: int, resamples: int, generator: np.random.Generator) -> np.ndarray:
    """(resamples, n) weights of mean 1 from n - 1 draws with replacement; a single one counts 1."""
    draws = max(n - 1, 1)
    return generator.multinomial(draws, np.full(n, 1 / n), size=resamples) * (n / draws)


def _run_weights(grid: Grid, resamples: int, generator: np.random.Generator) -> np.ndarray:
    teachers, seeds = (draws(n, resamples, generator) for n in grid.rows.shape)
    return teachers[:, :, None] * seeds[:, None]


def _resampled(
    values: np.ndarray, clips: Clips, measure: Measure, weights: np.ndarray
) -> np.ndarray:
    """(resamples, runs) scores, the locations weighted; over the scenes that a resample has."""
    if values.shape[1] != len(clips):
        linear(values, clips, measure)  # says what is wrong
    sums, n = clips.sums(values), clips.counts
    if measure == "log_loss":
        sums, n = sums.sum(2, keepdims=True), n.sum(1, keepdims=True)
    total, scenes = np.zeros((len(weights), len(values))), np.zeros((len(weights), 1))
    for k in range(n.shape[1]):
        here = n[:, k] > 0  # few of the locations: the product is of these
        clip_count = weights[:, here] @ n[here, k, None]
        hits = weights[:, here] @ sums[:, here, k].T
        total += np.divide(hits, clip_count, out=np.zeros_like(hits), where=clip_count > 0)
        scenes += clip_count > 0
    return total / scenes
