"""What is scored: test clips by scene and location, systems by seed and teacher.

The location is the unit of a test set: a place with all its recordings and devices, whose clips
resemble each other. The seed is the unit of training, and the teacher where several teach.

Chapter: book/distillation/comparison.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

Measure = Literal["accuracy", "log_loss"]


def locations(clips: pd.DataFrame) -> pd.Series:
    """The location of each clip, "<city>-<location>", by columns of these names or `recording`.

    Recordings are named <scene>-<city>-<location>-<segment>, in TAU Urban Acoustic Scenes and in
    the embedded corpus alike. Raises: ValueError naming the first row with another name.
    """
    if {"city", "location"} <= set(clips):
        return clips["city"].astype(str) + "-" + clips["location"].astype(str)
    if "recording" not in clips:
        raise ValueError("clips need the columns city and location, or recording")
    names = clips["recording"].astype(str)
    wrong = np.flatnonzero(names.str.count("-") != 3)
    if wrong.size:
        name = clips["recording"].iloc[wrong[0]]
        raise ValueError(
            f"row {wrong[0]}: {name!r} is not <scene>-<city>-<location>-<segment>; "
            "rename it, or add the columns city and location"
        )
    parts = names.str.split("-")
    return parts.str[1] + "-" + parts.str[2]


class Clips:
    """The test clips: `scene` (clips,) and `location` (clips,), as whole numbers from 0.

    `strata` (locations,): the scene of each location (the commonest, should it have several).
    A test set has the places it has *of each scene*, so locations are drawn, and their spread is
    measured, within scenes. A scene with one location shows no spread: such scenes are taken
    together (collapsed strata; Cochran 1977, Sampling Techniques, 5A.12).
    """

    def __init__(self, scene: Sequence[str] | np.ndarray, location: Sequence[str] | np.ndarray):
        if len(scene) != len(location) or len(scene) == 0:
            raise ValueError(f"{len(scene)} scenes and {len(location)} locations: one each a clip")
        for name, labels in (("scene", scene), ("location", location)):
            if (missing := np.flatnonzero(pd.isna(np.asarray(labels, object)))).size:
                raise ValueError(f"row {missing[0]}: the clip has no {name}; name it")
        self.scene = pd.factorize(np.asarray(scene, object), sort=True)[0]
        self.location = pd.factorize(np.asarray(location, object))[0]

    @classmethod
    def of(cls, table: pd.DataFrame) -> Clips:
        """From a table with the column scene and what `locations` reads."""
        return cls(table["scene"].to_numpy(object), locations(table).to_numpy(object))

    def __len__(self) -> int:
        return len(self.scene)

    @cached_property
    def strata(self) -> np.ndarray:
        stratum = self.counts.argmax(1)
        sizes = np.bincount(stratum)
        if len(stratum) < 2:
            raise ValueError("a single location has no spread: test on clips of two or more")
        few = np.flatnonzero(sizes == 1)
        if len(few) == 1:  # alone even so: beside the smallest of the others
            few = np.append(few, np.argmin(np.where(sizes > 1, sizes, sizes.max() + 1)))
        return np.where(np.isin(stratum, few), few[0], stratum) if len(few) else stratum

    @cached_property
    def counts(self) -> np.ndarray:
        """(locations, scenes) numbers of clips."""
        return self.sums(np.ones((1, len(self))))[0]

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(runs, clips) -> (runs, locations, scenes): the sums over clips."""
        scenes = self.scene.max() + 1
        cell, size = self.location * scenes + self.scene, (self.location.max() + 1) * scenes
        return np.stack([np.bincount(cell, row, size).reshape(-1, scenes) for row in values])


@dataclass(frozen=True, eq=False)
class System:
    """One system: `values` (runs, clips), 1 or 0 where it was right or wrong, or log losses.

    seeds (runs,) and teachers (runs,) label the runs; teachers None: none taught, or each run is to
    count as one training whoever taught. Runs are all seeds with all teachers, or each seed with
    a teacher of its own.
    """

    name: str
    values: np.ndarray
    seeds: tuple[int, ...]
    teachers: tuple[str | int, ...] | None = None

    def __post_init__(self) -> None:
        runs = list(zip(self.seeds, self.teachers or [None] * len(self.seeds), strict=True))
        if np.ndim(self.values) != 2 or len(self.values) != len(runs) or not runs:
            raise ValueError(
                f"{self.name}: values have shape {np.shape(self.values)}, {len(runs)} seeds need "
                f"({len(runs)}, clips)"
            )
        if (bad := np.argwhere(~np.isfinite(self.values))).size:
            raise ValueError(f"{self.name}: run {bad[0][0]} has no value for clip {bad[0][1]}")
        if len(set(runs)) < len(runs):
            raise ValueError(f"{self.name}: a seed (and teacher) occurs twice: keep one run of it")

    def on(self, clips: np.ndarray) -> System:
        """The same system on some of the clips: a mask (clips,), or their positions."""
        return replace(self, values=self.values[:, clips])

    def only(self, seeds: Iterable[int], teachers: Iterable[str | int] | None = None) -> System:
        """The runs with these seeds and, where they are named, these teachers."""
        seeds, teachers = set(seeds), None if teachers is None else set(teachers)
        owner = self.teachers or (None,) * len(self.seeds)
        keep = [
            i
            for i, (seed, who) in enumerate(zip(self.seeds, owner, strict=True))
            if seed in seeds and (teachers is None or who in teachers)
        ]
        taught = self.teachers and tuple(self.teachers[i] for i in keep)
        return System(self.name, self.values[keep], tuple(self.seeds[i] for i in keep), taught)


