"""Each kind of broken corpus is told apart: the error names file, row and remedy."""

from __future__ import annotations

import os
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from asclib.challenge import SAMPLE_RATE
from asclib.corpus import Corpus, CorpusError, read_audio
from tests.corpora import (
    EVALUATE,
    LABELLED,
    SMALL_TEST,
    SMALL_TRAIN,
    TEST,
    TRAIN,
    edit,
    labelled,
    lines,
    refused,
    tone,
    wav,
    write_table,
)

# ---- broken tables ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["meta.csv", TRAIN, TEST, EVALUATE])
def test_an_absent_table_is_named(root, name):
    (root / name).unlink()
    refused(root, name, None, "is missing", "folder that holds meta.csv")


@pytest.mark.parametrize("name", ["meta.csv", TRAIN, TEST, EVALUATE])
@pytest.mark.parametrize(
    "content, row, problem, remedy",
    [
        (b"", None, "is empty", "restore"),
        (b"filename\tscene_label\tidentifier\tsource_label\n", 1, "no rows", "restore the rows"),
    ],
)
def test_an_empty_table_is_named(root, name, content, row, problem, remedy):
    (root / name).write_bytes(content)
    refused(root, name, row, problem, remedy)


@pytest.mark.parametrize(
    "name, column",
    [
        *(("meta.csv", c) for c in ("filename", "scene_label", "identifier", "source_label")),
        *((name, c) for name in (TRAIN, EVALUATE) for c in ("filename", "scene_label")),
        (TEST, "filename"),
    ],
)
def test_a_missing_column_is_named(root, name, column):
    table = pd.read_csv(root / name, sep="\t").rename(columns={column: "other"})
    table.to_csv(root / name, sep="\t", index=False)
    refused(root, name, 1, f"lacks the column {column}", "write a header line")


def test_a_column_given_twice_is_named(root):
    edit(root / TRAIN, 1, lambda line: line + "\tscene_label")
    refused(root, TRAIN, 1, "names a column twice", "keep one")


SEPARATORS = {",": "commas", ";": "semicolons"}


@pytest.mark.parametrize("mark", SEPARATORS)
def test_another_separator_than_tabs_is_named(root, mark):
    (root / "meta.csv").write_text((root / "meta.csv").read_text().replace("\t", mark))
    refused(root, "meta.csv", 1, f"{SEPARATORS[mark]} where tabs belong", "tab-separated")


@pytest.mark.parametrize("mark", SEPARATORS)
def test_another_separator_in_one_row_is_named(root, mark):
    edit(root / "meta.csv", 5, lambda line: line.replace("\t", mark))
    refused(root, "meta.csv", 5, f"{SEPARATORS[mark]} where tabs belong", "tabs")


def test_a_row_cut_short_is_named(root):
    edit(root / "meta.csv", 7, lambda line: line.rsplit("\t", 1)[0])
    refused(root, "meta.csv", 7, "3 fields for 4 columns", "complete the row")


@pytest.mark.parametrize("line", ["", "  ", "\t\t\t"])
@pytest.mark.parametrize("name", ["meta.csv", TRAIN])
def test_an_empty_line_is_named(root, name, line):
    path = root / name
    path.write_text(path.read_text().replace("\n", f"\n{line}\n", 1))
    refused(root, name, 2, "empty line", "delete")


def test_empty_lines_at_the_end_of_a_table_are_none(root):
    for path in root.rglob("*.csv"):
        path.write_bytes(path.read_bytes() + b"\n\r\n\n")
    assert Corpus.report(root).empty


def test_text_that_is_not_utf8_is_named(root):
    rows = (root / "meta.csv").read_bytes().split(b"\n")
    rows[8] = rows[8].replace(b"porto", b"p\xf3rto")
    (root / "meta.csv").write_bytes(b"\n".join(rows))
    refused(root, "meta.csv", 9, "not UTF-8 (byte 0xf3)", "save the file as UTF-8")


def test_windows_separators_are_named(root):
    edit(root / "meta.csv", 3, lambda line: line.replace("audio/", "audio\\"))
    refused(root, "meta.csv", 3, "Windows separators", "forward slashes")


@pytest.mark.parametrize("name", [TRAIN, TEST, EVALUATE])
def test_windows_separators_in_a_split_are_named(root, name):
    edit(root / name, 3, lambda line: line.replace("audio/", "audio\\"))
    refused(root, name, 3, "Windows separators", "forward slashes")


PATHS_OUTSIDE = ["../audio/", "/etc/", "audio/../../", "C:/audio/"]


