"""The linear reference: a logistic regression on the spectrum of a clip, at every strength at once.

It stands for any classifier where hundreds of trainings are asked for: it is trained in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

# C of scikit-learn; small is strong regularisation
STRENGTHS = (0.00001, 0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)
MOST_STEPS = 2_000


class Asked(NamedTuple):
    """Clips to be answered: features (n, d), labels (n,), and the fold (n,) each is held out with.

    fold None: the classifiers of all folds are asked, as about test clips.
    """

    x: np.ndarray
    labels: np.ndarray
    fold: np.ndarray | None = None


def summary(x: Tensor) -> np.ndarray:
    """(n, 1, mels, frames) log-mel -> (n, 2 mels): means over time, then standard deviations."""
    bands = x[:, 0].numpy()
    return np.concatenate([bands.mean(2), bands.std(2)], axis=1)


def answers(
    x: np.ndarray,
    labels: np.ndarray,
    asked: Iterable[np.ndarray],
    strengths: Sequence[float] = STRENGTHS,
) -> list[np.ndarray]:
    """Train at each strength, and answer: for each of the asked, classes (strengths, n).

    Rows are in the order of `strengths`. Features are standardised. From strong to weak, each
    training starts where the last one ended.
    """
    scaler = StandardScaler().fit(x)
    net = LogisticRegression(max_iter=MOST_STEPS, warm_start=True)
    shown = [scaler.transform(part) for part in asked]
    said: dict[float, list[np.ndarray]] = {}
    for strength in sorted(strengths):
        net.set_params(C=strength).fit(scaler.transform(x), labels)
        said[strength] = [net.predict(part) for part in shown]
    return [np.stack([said[one][k] for one in strengths]) for k in range(len(shown))]


def crossed(
    x: np.ndarray,
    labels: np.ndarray,
    fold: np.ndarray,
    asked: Mapping[str, Asked],
    strengths: Sequence[float] = STRENGTHS,
) -> dict[str, np.ndarray]:
    """Fit on all folds but one, in turn, and ask: 1.0 where the answer is right, else 0.0.

    Returns: for each of the asked (strengths, 1, n), every clip answered by the classifier that
        heard nothing of its fold; or (strengths, folds, n) where it has none.
    """
    turns = np.unique(fold)
    right = {
        name: np.full((len(strengths), 1 if one.fold is not None else len(turns), len(one.x)), 0.0)
        for name, one in asked.items()
    }
    for turn in turns:
        mine = {
            name: slice(None) if one.fold is None else np.flatnonzero(one.fold == turn)
            for name, one in asked.items()
        }
        kept = fold != turn
        parts = [one.x[mine[name]] for name, one in asked.items()]
        said = answers(x[kept], labels[kept], parts, strengths)
        for (name, one), found in zip(asked.items(), said, strict=True):
            row = 0 if one.fold is not None else int(np.searchsorted(turns, turn))
            right[name][:, row, mine[name]] = found == one.labels[mine[name]]
    return right
