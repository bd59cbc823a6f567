"""Five ways of holding training clips out, and what each keeps together.

`SPLITS` holds 30 % out once, as the published study did. `folds` holds every clip out once, a third
at a time, so that what is promised can be compared clip by clip.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.model_selection import (
    GroupShuffleSplit,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    train_test_split,
)

from asclib.corpus import places

VALIDATION_SHARE = 0.3  # the published study's, for every way of splitting
FOLDS = 3
PUBLISHED = "clip within city, augmented"  # of all the versions of the clips, as published

Parts = tuple[np.ndarray, np.ndarray]  # positions of the clips to fit on, and to validate on


def _by_clip(clips: pd.DataFrame, seed: int) -> Parts:
    rows = np.arange(len(clips))
    return tuple(train_test_split(rows, test_size=VALIDATION_SHARE, random_state=seed))


def _by_clip_within_city(clips: pd.DataFrame, seed: int) -> Parts:
    rows, city = np.arange(len(clips)), clips["city"]
    share = VALIDATION_SHARE
    return tuple(train_test_split(rows, test_size=share, random_state=seed, stratify=city))


def _by_group(clips: pd.DataFrame, group: pd.Series, seed: int) -> Parts:
    splitter = GroupShuffleSplit(1, test_size=VALIDATION_SHARE, random_state=seed)
    return next(splitter.split(clips, groups=group))


SPLITS: dict[str, Callable[[pd.DataFrame, int], Parts]] = {
    "clip": _by_clip,
    "clip within city": _by_clip_within_city,
    PUBLISHED: _by_clip_within_city,  # in ipleiria-robotics/DCASE
    "recording": lambda clips, seed: _by_group(clips, clips["recording"], seed),
    "location": lambda clips, seed: _by_group(clips, places(clips), seed),
}


def folds(clips: pd.DataFrame, name: str, seed: int = 0) -> np.ndarray:
    """The fold (clips,) of each clip, 0 to FOLDS - 1, in one of the ways of SPLITS.

    Those that keep groups together spread the scenes evenly over the folds.
    """
    chance = {"n_splits": FOLDS, "shuffle": True, "random_state": seed}
    if name == "clip":
        parts = KFold(**chance).split(clips)
    elif name in ("recording", "location"):
        group = clips["recording"] if name == "recording" else places(clips)
        parts = StratifiedGroupKFold(**chance).split(clips, clips["scene"], group)
    else:
        parts = StratifiedKFold(**chance).split(clips, clips["city"])
    found = np.empty(len(clips), int)
    for fold, (_, held_out) in enumerate(parts):
        found[held_out] = fold
    return found
