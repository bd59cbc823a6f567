"""How much clips differ by scene, by place, by recording and within one: components of variance.

Sums of squares taken one after the other give a place with a single recording all that the
recording did. So only places with several recordings count here, as many of every scene, and the
components follow from the expected mean squares of the nested design (Searle, Casella & McCulloch
1992, Variance Components, 3.5).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from asclib.corpus import places

LEVELS = ("scene", "location", "recording", "clip")
RECORDINGS = 2  # of a place


def balanced(values: np.ndarray, clips: pd.DataFrame) -> np.ndarray:
    """Clips of one device as (scenes, places, RECORDINGS, slices, d): as many of each as all have.

    Raises: ValueError where some scene has not two places with two recordings of two clips.
    """
    rows = pd.DataFrame({"scene": clips["scene"], "place": places(clips)})
    rows = rows.assign(recording=clips["recording"], row=np.arange(len(clips)))
    several = rows.groupby("recording")["row"].transform("size") > 1
    rows = rows[several]
    found: dict[str, list[list[np.ndarray]]] = {scene: [] for scene in rows["scene"].unique()}
    for (scene, _), here in rows.groupby(["scene", "place"], sort=False):
        made = [part["row"].to_numpy() for _, part in here.groupby("recording", sort=False)]
        if len(made) >= RECORDINGS:
            found[scene].append(made[:RECORDINGS])
    spots = min((len(one) for one in found.values()), default=0)
    if spots < 2:
        raise ValueError("a scene lacks two places with two recordings of two clips: add some")
    kept = [spot for one in found.values() for spot in one[:spots]]
    slices = min(len(recording) for spot in kept for recording in spot)
    index = np.array([[recording[:slices] for recording in spot] for spot in kept])
    return values[index].reshape(len(found), spots, RECORDINGS, slices, -1)


def components(x: np.ndarray) -> np.ndarray:
    """Variances (4,) of LEVELS, summed over the d numbers of a clip; x as `balanced` gives it.

    An estimate may come out below zero, which says that the level adds nothing.
    """
    scenes, spots, recordings, slices, _ = x.shape
    of_recording = x.mean(3, keepdims=True)
    of_place = of_recording.mean(2, keepdims=True)
    of_scene = of_place.mean(1, keepdims=True)
    of_all = of_scene.mean(0, keepdims=True)
    means = (x, of_recording, of_place, of_scene, of_all)
    sizes = (1, slices, recordings * slices, spots * recordings * slices)
    freedom = (
        scenes * spots * recordings * (slices - 1),
        scenes * spots * (recordings - 1),
        scenes * (spots - 1),
        scenes - 1,
    )
    squares = [
        size * float(((fine - coarse) ** 2).sum()) / df
        for fine, coarse, size, df in zip(means, means[1:], sizes, freedom, strict=False)
    ]
    clip, recording, place, scene = squares
    return np.array(
        [
            (scene - place) / sizes[3],
            (place - recording) / sizes[2],
            (recording - clip) / sizes[1],
            clip,
        ]
    )


def shares(x: np.ndarray) -> list[dict[str, Any]]:
    """The share of each level, a row each, with a jackknife interval over places.

    A place of every scene is left out at a time; t has one degree of freedom less than there are.
    """
    whole, spots = _share(x), x.shape[1]
    without = [_share(np.delete(x, k, axis=1)) for k in range(spots)]
    pseudo = spots * whole - (spots - 1) * np.array(without)
    error = pseudo.std(0, ddof=1) / spots**0.5
    half = float(stats.t.ppf(0.975, spots - 1)) * error
    return [
        {"level": level, "share": one, "share_low": one - more, "share_high": one + more}
        for level, one, more in zip(LEVELS, whole.tolist(), half.tolist(), strict=True)
    ]


def _share(x: np.ndarray) -> np.ndarray:
    found = components(x)
    return found / found.sum()


def shape(bands: np.ndarray) -> np.ndarray:
    """Log-mel bands (clips, mels) less their own mean over mels: what no gain can move."""
    return bands - bands.mean(1, keepdims=True)


def of_bands(bands: np.ndarray, clips: pd.DataFrame, device: str) -> list[dict[str, Any]]:
    """`shares` of mean log-mel bands (clips, mels) of one device, and how many places counted.

    No row where the clips have too few recordings to tell a place from a recording.
    """
    mine = (clips["device"] == device).to_numpy()
    try:
        x = balanced(bands[mine], clips[mine].reset_index(drop=True))
    except ValueError:
        return []
    return [{"places": x.shape[0] * x.shape[1]} | row for row in shares(x)]
