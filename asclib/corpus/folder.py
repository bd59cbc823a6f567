"""A corpus of acoustic scenes: a folder in TAU layout, opened whole or refused with the reason.

The layout is that of TAU Urban Acoustic Scenes 2022 Mobile (Zenodo 6337421); the embedded corpus
and any other folder of that form are read by the same code. Scenes and devices are those of the
challenge (asclib.challenge) unless others are named; cities and locations may have any name.

    python -m asclib corpus download DIR     fetches that data set (asclib.corpus.download)

Chapter: book/task/dataset.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import joblib
import numpy as np
import pandas as pd

from asclib.challenge.task import DEVICES, SCENES
from asclib.corpus.audio import read_audio
from asclib.corpus.evaluation_set import evaluation_table, read_evaluation
from asclib.corpus.names import Names, composed
from asclib.corpus.tables import CorpusError, Index, audio_files, read_index
from asclib.progress import progress
from asclib.store import root, write_atomic

Split = Literal["train", "test", "unused", "fit", "validation", "evaluation"]
VALIDATION_SHARE = 0.2  # of the recordings of each scene


@dataclass(frozen=True, eq=False)
class Corpus:
    """The clips of a corpus and its splits. Made by `Corpus.open`.

    Attributes:
        root: the folder.
        clips: one row a clip in the order of meta.csv, so that row i stands in line i + 2 there:
            identifier (file name without suffix), filename ("audio/x.wav"), scene, city, location,
            recording ("<scene>-<city>-<location>-<segment>", shared by parallel devices), slice
            (int), device, split ("train", "test" or "unused"). In an evaluation set the split is
            "evaluation" and what nobody published is missing (NaN): see
            asclib.corpus.evaluation_set.
        subsets: per cent -> positions of the clips of that 2024 training subset; may be empty.
        file_bytes: size of each audio file; None when the corpus was opened with files=False.
    """

    root: Path
    clips: pd.DataFrame
    subsets: Mapping[int, np.ndarray]
    file_bytes: np.ndarray | None = None

    @classmethod
    def open(
        cls,
        root: str | Path,
        *,
        files: bool = True,
        classes: Sequence[str] = SCENES,
        devices: Sequence[str] | None = DEVICES,
    ) -> Corpus:
        """Read and check a folder in TAU layout, be it a development or an evaluation set.

        Args:
            root: the folder that holds meta.csv, evaluation_setup and audio. Without labels in
                meta.csv and without fold1_train.csv and fold1_evaluate.csv it is an evaluation set.
            files: False reads the tables alone and looks for no audio.
            classes: the scenes there are, where they are not the challenge's.
            devices: those there are; None for any.

        Raises:
            CorpusError: the first problem, naming file, row and remedy; a note says how many more.
        """
        names = Names(tuple(classes), None if devices is None else tuple(devices))
        index, problems, sizes = _checked(Path(root), files, names)
        if problems:
            if len(problems) > 1:
                more = f"{len(problems) - 1} more: Corpus.report(root) lists them"
                problems[0].add_note(more)
            raise problems[0]
        return cls(Path(root), index.clips, index.subsets, sizes)

    @staticmethod
    def report(
        root: str | Path,
        *,
        files: bool = True,
        classes: Sequence[str] = SCENES,
        devices: Sequence[str] | None = DEVICES,
    ) -> pd.DataFrame:
        """All that is wrong with a folder, instead of a corpus.

        Every audio file is decoded too, unless `files` is False: minutes on the whole of TAU.
        Args: as for `open`.
        Returns: columns file, row, problem, remedy; empty when all is well.
        """
        names = Names(tuple(classes), None if devices is None else tuple(devices))
        index, problems, sizes = _checked(Path(root), files, names)
        if sizes is not None:
            problems = problems + _audio_problems(Path(root), index, sizes)
        rows = [problem.args for problem in problems]
        table = pd.DataFrame(rows, columns=["file", "row", "problem", "remedy"])
        return table.astype({"row": "Int64"})

    def split(self, name: Split, subset: int | None = None) -> pd.DataFrame:
        """The clips of one split; its index holds their positions in `clips`.

        Args:
            name: "train", "test" or "unused" as the corpus defines them; "fit" and "validation"
                are the two parts of "train": whole locations, with all their devices, about a fifth
                of the recordings of each scene to validation. A scene with a single location
                stays in "fit". The choice depends on the names of the locations alone, not on the
                order of rows. "evaluation" is the one split of an evaluation set.
            subset: 5, 10, 25, 50 or 100: only the clips of "train", "fit" or "validation" that are
                in the 2024 subset of that many per cent.

        Raises:
            ValueError: no such split, or a subset of a split that is not for training.
            CorpusError: the corpus has no file for that subset.
        """
        if name not in get_args(Split):
            raise ValueError(f"no split {name!r}: choose {', '.join(get_args(Split))}")
        own = "train" if name in ("fit", "validation") else name
        chosen = (self.clips["split"] == own).to_numpy()
        if name in ("fit", "validation"):
            held_out = places(self.clips).isin(self._validation_places).to_numpy()
            chosen = chosen & (held_out if name == "validation" else ~held_out)
        if subset is not None:
            if own != "train":
                raise ValueError(f"{name!r} has no subsets: they are parts of the training split")
            if subset not in self.subsets:
                file = f"evaluation_setup/split{subset}.csv"
                remedy = "put the 2024 files split5.csv to split100.csv into evaluation_setup"
                raise CorpusError(file, None, "is not in this corpus", remedy)
            member = np.zeros(len(self.clips), dtype=bool)
            member[self.subsets[subset]] = True
            chosen = chosen & member
        return self.clips[chosen]

    def leakage(
        self, one: Split | pd.DataFrame = "train", other: Split | pd.DataFrame = "test"
    ) -> pd.DataFrame:
        """What two sets of clips have in common, each a split's name or a clip table.

        Returns: a row for clips, recordings, parallel (recordings heard by different devices on the
        two sides), locations and cities, with the columns one and other (how many each has), shared
        (how many both have) and clips (how many clips of `other` belong to a shared one).
        """
        one = self.split(one) if isinstance(one, str) else one
        other = self.split(other) if isinstance(other, str) else other
        keys = {
            "clips": lambda table: table["identifier"],
            "recordings": lambda table: table["recording"],
            "parallel": lambda table: table["recording"],
            "locations": places,
            "cities": lambda table: table["city"],
        }
        heard = pd.concat([one, other]).groupby("recording")["device"].nunique()
        rows = {}
        for name, key in keys.items():
            left, right = key(one).dropna(), key(other).dropna()
            shared = set(left) & set(right)
            if name == "parallel":
                shared = {recording for recording in shared if heard[recording] > 1}
            rows[name] = (left.nunique(), right.nunique(), len(shared), right.isin(shared).sum())
        columns = ["one", "other", "shared", "clips"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the clips, their splits and what their files hold, whatever the order of rows.

        Without what they hold when the corpus was opened with files=False. A file is read once, and
        again when its size or the time of its last change differ.
        """
        contents = [""] * len(self.clips) if self.file_bytes is None else self._contents()
        columns = map(composed, self.clips["filename"]), self.clips["split"], contents
        lines = sorted("\t".join(map(str, clip)) for clip in zip(*columns, strict=True))
        for percent, subset in sorted(self.subsets.items()):
            lines += [f"subset {percent}", *sorted(self.clips["identifier"].iloc[subset])]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def _contents(self) -> list[str]:
        """A hash of each audio file; those of earlier readings are kept in the store."""
        files = [self.root / name for name in self.clips["filename"]]
        found = [file.stat() for file in files]
        stamps = [f"{one.st_size} {one.st_mtime_ns} {one.st_ctime_ns}" for one in found]
        folder = hashlib.sha256(str(self.root.resolve()).encode()).hexdigest()[:16]
        memory = root() / f"contents-{folder}.csv"
        columns = ["filename", "stamp", "content"]
        empty = pd.DataFrame(columns=columns)
        known = pd.read_csv(memory, dtype=str) if memory.is_file() else empty
        before = dict(zip(known["filename"] + " " + known["stamp"], known["content"], strict=True))
        wanted = [f"{name} {s}" for name, s in zip(self.clips["filename"], stamps, strict=True)]
        new = [row for row, key in enumerate(wanted) if key not in before]
        read = joblib.Parallel(n_jobs=joblib.cpu_count(), prefer="threads")(
            joblib.delayed(_content)(files[row]) for row in new
        )
        before |= {wanted[row]: content for row, content in zip(new, read, strict=True)}
        contents = [before[key] for key in wanted]
        if new:
            table = zip(self.clips["filename"], stamps, contents, strict=True)
            text = pd.DataFrame(table, columns=columns).to_csv(index=False)
            write_atomic(memory, text.encode())
        return contents

    @functools.cached_property
    def _validation_places(self) -> frozenset[str]:
        recordings = self.split("train").drop_duplicates("recording")
        counts = pd.crosstab(places(recordings), recordings["scene"])
        return frozenset(_hold_out(counts))


