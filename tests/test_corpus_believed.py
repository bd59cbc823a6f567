"""Sound that is right is read, however its file is written; sound that cannot be meant is not."""

from __future__ import annotations

import os
import shutil
import struct
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asclib.challenge import SAMPLE_RATE
from asclib.corpus import Corpus, CorpusError, read_audio
from asclib.runs import Data
from tests.corpora import SMALL_TEST, SMALL_TRAIN, tone, wav, write_index

SAMPLES = (tone() * 32_768).round().astype("<i2")
UNKNOWN = 2**32 - 1  # what a program writes that cannot go back to the beginning


def written(
    data: bytes,
    riff: int | None = None,
    size: int | None = None,
    before: bytes = b"",
    after: bytes = b"",
    form: tuple[int, int] = (1, 16),
) -> bytes:
    """A wav file of one channel: `riff` and `size` are what its two size fields say instead.

    Args: form, 1 for whole numbers and 3 for floats, and their bits.
    """
    code, bits = form
    step = bits // 8
    head = struct.pack("<IHHIIHH", 16, code, 1, SAMPLE_RATE, SAMPLE_RATE * step, step, bits)
    body = b"WAVEfmt " + head + before + b"data"
    body += struct.pack("<I", len(data) if size is None else size) + data + after
    return b"RIFF" + struct.pack("<I", len(body) if riff is None else riff) + body


def chunk(name: bytes, content: bytes) -> bytes:
    """Without the byte that should follow an odd length."""
    return name + struct.pack("<I", len(content)) + content


PCM = SAMPLES.tobytes()
WHOLE = len(written(PCM))
SOUND = {
    "as it should be": written(PCM),
    "the size of the file as that of its content": written(PCM, riff=WHOLE),
    "one too many": written(PCM, riff=WHOLE - 7),
    "from a pipe": written(PCM, UNKNOWN, UNKNOWN),
    "from a pipe that knew a half": written(PCM, UNKNOWN),
    "from another pipe": written(PCM, 2**31 - 1, 2**31 - 1),
    "from a third": written(PCM, riff=0),
    "a last chunk without its padding": written(
        PCM, riff=WHOLE + 6, after=chunk(b"LIST", b"INFOx")
    ),
    "a chunk that ends beyond the file": written(PCM, riff=WHOLE + 992, after=b"LIST\xff\x03\0\0"),
    "a chunk before": written(PCM, before=chunk(b"note", b"even")),
    "two bytes more than there are": written(PCM, size=len(PCM) + 2),
}


@pytest.mark.parametrize("how", SOUND)
def test_a_second_of_sound_is_read_whatever_its_size_fields_say(tmp_path, how: str) -> None:
    (tmp_path / "clip.wav").write_bytes(SOUND[how])
    assert np.array_equal(read_audio(tmp_path / "clip.wav") * 32_768, SAMPLES)