@pytest.mark.parametrize("prefix", PATHS_OUTSIDE)
def test_a_path_outside_the_folder_is_named(root, prefix):
    edit(root / "meta.csv", 6, lambda line: line.replace("audio/", prefix))
    refused(root, "meta.csv", 6, "outside the corpus folder", "audio/<file>")


@pytest.mark.parametrize("prefix", PATHS_OUTSIDE)
def test_a_path_outside_the_folder_in_a_split_is_named(root, prefix):
    edit(root / TRAIN, 6, lambda line: line.replace("audio/", prefix))
    refused(root, TRAIN, 6, "outside the corpus folder", "audio/<file>")


def test_a_file_in_another_folder_is_named(root):
    edit(root / "meta.csv", 6, lambda line: line.replace("audio/", "sound/"))
    refused(root, "meta.csv", 6, "not in the audio folder", "audio/<file>")


def rename_in_row(old: str, new: str):
    return lambda line: re.sub(old, new, line, count=1)


@pytest.mark.parametrize(
    "old, new, problem, remedy",
    [
        ("airport-", "aeroporto-", "unknown scene 'aeroporto'", "airport, bus"),
        ("-a.wav", "-z.wav", "unknown device 'z'", "a, b, c"),
        ("-0-a.wav", "-x-a.wav", "slice 'x'", "number"),
        ("-0-a.wav", "-0-0-a.wav", "six fields", "<scene>-<city>"),
        (".wav", ".mp3", "neither .wav nor .flac", "convert"),
        (".wav\t", ".wav \t", "a space before or after it", "the path alone"),
        ("audio/", "\u00a0audio/", "a space before or after it", "the path alone"),
        (r"^(.*?)\t", r'"\1"\t', "quotes around it", "the path alone"),
    ],
)
def test_a_file_name_not_of_the_form_is_named(root, old, new, problem, remedy):
    edit(root / "meta.csv", 2, rename_in_row(old, new))
    refused(root, "meta.csv", 2, problem, remedy)


def test_an_unknown_scene_label_is_named(root):
    edit(root / TRAIN, 10, lambda line: line.replace("\tairport", "\tairfield"))
    refused(root, TRAIN, 10, "unknown scene 'airfield'", "write 'airport'")


@pytest.mark.parametrize("name", ["meta.csv", TRAIN])
def test_a_scene_that_disagrees_with_the_file_name_is_named(root, name):
    edit(root / name, 10, lambda line: line.replace("\tairport", "\tbus"))
    refused(root, name, 10, "scene 'bus' disagrees with the file name", "write 'airport'")


@pytest.mark.parametrize("device, problem", [("b", "device 'b'"), ("q", "unknown device 'q'")])
def test_a_device_that_disagrees_with_the_file_name_is_named(root, device, problem):
    edit(root / "meta.csv", 2, lambda line: line[:-1] + device)
    refused(root, "meta.csv", 2, problem, "write 'a' as source_label")


@pytest.mark.parametrize("place", ["porto-2", "lisboa-1", "porto", ""])
def test_an_identifier_that_is_not_the_place_in_the_file_name_is_named(root, place):
    edit(root / "meta.csv", 3, lambda line: line.replace("\tporto-1\t", f"\t{place}\t"))
    problem = f"identifier {place!r} disagrees with the file name {SMALL_TRAIN[1]}"
    refused(root, "meta.csv", 3, problem, "write 'porto-1' as identifier")


@pytest.mark.parametrize("name", ["meta.csv", TRAIN, TEST, EVALUATE])
def test_a_duplicate_row_is_named(root, name):
    rows = lines(root / name)
    (root / name).write_text("\n".join([*rows, rows[2]]) + "\n")
    refused(root, name, len(rows) + 1, "repeats row 3", "delete one")


def test_a_split_row_that_meta_lacks_is_named(root):
    rows = lines(root / "meta.csv")
    name = rows.pop(4).split("\t")[0]
    (root / "meta.csv").write_text("\n".join(rows) + "\n")
    refused(root, TRAIN, 5, f"{name} is not in meta.csv", "add its row to meta.csv")


def test_a_clip_in_train_and_test_is_named(root):
    for name in (TEST, EVALUATE):
        columns = lines(root / name)[0].count("\t") + 1
        row = "\t".join(lines(root / TRAIN)[3].split("\t")[:columns])
        (root / name).write_text((root / name).read_text() + row + "\n")
    refused(root, TEST, len(SMALL_TEST) + 2, f"in row 4 of {TRAIN} too", "one of the two splits")


