"""How often intervals that should cover 95 % do, and how wide they are: why one decides.

    python -m benchmarks.interval_coverage        ten minutes; writes nothing

Differences are drawn whose truth is zero: effects of teacher, seed, run (a seed with a teacher),
location and run at a location, normal, in points, for ten scenes. "bootstrap" is the percentile
interval of `crossed_bootstrap`, "components" that of `difference`. A width of 1 is that of an
interval made with the true standard error. With SAMPLES of each, a coverage is good to 1.4 points.
"""

from __future__ import annotations

import numpy as np

from asclib.evaluation.resampling import crossed_bootstrap
from asclib.evaluation.statistics import difference
from asclib.evaluation.systems import Clips, System

SAMPLES, RESAMPLES, SCENES = 1000, 500, 10
DESIGNS = ((4, 5), (1, 5), (1, 3))  # teachers, seeds
SITUATIONS = {  # standard deviations of teacher, seed, run, location, run at a location
    "runs differ by place alone": (0, 0, 0, 0, 25),
    "and places differ": (0, 0, 0, 10, 25),
    "runs": (0, 0, 2, 10, 15),
    "teachers": (1.5, 0, 1, 10, 15),
    "teachers and seeds": (1, 1, 1, 10, 15),
    "teachers above all": (3, 0, 1, 10, 15),
}


def main() -> None:
    rng = np.random.default_rng(0)
    print("teachers seeds places a scene   bootstrap: % width   components: % width")
    for teachers, seeds in DESIGNS:
        for per_scene in (10, 40):
            for name, deviations in SITUATIONS.items():
                if teachers > 1 or deviations[0] == 0:
                    cells = measure(rng, teachers, seeds, per_scene, deviations)
                    print(f"{teachers:5d} {seeds:5d} {per_scene:5d}  {name:28}", *cells, flush=True)


def measure(
    rng: np.random.Generator,
    teachers: int,
    seeds: int,
    per_scene: int,
    deviations: tuple[float, ...],
) -> list[str]:
    """Coverage in percent and mean relative width, of the bootstrap and of the components."""
    places = SCENES * per_scene
    clips = Clips([f"s{p // per_scene}" for p in range(places)], [f"c-{p}" for p in range(places)])
    shapes = (
        (teachers, 1, 1),
        (1, seeds, 1),
        (teachers, seeds, 1),
        (1, 1, places),
        (teachers, seeds, places),
    )
    counts = (teachers, seeds, teachers * seeds, places, teachers * seeds * places)
    true = sum(d**2 / n for d, n in zip(deviations, counts, strict=True)) ** 0.5
    intervals = np.empty((SAMPLES, 2, 2))
    labels = np.tile(range(seeds), teachers), np.repeat(range(teachers), seeds)
    for row in intervals:
        effects = (d * rng.standard_normal(n) for d, n in zip(deviations, shapes, strict=True))
        values = sum(effects).reshape(-1, places)
        system, zero = (
            System(name, x, *(tuple(one) for one in labels))
            for name, x in (("system", values), ("zero", 0 * values))
        )
        drawn = crossed_bootstrap(system, zero, clips, "log_loss", RESAMPLES)
        found = difference(system, zero, clips, "log_loss")
        row[:] = np.quantile(drawn, (0.025, 0.975)), (found.low, found.high)
    covered = 100 * ((intervals[..., 0] <= 0) & (intervals[..., 1] >= 0)).mean(0)
    width = (intervals[..., 1] - intervals[..., 0]).mean(0) / (2 * 1.96 * true)
    return [f"{c:8.1f} {w:5.2f}" for c, w in zip(covered, width, strict=True)]


if __name__ == "__main__":
    main()