@pytest.mark.parametrize(
    "content, words",
    [
        (written(PCM)[:-10], "is truncated: 44095 samples"),
        (written(PCM)[:-11], "is truncated: 44094 samples"),
        (written(PCM, riff=WHOLE)[: WHOLE // 2], "is truncated"),
        (written(PCM[:-10]), "lasts .* s .44095 samples., not 1 s"),
        (written(PCM[:-10], UNKNOWN, UNKNOWN), "lasts .*44095 samples"),
        (written(PCM + PCM), "lasts 2 s .88200 samples."),
        (written(11 * PCM), "lasts 11 s .485100 samples."),
        (written(10 * PCM), "lasts 10 s .441000 samples."),
        (written(PCM, 0, 0), "has no samples, by its header"),
        (written(b""), "has no samples, by its header"),
    ],
)
def test_another_length_is_refused_and_truncated_only_where_it_is(tmp_path, content, words) -> None:
    (tmp_path / "clip.wav").write_bytes(content)
    with pytest.raises(CorpusError, match=words):
        read_audio(tmp_path / "clip.wav")


def test_a_flac_that_announces_more_than_there_is_memory_is_refused(tmp_path) -> None:
    path = tmp_path / "clip.flac"
    soundfile.write(path, tone(), SAMPLE_RATE)
    for announced in (0, 2**36 - 1):  # not known; two weeks
        content = bytearray(path.read_bytes())
        content[21] = content[21] & 0xF0 | announced >> 32
        content[22:26] = struct.pack(">I", announced % 2**32)
        path.write_bytes(content)
        with pytest.raises(CorpusError, match="cannot be read as audio|truncated|lasts"):
            read_audio(path)


# ---- floats that are no share of full scale ----------------------------------------------------


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize(
    "scale, said",
    [(2**15, "32,768"), (4_540 / 0.25, "32,768"), (2**23, "8,388,608"), (2**31, "2,1")],
)
def test_floats_in_the_scale_of_whole_numbers_are_refused(tmp_path, subtype, scale, said) -> None:
    path = wav(tmp_path / "clip.wav", tone() * scale, subtype=subtype)
    with pytest.raises(CorpusError, match=f"full scale is 1.*divide its samples by {said}"):
        read_audio(path, row=5)


@pytest.mark.parametrize("peak", [0.001, 1.0, 1.5, 8.0])
def test_floats_somewhat_beyond_full_scale_are_sound(tmp_path, peak: float) -> None:
    samples = (tone() * 4 * peak).astype(np.float32)
    assert np.array_equal(read_audio(wav(tmp_path / "clip.wav", samples, subtype="FLOAT")), samples)


# ---- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [".DS_Store", "._{}", "._other.wav", "Thumbs.db", ".hidden.flac"])
def test_what_a_computer_puts_beside_the_files_is_not_looked_at(root: Path, name: str) -> None:
    clip = Path(SMALL_TRAIN[0]).name
    before = Corpus.open(root).fingerprint
    (root / "audio" / name.format(clip)).write_bytes(b"\0\x05\x16\x07")
    assert Corpus.open(root).fingerprint == before
    assert Corpus.report(root).empty


def renamed(root: Path, name: str, other: str, tables: bool) -> None:
    """A file by another name, and its rows with it or not."""
    os.rename(root / name, root / other)
    if tables:
        for path in root.rglob("*.csv"):
            path.write_text(path.read_text().replace(name, other))


@pytest.mark.parametrize("suffix", ["WAV", "Wav", "FLAC", "flac"])
def test_a_suffix_may_be_in_capitals(root: Path, suffix: str) -> None:
    name = SMALL_TRAIN[4]
    other = f"{name[:-3]}{suffix}"
    if suffix.lower() == "flac":
        (root / name).unlink()
        soundfile.write(root / name, tone(), SAMPLE_RATE, format="FLAC")
    renamed(root, name, other, tables=True)
    clips = Corpus.open(root).clips
    assert clips["filename"].iloc[4] == other and clips["identifier"].iloc[4] == name[6:-4]
    assert Corpus.report(root).empty


def test_a_file_in_capitals_that_the_tables_write_small_is_named(root: Path) -> None:
    name = SMALL_TRAIN[4]
    renamed(root, name, f"{name[:-3]}WAV", tables=False)
    with pytest.raises(CorpusError, match=f"absent.*rename the file {name[:-3]}WAV") as error:
        Corpus.open(root)
    assert error.value.row == 6


ACCENTS = [name.replace("porto", "málaga") for name in SMALL_TRAIN]
FORMS = ("NFC", "NFD")


def accented(small: Path, folder: Path, disk: str, tables: tuple[str, str]) -> Path:
    """The small corpus in a city with an accent: file names, meta.csv and the other tables each in
    a form of Unicode.
    """
    test = [name.replace("porto", "málaga") for name in SMALL_TEST]
    write_index(folder, ACCENTS, test)
    for path in folder.rglob("*.csv"):
        form = tables[path.name != "meta.csv"]
        path.write_text(unicodedata.normalize(form, path.read_text()))
    (folder / "audio").mkdir()
    for name in ACCENTS + test:
        os.link(small / "one.wav", folder / unicodedata.normalize(disk, name))
    return folder


@pytest.mark.parametrize("disk", FORMS)
@pytest.mark.parametrize("meta", FORMS)
@pytest.mark.parametrize("others", FORMS)
def test_an_accent_is_one_however_it_is_written(small, tmp_path, disk, meta, others) -> None:
    corpus = Corpus.open(accented(small, tmp_path / "other", disk, (meta, others)))
    usual = Corpus.open(accented(small, tmp_path / "usual", "NFC", ("NFC", "NFC")))
    assert corpus.fingerprint == usual.fingerprint
    assert corpus.clips["identifier"].tolist() == usual.clips["identifier"].tolist()
    assert all((corpus.root / name).is_file() for name in corpus.clips["filename"])
    assert corpus.split("test").index.tolist() == usual.split("test").index.tolist()
    assert Corpus.report(corpus.root).empty


@pytest.mark.parametrize("form", FORMS)
def test_so_is_an_accent_in_a_class_of_ones_own(small, tmp_path, form, monkeypatch) -> None:
    monkeypatch.setenv("ASCLIB_STORE", str(tmp_path / "store"))
    names = [name.replace("airport", "aéroport") for name in (*SMALL_TRAIN, *SMALL_TEST)]
    train, test = names[: len(SMALL_TRAIN)], names[len(SMALL_TRAIN) :]
    write_index(tmp_path / "corpus", train, test)
    (tmp_path / "corpus" / "audio").mkdir()
    for name in names:
        decomposed = unicodedata.normalize("NFD", name)
        shutil.copy(small / "one.wav", tmp_path / "corpus" / decomposed)
    scenes = {name[6:].split("-")[0] for name in names}
    classes = [unicodedata.normalize(form, scene) for scene in sorted(scenes)]
    data = Data(tmp_path / "corpus", classes=classes)
    assert set(data.table("train")["scene"]) <= set(data.classes)
    assert data.corpus.fingerprint
