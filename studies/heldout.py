"""What clips held out promise, of other places and of devices that training lacks.

Five ways of holding out are compared, then three kinds of device: those that the classifier has
heard, one that was left out of its training (`leave one out`), and invented ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from asclib.augmentation import clip, tmsic_versions
from asclib.augmentation.clip import REFERENCE_DEVICE
from asclib.challenge import SEEN_DEVICES, UNSEEN_DEVICES
from asclib.corpus import read_audio
from asclib.evaluation.statistics import Difference, Interval, difference, gap, score
from asclib.evaluation.systems import Clips, System
from asclib.features import LogMel
from asclib.keys import plain
from asclib.progress import progress
from asclib.runs import Experiment
from asclib.store import artefact
from asclib.training import one_thread
from studies.linear import STRENGTHS, Asked, crossed, summary
from studies.recipe import INVENTED, through
from studies.splits import PUBLISHED, SPLITS, folds
from studies.verdicts import figures, weighted

OTHERS = SEEN_DEVICES[1:]  # device a is most of training: without it, little is left to fit on
SLICES = 2  # of a recording, that are heard through invented devices
DEFAULT_STRENGTH = 1.0  # scikit-learn's
Right = dict[str, np.ndarray]  # by what was asked: (strengths, runs, clips), 1.0 where right


class Part(NamedTuple):
    """One rendering: its experiment, and the reference's features of its two splits."""

    name: str
    experiment: Experiment
    clips: pd.DataFrame
    x: np.ndarray
    labels: np.ndarray
    test_clips: pd.DataFrame
    x_test: np.ndarray
    test_labels: np.ndarray

    @classmethod
    def of(cls, experiment: Experiment) -> Part:
        name = "given" if experiment.data_root else f"seed {experiment.profile.corpus.seed}"
        found: list[Any] = []
        for split in ("train", "test"):
            clips = experiment.clips(split)
            found += [experiment.table(split), summary(clips.x), clips.labels.numpy()]
        return cls(name, experiment, *found)

    def tested(self) -> Asked:
        return Asked(self.x_test, self.test_labels)


def heard(part: Part, tests: Sequence[Part], seeds: Sequence[int]) -> Right:
    """Held out by location: "own", "invented", "left out", and "test of NAME" for each of tests.

    "left out" are the clips of OTHERS, each answered by classifiers that heard neither its location
    nor its device. seeds, of the folds: a run each, and one each and fold of test clips.
    """
    x, owner = invented(part.experiment)
    device = part.clips["device"].to_numpy()
    others = np.isin(device, OTHERS)

    def once(seed: int) -> Right:
        fold = folds(part.clips, "location", seed)
        asked = {"own": Asked(part.x, part.labels, fold)}
        asked["invented"] = Asked(x, part.labels[owner], fold[owner])
        asked |= {f"test of {one.name}": one.tested() for one in tests}
        right = crossed(part.x, part.labels, fold, asked)
        lacking = np.zeros_like(right["own"])
        for one in sorted(set(device[others])):
            mine = device == one
            ask = {"": Asked(part.x[mine], part.labels[mine], fold[mine])}
            kept = part.x[~mine], part.labels[~mine], fold[~mine]
            lacking[:, :, mine] = crossed(*kept, ask)[""]
        return right | {"left out": lacking[:, :, others]}

    return _joined([once(seed) for seed in progress(seeds, label="devices left out")])


def _joined(found: Sequence[Right]) -> Right:
    """Several runs as one."""
    return {name: np.concatenate([one[name] for one in found], axis=1) for name in found[0]}


def strength(right: Right) -> float:
    """The strength with the best accuracy on clips held out by location."""
    return STRENGTHS[int(right["own"].mean((1, 2)).argmax())]


def system(right: Right, asked: str, strength: float, first: int = 0) -> System:
    """The classifiers of one strength as a system, their runs counted from `first` as seeds."""
    values = right[asked][STRENGTHS.index(strength)]
    return System(asked, values, tuple(range(first, first + len(values))))


