"""What the embedded corpus is like, measured with a classifier that is trained in a second.

    python -m asclib.study dataset

A logistic regression on the mean and the standard deviation of every mel band stands for any
classifier: what it loses on other devices, and how far a careless validation split flatters it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupShuffleSplit, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from asclib.corpus import places
from asclib.evaluation import evaluate
from asclib.experiment import Experiment
from asclib.settings import SCENES, UNSEEN_DEVICES
from asclib.store import progress

VALIDATION_SHARE = 0.3  # the published study's, for every way of splitting
STRENGTHS = (0.0001, 0.001, 0.01, 0.1, 1.0)  # C of the classifier: small is strong regularisation
DEFAULT_STRENGTH = 1.0  # scikit-learn's
RESAMPLES = 1000

Parts = tuple[np.ndarray, np.ndarray]  # positions of the clips to fit on, and to validate on


def summary(x: Tensor) -> np.ndarray:
    """(n, 1, mels, frames) log-mel -> (n, 2 mels): means over time, then standard deviations."""
    bands = x[:, 0].numpy()
    return np.concatenate([bands.mean(2), bands.std(2)], axis=1)


def classifier(strength: float = DEFAULT_STRENGTH) -> Pipeline:
    """Standardised features and multinomial logistic regression; `strength` is scikit-learn's C."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=5000))


def macro_accuracy(truth: np.ndarray, guess: np.ndarray) -> float:
    """Mean recall of the scenes that occur in `truth`."""
    return float(np.mean([(guess[truth == scene] == scene).mean() for scene in np.unique(truth)]))


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
    "clip within city": _by_clip_within_city,  # as published, in ipleiria-robotics/DCASE
    "recording": lambda clips, seed: _by_group(clips, clips["recording"], seed),
    "location": lambda clips, seed: _by_group(clips, places(clips), seed),
}


def dataset(experiment: Experiment, seeds: list[int]) -> dict[str, Any]:
    """The figures of `results/dataset.json`, all of one corpus.

    Args: seeds of the splits; the corpus and the features are the experiment's.
    Returns: the size of the splits; the classifier's test scores with intervals over recordings;
        every validation and test accuracy of the leak experiment; and the share of validation clips
        that have a relative among the clips to fit on.
    """
    train, test = experiment.clips("train"), experiment.clips("test")
    here, there = experiment.table("train"), experiment.table("test")
    x, x_test = summary(train.x), summary(test.x)
    y, y_test = train.labels.numpy(), test.labels.numpy()
    net = classifier().fit(x, y)
    probabilities = np.zeros((len(y_test), len(SCENES)))
    probabilities[:, net.classes_] = net.predict_proba(x_test)
    score = evaluate(probabilities, there, resamples=RESAMPLES)
    main = (there["device"] == "a").to_numpy()
    runs, shared = [], []
    for name, seed in progress([(n, s) for n in SPLITS for s in seeds], label="splits"):
        fit, held_out = SPLITS[name](here, seed)
        table = experiment.corpus.leakage(here.iloc[fit], here.iloc[held_out])
        shared.append({"split": name, "seed": seed, **(table["clips"] / len(held_out)).to_dict()})
        for strength in STRENGTHS:
            net = classifier(strength).fit(x[fit], y[fit])
            guess = net.predict(x_test)
            row = {
                "validation": macro_accuracy(y[held_out], net.predict(x[held_out])),
                "test": macro_accuracy(y_test, guess),
                "test_main_device": macro_accuracy(y_test[main], guess[main]),
            }
            runs.append({"split": name, "seed": seed, "strength": strength, **row})
    splits = ("train", "fit", "validation", "test")
    return {
        "size": asdict(experiment.profile.corpus),
        "clips": {name: len(experiment.table(name)) for name in splits},
        "seeds": seeds,
        "classifier": score.table().round(5).to_dict("records"),
        "unseen_gap": device_gap(probabilities.argmax(1) == y_test, there),
        "runs": pd.DataFrame(runs).round(5).to_dict("records"),
        "shared": pd.DataFrame(shared).round(5).to_dict("records"),
    }


def device_gap(hit: np.ndarray, clips: pd.DataFrame, seed: int = 0) -> dict[str, float] | None:
    """Accuracy on device a less that on the unseen devices, of recordings that both have heard.

    Args: hit (clips,) bool; clips with the columns recording and device.
    Returns: the difference and its 95 % bootstrap interval over recordings; None without such
        recordings. Each recording counts alike.
    """
    table = pd.DataFrame({"recording": clips["recording"].to_numpy(), "hit": hit})
    device = clips["device"].to_numpy()
    heard = table[device == "a"].groupby("recording")["hit"].mean()
    unheard = table[np.isin(device, UNSEEN_DEVICES)].groupby("recording")["hit"].mean()
    difference = (heard - unheard).dropna().to_numpy()
    if len(difference) == 0:
        return None
    draws = np.random.default_rng(seed).integers(len(difference), size=(RESAMPLES, len(difference)))
    low, high = np.quantile(difference[draws].mean(1), (0.025, 0.975))
    values = {"accuracy": difference.mean(), "accuracy_low": low, "accuracy_high": high}
    return {name: round(float(value), 5) for name, value in values.items()}
