"""How many trainings see a difference: power, computed before a study is run.

A study that cannot see one point says nothing when it sees none (Bouthillier et al. 2021,
"Accounting for variance in machine learning benchmarks", MLSys).

Chapter: book/distillation/comparison.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats

from asclib.evaluation.statistics import LEVEL, POINT, Difference, Factors, Squares, combine


@dataclass(frozen=True)
class Noise:
    """Standard deviations of the *difference* of two runs, as fractions (0.02: two points).

    run: what two trainings of the same seed and teacher differ by. seed, teacher: what a seed or a
    teacher gives to one of the systems and not to the other. location: of the mean difference
    over the whole test set, had there been endless trainings; locations: how many there are, less
    the scenes.
    """

    run: float
    seed: float = 0.0
    teacher: float = 0.0
    location: float = 0.0
    locations: int = 100

    @classmethod
    def of_one_run(cls, deviation: float, location: float = 0.0) -> Noise:
        """From the spread of one system's score over trainings: a difference has two of them."""
        return cls(run=math.sqrt(2) * deviation, location=location)

    @classmethod
    def of(cls, difference: Difference, scenes: int = 10) -> Noise:
        """As a pilot study has shown it, paired by seed (and teacher).

        With one teacher, nothing is known of other teachers, and what a seed gives is in `run`.
        """
        seeds, teachers = difference.seeds, max(difference.teachers, 1)
        part = difference.components.get
        if part("seed of the base") is not None:
            raise ValueError("the pilot's systems share no seeds: give both the same")
        one_each = part("teacher") is None or part("seed") is None
        run = [part(key, 0.0) for key in ("seed·teacher", "location·seed·teacher")]
        seed = [part(key, 0.0) for key in ("seed", "location·seed")]
        teacher = [part(key, 0.0) for key in ("teacher", "location·teacher")]
        if one_each:
            trained = math.sqrt(sum(seed + teacher) * max(seeds, teachers))
            deviations = (trained, 0.0, 0.0)
        else:
            deviations = (
                math.sqrt(sum(run) * seeds * teachers),
                math.sqrt(sum(seed) * seeds),
                math.sqrt(sum(teacher) * teachers),
            )
        location = math.sqrt(part("location", 0.0))
        return cls(*deviations, location, max(difference.locations - scenes, 1))


def power(noise: Noise, seeds: int, teachers: int = 1, effect: float = POINT) -> float:
    """The chance that `difference` says *yes* when the systems truly differ by `effect`.

    The standard error and its degrees of freedom are those of the expected mean squares; the
    test statistic then follows the noncentral t distribution.
    """
    if seeds < 1 or teachers < 1 or seeds * teachers < 2:
        raise ValueError(f"{seeds} seeds and {teachers} teachers: two trainings at least")
    variance, df, _ = combine(_expected(noise, seeds, teachers))
    if variance == 0:
        return 1.0
    shift, critical = effect / math.sqrt(variance), stats.t.ppf((1 + LEVEL) / 2, df)
    return float(stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift))


def seeds_needed(
    noise: Noise,
    teachers: int = 1,
    effect: float = POINT,
    wanted: float = 0.8,
    most: int = 1000,
) -> int:
    """The fewest seeds (with each of the teachers) whose power is the one wanted.

    Raises: ValueError when no number up to `most` has it: other places, or teachers, are too few.
    """
    first = 1 if teachers > 1 else 2
    for seeds in range(first, most + 1):
        if power(noise, seeds, teachers, effect) >= wanted:
            return seeds
    raise ValueError(
        f"{most} seeds with {teachers} teachers have a power of "
        f"{power(noise, most, teachers, effect):.2f}: more locations or teachers are needed"
    )


def _expected(noise: Noise, seeds: int, teachers: int) -> Squares:
    """The mean squares to expect: each the sum of the components that contain its factors."""
    sizes = {name: n for name, n in (("seed", seeds), ("teacher", teachers)) if n > 1}
    deviations = {"seed": noise.seed, "teacher": noise.teacher}
    run, df_run = noise.run**2 / (seeds * teachers), 1
    for n in sizes.values():
        df_run *= n - 1
    squares: Squares = {frozenset(sizes): (run, df_run)}
    for name, n in sizes.items():
        own = deviations[name] ** 2 / n
        key: Factors = frozenset({name})
        squares[key] = (squares[key][0] if key in squares else run) + own, n - 1
    squares[frozenset({"location"})] = noise.location**2, noise.locations
    return squares
