r"""What may be concluded from a score: the one place of inference.

A system's score varies for two kinds of reason. Other *places* would have been easier or harder:
the clips of one location resemble each other, so the location, with all its recordings and
devices, is the unit of a test set. And another *training* would have ended elsewhere: its units
are the seed and, where several teach, the teacher. Seeds, teachers and locations are crossed
(each run is scored at each location), and the variance of a mean score over them is

    V = sum of c_A over the sets A of factors,  c_A = sigma_A^2 / (levels of A, multiplied)

with a component for each factor and each interaction. Mean squares estimate it (`combine`), and
the 95 % interval is estimate ± t · sqrt(V) with Satterthwaite's degrees of freedom (1946,
Biometrics Bulletin 2, 110): few seeds widen it as they should.

Why not the percentiles of a crossed bootstrap (`crossed_bootstrap`; Owen & Eckles 2012,
"Bootstrapping data arrays of arbitrary order", Annals of Applied Statistics 6, 895)? It counts an
interaction of two factors three times, one of three seven times, so two near-equal systems get
intervals far too wide; and with three to five seeds that do differ they are too narrow.
`python -m benchmarks.interval_coverage` prints how often either covers the truth.

Scores are fractions: one point of accuracy is 0.01. Bouthillier et al. 2021 ("Accounting for
variance in machine learning benchmarks", MLSys) say why trainings must be resampled at all.

Chapter: book/distillation/comparison.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

import numpy as np
from scipy import stats

from asclib.evaluation.systems import Clips, Grid, Measure, System, grid, linear, paired

POINT = 0.01
LEVEL = 0.95
Factors = frozenset[str]
Squares = dict[Factors, tuple[float, float]]  # mean square, degrees of freedom


class Verdict(StrEnum):
    """What an interval of a difference says: it is there, it is below a point, or neither."""

    YES = "yes"
    NO = "no"
    OPEN = "open"


def verdict(low: float, high: float, margin: float | None = POINT) -> Verdict:
    """*yes* when the interval excludes zero; *no* when all of it lies within ± margin; else *open*.

    *No* is Schuirmann's pair of one-sided tests (1987, J. Pharmacokinetics and Biopharmaceutics
    15, 657), stricter than usual: with a 95 % interval each side has 2.5 %. A difference that
    is there but below the margin is *yes*: the interval says how small.
    """
    if low > 0 or high < 0:
        return Verdict.YES
    return Verdict.NO if margin is not None and -margin < low and high < margin else Verdict.OPEN


@dataclass(frozen=True)
class Interval:
    """An estimate, its 95 % interval, and what the interval covers.

    `components`: the variance of the estimate by factors ("location", "seed", "seed·teacher", …).
    seeds, teachers, locations: how many there were. A factor with one level is not covered: with
    one teacher the interval speaks of its students, with one seed of this training alone.
    """

    estimate: float
    low: float
    high: float
    standard_error: float
    degrees_of_freedom: float
    seeds: int
    teachers: int
    locations: int
    components: dict[str, float]


@dataclass(frozen=True)
class Difference(Interval):
    """The interval of a difference, and its verdict; margin None (log loss): never *no*."""

    margin: float | None = POINT

    @property
    def verdict(self) -> Verdict:
        """What the interval says; a single training leaves everything open."""
        trained_again = self.seeds > 1 or self.teachers > 1
        return verdict(self.low, self.high, self.margin) if trained_again else Verdict.OPEN

    def __str__(self) -> str:
        """For a sentence: "+1.3 points, +0.4 to +2.2 (yes)"; a log loss is no number of points."""
        if self.margin is None:
            return f"{self.estimate:+.3f}, {self.low:+.3f} to {self.high:+.3f} ({self.verdict})"
        estimate, low, high = (100 * value for value in (self.estimate, self.low, self.high))
        return f"{estimate:+.1f} points, {low:+.1f} to {high:+.1f} ({self.verdict})"


def squares(
    scores: np.ndarray, added: np.ndarray, names: Sequence[str], strata: np.ndarray
) -> Squares:
    """Mean squares as variances of the mean, with their degrees of freedom, by set of factors.

    Args: scores (levels of the factors `names` …), added (the same …, locations). For factors
    A with n_f levels each, M_A = sum of (effect of A)^2 / product of n_f (n_f - 1); its
    expectation is the sum of the components c_B of all B that contain A.
    """
    sizes = np.bincount(strata)[strata]
    share = sizes / (sizes - 1)  # the variance of a sum over locations, stratum by stratum
    found: Squares = {}
    axes = [axis for axis, n in enumerate(scores.shape) if n > 1]
    for size in range(len(axes) + 1):
        for chosen in combinations(axes, size):
            others = tuple(a for a in range(scores.ndim) if a not in chosen)
            run, place = scores.mean(others, keepdims=True), added.mean(others, keepdims=True)
            for axis in chosen:
                run = run - run.mean(axis, keepdims=True)
                place = place - place.mean(axis, keepdims=True)
            df = math.prod(scores.shape[a] - 1 for a in chosen)
            n = df * math.prod(scores.shape[a] for a in chosen)
            factors = frozenset(names[a] for a in chosen)
            if chosen:
                found[factors] = float((run**2).sum() / n), df
            df_place = df * (len(strata) - len(np.unique(strata)))
            found[factors | {"location"}] = float((place**2 * share).sum() / n), df_place
    return found


def combine(squares: Squares) -> tuple[float, float, dict[Factors, float]]:
    """The variance V, its degrees of freedom, and the components, none below zero.

    From the highest interaction down, c_A = max(0, M_A - sum of c_B, B containing A). V is then a
    sum of w_A M_A; its degrees of freedom are V^2 / sum of (w_A M_A)^2 / df_A.
    """
    components: dict[Factors, float] = {}
    weights: dict[Factors, dict[Factors, float]] = {}
    floor = 1e-12 * max(square for square, _ in squares.values())
    for factors in sorted(squares, key=len, reverse=True):
        above = [other for other in components if factors < other]
        component = squares[factors][0] - sum(components[other] for other in above)
        components[factors], weights[factors] = 0.0, {}
        if component > floor:
            components[factors], weights[factors] = component, {factors: 1.0}
            for other in above:
                for key, weight in weights[other].items():
                    weights[factors][key] = weights[factors].get(key, 0.0) - weight
    variance = sum(components.values())
    terms = {key: sum(weight.get(key, 0.0) for weight in weights.values()) for key in squares}
    spread = sum((terms[key] * square) ** 2 / df for key, (square, df) in squares.items())
    return variance, variance**2 / spread if spread else math.inf, components


def score(system: System, clips: Clips, measure: Measure = "accuracy") -> Interval:
    """The mean score of a system's runs, with its interval over seeds, teachers and locations."""
    runs, (scores, added) = grid(system), linear(system.values, clips, measure)
    found = squares(scores[runs.rows], added[runs.rows], ("teacher", "seed"), clips.strata)
    return Interval(*_interval(scores.mean(), found, [runs], clips))


