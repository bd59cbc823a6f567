"""The tables of a folder in TAU layout, read and checked row by row.

    meta.csv                                 filename scene_label identifier source_label
    evaluation_setup/fold1_train.csv         filename scene_label
    evaluation_setup/fold1_test.csv          filename
    evaluation_setup/fold1_evaluate.csv      filename scene_label
    evaluation_setup/split{5,...,100}.csv    filename scene_label     (2024; or beside meta.csv)

All are tab-separated UTF-8. Nothing here stops at the first problem: each function appends what it
finds to a list of CorpusError and goes on with the rows that are sound.

Chapter: book/task/dataset.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from asclib.corpus.names import SUFFIXES, Names, composed

META = "meta.csv"
TRAIN = "evaluation_setup/fold1_train.csv"
TEST = "evaluation_setup/fold1_test.csv"
EVALUATE = "evaluation_setup/fold1_evaluate.csv"
SUBSETS = (5, 10, 25, 50, 100)  # per cent of the training clips, DCASE 2024

_LISTED = ("filename", "scene_label")
_FIELDS = ("identifier", "scene", "city", "location", "segment", "slice", "device")


class CorpusError(ValueError):
    """One thing wrong with a corpus: which file, which row, what is wrong and what to do about it.

    Attributes:
        file: path of a table or an audio file, relative to the corpus where that is known.
        row: line of the table, counted from 1 = header; for an audio file its line in meta.csv.
            None where the file as a whole is meant.
        problem, remedy: one sentence each, without full stop.
    """

    def __init__(self, file: str, row: int | None, problem: str, remedy: str):
        super().__init__(file, row, problem, remedy)
        self.file, self.row, self.problem, self.remedy = file, row, problem, remedy

    def __str__(self) -> str:
        where = "" if self.row is None else f", row {self.row}"
        if where and not self.file.endswith(".csv"):
            where += f" of {META}"
        return f"{self.file}{where}: {self.problem}. Remedy: {self.remedy}."


class Table(NamedTuple):
    """The sound rows of one csv: its name, each row's line number, and the columns asked for."""

    name: str
    rows: list[int]
    columns: dict[str, list[str]]


class Index(NamedTuple):
    """What the tables of a corpus say, and everything that is wrong with them.

    clips: one row a clip in the order of meta.csv (columns as Corpus.clips).
    rows: line of each clip in `table`.
    subsets: per cent -> sorted positions of its clips in `clips`.
    table: the csv that lists the clips.
    """

    clips: pd.DataFrame
    rows: list[int]
    subsets: dict[int, np.ndarray]
    problems: list[CorpusError]
    table: str = META

    def clip_error(self, clip: int, problem: str, remedy: str) -> CorpusError:
        """Something wrong with the file of one clip, and the row that lists it."""
        name, row = str(self.clips["filename"].iat[clip]), self.rows[clip]
        if self.table == META:  # the table a CorpusError means when it names an audio file
            return CorpusError(name, row, problem, remedy)
        return CorpusError(self.table, row, f"{name} {problem}", remedy)


def read_index(root: Path, names: Names) -> Index:
    """Read meta.csv, the three tables of evaluation_setup and such 2024 subsets as there are."""
    problems: list[CorpusError] = []
    meta = read_table(root, META, (*_LISTED, "identifier", "source_label"), problems)
    clips, rows = _read_clips(meta, names, problems)
    position = {name: i for i, name in enumerate(clips["filename"].tolist())}
    scenes = clips["scene"].tolist()

    def listed(name: str, columns: tuple[str, ...] = _LISTED) -> dict[int, int]:
        table = read_table(root, name, columns, problems)
        return _read_listing(table, names, position, scenes, problems) if meta.rows else {}

    train, test, evaluate = listed(TRAIN), listed(TEST, _LISTED[:1]), listed(EVALUATE)
    _check_apart(TEST, test, TRAIN, train, clips, problems)
    _check_within(EVALUATE, evaluate, TEST, test, clips, problems)
    _check_within(TEST, test, EVALUATE, evaluate, clips, problems)
    subsets, larger, allowed = {}, TRAIN, train
    for percent in reversed(SUBSETS):  # each lies within the next larger one
        name = f"evaluation_setup/split{percent}.csv"
        if not (root / name).exists():
            name = f"split{percent}.csv"
        if (root / name).exists():
            subset = listed(name)
            _check_apart(name, subset, TEST, test, clips, problems)
            beyond = {clip: row for clip, row in subset.items() if clip not in test}
            _check_within(name, beyond, larger, allowed, clips, problems)
            _check_whole(name, subset, train, clips, problems)
            subsets[percent] = np.array(sorted(subset), dtype=int)
            if subset:  # an unreadable one excuses no smaller one
                larger, allowed = name, subset
    split = np.full(len(clips), "unused", dtype=object)
    split[list(train)] = "train"
    split[list(test)] = "test"
    return Index(clips.assign(split=split), rows, dict(sorted(subsets.items())), problems)