def test_evaluate_and_test_must_list_the_same_clips(root):
    rows = lines(root / EVALUATE)
    (root / EVALUATE).write_text("\n".join(rows[:-1]) + "\n")
    refused(root, TEST, len(rows), f"not in {EVALUATE}", "add it")
    (root / EVALUATE).write_text("\n".join(rows) + "\n")
    (root / TEST).write_text("\n".join(lines(root / TEST)[:-1]) + "\n")
    refused(root, EVALUATE, len(rows), f"not in {TEST}", "add it")


def test_a_subset_that_leaves_the_training_split_is_named(root):
    path = root / "evaluation_setup/split5.csv"
    rows = [lines(root / TRAIN)[1], lines(root / EVALUATE)[1]]
    write_table(path, "filename\tscene_label", rows)
    refused(root, "evaluation_setup/split5.csv", 3, f"in row 2 of {TEST} too", "one of the two")


def test_a_subset_that_cuts_a_recording_is_named(root):
    rows = labelled([SMALL_TRAIN[0], SMALL_TRAIN[1], SMALL_TRAIN[5]])
    write_table(root / "evaluation_setup/split10.csv", LABELLED, rows)
    cut = "1 of the 2 training clips of airport-porto-1-11 by device a"
    refused(root, "evaluation_setup/split10.csv", 4, cut, "the whole recording, or none")


@pytest.mark.parametrize("larger", [10, 50])
def test_a_subset_that_leaves_a_larger_one_is_named(root, larger):
    """The next larger one there is: files of single subsets may be absent."""
    for percent, names in ((5, SMALL_TRAIN[:4]), (larger, SMALL_TRAIN[2:8])):
        write_table(root / f"evaluation_setup/split{percent}.csv", LABELLED, labelled(names))
    problem = f"{SMALL_TRAIN[0]} is not in evaluation_setup/split{larger}.csv"
    refused(root, "evaluation_setup/split5.csv", 2, problem, "add it")


def test_an_unreadable_subset_excuses_no_smaller_one(root):
    names = [*SMALL_TRAIN[:2], SMALL_TRAIN[4], SMALL_TRAIN[5]]
    write_table(root / "evaluation_setup/split5.csv", LABELLED, labelled(names))
    edit(root / TRAIN, 7, lambda line: "")  # the last of these clips
    (root / "evaluation_setup/split10.csv").touch()
    report = Corpus.report(root, files=False)
    assert report["file"].tolist() == [TRAIN, *(f"evaluation_setup/split{n}.csv" for n in (10, 5))]
    assert report["problem"].iat[2] == f"{names[3]} is not in {TRAIN}"


def test_a_subset_the_corpus_lacks_is_an_error_with_a_remedy(root):
    corpus = Corpus.open(root)
    with pytest.raises(CorpusError, match=r"split25\.csv.*2024"):
        corpus.split("train", subset=25)
    with pytest.raises(ValueError, match="no subsets"):
        corpus.split("test", subset=25)
    with pytest.raises(ValueError, match="choose train, test"):
        corpus.split("dev")


# ---- broken audio ----------------------------------------------------------------------------


def test_a_listed_file_that_is_absent_is_named(root):
    (root / SMALL_TRAIN[4]).unlink()
    refused(root, SMALL_TRAIN[4], 6, "absent", "download")
    assert Corpus.open(root, files=False).file_bytes is None


def test_a_file_that_is_not_listed_is_named(root):
    os.link(root / "one.wav", root / "audio/bus-porto-1-1-0-a.wav")
    refused(root, "audio/bus-porto-1-1-0-a.wav", None, "not listed", "meta.csv")


def test_a_file_of_zero_bytes_is_named(root):
    (root / SMALL_TEST[0]).unlink()
    (root / SMALL_TEST[0]).touch()
    refused(root, SMALL_TEST[0], len(SMALL_TRAIN) + 2, "zero bytes", "fetch")


def test_a_stray_file_whose_name_is_no_text_can_be_printed(root):
    try:
        os.link(root / "one.wav", os.fsencode(root / "audio") + b"/caf\xe9.wav")
    except OSError:
        pytest.skip("this disk takes no such name")
    refused(root, r"audio/caf\udce9.wav", None, "not listed", "meta.csv")
    Corpus.report(root).to_string().encode()


def test_an_absent_audio_folder_is_named(root):
    shutil.rmtree(root / "audio")
    refused(root, "audio", None, "cannot be listed", "beside meta.csv")


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def with_sample(value: float) -> np.ndarray:
    samples = tone()
    samples[7] = value
    return samples


