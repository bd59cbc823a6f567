"""The reader: TAU's own figures, the validation split, each kind of broken corpus told apart."""

from __future__ import annotations

import os
import pickle
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asclib.corpus import Corpus, CorpusError, places, read_audio
from asclib.settings import DEVICES, SAMPLE_RATE, SCENES

TRAIN = "evaluation_setup/fold1_train.csv"
TEST = "evaluation_setup/fold1_test.csv"
EVALUATE = "evaluation_setup/fold1_evaluate.csv"

# FACTS of TAU Urban Acoustic Scenes 2022 Mobile, development: clips per device
TAU_CLIPS = {
    "train": dict(a=102_150, b=7_490, c=7_480, s1=7_500, s2=7_500, s3=7_500, s4=0, s5=0, s6=0),
    "test": dict(a=3_300, b=3_290, c=3_290, **{f"s{i}": 3_300 for i in range(1, 7)}),
    "unused": dict(a=38_550, b=0, c=0, s1=0, s2=0, s3=0, s4=7_500, s5=7_500, s6=7_500),
}
TAU_TRAIN = dict(
    airport=13_930, bus=14_000, metro=13_820, metro_station=13_800, park=14_290,
    public_square=14_270, shopping_mall=13_730, street_pedestrian=13_860,
    street_traffic=14_130, tram=13_790,
)  # fmt: skip
TAU_TEST = dict.fromkeys(SCENES, 2_970) | dict(airport=2_960, tram=2_960)
TAU_SUBSETS = {5: 6_980, 10: 13_960, 25: 34_900, 50: 69_800, 100: 139_620}
TAU_CITIES = (
    "barcelona", "helsinki", "lisbon", "london", "lyon",
    "milan", "paris", "prague", "stockholm", "vienna",
)  # fmt: skip


