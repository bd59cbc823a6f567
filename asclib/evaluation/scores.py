"""How good a system is, and how sure one may be of it.

Every figure carries a 95 % interval from a bootstrap over *recordings*: the ten clips cut from one
recording, and the parallel recordings of several devices, resemble each other, so resampling
single clips would make the intervals far too narrow (cluster bootstrap; Field & Welsh 2007).

Chapters: book/task/challenge, book/challenges/scoreboard.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from asclib.challenge.task import SCENES, UNSEEN_DEVICES

QUANTILES = (0.025, 0.975)
BLOCK = 100  # resamples drawn at a time: bounds the memory at BLOCK x recordings
SUM_TOLERANCE = 1e-3  # file formats round probabilities; more than this is not a distribution


@dataclass(frozen=True)
class Score:
    """Macro accuracy and log loss of one group of clips, each with its 95 % interval."""

    clips: int
    recordings: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    log_loss: float
    log_loss_low: float
    log_loss_high: float


@dataclass(frozen=True)
class Evaluation:
    """Scores of one system.

    `scenes` holds each scene's recall as its accuracy; `seen` and `unseen` (devices with and
    without training data) are None when the clips have none. `confusion` (10, 10) counts clips,
    rows the true scene, columns the predicted one, both in the order of the classes.
    """

    overall: Score
    scenes: dict[str, Score]
    devices: dict[str, Score]
    seen: Score | None
    unseen: Score | None
    confusion: np.ndarray

    def table(self) -> pd.DataFrame:
        """One row a group: overall, seen, unseen, then every device and scene."""
        groups = {"overall": self.overall, "seen": self.seen, "unseen": self.unseen}
        groups |= {f"device {name}": score for name, score in self.devices.items()}
        groups |= self.scenes
        rows = [{"group": name, **asdict(score)} for name, score in groups.items() if score]
        return pd.DataFrame(rows)


@dataclass(frozen=True)
class Comparison:
    """Differences b − a of two systems on the same clips, each with its 95 % interval."""

    clips: int
    recordings: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    log_loss: float
    log_loss_low: float
    log_loss_high: float


@dataclass(frozen=True)
class Calibration:
    """`error` (expected calibration error, 0..1) and the bins it is the weighted mean of."""

    error: float
    table: pd.DataFrame  # low, high, clips, confidence, accuracy


def evaluate(
    probabilities: np.ndarray,
    clips: pd.DataFrame,
    *,
    resamples: int = 1000,
    seed: int = 0,
    classes: Sequence[str] = SCENES,
) -> Evaluation:
    """Macro accuracy and log loss, overall and by group, with intervals over recordings.

    Macro accuracy is the mean of the recalls of the scenes present; log loss the mean over clips
    of −ln p(true scene), p clipped to [2⁻⁵², 1 − 2⁻⁵²] as scikit-learn does (DCASE task 1).

    Args: probabilities (clips, classes) in the order of the classes; clips: columns scene, device,
        recording, one row per row of probabilities; classes, where they are not SCENES.
    Returns: an Evaluation; percentile intervals from `resamples` bootstrap resamples.
    Raises: ValueError naming the first row at fault.
    """
    return _evaluation(
        probabilities, clips, classes, lambda sums: _bootstrap(sums, resamples, seed)
    )


def score(
    probabilities: np.ndarray, clips: pd.DataFrame, classes: Sequence[str] = SCENES
) -> Evaluation:
    """`evaluate` without its intervals, whose ends are NaN: for one run of many."""
    return _evaluation(
        probabilities, clips, classes, lambda sums: (np.empty((0, sums.shape[1])),) * 2
    )


def _evaluation(
    probabilities: np.ndarray,
    clips: pd.DataFrame,
    classes: Sequence[str],
    resampled: Callable[[np.ndarray], tuple],
) -> Evaluation:
    """`resampled`: from the sums of each recording to scores (resamples, groups)."""
    probabilities = _checked(probabilities, clips, classes)
    truth = _scene_indices(clips, classes)
    guess = probabilities.argmax(1)
    device = clips["device"].to_numpy()
    unseen = np.isin(device, UNSEEN_DEVICES)

    masks = {("overall", ""): np.ones(len(clips), bool)}
    masks |= {("seen", ""): ~unseen, ("unseen", ""): unseen}
    masks |= {("device", name): device == name for name in sorted(set(device))}
    masks |= {("scene", s): truth == k for k, s in enumerate(classes)}
    masks = {group: mask for group, mask in masks.items() if mask.any()}

    recording, n_recordings = _recordings(clips)
    sums = np.stack(
        [_sums(probabilities, truth, recording, n_recordings, m) for m in masks.values()], axis=1
    )
    accuracy, loss = _scores(sums.sum(0)[None])
    accuracies, losses = resampled(sums)
    scores = {
        group: Score(
            int(mask.sum()),
            len(np.unique(recording[mask])),
            float(accuracy[0, g]),
            *_interval(accuracies[:, g]),
            float(loss[0, g]),
            *_interval(losses[:, g]),
        )
        for g, (group, mask) in enumerate(masks.items())
    }
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (truth, guess), 1)
    return Evaluation(
        overall=scores["overall", ""],
        scenes={name: s for (kind, name), s in scores.items() if kind == "scene"},
        devices={name: s for (kind, name), s in scores.items() if kind == "device"},
        seen=scores.get(("seen", "")),
        unseen=scores.get(("unseen", "")),
        confusion=confusion,
    )


def compare(
    a: np.ndarray,
    b: np.ndarray,
    clips: pd.DataFrame,
    *,
    resamples: int = 1000,
    seed: int = 0,
    classes: Sequence[str] = SCENES,
) -> Comparison:
    """Paired bootstrap of b − a: every resample draws the same recordings for both systems.

    Args: a, b (clips, classes) probabilities of two systems; others as for `evaluate`.
    Returns: differences of macro accuracy (positive: b better) and log loss (negative: b better).
    Raises: ValueError naming the first row at fault.
    """
    systems = []
    for name, probabilities in (("a", a), ("b", b)):
        try:
            systems.append(_checked(probabilities, clips, classes))
        except ValueError as error:
            raise ValueError(f"system {name}: {error}") from error
    truth = _scene_indices(clips, classes)
    recording, n_recordings = _recordings(clips)
    everything = np.ones(len(clips), bool)
    both = [_sums(system, truth, recording, n_recordings, everything) for system in systems]
    sums = np.stack(both, axis=1)
    accuracy, loss = _scores(sums.sum(0)[None])
    accuracies, losses = _bootstrap(sums, resamples, seed)
    return Comparison(
        len(clips),
        n_recordings,
        float(accuracy[0, 1] - accuracy[0, 0]),
        *_interval(accuracies[:, 1] - accuracies[:, 0]),
        float(loss[0, 1] - loss[0, 0]),
        *_interval(losses[:, 1] - losses[:, 0]),
    )


def paired(ours: list[np.ndarray], base: list[np.ndarray], clips: pd.DataFrame) -> dict[str, Any]:
    """The difference of two systems trained with the same seeds, with both of its uncertainties.

    Args: lists over seeds of probabilities (clips, 10).
    Returns: mean differences of macro accuracy and log loss; their 95 % intervals over recordings,
        all seeds pooled (would other test recordings say the same?); and 95 % t intervals over
        seeds (would other trainings?), of accuracy as `seeds_low` and `seeds_high` and of log loss
        as `log_loss_seeds_low` and `_high`, null with a single seed.
    """
    every_seed = pd.concat([clips] * len(base), ignore_index=True)
    pooled = compare(np.concatenate(base), np.concatenate(ours), every_seed)
    each = [
        (score(o, clips).overall, score(b, clips).overall) for o, b in zip(ours, base, strict=True)
    ]
    accuracy = [o.accuracy - b.accuracy for o, b in each]
    loss = [o.log_loss - b.log_loss for o, b in each]
    low, high = over_seeds(accuracy)
    loss_low, loss_high = over_seeds(loss)
    return asdict(pooled) | {
        "accuracy_per_seed": accuracy,
        "seeds_low": low,
        "seeds_high": high,
        "log_loss_per_seed": loss,
        "log_loss_seeds_low": loss_low,
        "log_loss_seeds_high": loss_high,
    }


def over_seeds(values: list[float]) -> tuple[float | None, float | None]:
    """The 95 % t interval of a mean; None, None for a single value."""
    if len(values) < 2:
        return None, None
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5)
    return float(np.mean(values) - half), float(np.mean(values) + half)


def verdict(low: float | None, high: float | None) -> str:
    """What an interval of a difference says of zero, in words for a sentence."""
    if low is None or high is None or np.isnan(low):
        return "needs a second seed"
    return "excludes zero" if low > 0 or high < 0 else "includes zero"


def calibration(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> Calibration:
    """Expected calibration error: mean |accuracy − confidence| over equal-width bins of confidence.

    Guo et al. 2017 (arXiv 1706.04599), eq. 3; confidence = the largest probability, bins closed
    on the right.

    Args: probabilities (clips, classes); labels (clips,) integers.
    Returns: the error, and a table with a row per bin; empty bins have NaN means.
    Raises: ValueError naming the first row at fault.
    """
    probabilities = _checked_rows(probabilities)
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


def _sums(
    probabilities: np.ndarray,
    truth: np.ndarray,
    recording: np.ndarray,
    n_recordings: int,
    mask: np.ndarray,
) -> np.ndarray:
    """What one recording adds to the scores of one group: (recordings, 3, 10), by true scene.

    The three are hits, clips and −ln p(true scene): sums over recordings give every score.
    """
    eps = np.finfo(np.float64).eps
    true_probability = probabilities[np.arange(len(truth)), truth]
    hit = probabilities.argmax(1) == truth
    loss = -np.log(np.clip(true_probability, eps, 1 - eps))
    classes = probabilities.shape[1]
    cell = (recording * classes + truth)[mask]
    size = n_recordings * classes
    sums = [np.bincount(cell, values[mask], size) for values in (hit, np.ones(len(truth)), loss)]
    return np.stack(sums).reshape(3, n_recordings, classes).swapaxes(0, 1)


def _scores(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(…, 3, 10) sums -> macro accuracy (…) and log loss (…); NaN for a group without clips."""
    hits, clips, loss = np.moveaxis(sums, -2, 0)
    present = clips > 0
    recalls = np.divide(hits, clips, out=np.zeros_like(hits), where=present)
    with np.errstate(invalid="ignore"):
        # the mean over the scenes present: a resample may lack some
        return recalls.sum(-1) / present.sum(-1), loss.sum(-1) / clips.sum(-1)