def difference(
    system: System,
    base: System,
    clips: Clips,
    measure: Measure = "accuracy",
    margin: float | None = None,
) -> Difference:
    """system - base: the difference of their mean scores, its 95 % interval, and the verdict.

    Paired over locations always; over seeds and teachers where both have the same (a base without
    a teacher, or with one, meets the students of each teacher); with none in common, the trainings
    count as independent. The interval covers other seeds, other teachers and other locations of the
    same scenes and devices; no other corpus, recipe or implementation.
    Args: margin, of equivalence; one point of accuracy unless given, none for log loss.
    Raises: ValueError, with the remedy, for other clips or for runs that match in part.
    """
    ours, theirs = grid(system), grid(base)
    (scores, added), (base_scores, base_added) = (
        linear(one.values, clips, measure) for one in (system, base)
    )
    if paired(system, base, ours, theirs):
        found = squares(
            scores[ours.rows] - base_scores[theirs.rows],
            added[ours.rows] - base_added[theirs.rows],
            ("teacher", "seed"),
            clips.strata,
        )
    else:
        names = ("teacher", "seed")
        found = squares(scores[ours.rows], added[ours.rows], names, clips.strata)
        names = ("teacher of the base", "seed of the base")
        found |= squares(base_scores[theirs.rows], base_added[theirs.rows], names, clips.strata)
        apart = (added.mean(0) - base_added.mean(0))[None, None]
        found |= squares(np.zeros((1, 1)), apart, names, clips.strata)
    mean = scores.mean() - base_scores.mean()
    if margin is None and measure == "accuracy":
        margin = POINT
    return Difference(*_interval(mean, found, [ours, theirs], clips), margin)


def gap(
    system: System, clips: Clips, one: np.ndarray, other: np.ndarray, measure: Measure = "accuracy"
) -> Difference:
    """Score on some clips less that on others (masks), say of two devices, where both were heard.

    Only locations with clips of both kinds count, so that places and scenes are the same.
    """
    heard = [np.bincount(clips.location, mask, len(clips.counts)) > 0 for mask in (one, other)]
    both = (heard[0] & heard[1])[clips.location]
    if not both.any():
        raise ValueError("no location was heard in both groups of clips: choose other groups")
    kept = Clips(clips.scene[both], clips.location[both])
    values, runs = system.on(both).values, grid(system)
    (scores, added), (rest, rest_added) = (
        linear(values, kept, measure, np.asarray(mask)[both]) for mask in (one, other)
    )
    apart, added = (scores - rest)[runs.rows], (added - rest_added)[runs.rows]
    found = squares(apart, added, ("teacher", "seed"), kept.strata)
    margin = POINT if measure == "accuracy" else None
    return Difference(*_interval(apart.mean(), found, [runs], kept), margin)


def _interval(
    estimate: float, found: Squares, grids: Sequence[Grid], clips: Clips
) -> tuple[float, float, float, float, float, int, int, int, dict[str, float]]:
    """The fields of Interval, in order."""
    variance, df, components = combine(found)
    error = math.sqrt(variance)
    half = float(stats.t.ppf((1 + LEVEL) / 2, df)) * error
    return (
        float(estimate),
        float(estimate - half),
        float(estimate + half),
        error,
        df,
        min(len(one.seeds) for one in grids),
        max(len(one.teachers) for one in grids),
        len(clips.strata),
        {"·".join(sorted(factors)): value for factors, value in components.items()},
    )
