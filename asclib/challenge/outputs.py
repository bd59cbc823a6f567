"""What a system says of the clips, as the challenge wants it written.

A tab-separated csv: the clip's file name without a folder, the scene, the ten probabilities.

Chapters: book/challenges/entry_2022, book/practice/tau.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from asclib.challenge.task import SCENES
from asclib.challenge.years import HEADER
from asclib.corpus.tables import CorpusError, read_table
from asclib.evaluation.scores import SUM_TOLERANCE
from asclib.store import write_atomic


def outputs(filenames: Iterable[str], probabilities: np.ndarray) -> pd.DataFrame:
    """The table of a system's answers, columns HEADER.

    Args: filenames, folders before them are left out; probabilities (clips, 10) in the order of
        SCENES. The label is the first of the largest.
    Raises: ValueError for probabilities of another shape.
    """
    names = [PurePosixPath(name).name for name in filenames]
    if np.shape(probabilities) != (len(names), len(SCENES)):
        raise ValueError(
            f"answers of shape {np.shape(probabilities)} for {len(names)} clips: the challenge asks"
            f" for the probabilities of its {len(SCENES)} scenes"
        )
    table = pd.DataFrame(np.asarray(probabilities, float), columns=list(SCENES))
    labels = np.array(SCENES, dtype=object)[table.to_numpy().argmax(1)]
    table.insert(0, "filename", names)
    table.insert(1, "scene_label", labels)
    return table


def outputs_text(table: pd.DataFrame) -> bytes:
    """The table as the challenge wants it; nine digits give a float32 back."""
    text = table[list(HEADER)].to_csv(
        sep="\t", index=False, float_format="%.9g", lineterminator="\n"
    )
    return text.encode()


def write_outputs(table: pd.DataFrame, path: Path) -> None:
    """Write an outputs csv, whole or not at all."""
    write_atomic(path, outputs_text(table))


def read_outputs(path: str | Path) -> pd.DataFrame:
    """An outputs csv, checked; see `find_outputs`. Raises: CorpusError, the first problem."""
    path, problems = Path(path), list[CorpusError]()
    table = find_outputs(path.parent, path.name, problems)
    if problems:
        raise problems[0]
    return table


def find_outputs(root: Path, name: str, problems: list[CorpusError]) -> pd.DataFrame:
    """Read an outputs csv and append all that is wrong with it to `problems`.

    Of each fault the first row is named and the others counted.
    Returns: columns HEADER, the index a row's line in the file; without rows where these cannot be
        read. Where a label is one of several largest probabilities, it gets a hair more, so that
        the largest is the label.
    """
    if not (root / name).is_file():
        problems.append(CorpusError(name, None, "is missing", "name the csv of a system's answers"))
        return pd.DataFrame(columns=list(HEADER))
    before = len(problems)
    listed = read_table(root, name, HEADER, problems)
    _check_header(root, name, problems, silent=len(problems) > before)
    table = pd.DataFrame(listed.columns, index=listed.rows)[list(HEADER)]
    if table.empty:
        return table
    numbers = table[list(SCENES)].apply(pd.to_numeric, errors="coerce").to_numpy(float, copy=True)
    words = table[list(SCENES)].apply(lambda column: column.str.strip().str.lower()).to_numpy(str)
    no_number = np.isnan(numbers) & ~np.isin(words, ("nan", "+nan", "-nan"))
    with np.errstate(invalid="ignore"):
        sums, largest = numbers.sum(1), numbers.max(1)
    known = table["scene_label"].isin(SCENES).to_numpy()
    column = pd.Index(SCENES).get_indexer(pd.Index(table["scene_label"]))
    own = numbers[np.arange(len(numbers)), column]  # of the last scene where there is none
    finite = np.isfinite(numbers).all(1)
    sound = finite & (numbers >= 0).all(1) & (numbers <= 1 + SUM_TOLERANCE).all(1)
    paths = table["filename"]
    ending = paths.str.endswith(".wav").to_numpy()

    def fault(rows: np.ndarray, problem: str, remedy: str) -> None:
        if not rows.any():
            return
        first = int(np.argmax(rows))
        others = int(rows.sum()) - 1
        also = f" (and so {'has' if others == 1 else 'have'} {others:,} more)" if others else ""
        said = problem.format(
            file=paths.iloc[first],
            label=table["scene_label"].iloc[first],
            best=SCENES[int(np.nan_to_num(numbers[first]).argmax())],
            sum=sums[first],
            own=own[first],
            largest=largest[first],
        )
        problems.append(CorpusError(name, listed.rows[first], said + also, remedy))

    scenes = ", ".join(SCENES)
    fault(no_number.any(1), "{file} has a field that is no number", "write ten probabilities")
    fault(
        ~finite & ~no_number.any(1),
        "{file} has a probability that is NaN or infinite",
        "ask the system again: it divides by zero, or its input holds NaN",
    )
    fault(
        finite & ~sound,
        "{file} has a probability below 0 or above 1",
        "write probabilities, not logits: softmax them",
    )
    fault(
        sound & (np.abs(sums - 1) > SUM_TOLERANCE),
        "{file} has probabilities that sum to {sum:.4f}, not to 1",
        "write the softmax of ten logits, or divide the row by its sum",
    )
    fault(~known, "{file} has the unknown scene {label!r}", f"use one of {scenes}")
    fault(
        sound & known & (own < largest),
        "{file} is labelled {label} (probability {own:.4g}), and {best} has {largest:.4g}",
        "write the scene of the largest probability as scene_label",
    )
    fault(
        paths.str.contains(r"[/\\]").to_numpy(),
        "{file!r} has a folder",
        "write the bare name, such as 0.wav",
    )
    fault(~ending, "{file!r} does not end in .wav", "write the clip's file name")
    repeated = paths.duplicated().to_numpy()
    if repeated.any():
        first = listed.rows[int(np.argmax(paths.eq(paths[repeated].iloc[0]).to_numpy()))]
        fault(repeated, f"{{file}} was answered in row {first} already", "keep one of the rows")
    tied = sound & known & (own == largest) & (numbers.argmax(1) != column)
    numbers[tied, column[tied]] = np.nextafter(largest[tied], 2)  # for whoever takes the largest
    return pd.concat([table[["filename", "scene_label"]], _floats(numbers, table.index)], axis=1)


def find_missing(
    table: pd.DataFrame, expected: Sequence[str], name: str, problems: list[CorpusError]
) -> None:
    """Append what clips an outputs table lacks, and what it answers that nobody asked."""
    given, wanted = pd.Index(table["filename"]), pd.Index(expected)
    missing = wanted.difference(given, sort=False)
    foreign = ~given.isin(wanted)
    if foreign.any():
        first = given[foreign][0]
        problem = f"{first} is none of the {len(wanted):,} clips to be answered"
        problem += f" (nor are {foreign.sum() - 1:,} more)" if foreign.sum() > 1 else ""
        remedy = "answer the evaluation set, and no other clips"
        if first.count("-") > 3:  # the name of a clip whose scene is told
            remedy = "this is a clip of the development set: answer the evaluation set"
        problems.append(CorpusError(name, int(table.index[foreign.argmax()]), problem, remedy))
    if len(missing):
        problem = f"{missing[0]} is missing"
        problem += f", and so are {len(missing) - 1:,} more" if len(missing) > 1 else ""
        remedy = f"answer all {len(wanted):,} clips"
        problems.append(CorpusError(name, None, problem, remedy))


def _check_header(root: Path, name: str, problems: list[CorpusError], silent: bool) -> None:
    """Other columns, or another order of them, than HEADER."""
    if silent:
        return
    with open(root / name, encoding="utf-8-sig") as file:
        header = tuple(file.readline().rstrip("\r\n").split("\t"))
    if header != HEADER:
        other = [column for column in header if column not in HEADER]
        what = (
            f"has the columns {', '.join(other)}" if other else "has its columns in another order"
        )
        problems.append(CorpusError(name, 1, what, f"write {' '.join(HEADER)}, and nothing else"))


def _floats(numbers: np.ndarray, index: pd.Index) -> pd.DataFrame:
    return pd.DataFrame(numbers, columns=list(SCENES), index=index)