def write_table(path: Path, header: str, rows: list[str]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n")


def write_index(root: Path, train: list[str], test: list[str], unused: list[str] = ()) -> None:
    """The four tables of a corpus whose file names are given."""

    def labelled(names: list[str]) -> list[str]:
        return [f"{name}\t{name[6:].split('-')[0]}" for name in names]

    def meta(name: str) -> str:
        scene, city, location, _, _, device = name[6:].rsplit(".", 1)[0].split("-")
        return f"{name}\t{scene}\t{city}-{location}\t{device}"

    root.mkdir(exist_ok=True)
    header = "filename\tscene_label\tidentifier\tsource_label"
    write_table(root / "meta.csv", header, [meta(name) for name in [*train, *test, *unused]])
    write_table(root / TRAIN, "filename\tscene_label", labelled(train))
    write_table(root / TEST, "filename", list(test))
    write_table(root / EVALUATE, "filename\tscene_label", labelled(test))


# ---- TAU -------------------------------------------------------------------------------------


def tau_names() -> dict[str, list[str]]:
    """File names with TAU's counts: ten slices a recording, parallel devices beside device a.

    Recordings go scene by scene through the locations of the ten cities, so that the counts per
    scene come out as published; which clip has which device is otherwise arbitrary.
    """
    names: dict[str, list[str]] = {}
    per_scene = {"train": TAU_TRAIN, "test": TAU_TEST}
    for split, devices in TAU_CLIPS.items():
        total = sum(devices.values()) // 10
        scenes = [
            scene
            for scene in SCENES
            for _ in range(per_scene.get(split, dict.fromkeys(SCENES, total)).get(scene) // 10)
        ]
        segments = [(device, i) for device in DEVICES for i in range(devices[device] // 10)]
        names[split] = []
        for n, (device, i) in enumerate(segments):
            # a stride that shares no factor with the number of recordings deals out the scenes
            scene = scenes[n * 7919 % total] if split != "unused" else SCENES[n % 10]
            place = f"{TAU_CITIES[i % 10]}-{split}{i % 130}"
            stem = f"audio/{scene}-{place}-{n}"
            names[split] += [f"{stem}-{piece}-{device}.wav" for piece in range(10)]
    return names


@pytest.fixture(scope="session")
def tau(tmp_path_factory) -> Path:
    """The index of the whole of TAU, 230,350 clips and the five 2024 subsets, without audio."""
    root = tmp_path_factory.mktemp("tau") / "index"
    names = tau_names()
    write_index(root, names["train"], names["test"], names["unused"])
    recordings = [names["train"][i : i + 10] for i in range(0, len(names["train"]), 10)]
    order = np.random.default_rng(0).permutation(len(recordings))
    for percent, size in TAU_SUBSETS.items():
        rows = [clip for i in order[: size // 10] for clip in recordings[i]]
        rows = [f"{name}\t{name[6:].split('-')[0]}" for name in rows]
        write_table(root / f"evaluation_setup/split{percent}.csv", "filename\tscene_label", rows)
    return root


@pytest.fixture(scope="session")
def tau_corpus(tau) -> Corpus:
    return Corpus.open(tau, files=False)


def test_the_whole_of_tau_opens_in_three_seconds_with_its_published_counts(tau):
    start = time.process_time()  # not the wall: other processes must not fail this test
    corpus = Corpus.open(tau, files=False)
    seconds = time.process_time() - start
    assert len(corpus.clips) == 230_350
    found = corpus.clips.groupby(["split", "device"]).size().unstack(fill_value=0)
    published = pd.DataFrame(TAU_CLIPS).T[list(found.columns)]
    pd.testing.assert_frame_equal(found, published, check_names=False, check_like=True)
    assert found.sum(axis=1).to_dict() == {"train": 139_620, "test": 29_680, "unused": 61_050}
    assert corpus.split("train")["scene"].value_counts().to_dict() == TAU_TRAIN
    assert corpus.split("test")["scene"].value_counts().to_dict() == TAU_TEST
    sizes = {percent: len(corpus.split("train", percent)) for percent in TAU_SUBSETS}
    assert sizes == TAU_SUBSETS
    assert sorted(corpus.clips["city"].unique()) == list(TAU_CITIES)
    assert corpus.clips["slice"].unique().tolist() == list(range(10))
    assert seconds < 3


def test_subsets_of_fit_and_validation_make_up_the_subset(tau_corpus):
    corpus = tau_corpus
    for percent in (5, 25):
        parts = [corpus.split(name, percent) for name in ("fit", "validation")]
        whole = corpus.split("train", percent)
        assert sorted([*parts[0].index, *parts[1].index]) == whole.index.tolist()
        assert len(corpus.leakage(*parts).query("shared > 0").index.difference(["cities"])) == 0


# ---- a small corpus --------------------------------------------------------------------------

PLACES = [f"{city}-{place}" for city in ("porto", "foldfive") for place in (1, 2, 3)]
SMALL_TRAIN = [
    f"audio/{scene}-{place}-{segment}-{piece}-{device}.wav"
    for scene in ("airport", "street_traffic")
    for place in PLACES
    for segment, device in ((10, "a"), (10, "s1"), (11, "a"))
    for piece in (0, 1)
]
SMALL_TEST = [f"audio/{scene}-porto-9-90-0-{d}.wav" for scene in SCENES[1:3] for d in ("a", "s6")]


def tone(subtype: str = "PCM_16", samples: int = SAMPLE_RATE) -> np.ndarray:
    return 0.25 * np.sin(2 * np.pi * 440 * np.arange(samples) / SAMPLE_RATE)


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Path:
    """A sound corpus of 76 clips."""
    root = tmp_path_factory.mktemp("corpus") / "small"
    write_index(root, SMALL_TRAIN, SMALL_TEST)
    (root / "audio").mkdir()
    soundfile.write(root / "one.wav", tone(), SAMPLE_RATE, subtype="PCM_16")
    for name in SMALL_TRAIN + SMALL_TEST:
        os.link(root / "one.wav", root / name)
    return root


@pytest.fixture
def root(small, tmp_path) -> Path:
    """A copy of the small corpus to be broken; its audio files are links, to be replaced whole."""
    shutil.copytree(small, tmp_path / "corpus", copy_function=os.link)
    for path in (tmp_path / "corpus").rglob("*.csv"):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    return tmp_path / "corpus"


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def edit(path: Path, row: int, change) -> None:
    """Change one line of a table, counted from 1 = header."""
    rows = lines(path)
    rows[row - 1] = change(rows[row - 1])
    path.write_text("\n".join(rows) + "\n")


def refused(root: Path, file: str, row: int | None, problem: str, remedy: str) -> None:
    """The corpus is refused for this reason, and the report holds the same one."""
    with pytest.raises(CorpusError) as caught:
        Corpus.open(root)
    error = caught.value
    assert (error.file, error.row) == (file, row)
    assert problem in error.problem and remedy in error.remedy
    for part in (file, error.problem, error.remedy, "" if row is None else f"row {row}"):
        assert part in str(error)
    first = Corpus.open(root, on_error="report").iloc[0]
    assert first["problem"] == error.problem and first["remedy"] == error.remedy
    assert first["file"] == file and (pd.isna(first["row"]) if row is None else first["row"] == row)


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
    report = Corpus.open(root, on_error="report")
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
    assert Corpus.open(root, on_error="report").empty


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


@pytest.mark.parametrize("name, column", [("meta.csv", "source_label"), (TRAIN, "scene_label")])
def test_a_missing_column_is_named(root, name, column):
    table = pd.read_csv(root / name, sep="\t").drop(columns=column)
    table.to_csv(root / name, sep="\t", index=False)
    refused(root, name, 1, f"lacks the column {column}", "write a header line")


def test_a_column_given_twice_is_named(root):
    edit(root / TRAIN, 1, lambda line: line + "\tscene_label")
    refused(root, TRAIN, 1, "names a column twice", "keep one")


def test_commas_for_tabs_are_named(root):
    (root / "meta.csv").write_text((root / "meta.csv").read_text().replace("\t", ","))
    refused(root, "meta.csv", 1, "commas where tabs belong", "tab-separated")


def test_commas_for_tabs_in_one_row_are_named(root):
    edit(root / "meta.csv", 5, lambda line: line.replace("\t", ","))
    refused(root, "meta.csv", 5, "commas where tabs belong", "tabs")


def test_a_row_cut_short_is_named(root):
    edit(root / "meta.csv", 7, lambda line: line.rsplit("\t", 1)[0])
    refused(root, "meta.csv", 7, "3 fields for 4 columns", "complete the row")


def test_an_empty_line_is_named(root):
    edit(root / TRAIN, 4, lambda line: "")
    refused(root, TRAIN, 4, "empty line", "delete")


def test_text_that_is_not_utf8_is_named(root):
    rows = (root / "meta.csv").read_bytes().split(b"\n")
    rows[8] = rows[8].replace(b"porto", b"p\xf3rto")
    (root / "meta.csv").write_bytes(b"\n".join(rows))
    refused(root, "meta.csv", 9, "not UTF-8 (byte 0xf3)", "save the file as UTF-8")


def test_windows_separators_are_named(root):
    edit(root / "meta.csv", 3, lambda line: line.replace("audio/", "audio\\"))
    refused(root, "meta.csv", 3, "Windows separators", "forward slashes")


@pytest.mark.parametrize("prefix", ["../audio/", "/etc/", "audio/../../", "C:/audio/"])
def test_a_path_outside_the_folder_is_named(root, prefix):
    edit(root / "meta.csv", 6, lambda line: line.replace("audio/", prefix))
    refused(root, "meta.csv", 6, "outside the corpus folder", "audio/<file>")


def test_a_file_in_another_folder_is_named(root):
    edit(root / "meta.csv", 6, lambda line: line.replace("audio/", "sound/"))
    refused(root, "meta.csv", 6, "not in the audio folder", "audio/<file>")


def rename_in_row(old: str, new: str):
    return lambda line: line.replace(old, new)


@pytest.mark.parametrize(
    "old, new, problem, remedy",
    [
        ("airport-", "aeroporto-", "unknown scene 'aeroporto'", "airport, bus"),
        ("-a.wav", "-z.wav", "unknown device 'z'", "a, b, c"),
        ("-0-a.wav", "-x-a.wav", "slice 'x'", "number"),
        ("-0-a.wav", "-0-0-a.wav", "six fields", "<scene>-<city>"),
        (".wav", ".mp3", "neither .wav nor .flac", "convert"),
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


def test_an_absent_audio_folder_is_named(root):
    shutil.rmtree(root / "audio")
    refused(root, "audio", None, "cannot be listed", "beside meta.csv")


def wav(path: Path, samples: np.ndarray, rate: int = SAMPLE_RATE, subtype: str = "PCM_16") -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


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
    report = Corpus.open(root, on_error="report")
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


def test_fit_and_validation_partition_the_training_split(tau_corpus):
    corpus = tau_corpus
    parts = corpus.split("fit").index.tolist() + corpus.split("validation").index.tolist()
    assert sorted(parts) == corpus.split("train").index.tolist()


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


def test_validation_holds_a_fifth_of_the_recordings_of_each_scene(tau_corpus):
    def recordings(split: str) -> pd.Series:
        return tau_corpus.split(split).groupby("scene")["recording"].nunique()

    share = recordings("validation") / recordings("train")
    assert len(share) == 10 and share.between(0.15, 0.25).all()


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


def test_the_fingerprint_follows_splits_and_sizes(root):
    first = Corpus.open(root).fingerprint
    assert Corpus.open(root, files=False).fingerprint != first
    path = root / SMALL_TRAIN[0]
    path.unlink()
    wav(path, tone(), subtype="PCM_24")
    second = Corpus.open(root).fingerprint
    assert second != first
    (root / TRAIN).write_text("\n".join(lines(root / TRAIN)[:-1]) + "\n")
    assert Corpus.open(root).fingerprint != second


# ---- anything at all -------------------------------------------------------------------------

TABLES = ["meta.csv", TRAIN, TEST, EVALUATE]


def garble(draw, content: bytes) -> bytes:
    """One mutation of a table's bytes."""
    rows = content.split(b"\n")
    row = draw(st.integers(0, len(rows) - 1))
    place = draw(st.integers(0, len(content)))
    kind = draw(st.sampled_from("drop double swap text bytes cut comma slash column field".split()))
    match kind:
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
            others = [b"", b"bus", b"../x.wav", b"audio/bus-a-1-1-0-a.wav", b"a"]
            new = draw(st.sampled_from(others))
            fields[draw(st.integers(0, len(fields) - 1))] = new
            rows[row] = b"\t".join(fields)
    return b"\n".join(rows)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_mutation_of_a_corpus_opens_or_raises_corpus_error(small, tmp_path_factory, data):
    root = tmp_path_factory.mktemp("fuzz")
    names = [SMALL_TRAIN[0], SMALL_TRAIN[2], SMALL_TRAIN[-1], *SMALL_TEST]
    write_index(root, names[:3], names[3:])
    (root / "audio").mkdir()
    for name in names:
        os.link(small / "one.wav", root / name)
    for _ in range(data.draw(st.integers(0, 2))):
        table = root / data.draw(st.sampled_from(TABLES))
        table.write_bytes(garble(data.draw, table.read_bytes()))
    if data.draw(st.booleans()):
        clip = root / data.draw(st.sampled_from(names))
        content = clip.read_bytes()
        clip.unlink()
        head = data.draw(st.binary(max_size=60))
        clip.write_bytes(head + content[len(head) : data.draw(st.integers(0, len(content)))])
    report = Corpus.open(root, on_error="report")
    try:
        corpus = Corpus.open(root)
    except CorpusError as error:
        assert report.iloc[0]["problem"] == error.problem
        assert error.file and error.problem and error.remedy
        return
    assert report["file"].str.startswith("audio/").all()
    for row, name in enumerate(corpus.clips["filename"], start=2):
        try:
            assert np.isfinite(read_audio(root / name, row=row)).all()
        except CorpusError:
            assert (name, row) in set(zip(report["file"], report["row"], strict=True))
    assert not set(corpus.split("fit")["identifier"]) & set(corpus.split("test")["identifier"])


# ---- real recordings -------------------------------------------------------------------------


@pytest.mark.skipif(
    not Path(os.environ.get("ASCLIB_REAL_SOUNDS", "absent")).is_dir(),
    reason="ASCLIB_REAL_SOUNDS names no folder of real recordings in TAU layout",
)
def test_real_recordings_open_without_a_complaint():
    root = Path(os.environ["ASCLIB_REAL_SOUNDS"])
    assert Corpus.open(root, on_error="report").empty
    corpus = Corpus.open(root)
    assert corpus.leakage("train", "test").loc[["clips", "recordings"], "shared"].sum() == 0
    share = len(corpus.split("validation")) / len(corpus.split("train"))
    assert 0.1 < share < 0.3
    assert corpus.split("validation")["scene"].nunique() == corpus.split("train")["scene"].nunique()
