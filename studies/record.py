"""The runs of a comparison as they are kept: a row each, and what it said of each clip.

    fair.json                    settings, and the rows
    fair/clips.npz               scene, device, recording, city, location, rendering of each clip
    fair/<arm>-<number>.npz      of the arm's runs: `right`, a bit for each clip, and `loss`

A run says ten numbers of each of some 10,000 clips: 32 MB for 160 runs even as 16-bit floats. Those
stay in the store. Accuracy needs one bit of a clip and log loss one number, kept in a byte: nine
bytes for eight clips, and no file of more than LIMIT bytes, for a new one is begun before that.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from asclib.evaluation.systems import Clips, Measure, System
from asclib.store import PROJECT, write_atomic

LIMIT = 1_400_000  # bytes of a file, before it is compressed
LARGEST = -np.log(np.finfo(float).eps)  # log loss of a truth that was given no probability
KEY = ("arm", "candidate", "teacher", "seed", "epochs", "second_rate")
NOBODY = "nobody"  # the candidate that teaches an arm without a teacher


def in_bytes(losses: np.ndarray) -> np.ndarray:
    """Log losses as bytes: steps that grow with the square root, 0.0006 at zero and 0.28 at most.

    Rounded up or down at random, by the clip's place, so that a mean over clips is right to 0.0002
    even when all of them are alike.
    """
    steps = 255 * np.sqrt(np.clip(losses, 0, LARGEST) / LARGEST)
    return np.floor(steps + np.random.default_rng(0).random(len(steps))).astype(np.uint8)


def from_bytes(losses: np.ndarray) -> np.ndarray:
    return LARGEST * (losses / 255.0) ** 2


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
        made_with = json.loads(json.dumps(made_with or {}))  # as it is read back
        differing = sorted(key for key in made_with if made_with[key] != self.settings.get(key))
        if table is not None:
            theirs = table.reindex(columns=self.table.columns).to_numpy(str)
            if not np.array_equal(self.table.to_numpy(str), theirs):
                differing.append("test clips")
        if differing:
            raise ValueError(
                f"{self.path} was made with other settings ({', '.join(differing)}): "
                "move it and its folder away, or give another --output"
            )

    # ---- rows ------------------------------------------------------------------------------------

    def holds(self, key: dict[str, Any], settings: dict[str, Any]) -> bool:
        """Whether the run is there. Raises: ValueError when it was made in another way."""
        for row in self.rows:
            if all(row[name] == key[name] for name in KEY):
                settings = json.loads(json.dumps(settings))
                differing = [name for name in settings if row[name] != settings[name]]
                if differing:
                    called = ", ".join(f"{name} {row[name]}" for name in KEY)
                    raise ValueError(
                        f"{self.path}: the run of {called} has other {', '.join(differing)}: "
                        "take its row out, or give another --output"
                    )
                return True
        return False

    def add(self, row: dict[str, Any], right: np.ndarray, losses: np.ndarray) -> None:
        """Write one more run. Args: right and losses (clips,), in the order of the table."""
        if not len(right) == len(losses) == len(self.table):
            raise ValueError(f"{len(right)} answers for {len(self.table)} test clips")
        arrays = {"right": np.packbits(right.astype(bool)), "loss": in_bytes(losses)}
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
        text = json.dumps(self.settings | {"runs": self.rows}, indent=1)
        write_atomic(self.path, (text + "\n").encode())

    def _write(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        write_atomic(self.folder / name, buffer.getvalue())

    # ---- what is scored --------------------------------------------------------------------------

    @property
    def clips(self) -> Clips:
        """Scene and location of each test clip."""
        return Clips.of(self.table)

    def system(
        self,
        arm: str,
        epochs: int,
        candidate: str,
        measure: Measure = "accuracy",
        second_rate: float | None = None,
    ) -> System:
        """The runs of one arm, by seed and teacher: each of them right or wrong, or its log losses.

        An arm that nobody teaches has runs of its own beside each teacher. Raises: ValueError when
        there is no run.
        """
        wanted = {"arm": arm, "epochs": epochs, "second_rate": second_rate}
        rows = [
            row
            for row in self.rows
            if all(row[key] == value for key, value in wanted.items())
            and row["candidate"] in (candidate, NOBODY)
        ]
        if not rows:
            raise ValueError(
                f"{self.path} has no run of {arm} with {epochs} epochs and the teacher {candidate}:"
                f" run python -m studies {self.path.stem} for it"
            )
        arrays = {name: self._arrays(name) for name in {row["file"] for row in rows}}
        key = "right" if measure == "accuracy" else "loss"
        values = np.stack([arrays[row["file"]][key][row["row"]] for row in rows])
        seeds, teachers = ([row[name] for row in rows] for name in ("seed", "teacher"))
        return System(arm, values, tuple(seeds), tuple(teachers))

    def _arrays(self, name: str) -> dict[str, np.ndarray]:
        with np.load(self.path.parent / name) as found:
            right = np.unpackbits(found["right"], axis=1, count=len(self.table)).astype(float)
            return {"right": right, "loss": from_bytes(found["loss"])}
