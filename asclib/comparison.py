"""The runs of the comparison as they are kept, and the tables that are made of them.

`results/comparison.json` has a row for each run, `results/comparison.npz` what it said of each test
clip: enough for every score, so that whoever doubts a table can make another.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from asclib.evaluation import paired
from asclib.ranking import holm, paired_test
from asclib.settings import SCENES
from asclib.store import PROJECT

CLIPS = ("scene", "device", "recording")  # what scores ask of a test clip
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
            rows = self._rows(name, times)
            rows = rows.index[rows["seed"] == seed]
            if not len(rows):
                raise ValueError(f"no run of {name} with {times} times the epochs and seed {seed}")
            row = rows[0]
            arrays.append(
                restored(*(self.arrays[key][row] for key in ("guess", "confidence", "log_true")),
                         self.truth)
            )  # fmt: skip
        return arrays

    def table(self) -> pd.DataFrame:
        """Means of SCORES over seeds, by system and times; `accuracy_sd` is that over seeds."""
        groups = self.runs.groupby(["system", "times"], sort=False)
        means = groups[list(SCORES)].mean()
        means.insert(0, "seeds", groups.size())
        means.insert(2, "accuracy_sd", groups["accuracy"].std())
        return means

    def against(self, base: str, times: int = 1) -> pd.DataFrame:
        """Every other system minus one base, paired over the seeds that both were trained with.

        Args: base, times: a system of at least three seeds; its rivals have the same times.
        Returns: by system: the number of seeds; the mean difference of macro accuracy with its 95 %
            intervals over recordings (`accuracy_low`, `_high`) and over seeds (`seeds_low`,
            `_high`); `p_value` over seeds and `p_holm`, corrected for the number of rivals; and
            the `effect` in standard deviations over seeds.
        """
        rivals = self.runs.query("times == @times and system != @base")["system"].unique()
        rows = {}
        for name in rivals:
            seeds = sorted({*self.seeds(name, times)} & {*self.seeds(base, times)})
            if len(seeds) < 3:
                continue
            ours, theirs = (self.probabilities(one, seeds, times) for one in (name, base))
            difference = paired(ours, theirs, self.clips)
            test = paired_test(*(self._accuracy(one, seeds, times) for one in (name, base)))
            keys = ("accuracy", "accuracy_low", "accuracy_high", "seeds_low", "seeds_high")
            rows[name] = {"seeds": len(seeds), **{key: difference[key] for key in keys},
                          "p_value": test["p_value"], "effect": test["effect"]}  # fmt: skip
        table = pd.DataFrame(rows).T.infer_objects()
        table.insert(7, "p_holm", holm(table["p_value"].astype(float)))
        return table

    def losses(self, names: Sequence[str], times: int = 1) -> pd.DataFrame:
        """The log loss of each test recording and system, a mean over its clips and the seeds.

        The blocks of `asclib.ranking.rank`: recordings are independent draws, clips of one are not.
        """
        columns = {
            name: -np.mean([self.arrays["log_true"][row].astype(float)
                            for row in self._rows(name, times).index], axis=0)
            for name in names
        }  # fmt: skip
        return pd.DataFrame(columns).groupby(self.clips["recording"].to_numpy()).mean()

    def _rows(self, name: str, times: int) -> pd.DataFrame:
        return self.runs[(self.runs["system"] == name) & (self.runs["times"] == times)]

    def _accuracy(self, name: str, seeds: Sequence[int], times: int) -> np.ndarray:
        return self._rows(name, times).set_index("seed")["accuracy"].loc[list(seeds)].to_numpy()
