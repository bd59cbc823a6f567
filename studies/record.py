"""The runs of a comparison as they are kept: a row each, and what it said of each clip.

    fair.json                    settings, and the rows
    fair/clips.npz               scene, device, recording, city, location, rendering of each clip
    fair/<arm>-<number>.npz      of the arm's runs: `right`, a bit for each clip, its log loss
                                 `loss`, and `tempered`, the same after a temperature

A run says ten numbers of each of some 10,000 clips: 32 MB for 160 runs even as 16-bit floats. Those
stay in the store. Accuracy needs one bit of a clip and a log loss one number, kept in a byte; no
file has more than LIMIT bytes, for a new one is begun before that.
"""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from asclib.challenge import SCENES
from asclib.evaluation import score
from asclib.evaluation.systems import Clips, System
from asclib.store import PROJECT, write_atomic
from asclib.training import probabilities

LIMIT = 1_400_000  # bytes of a file, before it is compressed
LARGEST = -np.log(np.finfo(float).eps)  # log loss of a truth that was given no probability
KEY = ("arm", "candidate", "teacher", "seed", "epochs", "second_rate")
Kept = Literal["accuracy", "log_loss", "tempered_log_loss"]
ARRAYS: dict[Kept, str] = {"accuracy": "right", "log_loss": "loss", "tempered_log_loss": "tempered"}
NOBODY = "nobody"  # the candidate that teaches an arm without a teacher


def key_of(
    arm: str,
    candidate: str | None,
    teacher: int,
    seed: int,
    epochs: int,
    second_rate: float | None = None,
) -> dict[str, Any]:
    """What tells a run from all others of a file. Args: candidate, who teaches; None for nobody."""
    values = (arm, candidate or NOBODY, teacher, seed, epochs, second_rate)
    return dict(zip(KEY, values, strict=True))


def _called(row: dict[str, Any]) -> str:
    return ", ".join(f"{name} {row[name]}" for name in KEY)


# ---- settings that all rows of a file share ------------------------------------------------------


def differing(theirs: dict[str, Any], mine: dict[str, Any]) -> list[str]:
    """The names of my settings that a file has otherwise, sorted; mine as json gives them back."""
    mine = json.loads(json.dumps(mine))
    return sorted(name for name in mine if theirs.get(name) != mine[name])


def refuse(path: Path, names: Sequence[str], remedy: str = "move it away") -> None:
    """Raises: ValueError naming the settings in which the file differs, if there are any."""
    if names:
        raise ValueError(f"{path} was made with other settings ({', '.join(names)}): {remedy}")


def begun(path: Path, made_with: dict[str, Any]) -> dict[str, Any]:
    """What a json file holds so far: made_with, and no `runs` yet, where there is none.

    Raises: ValueError naming the settings in which the file that is there differs.
    """
    if not path.is_file():
        return json.loads(json.dumps(made_with)) | {"runs": []}
    found = json.loads(path.read_text())
    refuse(path, differing(found, made_with))
    return found