class Grid(NamedTuple):
    """Where each run stands: `rows` (teachers, seeds) of the values, and both axes' labels."""

    rows: np.ndarray
    teachers: tuple
    seeds: tuple[int, ...]


def grid(system: System) -> Grid:
    seeds = tuple(sorted(set(system.seeds)))
    if system.teachers is None:
        return Grid(np.argsort(system.seeds)[None], (), seeds)
    teachers = tuple(sorted(set(system.teachers), key=str))
    if len(teachers) == len(seeds) == len(system.seeds):  # each seed with a teacher of its own
        order = np.argsort(system.seeds)
        return Grid(order[None], tuple(system.teachers[i] for i in order), seeds)
    runs = np.full((len(teachers), len(seeds)), -1)
    for i, (seed, who) in enumerate(zip(system.seeds, system.teachers, strict=True)):
        runs[teachers.index(who), seeds.index(seed)] = i
    if (lacking := np.argwhere(runs < 0)).size:
        who, seed = teachers[lacking[0][0]], seeds[lacking[0][1]]
        raise ValueError(
            f"{system.name}: no run with seed {seed} and teacher {who}: train it, keep a full grid "
            "with only(), or give teachers=None to count each run as one training"
        )
    return Grid(runs, teachers, seeds)


def linear(
    values: np.ndarray, clips: Clips, measure: Measure, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (runs,), and what each location adds to them (runs, locations), centred by stratum.

    Macro accuracy is the mean over scenes k of h_k / n_k; to first order, location l adds
    sum_k (h_lk - (h_k / n_k) n_lk) / (n_k scenes). The log loss is the mean over clips. Clips
    outside the mask are left out.
    """
    if values.shape[1] != len(clips):
        raise ValueError(
            f"values of {values.shape[1]} clips, but {len(clips)} are labelled: "
            "score every system on the same clips, in the same order"
        )
    if measure == "accuracy" and not np.isin(values, (0, 1)).all():
        raise ValueError("accuracy is of 0 and 1, wrong and right; for losses: measure='log_loss'")
    mask = np.ones(len(clips)) if mask is None else mask
    sums, n = clips.sums(values * mask), clips.sums(mask[None])[0]
    if measure == "log_loss":
        sums, n = sums.sum(2, keepdims=True), n.sum(1, keepdims=True)
    sums, n = sums[..., n.sum(0) > 0], n[:, n.sum(0) > 0]
    means = sums.sum(1) / n.sum(0)
    added = ((sums - means[:, None] * n) / n.sum(0)).mean(2)
    places = np.bincount(clips.strata).clip(1)
    centres = np.stack([np.bincount(clips.strata, row) / places for row in added])
    return means.mean(1), added - centres[:, clips.strata]


def paired(system: System, base: System, ours: Grid, theirs: Grid) -> bool:
    """Whether runs are compared seed by seed and teacher by teacher; False: they are independent.

    Raises: ValueError when they match in part, for then neither holds.
    """
    same_teachers = (
        ours.teachers == theirs.teachers
        or not (ours.teachers and theirs.teachers)  # none taught one of the two
        or len(ours.teachers) == len(theirs.teachers) == 1  # two fixed teachers are no factor
    )
    if ours.seeds == theirs.seeds and same_teachers:
        return True
    if not set(ours.seeds) & set(theirs.seeds) and not set(ours.teachers) & set(theirs.teachers):
        return False
    raise ValueError(
        f"{system.name} has seeds {ours.seeds} and teachers {ours.teachers}, {base.name} seeds "
        f"{theirs.seeds} and teachers {theirs.teachers}: they match in part. "
        "Keep what both have with only(seeds, teachers)"
    )