def every(part: Part, right: Right, seeds: Sequence[int]) -> dict[str, list[dict[str, Any]]]:
    """All tables of one rendering, by name; `right` is what `heard` found."""
    ladder, shared = ways(part, right, seeds)
    chosen = strength(right)
    return {
        "ways": ladder,
        "shared": shared,
        "devices": devices(part, right),
        "costs": costs(part, right, chosen),
        "choices": choices(part, right, ladder),
    }


# ---- ways of holding out -------------------------------------------------------------------------


def ways(
    part: Part, right: Right, seeds: Sequence[int]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What each way promises and what the test gives, at each strength; and what its sides share.

    shared: the share of the clips held out with a relative of each kind among those to fit on.
    """
    rows, shared, test = [], [], f"test of {part.name}"
    for name in progress(SPLITS, label="ways of splitting"):
        x, owner = part.x, np.arange(len(part.x))
        if name == PUBLISHED:
            x, owner = augmented(part.experiment)
        clips, labels = part.clips.iloc[owner].reset_index(drop=True), part.labels[owner]
        found = right
        if name != "location":
            split = [folds(clips, name, seed) for seed in seeds]
            asked = [{"own": Asked(x, labels, fold), test: part.tested()} for fold in split]
            runs = zip(split, asked, strict=True)
            found = _joined([crossed(x, labels, fold, ask) for fold, ask in runs])
        for one in STRENGTHS:
            promised = score(system(found, "own", one), Clips.of(clips))
            given = score(system(found, test, one), Clips.of(part.test_clips))
            row = figures(promised, "validation") | figures(given, "test")
            row |= figures(weighted((promised, given), (1, -1)), "gap")
            rows.append({"way": name, "strength": one} | row)
        fold = folds(clips, name, seeds[0])
        leak = part.experiment.corpus.leakage(clips[fold != 0], clips[fold == 0])
        shared.append({"way": name} | (leak["clips"] / (fold == 0).sum()).to_dict())
    return rows, shared


def choices(part: Part, right: Right, ladder: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The strength that each kind of validation would choose, and what it gives on the test.

    All are tried with the classifiers that were held out by location: `test` on all devices,
    `unseen` on those that training lacks, `difference` to the choice by location and its `verdict`
    where another is chosen.
    """
    best = pd.DataFrame(ladder).sort_values("validation").groupby("way")["strength"].last()
    by = {name: best[name] for name in SPLITS}
    by["location"] = strength(right)
    for name in ("left out", "invented"):
        by[name] = STRENGTHS[int(right[name].mean((1, 2)).argmax())]
    test, clips = f"test of {part.name}", Clips.of(part.test_clips)
    unseen = part.test_clips["device"].isin(UNSEEN_DEVICES).to_numpy()
    by_location = system(right, test, by["location"])
    rows = []
    for name, one in by.items():
        chosen = system(right, test, one)
        row = {"by": name, "strength": one} | figures(score(chosen, clips), "test")
        if unseen.any():
            row |= figures(_masked(right, test, one, part.test_clips, unseen), "unseen")
        if one != by["location"]:
            row |= figures(difference(chosen, by_location, clips), "difference")
        rows.append(row)
    return rows


def augmented(experiment: Experiment) -> tuple[np.ndarray, np.ndarray]:
    """The training clips and the authors' versions of them: features, and whose they are.

    Returns: (items, 2 mels) `summary` of each item and (items,) its row of the training split; the
        clips come first, in their order, then five versions of every clip of another device than a.
    """
    table, log_mel = experiment.table("train"), LogMel.tmsic()
    rows = np.flatnonzero(table["device"] != REFERENCE_DEVICE)

    def build(folder: Path) -> None:
        parts = []
        with one_thread():
            for row in progress(table.iloc[rows].itertuples(), total=len(rows), label="versions"):
                x = read_audio(experiment.corpus.root / row.filename, row=row.Index + 2)
                versions = tmsic_versions(x, row.identifier, row.device, log_mel, seed=0)
                parts.append(summary(torch.from_numpy(versions[1:])))
        np.save(folder / "summary.npy", np.stack(parts))

    folder = artefact(
        "versions",
        {"split": "train", "front_end": log_mel, "made": clip.VERSION},
        build,
        parents=(experiment.data.features,),
    )
    versions = np.load(folder / "summary.npy")  # (clips, 5, 2 mels)
    own = summary(experiment.clips("train").x)
    items = np.concatenate([own, *versions.swapaxes(0, 1)])
    return items, np.concatenate([np.arange(len(own)), *[rows] * versions.shape[1]])


# ---- devices -------------------------------------------------------------------------------------


def invented(experiment: Experiment) -> tuple[np.ndarray, np.ndarray]:
    """Training clips of device a through INVENTED: features, and their rows of the split.

    Of each recording SLICES clips, spread over it: as many as the test has of its recordings.
    """
    table = experiment.table("train")
    number, size = table["slice"], table.groupby("recording")["slice"].transform("max") + 1
    chosen = (number * SLICES) % size < SLICES
    rows = np.flatnonzero(chosen & (table["device"] == REFERENCE_DEVICE))

    def build(folder: Path) -> None:
        heard = through(experiment, table=table.iloc[rows])
        np.save(folder / "summary.npy", summary(heard.x))

    settings = {"slices": SLICES, "devices": plain(INVENTED), "front_end": LogMel.tmsic()}
    settings["made"] = clip.VERSION
    folder = artefact("invented", settings, build, parents=(experiment.data.features,))
    return np.load(folder / "summary.npy"), np.tile(rows, len(INVENTED))


def devices(part: Part, right: Right) -> list[dict[str, Any]]:
    """Accuracy on each kind of device, in validation and on the test, at each strength."""
    device, here = part.clips["device"].to_numpy(), part.clips
    _, owner = invented(part.experiment)
    there = part.test_clips["device"].to_numpy()
    others = np.isin(device, OTHERS)
    test = f"test of {part.name}"
    groups = {
        "a": ("own", here, device == REFERENCE_DEVICE),
        "others": ("own", here, others),
        "left out": ("left out", here[others], np.ones(others.sum(), bool)),
        "invented": ("invented", here.iloc[owner], np.ones(len(owner), bool)),
        "test a": (test, part.test_clips, there == REFERENCE_DEVICE),
        "test others": (test, part.test_clips, np.isin(there, OTHERS)),
        "test unseen": (test, part.test_clips, np.isin(there, UNSEEN_DEVICES)),
    }
    return [
        {"kind": name, "strength": one, "clips": int(mask.sum())}
        | figures(_masked(right, asked, one, clips, mask))
        for name, (asked, clips, mask) in groups.items()
        if mask.any()
        for one in STRENGTHS
    ]


def costs(part: Part, right: Right, one: float) -> list[dict[str, Any]]:
    """Points that a device costs which the classifier has not heard, by validation and by test.

    "left out": clips of OTHERS, their device heard or not in training; "invented": a clip of device
    a, as it is or through INVENTED; "test, from others" and "test, from a": UNSEEN_DEVICES.
    """
    device = part.clips["device"].to_numpy()
    others = np.isin(device, OTHERS)
    found: dict[str, Difference] = {}
    if others.any():
        heard = system(right, "own", one).on(others)
        clips = Clips.of(part.clips[others])
        found["left out"] = difference(system(right, "left out", one), heard, clips)
    _, owner = invented(part.experiment)
    of_a = np.unique(owner)
    if len(of_a):
        own, other = system(right, "own", one).on(of_a), system(right, "invented", one)
        both = replace(own, values=np.concatenate([other.values, own.values], axis=1))
        clips = Clips.of(part.clips.iloc[np.concatenate([owner, of_a])])
        new = np.arange(len(clips)) < len(owner)
        found["invented"] = gap(both, clips, new, ~new)
    there, test = part.test_clips["device"].to_numpy(), f"test of {part.name}"
    unseen = np.isin(there, UNSEEN_DEVICES)
    for name, known in (("others", np.isin(there, OTHERS)), ("a", there == REFERENCE_DEVICE)):
        if unseen.any() and known.any():
            clips = Clips.of(part.test_clips)
            found[f"test, from {name}"] = gap(system(right, test, one), clips, unseen, known)
    return [{"cost": name} | figures(each) for name, each in found.items()]


def _masked(
    right: Right, asked: str, one: float, clips: pd.DataFrame, mask: np.ndarray
) -> Interval:
    return score(system(right, asked, one).on(mask), Clips.of(clips[mask]))
