"""What the embedded corpus is like, measured with a classifier that is trained in a second.

    python -m studies dataset

A logistic regression on the mean and the standard deviation of every mel band stands for any
classifier: what it loses on other devices, and how far a careless validation split flatters it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupShuffleSplit, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from asclib.augmentation import clip, tmsic_versions
from asclib.augmentation.clip import REFERENCE_DEVICE
from asclib.challenge import SCENES
from asclib.corpus import places, read_audio
from asclib.evaluation import device_gap, evaluate
from asclib.evaluation.statistics import Difference
from asclib.features import LogMel
from asclib.progress import progress
from asclib.runs import Experiment
from asclib.store import artefact
from asclib.training import one_thread
from studies.command import Commands, add_command, origin

VALIDATION_SHARE = 0.3  # the published study's, for every way of splitting
STRENGTHS = (0.0001, 0.001, 0.01, 0.1, 1.0)  # C of the classifier: small is strong regularisation
DEFAULT_STRENGTH = 1.0  # scikit-learn's
PUBLISHED = "clip within city, augmented"  # of all the versions of the clips, as published

Parts = tuple[np.ndarray, np.ndarray]  # positions of the clips to fit on, and to validate on


def add_parser(commands: Commands) -> None:
    add_command(commands, "dataset", _dataset, seeds=8, profile="study")


def _dataset(options: argparse.Namespace) -> dict[str, Any]:
    experiment = Experiment(options.profile, options.data_root)
    return origin(experiment) | dataset(experiment, options.seeds)


def summary(x: Tensor) -> np.ndarray:
    """(n, 1, mels, frames) log-mel -> (n, 2 mels): means over time, then standard deviations."""
    bands = x[:, 0].numpy()
    return np.concatenate([bands.mean(2), bands.std(2)], axis=1)


def classifier(strength: float = DEFAULT_STRENGTH) -> Pipeline:
    """Standardised features and multinomial logistic regression; `strength` is scikit-learn's C."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=5000))


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


def augmented(experiment: Experiment) -> tuple[np.ndarray, np.ndarray]:
    """The training clips and the authors' versions of them: features, and whose they are.

    Returns: (items, 2 mels) `summary` of each item and (items,) its row of the training split; the
        clips come first, in their order, then five versions of every clip of another device than a.
    """
    table, log_mel = experiment.table("train"), LogMel.tmsic()
    rows = np.flatnonzero(table["device"] != REFERENCE_DEVICE)

    def build(folder: Path) -> None:
        parts = []
        with one_thread():
            for row in progress(table.iloc[rows].itertuples(), total=len(rows), label="versions"):
                x = read_audio(experiment.corpus.root / row.filename, row=row.Index + 2)
                versions = tmsic_versions(x, row.identifier, row.device, log_mel, seed=0)
                parts.append(summary(torch.from_numpy(versions[1:])))
        np.save(folder / "summary.npy", np.stack(parts))

    folder = artefact(
        "versions",
        {"split": "train", "front_end": log_mel, "made": clip.VERSION},
        build,
        parents=(experiment.data.features,),
    )
    versions = np.load(folder / "summary.npy")  # (clips, 5, 2 mels)
    plain = summary(experiment.clips("train").x)
    items = np.concatenate([plain, *versions.swapaxes(0, 1)])
    return items, np.concatenate([np.arange(len(plain)), *[rows] * versions.shape[1]])


def dataset(experiment: Experiment, seeds: list[int]) -> dict[str, Any]:
    """The figures of `results/dataset.json`, all of one corpus.

    Args: seeds of the splits; the corpus and the features are the experiment's.
    Returns: the size of the splits; the classifier's test scores with intervals over locations;
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
    score = evaluate(probabilities, there)
    main = (there["device"] == "a").to_numpy()
    plain = x, np.arange(len(x))
    versions = augmented(experiment)
    runs, shared = [], []
    for name, seed in progress([(n, s) for n in SPLITS for s in seeds], label="splits"):
        items, rows = versions if name == PUBLISHED else plain
        table, truth = here.iloc[rows], y[rows]
        fit, held_out = SPLITS[name](table, seed)
        leak = experiment.corpus.leakage(table.iloc[fit], table.iloc[held_out])
        shared.append({"split": name, "seed": seed, **(leak["clips"] / len(held_out)).to_dict()})
        for strength in STRENGTHS:
            net = classifier(strength).fit(items[fit], truth[fit])
            guess = net.predict(x_test)
            row = {
                "validation": balanced_accuracy_score(
                    truth[held_out], net.predict(items[held_out])
                ),
                "test": balanced_accuracy_score(y_test, guess),
                "test_main_device": balanced_accuracy_score(y_test[main], guess[main]),
            }
            runs.append({"split": name, "seed": seed, "strength": strength, **row})
    splits = ("train", "fit", "validation", "test")
    return {
        "size": asdict(experiment.profile.corpus),
        "clips": {name: len(experiment.table(name)) for name in splits}
        | {"augmented": len(versions[1])},
        "seeds": seeds,
        "classifier": score.table().round(5).to_dict("records"),
        "unseen_gap": figures(device_gap(probabilities, there)),
        "runs": pd.DataFrame(runs).round(5).to_dict("records"),
        "shared": pd.DataFrame(shared).round(5).to_dict("records"),
    }


def figures(gap: Difference | None) -> dict[str, float] | None:
    """A difference of accuracies as the results have it."""
    if gap is None:
        return None
    ends = {"accuracy": gap.estimate, "accuracy_low": gap.low, "accuracy_high": gap.high}
    return {name: round(value, 5) for name, value in ends.items()}
