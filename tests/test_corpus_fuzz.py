"""Whatever is done to a corpus, it opens or is refused with a CorpusError, and nothing else."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asclib.corpus import Corpus, CorpusError, places, read_audio
from tests.corpora import (
    EVALUATE,
    LABELLED,
    SMALL_TEST,
    SMALL_TRAIN,
    TEST,
    TRAIN,
    labelled,
    write_index,
    write_table,
)

SUBSET = "evaluation_setup/split5.csv"
NAMES = [*SMALL_TRAIN[:4], SMALL_TRAIN[-1], *SMALL_TEST]
UNLABELLED = ["audio/0.wav", "audio/1.wav", "audio/2.flac"]
FIELDS = [b"", b"a", b"bus", b"b-1", b"../x.wav", b"audio/bus-a-1-1-0-a.wav", NAMES[1].encode()]


def write_development(root: Path, clip: Path) -> list[str]:
    write_index(root, NAMES[:5], NAMES[5:])
    write_table(root / SUBSET, LABELLED, labelled(NAMES[:2]))
    return link(root, clip, NAMES)


def write_evaluation(root: Path, clip: Path) -> list[str]:
    write_table(root / TEST, "filename\tdevice_id", [f"{name}\ts1" for name in UNLABELLED])
    return link(root, clip, UNLABELLED)


def link(root: Path, clip: Path, names: list[str]) -> list[str]:
    (root / "audio").mkdir()
    for name in names:
        os.link(clip, root / name)
    return names


def garble(draw, content: bytes) -> bytes:
    """One mutation of a table's bytes."""
    rows = content.split(b"\n")
    row = draw(st.integers(0, len(rows) - 1))
    place = draw(st.integers(0, len(content)))
    kinds = "drop double swap text bytes cut comma slash column field".split()
    match draw(st.sampled_from(kinds)):
        case "drop":
            del rows[row]
        case "double":
            rows.insert(row, rows[row])
        case "swap":
            rows[row], rows[-2] = rows[-2], rows[row]
        case "text":
            return content[:place] + draw(st.text(max_size=4)).encode() + content[place:]
        case "bytes":
            return content[:place] + draw(st.binary(max_size=4)) + content[place + 2 :]
        case "cut":
            return content[:place]
        case "comma":
            rows[row] = rows[row].replace(b"\t", b",")
        case "slash":
            rows[row] = rows[row].replace(b"/", b"\\")
        case "column":
            rows = [line.rpartition(b"\t")[0] for line in rows]
        case "field":
            fields = rows[row].split(b"\t")
            fields[draw(st.integers(0, len(fields) - 1))] = draw(st.sampled_from(FIELDS))
            rows[row] = b"\t".join(fields)
    return b"\n".join(rows)


def break_table(draw, root: Path) -> None:
    """Garble, remove or replace one table."""
    tables = sorted(path.relative_to(root) for path in root.rglob("*.csv") if path.is_file())
    if not tables:
        return
    table = root / draw(st.sampled_from(tables))
    match draw(st.sampled_from(["garble"] * 6 + ["absent", "folder"])):
        case "garble":
            content = table.read_bytes()
            # two lines at least, so that every kind of mutation has something to bite on
            table.write_bytes(garble(draw, content) if content.count(b"\n") > 1 else b"\n")
        case "absent":
            table.unlink()
        case "folder":
            table.unlink()
            table.mkdir()


def break_clip(draw, root: Path, name: str) -> None:
    """Change the head and the length of one sound file, take it away, or add another."""
    clip = root / name
    content = clip.read_bytes()
    match draw(st.sampled_from(["bytes"] * 3 + ["absent", "stray"])):
        case "bytes":
            clip.unlink()
            head = draw(st.binary(max_size=60))
            clip.write_bytes(head + content[len(head) : draw(st.integers(0, len(content)))])
        case "absent":
            clip.unlink()
        case "stray":
            os.link(clip, root / "audio/stray.wav")


@settings(
    max_examples=600,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_any_mutation_of_a_corpus_opens_or_raises_corpus_error(small, data):
    draw = data.draw
    with tempfile.TemporaryDirectory(dir=small.parent) as folder:
        root = Path(folder)
        write = draw(st.sampled_from([write_development] * 2 + [write_evaluation]))
        names = write(root, small / "one.wav")
        for _ in range(draw(st.integers(0, 2))):
            break_table(draw, root)
        if draw(st.booleans()):
            break_clip(draw, root, draw(st.sampled_from(names)))
        check(root)


def check(root: Path) -> None:
    """The corpus opens and keeps its promises, or is refused for the first row of the report."""
    report = Corpus.report(root)
    assert report[["file", "problem", "remedy"]].map(bool).all(axis=None)
    report.to_string().encode()
    try:
        corpus = Corpus.open(root)
    except CorpusError as error:
        assert report.iloc[0]["problem"] == error.problem
        assert error.file and error.problem and error.remedy
        return
    faults = set(report["file"] + report["problem"])
    for row, name in enumerate(corpus.clips["filename"], start=2):
        try:
            assert np.isfinite(read_audio(root / name, row=row)).all()
        except CorpusError:
            assert any(name in fault for fault in faults)
    fit, validation, test = (corpus.split(name) for name in ("fit", "validation", "test"))
    assert not set(places(fit)) & set(places(validation))
    assert not (set(fit["identifier"]) | set(validation["identifier"])) & set(test["identifier"])
    assert len(corpus.fingerprint) == 64


def test_the_corpora_that_are_mutated_are_sound(small, tmp_path):
    for write in (write_development, write_evaluation):
        root = tmp_path / write.__name__
        root.mkdir()
        write(root, small / "one.wav")
        assert Corpus.report(root).empty
    (root / TEST).write_text("filename\n")
    with pytest.raises(CorpusError, match="TEST|fold1_test"):
        Corpus.open(root)


def test_the_development_corpus_has_every_kind_of_table(small, tmp_path):
    write_development(tmp_path, small / "one.wav")
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.csv")}
    assert found == {"meta.csv", TRAIN, TEST, EVALUATE, SUBSET}