def write_json(path: Path, found: dict[str, Any]) -> None:
    """Write a file of results, all of it or nothing; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, (json.dumps(found, indent=1) + "\n").encode())


# ---- log losses ----------------------------------------------------------------------------------


def in_bytes(losses: np.ndarray) -> np.ndarray:
    """Log losses as bytes: steps that grow with the square root, 0.0006 at zero and 0.28 at most.

    Rounded up or down at random, by the clip's place, so that a mean over clips is right to 0.0002
    even when all of them are alike.
    """
    steps = 255 * np.sqrt(np.clip(losses, 0, LARGEST) / LARGEST)
    return np.floor(steps + np.random.default_rng(0).random(len(steps))).astype(np.uint8)


def from_bytes(losses: np.ndarray) -> np.ndarray:
    return LARGEST * (losses / 255.0) ** 2


# ---- rows and answers ----------------------------------------------------------------------------


class Record:
    """Rows and answers, on the disk after each `add`.

    Args: path of the json; made_with, what all rows have in common, and table of the test clips:
        both are only needed to add; limit, of the bytes of a file of answers.
    Raises: ValueError when the file there was made with other settings or of other clips; nothing
        is lost. FileNotFoundError when there is neither a file nor what it takes to begin one.
    """

    def __init__(
        self,
        path: Path = PROJECT / "results" / "fair.json",
        made_with: dict[str, Any] | None = None,
        table: pd.DataFrame | None = None,
        limit: int = LIMIT,
    ):
        self.path, self.folder, self.limit = path, path.with_suffix(""), limit
        if path.is_file():
            self.settings = json.loads(path.read_text())
            self.rows: list[dict[str, Any]] = self.settings.pop("runs")
            with np.load(self.folder / "clips.npz") as found:
                self.table = pd.DataFrame(dict(found))
            self._compare(made_with, table)
        elif made_with is None or table is None:
            raise FileNotFoundError(f"no runs in {path}: run python -m studies {path.stem} first")
        else:
            self.settings, self.rows, self.table = dict(made_with), [], table

    def _compare(self, made_with: dict[str, Any] | None, table: pd.DataFrame | None) -> None:
        names = differing(self.settings, made_with or {})
        if table is not None:
            theirs = table.reindex(columns=self.table.columns).to_numpy(str)
            if not np.array_equal(self.table.to_numpy(str), theirs):
                names.append("test clips")
        refuse(self.path, names, "move it and its folder away, or give another --output")

    # ---- rows ------------------------------------------------------------------------------------

    def holds(
        self,
        key: dict[str, Any],
        settings: dict[str, Any],
        own: Sequence[str] = ("taught_by",),
    ) -> bool:
        """Whether the run is there.

        Args: own, the names of settings that are another for each run of an arm.
        Raises: ValueError when it, or another run of its arm, was made in another way.
        """
        shared = {name: value for name, value in settings.items() if name not in own}
        of_runs = ("seed", "teacher")  # the rest of the key is the arm's
        there = False
        for row in self.rows:
            if any(row[name] != key[name] for name in KEY if name not in of_runs):
                continue
            same = all(row[name] == key[name] for name in of_runs)
            if names := differing(row, settings if same else shared):
                raise ValueError(
                    f"{self.path}: the run of {_called(row)} has other {', '.join(names)}: "
                    "take its row out, or give another --output"
                )
            there |= same
        return there

    def add_logits(
        self,
        row: dict[str, Any],
        logits: np.ndarray,
        more: dict[str, Any] | None = None,
        temperature: float | None = None,
    ) -> None:
        """Write one more run with its scores, from what it says of the test clips.

        Args: row, how it was made; logits (clips, classes), in the order of the table; more, what
            else was measured: it comes after the scores; temperature, chosen on validation clips:
            the log loss after it is kept as well.
        """
        p = probabilities(torch.from_numpy(logits))
        row = row | self.scores(p)
        tempered = None
        if temperature is not None:
            tempered = self._losses(probabilities(torch.from_numpy(logits).float() / temperature))
            loss = round(float(tempered.mean()), 5)
            row |= {"temperature": round(temperature, 4), "tempered_log_loss": loss}
        self.add(row | (more or {}), p.argmax(1) == self.truth, self._losses(p), tempered)

    def _losses(self, p: np.ndarray) -> np.ndarray:
        return -np.log(p[np.arange(len(p)), self.truth].clip(np.finfo(float).eps))

    def add(
        self,
        row: dict[str, Any],
        right: np.ndarray,
        losses: np.ndarray,
        tempered: np.ndarray | None = None,
    ) -> None:
        """Write one more run.

        Args: right, losses and tempered (clips,), in the order of the table; without a temperature
            None, of which zeros are kept that nothing reads.
        Raises: ValueError when there are others than clips, or when the run is there already.
        """
        if tempered is None:
            tempered = np.zeros(len(losses))
        if not len(right) == len(losses) == len(tempered) == len(self.table):
            raise ValueError(f"{len(right)} answers for {len(self.table)} test clips")
        if any(all(other[name] == row[name] for name in KEY) for other in self.rows):
            raise ValueError(f"{self.path} has the run of {_called(row)} already: take its row out")
        arrays = {"right": np.packbits(right.astype(bool)), "loss": in_bytes(losses)}
        arrays["tempered"] = in_bytes(tempered)
        fit = max(1, self.limit // sum(one.nbytes for one in arrays.values()))
        before = sum(other["arm"] == row["arm"] for other in self.rows)
        number, place = divmod(before, fit)
        name = f"{row['arm']}-{number}.npz"
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.rows:
            self._write("clips.npz", {key: self.table[key].to_numpy(str) for key in self.table})
        if place:  # the file may hold more than the rows know, when a run was cut off here
            with np.load(self.folder / name) as old:
                arrays = {key: np.vstack([old[key][:place], arrays[key]]) for key in arrays}
        else:
            arrays = {key: value[None] for key, value in arrays.items()}
        self._write(name, arrays)
        self.rows.append(row | {"file": f"{self.folder.name}/{name}", "row": place})
        self.write()

    def write(self) -> None:
        """Write the json: settings and rows."""
        write_json(self.path, self.settings | {"runs": self.rows})

    def _write(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        write_atomic(self.folder / name, buffer.getvalue())

    # ---- what is scored --------------------------------------------------------------------------

    @functools.cached_property
    def truth(self) -> np.ndarray:
        """The scene of each test clip, by its number: (clips,)."""
        return self.table["scene"].map(SCENES.index).to_numpy()

    def scores(self, p: np.ndarray) -> dict[str, Any]:
        """The test scores of a row: overall, of unseen devices, by device and by rendering.

        Args: p (clips, classes), probabilities in the order of the table.
        """
        found = score(p, self.table)
        devices = found.devices.items()
        return {
            "accuracy": round(found.overall.accuracy, 5),
            "log_loss": round(found.overall.log_loss, 5),
            "unseen_accuracy": found.unseen and round(found.unseen.accuracy, 5),
            "devices": {name: round(one.accuracy, 5) for name, one in devices},
            "device_log_loss": {name: round(one.log_loss, 5) for name, one in devices},
            "renderings": {
                name: round(score(p[rows], self.table.iloc[rows]).overall.accuracy, 5)
                for name, rows in self.table.groupby("rendering", sort=False).indices.items()
            },
        }

    def lengths(self, arms: Sequence[str], candidate: str) -> list[int]:
        """The numbers of epochs at which each of these arms has a run, in order."""
        there = {row["epochs"] for row in self.rows}
        return sorted(n for n in there if set(arms) <= self.arms(n, candidate))

    @property
    def clips(self) -> Clips:
        """Scene and location of each test clip."""
        return Clips.of(self.table)

    def arms(self, epochs: int, candidate: str) -> set[str]:
        """The arms with runs of so many epochs, taught by this candidate or by nobody."""
        return {row["arm"] for row in self.rows_of(candidate, epochs=epochs, second_rate=None)}

    def system(
        self,
        arm: str,
        epochs: int,
        candidate: str,
        measure: Kept = "accuracy",
        second_rate: float | None = None,
    ) -> System:
        """The runs of one arm, by seed and teacher: each of them right or wrong, or its log losses.

        An arm that nobody teaches has runs of its own beside each teacher. Runs without a
        temperature have no log loss after it. Raises: ValueError when there is no run.
        """
        rows = self.rows_of(candidate, arm=arm, epochs=epochs, second_rate=second_rate)
        if measure == "tempered_log_loss":
            rows = [row for row in rows if "temperature" in row]
        if not rows:
            raise ValueError(
                f"{self.path} has no run of {arm} with {epochs} epochs and the teacher {candidate}:"
                f" run python -m studies {self.path.stem} for it"
            )
        arrays = {name: self._arrays(name) for name in {row["file"] for row in rows}}
        values = np.stack([arrays[row["file"]][ARRAYS[measure]][row["row"]] for row in rows])
        seeds, teachers = ([row[name] for row in rows] for name in ("seed", "teacher"))
        return System(arm, values, tuple(seeds), tuple(teachers))

    def rows_of(self, candidate: str, **wanted: Any) -> list[dict[str, Any]]:
        """The rows of these values, taught by this candidate or by nobody."""
        return [
            row
            for row in self.rows
            if row["candidate"] in (candidate, NOBODY)
            and all(row[name] == value for name, value in wanted.items())
        ]

    def _arrays(self, name: str) -> dict[str, np.ndarray]:
        with np.load(self.path.parent / name) as found:
            right = np.unpackbits(found["right"], axis=1, count=len(self.table)).astype(float)
            losses = {key: from_bytes(found[key]) for key in found.files if key != "right"}
            return {"right": right} | losses
