"""Two intervals that have neither clips nor trainings in common, as one."""

from __future__ import annotations

from scipy import stats

from asclib.evaluation.statistics import LEVEL, Interval

Ends = tuple[float, float, float]  # estimate, low, high


def apart(one: Interval, other: Interval) -> Ends:
    """one - other and the ends of its interval, with Welch's degrees of freedom."""
    return _combined(one, other, 1.0, -1.0)


def mean(one: Interval, other: Interval) -> Ends:
    """The mean of the two and the ends of its interval."""
    return _combined(one, other, 0.5, 0.5)


def _combined(one: Interval, other: Interval, *weights: float) -> Ends:
    both = list(zip((one, other), weights, strict=True))
    squares = [(weight * each.standard_error) ** 2 for each, weight in both]
    spread = sum(
        square**2 / each.degrees_of_freedom for (each, _), square in zip(both, squares, strict=True)
    )
    variance = sum(squares)
    half = float(stats.t.ppf((1 + LEVEL) / 2, variance**2 / spread)) * variance**0.5
    middle = sum(weight * each.estimate for each, weight in both)
    return middle, middle - half, middle + half
