"""What a study can see and what it costs, computed before anything is trained."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy import stats
from torch import nn

from asclib.evaluation.power import Noise, power
from asclib.evaluation.statistics import LEVEL, POINT, combine
from asclib.networks import INPUT_SHAPE, TMSIC
from asclib.runs import Experiment
from asclib.training import Clips, Training, train

# Of a run's macro accuracy, over trainings that differ by last bits alone: four cells of the table
# trained again on another processor; the seeds of results/comparison.json spread by 0.6 to 3.3.
ONE_RUN = 0.02
# Of a mean difference over places, had there been endless trainings, with LOCATIONS of them: 0.4 to
# 0.7 points among the systems of results/comparison.json (`Noise.of`).
LOCATION, LOCATIONS, SCENES = 0.006, 110, 10
EFFECTS = (0.01, 0.015, 0.02, 0.03)


def noise(locations: int, one_run: float = ONE_RUN) -> Noise:
    """Of the difference of two runs, heard at so many locations."""
    place = LOCATION * math.sqrt(LOCATIONS / locations)
    return replace(Noise.of_one_run(one_run, place), locations=max(1, locations - SCENES))


def smallest(noise: Noise, seeds: int, teachers: int, wanted: float = 0.8) -> float:
    """The smallest difference that is seen with the power wanted, in steps of 0.0005 up to 0.2."""
    effects = np.arange(1, 400) * 0.0005
    seen = (x for x in effects if power(noise, seeds, teachers, x) >= wanted)
    return float(next(seen, math.inf))


def half_width(noise: Noise, seeds: int, teachers: int) -> float:
    """Of the interval to expect, when all that varies is the run and the place."""
    runs, df = seeds * teachers, math.prod(n - 1 for n in (seeds, teachers) if n > 1)
    squares = {
        frozenset({"seed", "teacher"}): (noise.run**2 / runs, float(df)),
        frozenset({"location"}): (noise.location**2, float(noise.locations)),
    }
    variance, freedom, _ = combine(squares)
    return float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(variance)


def seeds_for(enough: Callable[[int], bool], most: int = 200) -> str:
    """The fewest seeds with which it is enough, in words; some things no number of them can do."""
    found = next((n for n in range(2, most + 1) if enough(n)), None)
    return f"{found} seeds" if found else "more places, not seeds"


def what_is_seen(seeds: int, teachers: int, locations: int) -> list[str]:
    """Lines of text: the power of a design, and of the same with fewer places."""
    lines = [f"Noise of one run: {100 * ONE_RUN:.1f} points. Chance to see a difference:"]
    for places in sorted({LOCATIONS, locations}):
        own = noise(places)
        chances = ", ".join(
            f"{100 * effect:g} points {power(own, seeds, teachers, effect):.0%}"
            for effect in EFFECTS
        )
        least = 100 * smallest(own, seeds, teachers)
        lines.append(
            f"  {teachers} teacher{'s' * (teachers > 1)} x {seeds} seeds, {places} locations: "
            f"{chances}; "
            f"with a chance of 80 % from {least:.1f} points on"
        )
        excluded = seeds_for(lambda n, own=own: half_width(own, n, teachers) < POINT)
        seen = seeds_for(lambda n, own=own: power(own, n, teachers) >= 0.8)
        lines.append(
            f"    interval to expect: +- {100 * half_width(own, seeds, teachers):.1f} points; to "
            f"call equals equivalent takes {excluded}, to see one point (80 %) {seen}"
        )
    return lines


def clips_per_second(
    clips: int = 640,
    batch: int = 32,
    network: Callable[[], nn.Module] = TMSIC,
    shape: tuple[int, ...] = INPUT_SHAPE,
) -> float:
    """How fast this core trains a network, from one timed epoch on noise.

    Args: shape of one clip, without the batch.
    """
    x = torch.randn(clips, *shape, generator=torch.Generator().manual_seed(0))
    some = Clips(x, torch.arange(clips) % 10, np.arange(clips).astype(str))
    few = some.take(np.arange(10))
    train(network(), few, few, Training(1, batch_size=5), seed=0)  # the first steps are slow
    begun = time.perf_counter()
    train(network(), some, few, Training(1, batch_size=batch), seed=0)
    return clips / (time.perf_counter() - begun)


def clips_to_fit(experiment: Experiment) -> int:
    """How many there are; of an embedded corpus about as many, for it may not be rendered yet."""
    if experiment.data_root is None:
        return round(0.8 * experiment.profile.corpus.train)
    return len(experiment.table("fit"))


def core_hours(epochs: Sequence[int], clips: int, speed: float) -> float:
    """Of runs with so many epochs each; scoring and what a teacher says come on top."""
    return sum(epochs) * clips / speed / 3600