def audio_files(root: Path, index: Index) -> tuple[list[str], np.ndarray, list[CorpusError]]:
    """Compare the audio folder with the table of clips, from one listing of the folder.

    Hidden files are not looked at: a Mac puts one named ._x.wav beside each x.wav that it copies.
    Returns: the name of each clip's file as the disk has it, which may write accents in another
    way; its size in bytes (-1 where it is absent); and the problems: files listed but absent,
    empty, or present but not listed.
    """
    problems: list[CorpusError] = []
    sizes, written = {}, {}
    try:
        with os.scandir(root / "audio") as entries:
            for entry in entries:
                hidden = entry.name.startswith(".")
                if not hidden and _suffix(entry.name) in SUFFIXES and entry.is_file():
                    printable = entry.name.encode("utf-8", "backslashreplace").decode()
                    own = f"audio/{printable}"
                    name = composed(own)
                    if name not in sizes or own == name:
                        sizes[name], written[name] = entry.stat().st_size, own
    except OSError as error:
        problem = f"cannot be listed ({error.strerror})"
        remedy = f"put the audio files in the folder 'audio' beside {index.table.split('/')[0]}"
        return [], np.array([]), [CorpusError("audio", None, problem, remedy)]
    names = index.clips["filename"].tolist()
    otherwise = {name.lower(): name for name in sizes.keys() - set(names)}
    for clip, name in enumerate(names):
        size = sizes.get(name, -1)
        if size < 0:
            remedy = "fetch it (complete the download), or remove its row from every table"
            if name.lower() in otherwise:
                remedy = f"rename the file {otherwise[name.lower()]} that is there, or its rows"
            problems.append(index.clip_error(clip, "is listed but the file is absent", remedy))
        elif size == 0:
            problems.append(index.clip_error(clip, "has zero bytes", "fetch the file again"))
    for name in sorted(sizes.keys() - set(names)):
        problem = f"is in the folder but not listed in {index.table}"
        remedy = f"add its row to {index.table}, or move the file out of the audio folder"
        problems.append(CorpusError(name, None, problem, remedy))
    found = np.array([sizes.get(name, -1) for name in names])
    return [written.get(name, name) for name in names], found, problems


def _suffix(name: str) -> str:
    return name.rpartition(".")[2].lower()


