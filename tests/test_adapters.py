"""Other sets of recordings, and one's own, as a folder in TAU's layout."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr

from asclib.challenge import SAMPLE_RATE, SCENES
from asclib.corpus import Corpus, CorpusError, __main__, adapt, places, read_audio
from asclib.corpus.adapters import Adapted
from asclib.runs import Data
from tests.corpora import TEST, TRAIN, labelled, wav, write_table

HZ = 8_000  # of most recordings here


def noise(samples: int, *channels: int, seed: int = 0) -> np.ndarray:
    """(samples, *channels), a tenth of full scale."""
    return 0.1 * np.random.default_rng(seed).standard_normal((samples, *channels))


def record(path: Path, seconds: float = 2.5, rate: int = HZ, *channels: int) -> Path:
    """A recording of noise that only its name decides."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(map(ord, str(path.name)))
    return wav(path, noise(int(seconds * rate), *channels, seed=seed), rate)


def heard(adapted: Adapted, recording: str) -> np.ndarray:
    """All clips of one recording, one after another."""
    clips = adapted.corpus.clips
    own = clips[clips["recording"] == recording].sort_values("slice")
    return np.concatenate([read_audio(adapted.corpus.root / name) for name in own["filename"]])


def split_of(adapted: Adapted) -> dict[str, str]:
    """Place -> the one split that all its clips are in."""
    clips = adapted.corpus.clips
    sides = clips.groupby(places(clips))["split"].unique()
    assert (sides.map(len) == 1).all()
    return sides.map(lambda one: one[0]).to_dict()


def sound(adapted: Adapted) -> None:
    """The corpus has no fault, its audio read as well."""
    report = Corpus.report(adapted.corpus.root, classes=adapted.classes, devices=None)
    assert report.empty, report.to_string()


# ---- the public layouts ----------------------------------------------------------------------

EIGEN = ("Beach", "BusyStreet", "TrainStation")


@pytest.fixture(scope="module")
def eigenscape(tmp_path_factory) -> Path:
    """Three classes of four places; 24 bits, 48 kHz, and four channels for its twenty-five."""
    root = tmp_path_factory.mktemp("eigenscape")
    for scene in EIGEN:
        for n in range(1, 5):
            path = root / f"{scene}.{n}.wav"
            soundfile.write(path, noise(2 * 48_000 + n, 4, seed=n), 48_000, subtype="PCM_24")
    (root / "Metadata-EigenScape.csv").write_text("Filename,Class\nBeach-01.wav,Beach\n")
    return root


def test_eigenscape_is_its_first_channel_a_place_a_recording(eigenscape, tmp_path) -> None:
    adapted = adapt("eigenscape", eigenscape, tmp_path / "corpus")
    assert adapted.classes == EIGEN and adapted.recordings == 12 and not adapted.problems
    sound(adapted)
    assert len(adapted.corpus.clips) == 24
    w = soundfile.read(eigenscape / "BusyStreet.3.wav", dtype="float32")[0][:, 0]
    whole = soxr.resample(w, 48_000, SAMPLE_RATE, quality="HQ")[: 2 * SAMPLE_RATE]
    found = heard(adapted, "BusyStreet-eigenscape-BusyStreet3-0")
    np.testing.assert_allclose(found, whole, rtol=0, atol=2**-24)  # the rounding of 24 bits
    sides = split_of(adapted)
    for scene in EIGEN:  # a quarter
        own = [side for place, side in sides.items() if scene in place]
        assert sorted(own) == ["test", "train", "train", "train"]
    text = (tmp_path / "corpus" / "SOURCE.md").read_text()
    assert "Green" in text and "CC BY 4.0" in text and "seed 0, a share of 0.25" in text


def test_raw_names_in_folders_are_eigenscape_too(tmp_path) -> None:
    for n in range(1, 4):
        record(tmp_path / "in" / "Woodland" / f"Woodland-0{n}-Raw.wav", 1.5, HZ, 3)
        record(tmp_path / "in" / "Park" / f"Park-0{n}-Raw.wav", 1.5, HZ, 3)
    adapted = adapt("eigenscape", tmp_path / "in", tmp_path / "out", labels={"Park": "park"})
    assert adapted.classes == ("Woodland", "park") and adapted.recordings == 6
    sound(adapted)
    record(tmp_path / "in" / "Park.2.wav", 1.5)
    with pytest.raises(
        CorpusError, match=r"Park\.2\.wav: would have the name of .*Park-02-Raw.wav"
    ):
        adapt("eigenscape", tmp_path / "in", tmp_path / "again")


