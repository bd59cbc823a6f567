"""How good a system is, and how sure one may be of it.

Every figure carries the 95 % interval of `asclib.evaluation.statistics`: over *locations*, because
the clips of one place, its recordings and devices, resemble each other; and over trainings too,
where a system was trained with several seeds.

Chapters: book/task/challenge, book/challenges/scoreboard.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from asclib.challenge.task import SCENES, UNSEEN_DEVICES
from asclib.evaluation import statistics
from asclib.evaluation.statistics import Difference, Verdict
from asclib.evaluation.systems import Clips, Measure, System, locations

SUM_TOLERANCE = 1e-3  # file formats round probabilities; more than this is not a distribution


@dataclass(frozen=True)
class Score:
    """Macro accuracy and log loss of one group of clips, each with its 95 % interval.

    Ends are NaN where nothing says how another location would differ: where all clips are of one,
    and those of the accuracy, which is taken scene by scene, where no scene has two.
    """

    clips: int
    locations: int
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
    rows the true scene, columns the predicted one, both in the order of the classes; of several
    trainings, all are counted.
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
    """Differences b − a of two systems on the same clips, each with its 95 % interval.

    `verdict` of the accuracy and `log_loss_verdict`: yes, no or open, see `statistics.verdict`.
    """

    clips: int
    locations: int
    seeds: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    verdict: Verdict
    log_loss: float
    log_loss_low: float
    log_loss_high: float
    log_loss_verdict: Verdict


def evaluate(
    probabilities: ArrayLike, clips: pd.DataFrame, *, classes: Sequence[str] = SCENES
) -> Evaluation:
    """Macro accuracy and log loss, overall and by group, with intervals over locations.

    Macro accuracy is the mean of the recalls of the scenes present; log loss the mean over clips
    of −ln p(true scene), p clipped to [2⁻⁵², 1 − 2⁻⁵²] as scikit-learn does (DCASE task 1).

    Args: probabilities (clips, classes) in the order of the classes, or (seeds, clips, classes) of
        several trainings, whose mean score is meant and over which the intervals are as well;
        clips: columns scene, device, and city and location or recording, one row for each clip;
        classes, where they are not SCENES.
    Raises: ValueError naming the first row at fault.
    """
    return _evaluation(probabilities, clips, classes, intervals=True)


def score(
    probabilities: ArrayLike, clips: pd.DataFrame, classes: Sequence[str] = SCENES
) -> Evaluation:
    """`evaluate` without its intervals, whose ends are NaN: for one run of many."""
    return _evaluation(probabilities, clips, classes, intervals=False)


def _evaluation(
    probabilities: ArrayLike, clips: pd.DataFrame, classes: Sequence[str], intervals: bool
) -> Evaluation:
    runs = _checked(probabilities, clips, classes)
    truth, place = _scene_indices(clips, classes), locations(clips).to_numpy(object)
    right, losses = _right_and_losses(runs, truth)
    device = clips["device"].to_numpy()
    unseen = np.isin(device, UNSEEN_DEVICES)

    masks = {("overall", ""): np.ones(len(clips), bool)}
    masks |= {("seen", ""): ~unseen, ("unseen", ""): unseen}
    masks |= {("device", name): device == name for name in sorted(set(device))}
    masks |= {("scene", s): truth == k for k, s in enumerate(classes)}
    scores = {
        group: _score(right[:, mask], losses[:, mask], Clips(truth[mask], place[mask]), intervals)
        for group, mask in masks.items()
        if mask.any()
    }
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    for answer in runs:
        np.add.at(confusion, (truth, answer.argmax(1)), 1)
    return Evaluation(
        overall=scores["overall", ""],
        scenes={name: s for (kind, name), s in scores.items() if kind == "scene"},
        devices={name: s for (kind, name), s in scores.items() if kind == "device"},
        seen=scores.get(("seen", "")),
        unseen=scores.get(("unseen", "")),
        confusion=confusion,
    )


def _score(right: np.ndarray, losses: np.ndarray, clips: Clips, intervals: bool) -> Score:
    """Of one group of clips. Args: right, losses (seeds, clips)."""
    found: list[float] = []
    values: tuple[tuple[Measure, np.ndarray, float], ...] = (
        ("accuracy", right, 1.0),
        ("log_loss", losses, math.inf),
    )
    in_a_scene = (clips.counts > 0).sum(0).max()
    for measure, each, highest in values:
        places = in_a_scene if measure == "accuracy" else len(clips.counts)
        if intervals and places > 1:
            one = statistics.score(_system(measure, each), clips, measure)
            found += one.estimate, max(one.low, 0.0), min(one.high, highest)
        else:
            sums, n = clips.sums(each).sum((0, 1)), clips.counts.sum(0) * len(each)
            mean = (sums / n).mean() if measure == "accuracy" else sums.sum() / n.sum()
            found += float(mean), math.nan, math.nan
    return Score(len(clips), len(clips.counts), *found)


def compare(
    a: ArrayLike, b: ArrayLike, clips: pd.DataFrame, *, classes: Sequence[str] = SCENES
) -> Comparison:
    """b − a: the difference of two systems, paired over locations and seeds.

    Args: a, b (clips, classes) probabilities of two systems, or (seeds, clips, classes), the same
        seeds in the same order; others as for `evaluate`.
    Returns: differences of macro accuracy (positive: b better) and log loss (negative: b better),
        with intervals and verdicts; a single training leaves every verdict open.
    Raises: ValueError naming the first row at fault, or for unequal numbers of seeds.
    """
    systems = []
    for name, probabilities in (("a", a), ("b", b)):
        try:
            systems.append(_checked(probabilities, clips, classes))
        except ValueError as error:
            raise ValueError(f"system {name}: {error}") from error
    if len(systems[0]) != len(systems[1]):
        raise ValueError(
            f"{len(systems[0])} trainings of a and {len(systems[1])} of b: give both of each seed"
        )
    truth, place = _scene_indices(clips, classes), locations(clips).to_numpy(object)
    table = Clips(truth, place)
    base, ours = (_right_and_losses(runs, truth) for runs in systems)
    accuracy, loss = (
        statistics.difference(
            _system("b", ours[k]), _system("a", base[k]), table, ("accuracy", "log_loss")[k]
        )
        for k in (0, 1)
    )
    return Comparison(
        len(clips),
        accuracy.locations,
        len(systems[0]),
        accuracy.estimate,
        accuracy.low,
        accuracy.high,
        accuracy.verdict,
        loss.estimate,
        loss.low,
        loss.high,
        loss.verdict,
    )


def device_gap(
    probabilities: ArrayLike, clips: pd.DataFrame, *, classes: Sequence[str] = SCENES
) -> Difference | None:
    """Macro accuracy on device a less that on unseen devices, at locations where both were heard.

    Args: as for `evaluate`. Returns: the difference with its interval, None without such locations.
    """
    runs = _checked(probabilities, clips, classes)
    truth = _scene_indices(clips, classes)
    table = Clips(truth, locations(clips).to_numpy(object))
    device = clips["device"].to_numpy()
    heard, unheard = device == "a", np.isin(device, UNSEEN_DEVICES)
    if not set(table.location[heard]) & set(table.location[unheard]):
        return None
    right, _ = _right_and_losses(runs, truth)
    return statistics.gap(_system("system", right), table, heard, unheard)


def paired(ours: list[np.ndarray], base: list[np.ndarray], clips: pd.DataFrame) -> dict[str, Any]:
    """`compare` as a row of a table, with the differences of each seed.

    Args: lists over seeds of probabilities (clips, 10).
    Returns: what `compare` does; accuracy_per_seed and log_loss_per_seed; and 95 % t intervals over
        seeds alone (would other trainings say the same here?), of accuracy as `seeds_low` and
        `seeds_high` and of log loss as `log_loss_seeds_low` and `_high`, null with a single seed.
    """
    each = [
        (score(o, clips).overall, score(b, clips).overall) for o, b in zip(ours, base, strict=True)
    ]
    accuracy = [o.accuracy - b.accuracy for o, b in each]
    loss = [o.log_loss - b.log_loss for o, b in each]
    low, high = over_seeds(accuracy)
    loss_low, loss_high = over_seeds(loss)
    return asdict(compare(base, ours, clips)) | {
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


def _system(name: str, values: np.ndarray) -> System:
    return System(name, values, tuple(range(len(values))))


def _right_and_losses(runs: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(seeds, clips, classes) -> (seeds, clips) 1 or 0, and −ln p(true scene)."""
    eps = np.finfo(np.float64).eps
    true = runs[:, np.arange(len(truth)), truth]
    return (runs.argmax(2) == truth).astype(float), -np.log(np.clip(true, eps, 1 - eps))


