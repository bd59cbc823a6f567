"""Evaluation sets open like any corpus: no scenes, devices at best, the same strictness."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

from asclib.corpus import Corpus, CorpusError, read_audio
from tests.corpora import EVALUATE, TEST, TRAIN, lines, refused, tone, wav, write_table

DEVICES = ["a", "s3", "unknown", "s10", "d"]
NAMES = [f"audio/{i}.wav" for i in range(len(DEVICES))]
MISSING = ["scene", "city", "location", "recording", "slice"]


@pytest.fixture
def unlabelled(small, tmp_path) -> Path:
    """An evaluation set as of 2022 and 2023: one table of bare file names."""
    root = tmp_path / "evaluation"
    (root / "audio").mkdir(parents=True)
    write_table(root / TEST, "filename", NAMES)
    for name in NAMES:
        os.link(small / "one.wav", root / name)
    return root


@pytest.fixture
def with_devices(unlabelled) -> Path:
    """As of 2025: device ids beside the names."""
    rows = [f"{name}\t{device}" for name, device in zip(NAMES, DEVICES, strict=True)]
    write_table(unlabelled / TEST, "filename\tdevice_id", rows)
    return unlabelled


def test_the_set_of_2022_and_2023_opens_without_scenes_or_devices(unlabelled):
    corpus = Corpus.open(unlabelled)
    assert corpus.clips["filename"].tolist() == NAMES
    assert corpus.clips["identifier"].tolist() == ["0", "1", "2", "3", "4"]
    assert (corpus.clips["split"] == "evaluation").all()
    assert corpus.clips[[*MISSING, "device"]].isna().all(axis=None)
    assert Corpus.report(unlabelled).empty
    assert corpus.file_bytes.min() > 88_200


def test_the_set_of_2024_lists_its_clips_in_meta(unlabelled):
    shutil.rmtree(unlabelled / "evaluation_setup")
    write_table(unlabelled / "meta.csv", "filename", NAMES)
    assert Corpus.open(unlabelled).split("evaluation")["filename"].tolist() == NAMES


def test_the_set_of_2025_opens_with_device_ids(with_devices):
    clips = Corpus.open(with_devices).clips
    assert clips["device"].tolist() == DEVICES
    assert clips[MISSING].isna().all(axis=None)


def test_an_evaluation_set_has_the_columns_of_a_development_set(with_devices, small):
    ours, theirs = Corpus.open(with_devices).clips, Corpus.open(small).clips
    assert list(ours.columns) == list(theirs.columns)
    others = ours.columns.drop("slice")
    assert (ours.dtypes[others] == theirs.dtypes[others]).all()


def test_an_evaluation_set_has_the_one_split(with_devices):
    corpus = Corpus.open(with_devices)
    assert corpus.split("evaluation").index.tolist() == list(range(5))
    for split in ("train", "test", "unused", "fit", "validation"):
        assert corpus.split(split).empty
    with pytest.raises(ValueError, match="no subsets"):
        corpus.split("evaluation", subset=5)


def test_a_development_set_has_no_evaluation_split(small):
    assert Corpus.open(small).split("evaluation").empty


def test_two_evaluation_sets_share_only_what_is_known(unlabelled, with_devices):
    clips = Corpus.open(with_devices).clips
    leakage = Corpus.open(unlabelled).leakage(clips, clips.iloc[:2])
    assert leakage["shared"].to_dict() == dict(
        clips=2, recordings=0, parallel=0, locations=0, cities=0
    )


def test_clips_of_every_format_are_read(unlabelled):
    for name, subtype in zip(NAMES, ("PCM_16", "PCM_24", "PCM_32", "FLOAT"), strict=False):
        (unlabelled / name).unlink()
        wav(unlabelled / name, tone(), subtype=subtype)
        assert read_audio(unlabelled / name).shape == (44_100,)
    assert Corpus.report(unlabelled).empty


@pytest.mark.parametrize("absent", ["meta.csv", TRAIN, EVALUATE])
def test_a_development_set_that_lacks_a_table_is_no_evaluation_set(root, absent):
    (root / absent).unlink()
    with pytest.raises(CorpusError, match="is missing"):
        Corpus.open(root)


def test_a_development_set_that_lacks_two_splits_is_no_evaluation_set(root):
    for absent in (TRAIN, EVALUATE):
        (root / absent).unlink()
    with pytest.raises(CorpusError, match="is missing"):
        Corpus.open(root)


# ---- broken evaluation sets ------------------------------------------------------------------


@pytest.mark.parametrize(
    "row, problem, remedy",
    [
        ("audio\\7.wav", "Windows separators", "forward slashes"),
        ("../audio/7.wav", "outside the corpus folder", "audio/<file>"),
        ("7.wav", "not in the audio folder", "audio/<file>"),
        ("audio/7.mp3", "neither .wav nor .flac", "convert"),
        ("audio/.wav", "characters a file name must not", "letters"),
        ("audio/1.flac", "repeats row 3", "delete one"),
        ("audio/1.wav\ta", "2 fields for 1 columns", "complete the row"),
        ("audio/7.wav", "audio/7.wav is listed but the file is absent", "download"),
    ],
)
def test_a_broken_row_is_named(unlabelled, row, problem, remedy):
    write_table(unlabelled / TEST, "filename", [*NAMES, row])
    refused(unlabelled, TEST, 7, problem, remedy)


def test_a_table_without_file_names_is_named(unlabelled):
    write_table(unlabelled / TEST, "file", NAMES)
    refused(unlabelled, TEST, 1, "lacks the column filename", "header line")


def test_a_table_that_is_not_utf8_is_named(unlabelled):
    (unlabelled / TEST).write_bytes(b"filename\naudio/0.wav\naudio/\xe9.wav\n")
    refused(unlabelled, TEST, 3, "not UTF-8", "save the file as UTF-8")


def test_a_row_without_its_device_is_named(with_devices):
    rows = lines(with_devices / TEST)
    rows[3] = "audio/2.wav\t"
    write_table(with_devices / TEST, rows[0], rows[1:])
    refused(with_devices, TEST, 4, "'' is no device", "unknown")


def test_a_file_that_is_not_listed_is_named(unlabelled):
    os.link(unlabelled / NAMES[0], unlabelled / "audio/99.wav")
    refused(unlabelled, "audio/99.wav", None, f"not listed in {TEST}", f"add its row to {TEST}")


def test_broken_audio_is_named_with_its_row_in_the_report(unlabelled):
    (unlabelled / NAMES[3]).unlink()
    wav(unlabelled / NAMES[3], tone(43_218))
    report = Corpus.report(unlabelled)
    assert report[["file", "row"]].to_numpy().tolist() == [[TEST, 5]]
    assert "audio/3.wav lasts 0.98 s" in report["problem"].iat[0]
    assert pd.notna(report["remedy"].iat[0])
