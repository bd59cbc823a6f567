"""What devices cost that training lacks, and how much of it is that it lacks them.

A device may be hard because nobody has heard it, or because it is poor. To tell the two apart, the
linear reference is trained twice, at held-out places: `lacking`, with clips of STAND_INS added from
the other places of the test, and `heard`, with those of the unheard devices instead, which are the
same seconds. That is an oracle: in the challenge nobody has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from asclib.augmentation.clip import REFERENCE_DEVICE
from asclib.challenge import UNSEEN_DEVICES
from asclib.evaluation.statistics import difference, gap
from asclib.evaluation.systems import Clips, System
from studies.heldout import OTHERS, Part
from studies.linear import answers
from studies.splits import folds
from studies.verdicts import figures

STAND_INS = OTHERS[: len(UNSEEN_DEVICES)]
ARMS = {"lacking": STAND_INS, "heard": UNSEEN_DEVICES}
DECIBELS = 20 / np.log(10)  # of a neper


class Answered(NamedTuple):
    """1.0 where the classifiers of an arm were right about a test clip: (seeds, clips) each."""

    lacking: np.ndarray
    heard: np.ndarray


def distances(part: Part) -> list[dict[str, Any]]:
    """How far each device is from device a, in decibels: root mean square over the mel bands.

    Of the mean difference over parallel test clips, so what a device does to one clip alone is not
    in it. No row for a device without parallels of a.
    """
    bands = pd.DataFrame(part.x_test[:, : part.x_test.shape[1] // 2] * DECIBELS)
    event = part.test_clips["recording"] + "-" + part.test_clips["slice"].astype(str)
    bands.index = pd.MultiIndex.from_arrays([part.test_clips["device"], event])
    there = set(part.test_clips["device"])
    rows = []
    for device in (*OTHERS, *UNSEEN_DEVICES):
        if {device, REFERENCE_DEVICE} <= there:
            apart = (bands.loc[device] - bands.loc[REFERENCE_DEVICE]).dropna().to_numpy()
            if len(apart):
                far = float((apart.mean(0) ** 2).mean() ** 0.5)
                rows.append({"device": device, "decibels": far, "clips": len(apart)})
    return rows


def answered(part: Part, strength: float, seeds: Sequence[int]) -> Answered:
    """Each test clip, by the classifier that heard nothing of its place; the folds are by seeds."""
    device = part.test_clips["device"].to_numpy()
    right = {name: np.zeros((len(seeds), len(device))) for name in ARMS}
    for row, seed in enumerate(seeds):
        fold = folds(part.test_clips, "location", seed)
        for turn in np.unique(fold):
            asked = fold == turn
            for name, devices in ARMS.items():
                more = ~asked & np.isin(device, devices)
                x = np.concatenate([part.x, part.x_test[more]])
                labels = np.concatenate([part.labels, part.test_labels[more]])
                [said] = answers(x, labels, [part.x_test[asked]], [strength])
                right[name][row, asked] = said[0] == part.test_labels[asked]
    return Answered(**right)


def costs(part: Part, found: Answered) -> list[dict[str, Any]]:
    """A row for the devices of training but a, for each device that it lacks, and for all of these.

    "lacking" and "heard": accuracy on the device less that on a, by arm; "hearing": what it gains
    on the device to have heard it.
    """
    device, clips = part.test_clips["device"].to_numpy(), Clips.of(part.test_clips)
    a = device == REFERENCE_DEVICE
    kinds = {"b to s3": np.isin(device, OTHERS)} | {d: device == d for d in UNSEEN_DEVICES}
    kinds["s4 to s6"] = np.isin(device, UNSEEN_DEVICES)
    seeds = tuple(range(len(found.heard)))
    lacking, heard = (System(name, values, seeds) for name, values in found._asdict().items())
    rows = []
    for name, mask in kinds.items():
        if not (mask.any() and a.any()):
            continue
        row: dict[str, Any] = {"device": name}
        for arm in (lacking, heard):
            row |= figures(gap(arm, clips, mask, a), arm.name)
        mine = Clips.of(part.test_clips[mask])
        row |= figures(difference(heard.on(mask), lacking.on(mask), mine), "hearing")
        del row["verdict"]  # whose of the three?
        rows.append(row)
    return rows
