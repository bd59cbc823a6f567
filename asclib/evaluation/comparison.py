"""The runs of the comparison as they are kept, and the tables that are made of them.

`results/comparison.json` has a row for each run, `results/comparison.npz` what it said of each test
clip: enough for every score, so that whoever doubts a table can make another.

Chapter: book/distillation/comparison.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from asclib.challenge.task import SCENES
from asclib.evaluation.scores import paired
from asclib.store import PROJECT

CLIPS = ("scene", "device", "recording")  # what scores ask of a test clip
ANSWER = ("guess", "confidence", "log_true")  # what `condensed` keeps of a run
POINTS = ("accuracy", "accuracy_low", "accuracy_high", "seeds_low", "seeds_high")  # of a difference
SCORES = ("accuracy", "log_loss", "unseen_accuracy", "calibration_error")


def condensed(probabilities: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """What every score needs of an answer: the scene guessed, its probability, ln p of the truth.

    Args: probabilities (clips, 10), truth (clips,). Returns: arrays (clips,), five bytes a clip.
    """
    true = probabilities[np.arange(len(truth)), truth]
    return {
        "guess": probabilities.argmax(1).astype(np.uint8),
        "confidence": probabilities.max(1).astype(np.float16),
        "log_true": np.log(true.clip(np.finfo(float).eps)).astype(np.float16),  # as the log loss
    }


def restored(
    guess: np.ndarray, confidence: np.ndarray, log_true: np.ndarray, truth: np.ndarray
) -> np.ndarray:
    """Probabilities (clips, 10) with the scores of those that were condensed, to 16-bit floats.

    Scenes that are neither guessed nor true share what is left.
    """
    rows, truth = np.arange(len(truth)), truth.astype(int)
    right = guess == truth
    top, true = confidence.astype(float), np.exp(log_true.astype(float))
    below = top * (1 - 1e-3)  # rounding must not give the guess to another scene
    true = np.where(right, top, np.minimum(true, below))
    rest = np.where(right, (1 - top) / 9, (1 - top - true) / 8).clip(0, below)
    probabilities = np.repeat(rest[:, None], len(SCENES), axis=1)
    probabilities[rows, truth] = true
    probabilities[rows, guess] = top
    return probabilities / probabilities.sum(1, keepdims=True)


class Results:
    """The committed runs of the comparison, for whoever wants to score them.

    `runs`: a row for each, see `comparison`; `clips`: scene, device and recording of the test.
    """

    def __init__(self, path: Path = PROJECT / "results" / "comparison.json"):
        self.settings = json.loads(path.read_text())
        self.runs = pd.DataFrame(self.settings.pop("runs"))
        self.arrays = dict(np.load(path.with_suffix(".npz")))
        self.clips = pd.DataFrame({column: self.arrays[column] for column in CLIPS})
        self.truth = np.array([SCENES.index(scene) for scene in self.clips["scene"]])

    def seeds(self, name: str, times: int = 1) -> list[int]:
        """The seeds a system was trained with, in order."""
        return sorted(self._rows(name, times)["seed"].tolist())

    def probabilities(self, name: str, seeds: Sequence[int], times: int = 1) -> list[np.ndarray]:
        """One (clips, 10) array of each seed. Raises: ValueError when a seed was not trained."""
        arrays = []
        for seed in seeds:
            runs = self._rows(name, times)
            rows = runs.index[runs["seed"] == seed]
            if not len(rows):
                raise ValueError(f"no run of {name} with {times} times the epochs and seed {seed}")
            said = {key: values[rows[0]] for key, values in self.arrays.items() if key in ANSWER}
            arrays.append(restored(**said, truth=self.truth))
        return arrays

    def table(self) -> pd.DataFrame:
        """Means of SCORES over seeds, by system and times; `accuracy_sd` is that over seeds."""
        groups = self.runs.groupby(["system", "times"], sort=False)
        means = groups[list(SCORES)].mean()
        means.insert(0, "seeds", groups.size())
        means.insert(2, "accuracy_sd", groups["accuracy"].std())
        return means

    def against(
        self, base: str, times: int = 1, rivals: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Other systems minus one base in macro accuracy, paired over the seeds both have.

        Args: base, times: a system of at least three seeds; rivals, those with the same times to
            set against the base, all that there are unless named.
        Returns: by system, those with fewer than three common seeds left out: the number of
            `seeds`, and POINTS: the mean difference with its 95 % interval over locations and
            seeds, and that over seeds alone.
        Raises: ValueError when no rival has three seeds in common with the base.
        """
        if rivals is None:
            others = self.runs.query("times == @times and system != @base")["system"]
            rivals = others.unique().tolist()
        rows = {}
        for name in rivals:
            seeds = sorted({*self.seeds(name, times)} & {*self.seeds(base, times)})
            if len(seeds) >= 3:
                ours, theirs = (self.probabilities(one, seeds, times) for one in (name, base))
                found = paired(ours, theirs, self.clips)
                rows[name] = {"seeds": len(seeds), **{key: found[key] for key in POINTS}}
        if not rows:
            raise ValueError(f"no system shares three seeds with {base} (epochs times {times})")
        return pd.DataFrame.from_dict(rows, orient="index")

    def _rows(self, name: str, times: int) -> pd.DataFrame:
        return self.runs[(self.runs["system"] == name) & (self.runs["times"] == times)]
