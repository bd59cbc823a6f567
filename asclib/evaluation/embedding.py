"""What a lesson does to a student's embedding: how pure its neighbourhoods are, and a picture.

A picture of 256 numbers in two is a shadow, so a number taken from all of them goes with it.

Chapter: book/distillation/relations.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.linalg import orthogonal_procrustes
from sklearn.decomposition import PCA

from asclib import checked
from asclib.evaluation.systems import locations

ROWS = 1_000  # clips whose distances to all others are held at a time
QUANTILES = (0.025, 0.975)


def purity(embedding: np.ndarray, clips: pd.DataFrame, neighbours: int = 10) -> np.ndarray:
    """The share of each clip's nearest neighbours that are of its scene, 0 to 1.

    Clips of its own recording are not counted among the neighbours: they were heard in the same
    seconds, and to find them is no sign of having understood a scene.

    Args: embedding (clips, d), any network's; clips: columns scene and recording, row by row.
    Returns: (clips,), Euclidean neighbours; of equally near clips the first in the table count.
    Raises: ValueError when rows do not match, or a clip has fewer neighbours than asked for.
    """
    points = np.asarray(embedding, np.float64).reshape(len(embedding), -1)
    if len(points) != len(clips):
        raise ValueError(f"{len(points)} embeddings of {len(clips)} clips: give one for each row")
    recording, scene = (pd.factorize(clips[name])[0] for name in ("recording", "scene"))
    others = len(clips) - np.bincount(recording).max(initial=0)
    if not 1 <= neighbours <= others:
        raise ValueError(
            f"{neighbours} neighbours asked for, {others} clips outside the longest recording: "
            "ask for fewer, at least one, or bring more recordings to test on"
        )
    points = points - points.mean(0)  # |a|²+|b|²-2ab loses its digits far from the origin
    squares = (points**2).sum(1)
    shares = []
    for start in range(0, len(points), ROWS):
        rows = slice(start, start + ROWS)
        squared = squares[rows, None] + squares - 2 * points[rows] @ points.T
        squared[recording[rows, None] == recording] = np.inf
        nearest = np.argsort(squared, axis=1, kind="stable")[:, :neighbours]
        shares.append((scene[nearest] == scene[rows, None]).mean(1))
    return np.concatenate(shares)


def purities(
    embeddings: Mapping[str, np.ndarray],
    clips: pd.DataFrame,
    *,
    neighbours: int = 10,
    resamples: int = 1_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean purity of several embeddings of the same clips, and how far each is from the first.

    Args: embeddings by name, each as for `purity`, the first is the one to compare with.
    Returns: a row for each: purity, low, high; change, change_low, change_high, all in per cent or
        points. Intervals hold 95 % of a bootstrap over locations; a resample draws the clips that
        are asked, and leaves the cloud they lie in as it is.
    """
    values = np.stack([purity(one, clips, neighbours) for one in embeddings.values()], axis=1)
    place, names = pd.factorize(locations(clips))
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, place, values)
    chance = np.full(len(names), 1 / len(names))
    generator = np.random.default_rng(checked.whole_number("seed", seed))
    drawn = generator.multinomial(len(names), chance, size=resamples)
    means = drawn @ sums / (drawn @ np.bincount(place))[:, None]
    table: dict[str, np.ndarray] = {}
    for shift, suffix in ((0, ""), (1, "change")):
        centre, cloud = (100 * (x - shift * x[..., :1]) for x in (values.mean(0), means))
        low, high = np.quantile(cloud, QUANTILES, axis=0)
        prefix = f"{suffix}_" if suffix else ""
        table |= {suffix or "purity": centre, f"{prefix}low": low, f"{prefix}high": high}
    return pd.DataFrame(table, index=list(embeddings))


def planes(embeddings: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Each embedding in its own first two principal components, turned towards the first one's.

    Two networks have no axes in common. A plane may be turned and mirrored without any change to
    what it shows, so every plane after the first is laid on it as well as that allows: the
    orthogonal Procrustes problem (Schönemann 1966). Sizes are made equal as well.

    Args: embeddings by name, (clips, d) with d of at least 2; d may differ.
    Returns: by name (clips, 2), centred, mean squared distance from the centre 1.
    """
    turned: dict[str, np.ndarray] = {}
    for name, embedding in embeddings.items():
        with np.errstate(invalid="ignore"):  # all points in one place explain 0 / 0 of themselves
            plane = PCA(2, random_state=0).fit_transform(np.asarray(embedding, np.float64))
        plane /= np.sqrt((plane**2).sum(1).mean()).clip(min=1e-12)
        if turned:
            first = next(iter(turned.values()))
            plane = plane @ orthogonal_procrustes(plane, first)[0]
        turned[name] = plane
    return turned