def _bootstrap(sums: np.ndarray, resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores (resamples, groups) when the recordings are drawn with replacement."""
    if resamples < 1:
        raise ValueError(f"resamples = {resamples}: at least one is needed")
    n_recordings = len(sums)
    flat = sums.reshape(n_recordings, -1)
    generator = np.random.default_rng(seed)
    scores = []
    for start in range(0, resamples, BLOCK):
        rows = min(BLOCK, resamples - start)
        # a resample is how often each recording was drawn, so its sums are one matrix product
        drawn = generator.multinomial(
            n_recordings, np.full(n_recordings, 1 / n_recordings), size=rows
        )
        scores.append(_scores((drawn @ flat).reshape(rows, *sums.shape[1:])))
    accuracies, losses = zip(*scores, strict=True)
    return np.concatenate(accuracies), np.concatenate(losses)


def _interval(values: np.ndarray) -> tuple[float, float]:
    """95 % percentile interval; resamples in which the group is absent say nothing about it."""
    present = values[~np.isnan(values)]
    if present.size == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(present, QUANTILES)
    return float(low), float(high)


def _recordings(clips: pd.DataFrame) -> tuple[np.ndarray, int]:
    codes, names = pd.factorize(clips["recording"])
    return codes, len(names)


def _scene_indices(clips: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Row numbers into the classes; ValueError names the first row with another scene."""
    indices = pd.Index(classes).get_indexer(pd.Index(clips["scene"]))
    if (indices < 0).any():
        row = int(np.argmax(indices < 0))
        scene = clips["scene"].iloc[row]
        raise ValueError(f"row {row}: scene {scene!r} is none of {', '.join(classes)}")
    return indices


def _checked(probabilities: np.ndarray, clips: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Probabilities as (clips, classes) float64 that go with the table of clips."""
    for column in ("scene", "device", "recording"):
        if column not in clips:
            raise ValueError(f"clips lack the column {column!r}; found {', '.join(clips.columns)}")
        if clips[column].isna().any():
            row = int(np.argmax(clips[column].isna()))
            raise ValueError(f"row {row}: clips have no {column} there")
    shape = np.shape(probabilities)
    if shape != (len(clips), len(classes)):
        raise ValueError(
            f"probabilities have shape {shape}, {len(clips)} clips need "
            f"({len(clips)}, {len(classes)})"
        )
    return _checked_rows(probabilities)


def _checked_rows(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities as float64; ValueError names the first row that is no distribution."""
    probabilities = np.asarray(probabilities, np.float64)
    if probabilities.ndim != 2 or probabilities.size == 0:
        raise ValueError(f"no probabilities: shape {probabilities.shape}, need (clips, classes)")
    sums = probabilities.sum(1)
    faults = {
        "is not finite": ~np.isfinite(probabilities).all(1),
        "is all zeros": (probabilities == 0).all(1),
        "holds a negative value": (probabilities < 0).any(1),
        "does not sum to 1": ~(np.abs(sums - 1) <= SUM_TOLERANCE),
    }
    for fault, rows in faults.items():
        if rows.any():
            row = int(np.argmax(rows))
            raise ValueError(
                f"row {row} of the probabilities {fault} (sum {sums[row]:.6g}); "
                "give softmax outputs, not logits"
            )
    return probabilities
