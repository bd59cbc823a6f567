"""The reader on sound corpora: what it reads, to the last bit, and how it splits it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from asclib.challenge import SAMPLE_RATE, SCENES
from asclib.corpus import Corpus, places, read_audio
from tests.corpora import SMALL_TEST, SMALL_TRAIN, TRAIN, lines, tone, wav, write_table


def test_a_sound_corpus_opens_with_an_empty_report(root):
    corpus = Corpus.open(root)
    assert corpus.clips["filename"].tolist() == SMALL_TRAIN + SMALL_TEST
    clip = corpus.clips.iloc[2]
    assert clip.to_dict() == dict(
        identifier="airport-porto-1-10-0-s1",
        filename="audio/airport-porto-1-10-0-s1.wav",
        scene="airport",
        city="porto",
        location="1",
        recording="airport-porto-1-10",
        slice=0,
        device="s1",
        split="train",
    )
    report = Corpus.report(root)
    assert report.empty and list(report.columns) == ["file", "row", "problem", "remedy"]


def test_byte_order_marks_and_windows_line_ends_are_read(root):
    for path in root.rglob("*.csv"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(Corpus.open(root).clips) == len(SMALL_TRAIN) + len(SMALL_TEST)


def test_flac_and_subset_files_beside_meta_are_read(root):
    for path in root.rglob("*.csv"):
        path.write_text(path.read_text().replace(".wav", ".flac"))
    for path in (root / "audio").iterdir():
        path.unlink()
        soundfile.write(path.with_suffix(".flac"), tone(), SAMPLE_RATE)
    write_table(root / "split5.csv", "filename\tscene_label", lines(root / TRAIN)[1:9])
    corpus = Corpus.open(root)
    assert corpus.split("train", subset=5).index.tolist() == list(range(8))
    assert Corpus.report(root).empty


# ---- sound audio -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "suffix, subtype, step",
    [
        ("wav", "PCM_16", 2**-15),
        ("wav", "PCM_24", 2**-23),
        ("wav", "PCM_32", 2**-24),  # beyond a float32's 24 bits
        ("wav", "FLOAT", 0),
        ("flac", "PCM_16", 2**-15),
        ("flac", "PCM_24", 2**-23),
    ],
)
def test_every_sample_format_is_read_to_its_last_bit(tmp_path, suffix, subtype, step):
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, SAMPLE_RATE).astype(np.float32)
    path = tmp_path / f"clip.{suffix}"
    soundfile.write(path, samples, SAMPLE_RATE, subtype=subtype)
    read = read_audio(path)
    assert read.dtype == np.float32 and read.shape == (SAMPLE_RATE,)
    assert np.abs(read - samples).max() <= step


def test_24_bit_samples_are_exact(tmp_path):
    """Against the bytes themselves: three per sample, little-endian, after a 44-byte header."""
    samples = np.random.default_rng(0).uniform(-1, 1, SAMPLE_RATE)
    path = wav(tmp_path / "clip.wav", samples, subtype="PCM_24")
    content = path.read_bytes()[-3 * SAMPLE_RATE :]
    triples = [content[i : i + 3] for i in range(0, len(content), 3)]
    expected = [int.from_bytes(triple, "little", signed=True) / 2**23 for triple in triples]
    np.testing.assert_array_equal(read_audio(path), np.float32(expected))


# ---- splits ----------------------------------------------------------------------------------


def test_validation_split_shares_no_location_with_training(small):
    corpus = Corpus.open(small)
    fit, validation = corpus.split("fit"), corpus.split("validation")
    assert not set(places(fit)) & set(places(validation))
    assert not set(fit["recording"]) & set(validation["recording"])
    assert set(validation["scene"]) == set(fit["scene"]) == {"airport", "street_traffic"}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(SCENES[:4]), st.integers(0, 30), st.integers(1, 6)),
        min_size=1,
        max_size=60,
        unique_by=lambda row: row[:2],
    )
)
def test_validation_takes_whole_locations_and_leaves_every_scene_some(rows):
    """Any mixture of scenes, locations (which may serve several scenes) and recordings."""
    corpus = toy_corpus(rows)
    fit, validation = corpus.split("fit"), corpus.split("validation")
    assert len(fit) + len(validation) == len(corpus.clips)
    assert not set(places(fit)) & set(places(validation))
    assert set(fit["scene"]) == set(corpus.clips["scene"])
    for scene, clips in corpus.clips.groupby("scene"):
        if places(clips).nunique() < 2:
            assert scene not in set(validation["scene"])


def toy_corpus(rows: list[tuple[str, int, int]]) -> Corpus:
    """A training split from (scene, location, number of recordings), without files."""
    clips = pd.DataFrame(
        [
            (f"{scene}-{place}-{i}-0", scene, "x", str(place), f"{scene}-{place}-{i}")
            for scene, place, recordings in rows
            for i in range(recordings)
        ],
        columns=["identifier", "scene", "city", "location", "recording"],
    )
    return Corpus(Path("."), clips.assign(device="a", split="train"), {})


def test_two_locations_give_one_to_validation():
    corpus = toy_corpus([("bus", 1, 5), ("bus", 2, 5), ("tram", 3, 9)])
    assert corpus.split("validation")["location"].nunique() == 1
    assert set(corpus.split("validation")["scene"]) == {"bus"}


def test_leakage_counts_what_two_splits_share(small):
    corpus = Corpus.open(small)
    assert corpus.leakage().drop("cities")["shared"].sum() == 0
    train = corpus.split("train")
    other_device = corpus.leakage(train.query("device == 'a'"), train.query("device == 's1'"))
    assert other_device["shared"].to_dict() == dict(
        clips=0, recordings=12, parallel=12, locations=6, cities=2
    )
    assert other_device.loc["parallel", "clips"] == 24
    sliced = corpus.leakage(train.query("slice == 0"), train.query("slice == 1 and device == 'a'"))
    assert sliced.loc["recordings", "shared"] == 24
    assert sliced.loc["recordings", "one"] == sliced.loc["recordings", "other"] == 24
    assert sliced.loc["parallel", "shared"] == 12
    assert corpus.leakage("train", "train").loc["clips", "shared"] == len(train)


def test_splits_and_fingerprint_ignore_the_order_of_rows(small, root):
    rng = np.random.default_rng(1)
    for path in root.rglob("*.csv"):
        header, *rows = lines(path)
        write_table(path, header, [rows[i] for i in rng.permutation(len(rows))])
    one, other = Corpus.open(small), Corpus.open(root)
    assert one.clips["identifier"].tolist() != other.clips["identifier"].tolist()
    assert one.fingerprint == other.fingerprint
    for split in ("validation", "test"):
        assert set(one.split(split)["identifier"]) == set(other.split(split)["identifier"])


def test_the_fingerprint_follows_splits_and_what_files_hold(root):
    first = Corpus.open(root).fingerprint
    assert Corpus.open(root, files=False).fingerprint != first
    path = root / SMALL_TRAIN[0]
    path.unlink()
    wav(path, tone(), subtype="PCM_24")
    second = Corpus.open(root).fingerprint
    assert second != first
    (root / TRAIN).write_text("\n".join(lines(root / TRAIN)[:-1]) + "\n")
    third = Corpus.open(root).fingerprint
    assert third != second
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # one bit of sound, under the same name and in the same size
    path.write_bytes(content)
    assert Corpus.open(root).fingerprint != third


def test_a_file_is_read_again_only_when_it_has_changed(root, monkeypatch):
    reads = []

    def read(file):
        reads.append(file.name)
        return file.name

    monkeypatch.setattr("asclib.corpus.folder._content", read)
    for path in (root / "audio").iterdir():  # links to one file, of which each knows the others
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    clips = len(Corpus.open(root).clips)
    first = Corpus.open(root).fingerprint
    assert Corpus.open(root).fingerprint == first and len(reads) == clips
    path = root / SMALL_TRAIN[0]
    path.unlink()
    wav(path, tone(), subtype="PCM_16")
    Corpus.open(root).fingerprint  # noqa: B018
    assert reads[clips:] == [path.name]
    stamp = path.stat()
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # as copying tools restore it
    Corpus.open(root).fingerprint  # noqa: B018
    assert reads[clips:] == [path.name] * 2


# ---- real recordings -------------------------------------------------------------------------


@pytest.mark.skipif(
    not Path(os.environ.get("ASCLIB_REAL_SOUNDS", "absent")).is_dir(),
    reason="ASCLIB_REAL_SOUNDS names no folder of real recordings in TAU layout",
)
def test_real_recordings_open_without_a_complaint():
    root = Path(os.environ["ASCLIB_REAL_SOUNDS"])
    assert Corpus.report(root).empty
    corpus = Corpus.open(root)
    assert corpus.leakage("train", "test").loc[["clips", "recordings"], "shared"].sum() == 0
    share = len(corpus.split("validation")) / len(corpus.split("train"))
    assert 0.1 < share < 0.3
    assert corpus.split("validation")["scene"].nunique() == corpus.split("train")["scene"].nunique()