ENVIRONMENTS = "DKITCHEN DLIVING DWASHING TBUS TCAR TMETRO SPSQUARE STRAFFIC".split()


@pytest.fixture(scope="module")
def demand(tmp_path_factory) -> Path:
    """Eight environments by two of their sixteen microphones, as the archives unpack."""
    root = tmp_path_factory.mktemp("demand")
    for name in ENVIRONMENTS:
        for microphone in ("ch01", "ch16"):
            record(root / f"{name}_48k" / name / f"{microphone}.wav", 2.2)
    return root


def test_demand_s_classes_are_its_categories_and_an_environment_a_place(demand, tmp_path) -> None:
    adapted = adapt("demand", demand, tmp_path / "corpus")
    assert adapted.classes == ("domestic", "street", "transportation")
    assert adapted.recordings == len(ENVIRONMENTS)  # a microphone each
    sound(adapted)
    assert set(split_of(adapted)) == {f"demand-{name}" for name in ENVIRONMENTS}
    tested = [place for place, side in split_of(adapted).items() if side == "test"]
    assert sorted(place[len("demand-")] for place in tested) == ["D", "S", "T"]
    found = heard(adapted, "transportation-demand-TBUS-0")
    x = soundfile.read(demand / "TBUS_48k" / "TBUS" / "ch01.wav", dtype="float32")[0]
    whole = soxr.resample(x, HZ, SAMPLE_RATE, quality="HQ")
    np.testing.assert_allclose(found, whole[: 2 * SAMPLE_RATE], rtol=0, atol=2**-24)
    assert "CC BY-SA" in (tmp_path / "corpus" / "SOURCE.md").read_text()


def test_an_environment_can_have_a_class_of_its_own_and_is_then_untested(demand, tmp_path) -> None:
    labels = {"TBUS": "bus", "STRAFFIC": "street_traffic", "street": "public_square"}
    adapted = adapt("demand", demand, tmp_path / "corpus", labels=labels)
    assert adapted.classes == (
        "bus",
        "domestic",
        "public_square",
        "street_traffic",
        "transportation",
    )
    assert adapted.untested == ("bus", "public_square", "street_traffic")
    with pytest.raises(ValueError, match="no class 'TRAM' to rename: there are DKITCHEN"):
        adapt("demand", demand, tmp_path / "other", labels={"TRAM": "tram"})
    assert not (tmp_path / "other").exists()


@pytest.fixture(scope="module")
def cochlscene(tmp_path_factory) -> Path:
    """Five participants, no one in two of the publishers' splits."""
    root = tmp_path_factory.mktemp("cochlscene") / "CochlScene"
    users = {
        "Train": ("user0001", "user0002", "user0003"),
        "Val": ("user0004",),
        "Test": ("user0005",),
    }
    for split, names in users.items():
        for user in names:
            for scene in ("Bus", "SubwayStation"):
                for piece in (1, 2):
                    record(root / split / scene / f"{scene}_{user}_1487{piece}_00{piece}.wav", 1.1)
    return root


@pytest.mark.parametrize("seed", [0, 1])
def test_cochlscene_keeps_its_split_and_a_participant_is_a_place(
    cochlscene, tmp_path, seed
) -> None:
    adapted = adapt("cochlscene", cochlscene.parent, tmp_path / "corpus", seed=seed)
    assert adapted.classes == ("Bus", "SubwayStation") and adapted.recordings == 20
    sound(adapted)
    sides = split_of(adapted)
    assert sides == {f"cochlscene-user000{n}": "test" if n == 5 else "train" for n in range(1, 6)}
    text = (tmp_path / "corpus" / "SOURCE.md").read_text()
    assert "CC BY-SA 3.0" in text and "the publishers' own" in text
    fit = adapted.corpus.split("fit")
    validation = adapted.corpus.split("validation")
    assert len(validation) and not set(places(fit)) & set(places(validation))