def read_table(
    root: Path, name: str, columns: tuple[str, ...], problems: list[CorpusError]
) -> Table:
    """The named columns of a tab-separated file; an unreadable one gives a table without rows."""

    def bad(row: int | None, problem: str, remedy: str) -> Table:
        problems.append(CorpusError(name, row, problem, remedy))
        return Table(name, [], {column: [] for column in columns})

    layout = f"columns {' '.join(columns)} separated by tabs"
    try:
        content = (root / name).read_bytes()
    except FileNotFoundError:
        remedy = "give the folder that holds meta.csv, evaluation_setup and audio"
        return bad(None, "is missing", remedy)
    except OSError as error:
        return bad(None, f"cannot be read ({error.strerror})", "make it a readable file")
    if not content.strip():
        return bad(None, "is empty", f"restore the file: it holds {layout}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = len((error.object[: error.start] + b".").splitlines())
        byte = error.object[error.start]
        return bad(row, f"is not UTF-8 (byte {byte:#04x})", "save the file as UTF-8")
    header, *lines = (
        composed(text).replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")
    )
    names = header.split("\t")
    missing = [column for column in columns if column not in names]
    if other := _other_separator(header):
        return bad(1, f"has {other} where tabs belong", "save the file as tab-separated text")
    if missing:
        problem = f"lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}"
        return bad(1, f"{problem} (found: {header!r})", f"write a header line with {layout}")
    if len(set(names)) < len(names):
        return bad(1, "names a column twice", f"keep one of each: {layout}")
    if not lines:
        return bad(1, "has a header but no rows", "restore the rows of the table")
    rows, kept = [], []
    for row, line in enumerate(lines, start=2):
        tabs = line.count("\t")
        if not line.strip():  # or of empty fields, as a spreadsheet may write
            bad(row, "is an empty line", "delete the line")
        elif tabs == len(names) - 1:
            rows.append(row)
            kept.append(line)
        elif other := _other_separator(line):
            bad(row, f"has {other} where tabs belong", "separate the fields by tabs")
        else:
            problem = f"has {tabs + 1} fields for {len(names)} columns"
            bad(row, problem, f"complete the row: {layout}")
    fields = "\t".join(kept).split("\t") if kept else []  # of all rows: one list, not one a row
    return Table(name, rows, {c: fields[names.index(c) :: len(names)] for c in columns})


def _other_separator(line: str) -> str | None:
    """What a line has instead of tabs, by name."""
    return "semicolons" if ";" in line else "commas" if "," in line else None


def _read_clips(
    meta: Table, allowed: Names, problems: list[CorpusError]
) -> tuple[pd.DataFrame, list[int]]:
    """The clip table without its column `split`, and the line of each clip in meta.csv."""
    clips: list[tuple[str, ...]] = []
    rows: list[int] = []
    first: dict[str, int] = {}  # identifier -> the row that lists it
    asked = ("filename", "scene_label", "identifier", "source_label")
    columns = (meta.columns[name] for name in asked)
    for row, name, scene, place, device in zip(meta.rows, *columns, strict=True):
        match = allowed.pattern.fullmatch(name)
        if match is None:
            problems.append(CorpusError(meta.name, row, *allowed.problem(name)))
            continue
        fields = match.groups()
        if fields[0] in first:
            problem = f"repeats row {first[fields[0]]} ({name})"
            problems.append(CorpusError(meta.name, row, problem, "delete one of the two rows"))
            continue
        first[fields[0]] = row
        if scene != fields[1]:
            what = allowed.label_problem(name, scene, fields[1])
            problems.append(CorpusError(meta.name, row, *what))
        if place != (own := f"{fields[2]}-{fields[3]}"):
            problem = f"identifier {place!r} disagrees with the file name {name}"
            remedy = f"write {own!r} as identifier, or rename the file"
            problems.append(CorpusError(meta.name, row, problem, remedy))
        if device != fields[6]:
            known = "" if device in (allowed.devices or [device]) else "unknown "
            problem = f"{known}device {device!r} disagrees with the file name {name}"
            remedy = f"write {fields[6]!r} as source_label, or rename the file"
            problems.append(CorpusError(meta.name, row, problem, remedy))
        clips.append((name, *fields))
        rows.append(row)
    turned = list(zip(*clips, strict=True)) or [()] * (len(_FIELDS) + 1)
    table: dict[str, Sequence[str]] = dict(zip(("filename", *_FIELDS), turned, strict=True))
    table["recording"] = ["-".join(clip[2:6]) for clip in clips]  # parallel devices share it
    order = ["identifier", "filename", "scene", "city", "location", "recording", "slice", "device"]
    types = dict.fromkeys(order, str) | {"slice": int}
    return pd.DataFrame({name: table[name] for name in order}).astype(types), rows


def _read_listing(
    table: Table,
    allowed: Names,
    position: dict[str, int],
    scenes: list[str],
    problems: list[CorpusError],
) -> dict[int, int]:
    """The clips a split lists: position in the clip table -> line in the split's file."""
    found: dict[int, int] = {}
    names = table.columns["filename"]
    labels: Iterable[str | None] = table.columns.get("scene_label", [None] * len(names))
    for row, name, label in zip(table.rows, names, labels, strict=True):
        clip = position.get(name)
        if clip is None:
            if allowed.pattern.fullmatch(name):
                what = f"{name} is not in {META}", f"add its row to {META}, or delete it here"
            else:
                what = allowed.problem(name)
            problems.append(CorpusError(table.name, row, *what))
        elif clip in found:
            problem = f"repeats row {found[clip]} ({name})"
            problems.append(CorpusError(table.name, row, problem, "delete one of the two rows"))
        else:
            found[clip] = row
            if label is not None and label != scenes[clip]:
                what = allowed.label_problem(name, label, scenes[clip])
                problems.append(CorpusError(table.name, row, *what))
    return found


def _check_apart(
    name: str,
    listed: dict[int, int],
    other: str,
    forbidden: dict[int, int],
    clips: pd.DataFrame,
    problems: list[CorpusError],
) -> None:
    for clip in sorted(listed.keys() & forbidden.keys()):
        problem = f"{clips['filename'].iat[clip]} is in row {forbidden[clip]} of {other} too"
        remedy = "keep it in one of the two splits"
        problems.append(CorpusError(name, listed[clip], problem, remedy))


def _check_within(
    name: str,
    listed: dict[int, int],
    other: str,
    allowed: dict[int, int],
    clips: pd.DataFrame,
    problems: list[CorpusError],
) -> None:
    if not allowed:
        return  # that table has a problem of its own
    for clip in sorted(listed.keys() - allowed.keys()):
        problem = f"{clips['filename'].iat[clip]} is not in {other}"
        remedy = f"add it to {other}, or delete it here"
        problems.append(CorpusError(name, listed[clip], problem, remedy))


def _check_whole(
    name: str,
    subset: dict[int, int],
    train: dict[int, int],
    clips: pd.DataFrame,
    problems: list[CorpusError],
) -> None:
    """A subset takes all training clips of a recording by one device, or none of them."""
    unit = ["recording", "device"]
    members = clips.iloc[sorted(train)][unit]
    members["taken"] = members.index.isin(subset)
    counts = members.groupby(unit, sort=False)["taken"].transform
    members["size"], members["sum"] = counts("size"), counts("sum")
    cut = members[members["taken"] & (members["sum"] < members["size"])].drop_duplicates(unit)
    for clip, recording, device, _, size, taken in cut.itertuples():
        problem = f"takes {taken} of the {size} training clips of {recording} by device {device}"
        remedy = "list the whole recording, or none of it"
        problems.append(CorpusError(name, subset[clip], problem, remedy))
