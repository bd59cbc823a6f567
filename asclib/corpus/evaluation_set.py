"""The challenge's evaluation sets: audio without scenes, read as strictly as a corpus with them.

    evaluation_setup/fold1_test.csv     filename               (2022, 2023)
    meta.csv                            filename               (2024: its baseline reads this one)
    evaluation_setup/fold1_test.csv     filename device_id     (2025)

A name such as audio/0.wav tells nothing of its clip. Its device may be one that the development
set lacks.

Chapter: book/task/dataset.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from asclib.corpus.names import path_problem
from asclib.corpus.tables import (
    EVALUATE,
    META,
    TEST,
    TRAIN,
    CorpusError,
    Index,
    read_table,
)

DEVICE = "device_id"


def evaluation_table(root: Path) -> str | None:
    """The table that lists the clips of an evaluation set; None for any other folder.

    An evaluation set has neither fold1_train.csv nor fold1_evaluate.csv, and no scene in meta.csv.
    """
    if (root / TRAIN).exists() or (root / EVALUATE).exists():
        return None
    if "scene_label" in _header(root / META):
        return None
    return next((name for name in (TEST, META) if (root / name).is_file()), None)


def read_evaluation(root: Path, table: str) -> Index:
    """Read the one table of an evaluation set; the clips have the columns of any corpus.

    Scene, city, location, recording and slice are missing (NaN), and so is the device where the
    table has no column device_id. The split is "evaluation". A CorpusError names the table, and the
    audio file in its text.
    """
    problems: list[CorpusError] = []
    columns = ("filename", DEVICE) if DEVICE in _header(root / table) else ("filename",)
    listed = read_table(root, table, columns, problems)
    names = listed.columns["filename"]
    devices = listed.columns.get(DEVICE, [None] * len(names))
    clips: list[tuple[str, str, str | None]] = []
    rows: list[int] = []
    first: dict[str, int] = {}  # identifier -> the row that lists it
    for row, name, device in zip(listed.rows, names, devices, strict=True):
        identifier = name.removeprefix("audio/").rpartition(".")[0]
        if what := path_problem(name):
            problems.append(CorpusError(table, row, *what))
        elif identifier in first:
            problem = f"repeats row {first[identifier]} ({name})"
            problems.append(CorpusError(table, row, problem, "delete one of the two rows"))
        else:
            first[identifier] = row
            clips.append((identifier, name, device))
            rows.append(row)
            if device is not None and not re.fullmatch("[A-Za-z0-9_]+", device):
                remedy = "write the device's short name, such as a, s1 or unknown"
                problem = f"{device!r} is no device ({name})"
                problems.append(CorpusError(table, row, problem, remedy))
    frame = pd.DataFrame(clips, columns=["identifier", "filename", "device"], dtype=str)
    nothing = pd.Series([None] * len(frame), dtype=str)
    unknown = dict.fromkeys(("scene", "city", "location", "recording"), nothing)
    frame = frame.assign(**unknown, slice=pd.array([None] * len(frame), "Int64"))
    order = ["identifier", "filename", "scene", "city", "location", "recording", "slice", "device"]
    return Index(frame[order].assign(split="evaluation"), rows, {}, problems, table)


def _header(path: Path) -> str:
    """The first line of a table, as far as it can be read."""
    try:
        with open(path, "rb") as file:
            return file.readline().replace(b"\r", b"\n").split(b"\n")[0].decode("utf-8", "replace")
    except OSError:
        return ""
