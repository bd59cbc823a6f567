"""The embedded corpus: its layout is that of TAU, its splits clean, its bytes reproducible."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from asclib import store
from asclib.challenge import DEVICES, SCENES, SEEN_DEVICES, UNSEEN_DEVICES
from asclib.corpus.embedded import CorpusSize, scenes
from asclib.corpus.embedded.devices import capture, wav
from asclib.corpus.embedded.layout import SUBSETS, Recording, layout, subset
from asclib.corpus.embedded.render import record, render
from tests.processors import NUMPY, OLDER

SMALLEST = CorpusSize(90, 180, seed=3)
QUICK, STUDY, TAU = CorpusSize(1_200, 600), CorpusSize(6_000, 2_000), CorpusSize(139_620, 29_680)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    render(folder, SMALLEST, workers=2)
    return folder


@pytest.fixture(scope="module")
def meta(folder) -> pd.DataFrame:
    table = pd.read_csv(folder / "meta.csv", sep="\t")
    fields = table.filename.str.removeprefix("audio/").str.removesuffix(".wav").str.split("-")
    names = ["scene", "city", "location", "segment", "slice", "device"]
    return table.join(pd.DataFrame(fields.tolist(), columns=names))


def setup_table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / "evaluation_setup" / f"{name}.csv", sep="\t")


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_every_listed_clip_exists_as_one_second_of_24_bit_mono(folder, meta):
    assert {f"audio/{path.name}" for path in (folder / "audio").iterdir()} == set(meta.filename)
    for name in meta.filename:
        info = soundfile.info(folder / name)
        assert (info.samplerate, info.frames, info.channels) == (44_100, 44_100, 1)
        assert info.subtype == "PCM_24"


def test_tables_have_the_columns_of_tau_and_agree_with_the_file_names(folder, meta):
    columns = ["filename", "scene_label", "identifier", "source_label"]
    assert list(pd.read_csv(folder / "meta.csv", sep="\t").columns) == columns
    assert (meta.scene_label == meta.scene).all()
    assert (meta.identifier == meta.city + "-" + meta.location).all()
    assert (meta.source_label == meta.device).all()
    labelled, files = ["filename", "scene_label"], ["filename"]
    for name, expected in [
        ("fold1_train", labelled),
        ("fold1_test", files),
        ("fold1_evaluate", labelled),
        ("test", labelled),
        *((f"split{percent}", labelled) for percent in SUBSETS),
    ]:
        assert list(setup_table(folder, name).columns) == expected
    train, test = setup_table(folder, "fold1_train"), setup_table(folder, "fold1_test")
    assert sorted([*train.filename, *test.filename]) == sorted(meta.filename)
    assert list(setup_table(folder, "fold1_evaluate").filename) == list(test.filename)


def test_training_and_test_share_no_location_and_only_the_test_hears_s4_to_s6(folder, meta):
    train = meta[meta.filename.isin(setup_table(folder, "fold1_train").filename)]
    test = meta[meta.filename.isin(setup_table(folder, "fold1_test").filename)]
    assert set(train.identifier).isdisjoint(test.identifier)
    assert set(train.device) == set(SEEN_DEVICES)
    assert set(test.device) == set(DEVICES)
    assert set(DEVICES) - set(train.device) == set(UNSEEN_DEVICES)


@pytest.mark.parametrize("size", [SMALLEST, QUICK, STUDY, TAU], ids=lambda size: str(size.train))
def test_a_corpus_is_balanced_at_any_size(size):
    recordings = layout(size)
    files = [file for one in recordings for file in one.files()]
    assert len(files) == len(set(files))
    for split, asked in (("train", size.train), ("test", size.test)):
        part = [one for one in recordings if one.split == split]
        per_scene, per_device, scenes_of = Counter(), Counter(), {}
        for one in part:
            per_scene[one.scene] += one.clips
            scenes_of.setdefault((one.city, one.location), set()).add(one.scene)
            for device in one.devices:
                per_device[device] += one.slices
        assert set(per_scene) == set(SCENES) and len(set(per_scene.values())) == 1
        assert abs(sum(per_scene.values()) - asked) <= 0.06 * asked
        assert all(len(scenes) == 1 for scenes in scenes_of.values())
        locations = Counter(next(iter(scenes)) for scenes in scenes_of.values())
        assert min(locations.values()) >= {"train": 4, "test": 2}[split]
        if split == "test":
            assert len({per_device[device] for device in DEVICES}) == 1
        elif size is not SMALLEST:
            assert 0.70 < per_device["a"] / sum(per_device.values()) < 0.78


def test_the_2024_subsets_are_nested_whole_recordings_of_every_scene():
    recordings = layout(STUDY)
    total = sum(one.clips for one in recordings if one.split == "train")
    smaller: set[Recording] = set()
    for percent in SUBSETS:
        chosen = subset(recordings, percent)
        assert smaller <= set(chosen)
        assert {one.scene for one in chosen} == set(SCENES)
        assert all(one.split == "train" for one in chosen)
        assert sum(one.clips for one in chosen) == pytest.approx(percent / 100 * total, rel=0.05)
        smaller = set(chosen)
    assert smaller == {one for one in recordings if one.split == "train"}


def test_too_small_a_corpus_is_refused_with_the_smallest_size():
    with pytest.raises(ValueError, match="at least 90 and 180"):
        layout(CorpusSize(60, 180))


def test_the_bytes_depend_neither_on_the_processor_nor_on_the_workers(folder, tmp_path):
    program = (
        "import sys, numpy as np; from pathlib import Path;"
        "from asclib.corpus.embedded import CorpusSize;"
        "from asclib.corpus.embedded.render import render;"
        "has = np._core._multiarray_umath.__cpu_features__;"
        f"assert not any(has[name] for name in {NUMPY!r});"
        f"render(Path(sys.argv[1]), {SMALLEST!r}, workers=1)"
    )
    environment = os.environ | OLDER
    environment["ASCLIB_PROGRESS"] = os.devnull
    command = [sys.executable, "-c", program, str(tmp_path)]
    subprocess.run(command, env=environment, cwd=store.PROJECT, check=True)
    assert contents(tmp_path) == contents(folder)


def test_a_rerun_after_a_kill_completes_the_corpus_and_leaves_finished_clips(folder, tmp_path):
    copy = tmp_path / "corpus"
    shutil.copytree(folder, copy)
    clips = sorted((copy / "audio").iterdir())
    for path in clips[::5]:
        path.unlink()
    clips[1].write_bytes(clips[1].read_bytes()[:5_000])
    (copy / "audio" / ".half.wav.1.tmp").write_bytes(b"RIFF")
    (copy / "meta.csv").unlink()
    kept = {path: path.stat().st_ino for k, path in enumerate(clips) if k % 5 and k != 1}
    render(copy, SMALLEST, workers=1)
    assert contents(copy) == contents(folder)
    assert all(path.stat().st_ino == inode for path, inode in kept.items())


def test_another_seed_gives_other_sounds_and_the_same_seed_the_same():
    event = ("park", "paris", 400, 0, 1)
    first, again = scenes.render(0, *event), scenes.render(0, *event)
    assert np.array_equal(first, again)
    assert abs(np.corrcoef(first, scenes.render(1, *event))[0, 1]) < 0.5


def test_no_scene_is_known_by_its_level_above_2_khz_alone():
    levels = {scene: [] for scene in SCENES}
    for one in layout(QUICK):
        if one.split == "train" and len(levels[one.scene]) < 20:
            sound = scenes.render(0, one.scene, one.city, one.location, one.segment, 1)
            power = np.abs(np.fft.rfft(sound)) ** 2  # bins of 1 Hz
            levels[one.scene].append(np.log(power[2000:4000]).mean())
    for scene, own in levels.items():
        others = np.concatenate([levels[other] for other in SCENES if other != scene])
        louder = np.mean(np.array(own)[:, None] > others)  # the area under the ROC curve
        assert 0.1 < louder < 0.9, f"{scene} {louder:.2f}"


def test_every_clip_is_heard_and_none_is_clipped(folder, meta):
    for name in meta.filename:
        x, _ = soundfile.read(folder / name)
        assert np.isfinite(x).all()
        assert np.sqrt(np.mean(x**2)) > 1e-3 and np.abs(x).max() < 1


def test_samples_lie_on_the_16_bit_grid_and_survive_the_24_bit_file(tmp_path):
    samples = np.array([-32767, -300, -1, 0, 1, 255, 256, 32767], np.int16)
    (tmp_path / "x.wav").write_bytes(wav(samples))
    assert np.array_equal(soundfile.read(tmp_path / "x.wav")[0] * 2**15, samples)


@pytest.mark.parametrize("scene", ["tram", "street_pedestrian"])
def test_slices_of_a_recording_join_without_a_seam(tmp_path, scene):
    (tmp_path / "audio").mkdir()
    one = Recording(scene, "paris", 7, 0, slices=4, split="train", devices=("a", "s5"))
    record(tmp_path, one, seed=0)
    for device in one.devices:
        files = [f"audio/{one.name}-{k}-{device}.wav" for k in range(4)]
        x = np.concatenate([soundfile.read(tmp_path / file)[0] for file in files])
        steps = np.abs(np.diff(x))
        assert steps[44_099::44_100].max() <= np.quantile(steps, 0.9999)


def test_parallel_devices_record_the_same_event(folder, meta):
    def envelope(event: str, device: str) -> np.ndarray:
        x, _ = soundfile.read(folder / f"audio/{event}-0-{device}.wav")
        # Between 500 and 4,000 Hz, where every device hears.
        spectrum = np.fft.rfft(x)
        spectrum[:500] = spectrum[4000:] = 0
        return np.log(np.std(np.fft.irfft(spectrum).reshape(50, -1), axis=1))

    heard = meta[(meta.device == "s4") & (meta.slice == "0")]
    events = heard[["scene", "city", "location", "segment"]].agg("-".join, axis=1).tolist()
    same, other = [], []
    for event, next_event in zip(events, events[1:] + events[:1], strict=True):
        reference = envelope(event, "a")
        for device in DEVICES[1:]:
            same.append(np.corrcoef(reference, envelope(event, device))[0, 1])
            other.append(np.corrcoef(reference, envelope(next_event, device))[0, 1])
    assert np.median(same) > 0.8
    assert abs(np.median(other)) < 0.2


def test_each_device_colours_the_same_sound_in_its_own_way():
    sound = scenes.render(0, "airport", "paris", 0, 0, 1)
    spectra = {}
    for name in DEVICES:
        x = capture(sound, name, scenes.generator("noise"), -26.0) / 32767
        bands = np.abs(np.fft.rfft(x))[100:4000].reshape(30, -1)
        spectra[name] = 20 * np.log10(np.sqrt((bands**2).mean(axis=1)))
    for name in DEVICES:
        for other in DEVICES:
            difference = np.std(spectra[name] - spectra[other])
            assert (difference > 1) == (name != other)  # decibels