def _content(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _checked(
    root: Path, files: bool, names: Names
) -> tuple[Index, list[CorpusError], np.ndarray | None]:
    """The tables of a folder, what is wrong with them, and the size of each audio file."""
    unlabelled = evaluation_table(root)
    index = read_evaluation(root, unlabelled) if unlabelled else read_index(root, names)
    if not files:
        return index, index.problems, None
    written, sizes, missing = audio_files(root, index)
    if written:
        index = index._replace(clips=index.clips.assign(filename=written))
    return index, index.problems + missing, sizes


def places(clips: pd.DataFrame) -> pd.Series:
    """The place of each clip, "<city>-<location>": the unit that must not be cut by a split."""
    return clips["city"] + "-" + clips["location"]


def _hold_out(counts: pd.DataFrame) -> list[str]:
    """Choose places for validation.

    Args: counts (places, scenes), recordings of each scene at each place.
    Returns: names of places. They are visited in the order of a hash of their names; one is taken
    when that brings the scenes nearer to VALIDATION_SHARE and leaves each of its scenes a place to
    train on. Then a scene still without one takes the place that fits best.
    """
    order = sorted(counts.index, key=lambda place: hashlib.sha256(place.encode()).digest())
    share = (counts / counts.sum()).loc[order].to_numpy()  # of its scene's recordings
    left = (share > 0).sum(0)  # places each scene has for training
    reached = np.zeros(share.shape[1])
    taken: list[int] = []

    def distance(row: int) -> float:
        return np.abs(reached + share[row] - VALIDATION_SHARE).sum()

    def free(row: int) -> bool:
        return row not in taken and bool((left[share[row] > 0] > 1).all())

    def take(row: int) -> None:
        nonlocal reached, left
        taken.append(row)
        reached = reached + share[row]
        left = left - (share[row] > 0)

    for row in range(len(order)):
        if free(row) and distance(row) < np.abs(reached - VALIDATION_SHARE).sum():
            take(row)
    for scene in range(share.shape[1]):
        candidates = [row for row in np.flatnonzero(share[:, scene]).tolist() if free(row)]
        if reached[scene] == 0 and candidates:
            take(min(candidates, key=distance))
    return [order[row] for row in taken]


def _audio_problems(root: Path, index: Index, sizes: np.ndarray) -> list[CorpusError]:
    problems = []
    present = np.flatnonzero(sizes > 0)
    for clip in progress(present, total=len(present), label="audio"):
        name = str(index.clips["filename"].iat[clip])
        try:
            read_audio(root / name, row=index.rows[clip])
        except CorpusError as error:
            problems.append(index.clip_error(clip, error.problem, error.remedy))
    return problems