BROKEN_AUDIO = {
    "absent": (lambda p: p, "absent", "fetch"),
    "zero bytes": (lambda p: p.write_bytes(b""), "zero bytes", "fetch"),
    "not audio": (lambda p: p.write_bytes(b"<html>" * 99), "cannot be read as audio", "fetch"),
    "truncated wav": (lambda p: cut(wav(p, tone()), 0.6), "truncated", "fetch"),
    "cut in the header": (lambda p: cut(wav(p, tone()), 0.0003), "cannot be read", "fetch"),
    "wrong rate": (lambda p: wav(p, tone(), 48_000), "48000 Hz, not 44100 Hz", "resample"),
    "stereo": (lambda p: wav(p, np.stack([tone()] * 2, 1)), "2 channels", "mix it down"),
    "0.98 s": (lambda p: wav(p, tone(samples=43_218)), "0.98 s (43218 samples)", "exactly 44100"),
    "1.02 s": (lambda p: wav(p, tone(samples=44_982)), "1.02 s (44982 samples)", "exactly 44100"),
    "one sample less": (lambda p: wav(p, tone(samples=44_099)), "44099 samples", "exactly"),
    "NaN": (lambda p: wav(p, with_sample(np.nan), subtype="FLOAT"), "that are NaN", "fetch"),
    "infinite": (lambda p: wav(p, with_sample(np.inf), subtype="FLOAT"), "or infinite", "fetch"),
    "all zero": (lambda p: wav(p, np.zeros(SAMPLE_RATE)), "silent throughout", "leave it out"),
}


@pytest.mark.parametrize("kind", BROKEN_AUDIO)
def test_broken_audio_is_named_with_its_row(tmp_path, kind):
    path = tmp_path / "clip.wav"
    make, problem, remedy = BROKEN_AUDIO[kind]
    make(path)
    with pytest.raises(CorpusError) as caught:
        read_audio(path, row=17)
    error = caught.value
    assert (error.file, error.row) == (str(path), 17)
    assert problem in error.problem and remedy in error.remedy
    assert "row 17 of meta.csv" in str(error)


def test_the_report_holds_every_kind_of_broken_audio_with_its_row(root):
    kinds = dict(zip(SMALL_TRAIN[3:], BROKEN_AUDIO, strict=False))
    for name, kind in kinds.items():
        (root / name).unlink()
        BROKEN_AUDIO[kind][0](root / name)
    report = Corpus.report(root).set_index("file")
    assert sorted(report.index) == sorted(kinds) and len(kinds) == len(BROKEN_AUDIO)
    for name, kind in kinds.items():
        _, problem, remedy = BROKEN_AUDIO[kind]
        assert report.at[name, "row"] == SMALL_TRAIN.index(name) + 2
        assert problem in report.at[name, "problem"] and remedy in report.at[name, "remedy"]


def test_a_truncated_flac_is_named(tmp_path):
    soundfile.write(tmp_path / "clip.flac", tone(), SAMPLE_RATE)
    cut(tmp_path / "clip.flac", 0.7)
    with pytest.raises(CorpusError, match="truncated|cannot be read"):
        read_audio(tmp_path / "clip.flac")


def test_the_report_collects_broken_tables_and_audio_together(root):
    edit(root / "meta.csv", 3, lambda line: line[:-1] + "b")
    edit(root / TRAIN, 9, lambda line: line.replace("\tairport", "\tbus"))
    (root / SMALL_TRAIN[20]).unlink()
    for name, samples in ((SMALL_TRAIN[30], np.zeros(SAMPLE_RATE)), (SMALL_TEST[1], tone()[:99])):
        (root / name).unlink()
        wav(root / name, samples)
    report = Corpus.report(root)
    assert list(zip(report["file"], report["row"], strict=True)) == [
        ("meta.csv", 3),
        (TRAIN, 9),
        (SMALL_TRAIN[20], 22),
        (SMALL_TRAIN[30], 32),
        (SMALL_TEST[1], len(SMALL_TRAIN) + 3),
    ]
    with pytest.raises(CorpusError) as caught:
        Corpus.open(root)
    assert caught.value.row == 3 and "2 more" in caught.value.__notes__[0]


def test_an_error_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(CorpusError("audio/x.wav", 5, "is absent", "fetch it")))
    assert str(error) == "audio/x.wav, row 5 of meta.csv: is absent. Remedy: fetch it."