def test_ten_seconds_of_tau_2020_become_ten_clips_of_the_same_split(tmp_path) -> None:
    stems = [f"tram-lisbon-{n}-{n}-{device}" for n in range(4) for device in ("a", "s1")]
    names = [f"audio/{stem}.wav" for stem in stems]
    root = tmp_path / "tau"
    for name in names:
        record(root / name, 10, SAMPLE_RATE)
    meta = [
        f"{name}\ttram\tlisbon-{name.split('-')[2]}\t{name.split('-')[-1][:-4]}" for name in names
    ]
    write_table(root / "meta.csv", "filename\tscene_label\tidentifier\tsource_label", meta)
    write_table(root / TRAIN, "filename\tscene_label", labelled(names[:4]))
    write_table(root / TEST, "filename", names[4:6])
    write_table(
        root / "evaluation_setup/fold1_evaluate.csv", "filename\tscene_label", labelled(names[4:6])
    )
    sent = "row 2: .* recordings of ten seconds .*corpus adapt tau2020"
    with pytest.raises(CorpusError, match=sent):
        Corpus.open(root)
    adapted = adapt("tau2020", root, tmp_path / "corpus")
    corpus = Corpus.open(tmp_path / "corpus")  # the challenge's scenes and devices
    assert corpus.clips["split"].value_counts().to_dict() == {"train": 40, "test": 20, "unused": 20}
    assert corpus.clips["filename"].iloc[0] == "audio/tram-lisbon-0-0-0-a.flac"
    clips = corpus.clips[corpus.clips["device"] == "s1"]
    assert set(clips["recording"]) == {f"tram-lisbon-{n}-{n}" for n in range(4)}
    first = soundfile.read(root / names[0], dtype="float32")[0]
    own = [f"audio/tram-lisbon-0-0-{k}-a.flac" for k in range(10)]
    cut = np.concatenate([read_audio(tmp_path / "corpus" / name) for name in own])
    np.testing.assert_array_equal(cut, first)  # to the bit: nothing is resampled
    assert "commercial use prohibited" in adapted.licence


# ---- recordings of one's own -----------------------------------------------------------------


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """Two classes; of one, two recordings of each place, of the other a place a recording."""
    root = tmp_path_factory.mktemp("tree")
    for n in range(4):
        for piece in ("am", "pm"):
            record(root / "beach" / f"shore{n}" / f"{piece}.wav", 2.1)
        record(root / "tea-room" / f"rec{n}.FLAC", 1.4, 48_000, 2)
    (root / "notes.txt").write_text("mine")
    (root / "beach" / "._rec0.wav").write_bytes(b"\0" * 100)
    (root / "beach" / ".DS_Store").write_bytes(b"\0")
    return root


