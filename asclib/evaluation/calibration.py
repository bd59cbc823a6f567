"""Does a system mean what it says? Confidence beside accuracy, and a temperature that mends it.

Guo et al. 2017, *On calibration of modern neural networks* (arXiv 1706.04599).

Chapters: book/challenges/entry_2022, book/challenges/scoreboard.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from asclib.evaluation.scores import distributions

TEMPERATURES = (0.1, 10.0)  # none is looked for outside: all right, and none is sharp enough


@dataclass(frozen=True)
class Calibration:
    """`error` (expected calibration error, 0..1) and the bins it is the weighted mean of."""

    error: float
    table: pd.DataFrame  # low, high, clips, confidence, accuracy


def calibration(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> Calibration:
    """Expected calibration error: mean |accuracy − confidence| over equal-width bins of confidence.

    Guo et al. 2017, eq. 3; confidence = the largest probability, bins closed on the right.

    Args: probabilities (clips, classes); labels (clips,) integers.
    Returns: the error, and a table with a row per bin; empty bins have NaN means.
    Raises: ValueError naming the first row at fault.
    """
    probabilities = distributions(probabilities)
    labels = np.asarray(labels)
    if labels.shape != (len(probabilities),):
        raise ValueError(f"{len(probabilities)} rows of probabilities but labels {labels.shape}")
    if bins < 1:
        raise ValueError(f"bins = {bins}: at least one is needed")
    confidence = probabilities.max(1)
    hit = probabilities.argmax(1) == labels
    edges = np.linspace(0, 1, bins + 1)
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 in empty bins is the NaN we want
        mean_confidence = np.bincount(index, confidence, bins) / count
        accuracy = np.bincount(index, hit, bins) / count
    gap = np.where(count > 0, np.abs(accuracy - mean_confidence), 0)
    columns = {"low": edges[:-1], "high": edges[1:], "clips": count}
    columns |= {"confidence": mean_confidence, "accuracy": accuracy}
    return Calibration(float((gap * count).sum() / count.sum()), pd.DataFrame(columns))


def best_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """By which logits are divided for the smallest log loss, within TEMPERATURES.

    Guo et al. 2017, section 4.2. The order of the classes stays, and with it the accuracy. Found on
    clips that the network did not learn from, and never on those that it is scored by.

    Args: logits (clips, classes); labels (clips,) integers.
    Raises: ValueError where they do not go together, or naming the first row that is not finite.
    """
    said, truth = np.asarray(logits, np.float64), np.asarray(labels)
    if said.ndim != 2 or truth.shape != said.shape[:1] or not len(said):
        raise ValueError(
            f"logits {said.shape} and labels {truth.shape}: need as many clips of both"
        )
    if not np.isfinite(said).all():
        row = int(np.argmax(~np.isfinite(said).all(1)))
        raise ValueError(f"row {row} of the logits is not finite")

    def loss(log_temperature: float) -> float:
        log_p = log_softmax(said / np.exp(log_temperature), axis=1)
        return -float(log_p[np.arange(len(truth)), truth].mean())

    found = minimize_scalar(loss, bounds=tuple(np.log(TEMPERATURES)), method="bounded")
    return float(np.exp(found.x))