def _scene_indices(clips: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Row numbers into the classes; ValueError names the first row with another scene."""
    indices = pd.Index(classes).get_indexer(pd.Index(clips["scene"]))
    if (indices < 0).any():
        row = int(np.argmax(indices < 0))
        scene = clips["scene"].iloc[row]
        raise ValueError(f"row {row}: scene {scene!r} is none of {', '.join(classes)}")
    return indices


def _checked(probabilities: ArrayLike, clips: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Probabilities as (seeds, clips, classes) float64 that go with the table of clips."""
    for column in ("scene", "device"):
        if column not in clips:
            raise ValueError(f"clips lack the column {column!r}; found {', '.join(clips.columns)}")
        if clips[column].isna().any():
            row = int(np.argmax(clips[column].isna()))
            raise ValueError(f"row {row}: clips have no {column} there")
    shape = np.shape(probabilities)
    wanted = len(clips), len(classes)
    if shape[-2:] != wanted or len(shape) not in (2, 3):
        raise ValueError(
            f"probabilities have shape {shape}, {len(clips)} clips need {wanted}; name other "
            "classes than the challenge's with classes="
        )
    runs = np.asarray(probabilities, np.float64).reshape(-1, *wanted)
    return np.stack([distributions(one) for one in runs])


def distributions(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities (clips, classes) as float64.

    Raises: ValueError naming the first row that is no distribution.
    """
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