def test_a_folder_per_class_becomes_a_corpus_that_data_opens(tree, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ASCLIB_STORE", str(tmp_path / "store"))
    adapted = adapt("folder", tree, tmp_path / "corpus", licence="CC0, Ana")
    assert adapted.classes == ("beach", "tea_room") and adapted.recordings == 12
    sound(adapted)
    assert {place for place in split_of(adapted) if "shore" in place} == {
        f"own-shore{n}" for n in range(4)
    }
    counts = adapted.corpus.clips.groupby(["scene", "split"])["recording"].nunique()
    assert counts.to_dict() == {
        ("beach", "test"): 2,
        ("beach", "train"): 6,
        ("tea_room", "test"): 1,
        ("tea_room", "train"): 3,
    }
    data = Data(str(tmp_path / "corpus"), classes=adapted.classes)
    assert data.clips("test").x.shape == (5, 1, 140, 8)
    assert "CC0, Ana" in (tmp_path / "corpus" / "SOURCE.md").read_text()


def test_the_split_follows_from_the_seed_and_nothing_else(tree, tmp_path) -> None:
    splits = [
        split_of(adapt("folder", tree, tmp_path / f"{k}", seed=seed, workers=workers))
        for k, (seed, workers) in enumerate([(0, 1), (0, 3), *((seed, 1) for seed in range(1, 6))])
    ]
    assert splits[0] == splits[1]
    assert any(split != splits[0] for split in splits[2:])


def test_places_to_test_on_can_be_chosen_by_hand(tree, tmp_path) -> None:
    adapted = adapt("folder", tree, tmp_path / "corpus", test=("own-shore1", "tea_room_rec2"))
    tested = {place for place, side in split_of(adapted).items() if side == "test"}
    assert tested == {"own-shore1", "own-tea_room_rec2"}
    assert "tested on own-shore1" in (tmp_path / "corpus" / "SOURCE.md").read_text()
    with pytest.raises(ValueError, match="no place 'leiria' to test on: there are own-shore0"):
        adapt("folder", tree, tmp_path / "other", test=["leiria"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus"]  # nothing half written


def test_files_named_by_five_fields_need_no_folders(tmp_path) -> None:
    for place in range(3):
        for scene in ("tram", "park"):
            record(tmp_path / "in" / f"{scene}-leiria-{place}-0-b.wav", 3)
    adapted = adapt("folder", tmp_path / "in", tmp_path / "out", test=["leiria-2"])
    assert set(adapted.classes) < set(SCENES)
    corpus = Corpus.open(tmp_path / "out")
    assert set(corpus.clips["device"]) == {"b"} and len(corpus.clips) == 18
    assert set(places(corpus.split("test"))) == {"leiria-2"}
    record(tmp_path / "in" / "holiday.wav", 3)
    with pytest.raises(CorpusError, match="holiday.wav: lies in no folder of a class.*move it to"):
        adapt("folder", tmp_path / "in", tmp_path / "again")


def test_a_scene_s_places_are_shared_with_another_s(tmp_path) -> None:
    """Where one place has two scenes, all its recordings are on one side, and both are tested."""
    for place in ("a", "b", "c", "d"):
        record(tmp_path / "in" / "day" / place / "x.wav")
        record(tmp_path / "in" / "night" / place / "x.wav")
    for seed in range(5):
        adapted = adapt("folder", tmp_path / "in", tmp_path / f"{seed}", seed=seed)
        assert sorted(split_of(adapted).values()) == ["test", "train", "train", "train"]
        assert adapted.untested == ()


def test_what_cannot_be_a_clip_is_left_out_and_named(tmp_path) -> None:
    root = tmp_path / "in"
    for n in range(3):
        record(root / "beach" / f"{n}.wav")
    x = noise(5 * SAMPLE_RATE)
    x[SAMPLE_RATE : 2 * SAMPLE_RATE] = 0
    x[3 * SAMPLE_RATE + 9] = np.nan
    wav(root / "beach" / "holes.wav", x, SAMPLE_RATE, "FLOAT")
    record(root / "beach" / "short.wav", 0.5)
    wav(root / "beach" / "faint.wav", 1e-9 * noise(SAMPLE_RATE), SAMPLE_RATE, "FLOAT")
    (root / "beach" / "text.mp3").write_text("no sound")
    adapted = adapt("folder", root, tmp_path / "out")
    sound(adapted)
    assert sorted(str(problem).split("/")[-1].split(". ")[0] for problem in adapted.problems) == [
        "faint.wav: 1 of its 1 seconds are silent and left out",
        "holes.wav: 1 of its 5 seconds are NaN or infinite and left out",
        "holes.wav: 1 of its 5 seconds are silent and left out",
        "short.wav: is shorter than a second",
        "text.mp3: cannot be read as audio (Format not recognised)",
    ]
    clips = adapted.corpus.clips
    assert clips[clips["location"] == "beach_holes"]["slice"].tolist() == [0, 2, 4]


def test_sound_beyond_full_scale_is_kept_as_it_is(tmp_path) -> None:
    x = (np.random.default_rng(0).standard_normal(2 * SAMPLE_RATE)).astype(np.float32)
    for n in range(2):
        (tmp_path / "in" / "loud").mkdir(parents=True, exist_ok=True)
        wav(tmp_path / "in" / "loud" / f"{n}.wav", x, SAMPLE_RATE, "FLOAT")
    adapted = adapt("folder", tmp_path / "in", tmp_path / "out")
    sound(adapted)
    np.testing.assert_array_equal(heard(adapted, "loud-own-loud_0-0"), x)


def test_names_in_decomposed_unicode_are_composed(tmp_path) -> None:
    for n in range(2):
        record(tmp_path / "in" / unicodedata.normalize("NFD", "café") / f"{n}.wav")
    adapted = adapt("folder", tmp_path / "in", tmp_path / "out")
    assert adapted.classes == ("café",)
    sound(adapted)


@pytest.mark.parametrize(
    "kind, layout",
    [
        ("eigenscape", "Beach.1.wav"),
        ("demand", "TBUS/ch01.wav"),
        ("cochlscene", "Train/Bus/Bus_user0138"),
        ("folder", "recordings in folders of their classes"),
        ("tau2020", "meta.csv: is missing"),
    ],
)
def test_a_folder_that_holds_no_such_set_says_how_it_is_laid_out(tmp_path, kind, layout) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(CorpusError, match=layout):
        adapt(kind, tmp_path / "in", tmp_path / "out")


def test_what_cannot_be_is_refused_before_anything_is_written(tree, tmp_path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "x").touch()
    for source, target, message in (
        (tree, full, "is not empty"),
        (tree, tree / "corpus", "which is only read"),
        (tree / "absent", tmp_path / "out", "is no folder"),
    ):
        with pytest.raises(ValueError, match=message):
            adapt("folder", source, target)
    with pytest.raises(ValueError, match="no kind 'esc50': choose one of eigenscape, demand"):
        adapt("esc50", tree, tmp_path / "out")
    with pytest.raises(ValueError, match="between 0 and 1"):
        adapt("folder", tree, tmp_path / "out", test_share=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]


def test_one_place_alone_makes_no_corpus(tmp_path) -> None:
    record(tmp_path / "in" / "beach" / "x.wav")
    with pytest.raises(CorpusError, match="no recordings for testing.*two places or more"):
        adapt("folder", tmp_path / "in", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


# ---- the commands ----------------------------------------------------------------------------


def test_the_command_says_what_it_has_written_and_how_to_open_it(tree, tmp_path, capsys) -> None:
    target = tmp_path / "corpus"
    arguments = ["adapt", "folder", str(tree), str(target), "--label", "beach=shore"]
    assert __main__.main(arguments) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "12 recordings, 20 clips" in said.out and "Licence: not named" in said.out
    assert f"Data({str(target)!r}, classes=('shore', 'tea_room'))" in said.out
    assert __main__.main(["check", str(target), "--classes", "ANY"]) == 0
    assert capsys.readouterr().out == "all is well\n"
    assert __main__.main(arguments) == 2
    assert "is not empty" in capsys.readouterr().err
    assert __main__.main([*arguments[:3], str(tmp_path / "x"), "--label", "beach"]) == 2
    assert "write OLD=NEW" in capsys.readouterr().err


def test_what_is_left_out_is_told_and_the_exit_status_is_one(tmp_path, capsys) -> None:
    for n in range(3):
        record(tmp_path / "in" / "park" / f"{n}.wav")
    record(tmp_path / "in" / "park" / "short.wav", 0.2)
    record(tmp_path / "in" / "tram" / "only.wav")
    arguments = ["adapt", "folder", str(tmp_path / "in"), str(tmp_path / "out")]
    assert __main__.main(arguments) == 1
    said = capsys.readouterr()
    assert "short.wav: is shorter than a second" in said.err
    assert "tram: all recordings are of one place, so nothing tests it" in said.err
    assert f"As data_root name\n  {tmp_path / 'out'}" in said.out


def test_check_prints_the_report(root, capsys) -> None:
    (root / "audio" / "airport-porto-1-10-0-a.wav").unlink()
    meta = pd.read_csv(root / "meta.csv", sep="\t")
    meta.loc[5, "source_label"] = "s9"
    meta.to_csv(root / "meta.csv", sep="\t", index=False)
    assert __main__.main(["check", str(root)]) == 1
    *lines, last = capsys.readouterr().out.splitlines()
    report = Corpus.report(root)
    expected = [
        str(CorpusError(file, None if pd.isna(row) else int(row), problem, remedy))
        for file, row, problem, remedy in report.itertuples(index=False)
    ]
    assert lines == expected and last == "2 problems" and len(lines) == 2
    assert "meta.csv, row 7: unknown device 's9'" in lines[0]
    assert __main__.main(["check", str(root), "--tables"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 problems"
    assert __main__.main(["check", str(root), "--classes", "fire-engine"]) == 2
    assert "cannot stand between the hyphens" in capsys.readouterr().err
