"""Range calibration: the clips that show what values an activation takes, and the range.

Chapter: book/compression/quantization.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from torch import Tensor

from asclib import checked
from asclib.features import EPS

SILENT = float(np.log(EPS)) + 3  # nepers; digital silence gives ln(eps), 2 more in the lowest band


def min_max(values: Tensor) -> tuple[float, float]:
    """All that occurred. Args: values (clips, n), of one tensor in the network."""
    return float(values.min()), float(values.max())


def percentile(values: Tensor, share: float = 0.9999) -> tuple[float, float]:
    """All but the most extreme on either side; those are clipped. Args: values (clips, n)."""
    low, high = np.quantile(values.numpy(), (1 - share, share))
    return float(low), float(high)


def moving_average(values: Tensor, keep: float = 0.95) -> tuple[float, float]:
    """The extremes of each clip, averaged from clip to clip. Args: values (clips, n) in order.

    Starts with the first clip; each further one moves the average by 1 - keep.
    """
    low, high = values[0].min(), values[0].max()
    for clip in values[1:]:
        low = keep * low + (1 - keep) * clip.min()
        high = keep * high + (1 - keep) * clip.max()
    return float(low), float(high)


Method = Literal["min_max", "percentile", "moving_average"]
RANGES: dict[str, Callable[[Tensor], tuple[float, float]]] = {
    "min_max": min_max,
    "percentile": percentile,
    "moving_average": moving_average,
}


@dataclass(frozen=True)
class Calibration:
    """Clips (n, …) that tell how large activations get, and how a range is taken from them.

    `method` is a key of RANGES. Take the clips from the training split: `calibration_rows`.
    """

    clips: Tensor
    method: Method = "min_max"

    def __post_init__(self) -> None:
        if self.method not in RANGES:
            known = ", ".join(map(repr, RANGES))
            raise ValueError(f"unknown calibration method {self.method!r}; there is {known}")
        if len(self.clips) == 0:
            raise ValueError("calibration needs at least one clip, as of calibration_rows")


def calibration_rows(clips: pd.DataFrame, number: int, seed: int = 0) -> np.ndarray:
    """Rows of clips to calibrate with: as many from each device as there are, drawn at random.

    Args: clips with the columns device and split; number of rows.
    Returns: row positions, device after device in turn, so that any first part is even as well.
    Raises: ValueError when a clip is not of the training split, or there are too few.
    """
    strangers = np.flatnonzero(clips["split"] != "train")
    if len(strangers):
        raise ValueError(
            f"row {strangers[0]}: a clip of the {clips['split'].iloc[strangers[0]]} split; "
            "calibrate with training clips only"
        )
    number, seed = checked.whole_number("number", number), checked.whole_number("seed", seed)
    if not 1 <= number <= len(clips):
        raise ValueError(f"{number} calibration clips asked for, 1 to {len(clips)} are there")
    order = np.random.default_rng(seed).permutation(len(clips))
    turn = clips["device"].iloc[order].groupby(clips["device"].iloc[order]).cumcount()
    return order[np.argsort(turn.to_numpy(), kind="stable")][:number]


def sounding(clips: Tensor) -> Tensor:
    """Log-mel clips without digital silence, one frame of which would set the input's scale.

    A frame all of whose bands are below SILENT takes the values of its clip's softest frame that is
    not; a clip of nothing else is left out. On a device such a frame is then clipped to -128.

    Args: clips (n, 1, mels, frames) in nepers, as of LogMel. Returns: (n or less, 1, mels, frames).
    Raises: ValueError when no clip sounds.
    """
    silent = clips.amax((1, 2)) < SILENT  # (n, frames)
    kept = clips[~silent.all(1)].clone()
    if not len(kept):
        raise ValueError(f"none of {len(clips)} clips sounds: there is no range to take")
    silent = silent[~silent.all(1)]
    softest = kept.mean((1, 2)).masked_fill(silent, float("inf")).argmin(1)
    for clip, frames, frame in zip(kept, silent, softest, strict=True):
        clip[..., frames] = clip[..., frame, None]
    return kept
