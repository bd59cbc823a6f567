"""Claims about programs that hear: samples in, a scene a second out, on a host and on a chip."""

from __future__ import annotations

import dataclasses
import io
import subprocess
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from asclib.challenge import SCENES
from asclib.compression import Calibration, export
from asclib.compression.calibration import SILENT, sounding
from asclib.compression.qat import range_calibration
from asclib.corpus import read_audio
from asclib.deploy import (
    Heard,
    hear_on_chip,
    hear_on_host,
    read_model,
    run_on_host,
    write_firmware,
    write_listener,
)
from asclib.deploy.__main__ import main
from asclib.deploy.build import sizes
from asclib.deploy.frontend import CHEAP, EXACT
from asclib.features import LogMel
from asclib.networks import TMSIC
from asclib.runs import Data, Experiment
from tests.data import TINY
from tests.tflite import Reference, random_network
from tests.toolchain import CHIP, need, need_reference

SANITIZED = "-fsanitize=address,undefined -fno-sanitize-recover=all"
FLASH, RAM = 256 * 1024, 128 * 1024  # bytes of the chip
# Counted with Debian's gcc-arm-none-eabi 12.2: of a second at 48 kHz, front end and model
INSTRUCTIONS = {"cheap": (11_908_000, 21_279_000), "exact": (20_070_000, 21_279_000)}
RATE = 44_100  # hertz of the corpora


@pytest.fixture(scope="module")
def student(tiny_store, tmp_path_factory) -> SimpleNamespace:
    """A student of one epoch as programs that hear, and 300 clips as int16."""
    experiment = Experiment(TINY)
    net, folder = experiment.student().net().eval(), tmp_path_factory.mktemp("sound")
    ranges = Calibration(sounding(experiment.clips("fit").x[:40]))
    path = export(net, folder / "net.tflite", "full_int8", calibration=ranges)
    table = experiment.corpus.clips
    names = table[table["split"] != "unused"]["filename"][:300]
    clips = np.stack([read_audio(experiment.corpus.root / name) for name in names])
    samples = np.clip(np.rint(clips * 32768), -32768, 32767).astype(np.int16)
    write_listener(path, write_firmware(path, folder / "c"), rate=RATE)
    return SimpleNamespace(path=path, folder=folder / "c", samples=samples, read=read_model(path))


@pytest.fixture(scope="module")
def host(student) -> Heard:
    need("make", "cc")
    return hear_on_host(student.folder, student.samples.ravel(), RATE)


@pytest.fixture(scope="module")
def chip(student) -> Heard:
    """The first 50 clips, through the cheap filter."""
    need(*CHIP)
    return hear_on_chip(student.folder, student.samples[:50].ravel())


def reference(student, heard: Heard) -> np.ndarray:
    need_reference()
    return Reference(student.path)(heard.pictures[..., None])


def python_s(student, samples: np.ndarray) -> np.ndarray:
    """LogMel's pictures in int8, (n, 140, 8)."""
    x = LogMel.tmsic()(np.float32(samples) / np.float32(32768), RATE)[:, 0].numpy()
    steps = np.rint(x / student.read.input.scale[0] + student.read.input.zero[0])
    return np.clip(steps, -128, 127).astype(np.int8)


# ---- the same numbers ----------------------------------------------------------------------------


def test_the_host_hears_what_the_interpreter_answers_on_300_clips(host, student):
    assert len(host.logits) == 300 and len(np.unique(host.logits, axis=0)) > 200
    np.testing.assert_array_equal(host.logits, reference(student, host))


def test_the_chip_hears_what_the_interpreter_answers_on_50_clips(chip, student):
    assert len(chip.logits) == 50
    np.testing.assert_array_equal(chip.logits, reference(student, chip))


def test_the_chip_and_the_host_have_the_same_bits_and_the_same_table(chip, student, tmp_path):
    """Where both have the cheap filter: picture, logits, and the softmax in its printed digits."""
    write_listener(student.path, write_firmware(student.path, tmp_path), CHEAP, CHEAP, RATE)
    same = hear_on_host(tmp_path, student.samples[:50].ravel(), RATE)
    np.testing.assert_array_equal(same.pictures, chip.pictures)
    np.testing.assert_array_equal(same.logits, chip.logits)
    assert same.text == chip.text


def test_the_host_names_the_scenes_that_python_names(host, student):
    """In 99.5 % of clips at least, from LogMel, the network being the same C."""
    pictures = python_s(student, student.samples)
    assert (host.pictures == pictures).mean() > 0.995
    scenes = run_on_host(student.folder, pictures).argmax(1)
    assert (host.logits.argmax(1) == scenes).mean() >= 0.995


def test_the_table_is_the_softmax_of_the_logits(host, student):
    table = pd.read_csv(io.StringIO(host.text))
    assert list(table) == ["second", "scene", *SCENES]
    assert (table["second"] == np.arange(300)).all()
    assert (table["scene"] == np.array(SCENES)[host.logits.argmax(1)]).all()
    logits = torch.from_numpy(host.logits.astype(np.float32)) * float(student.read.output.scale[0])
    np.testing.assert_allclose(table[list(SCENES)], logits.softmax(1), atol=0.00051)


def test_sanitizers_find_nothing(student, host):
    need("make", "gcc")
    found = hear_on_host(student.folder, student.samples[:20].ravel(), RATE, SANITIZED, "gcc")
    np.testing.assert_array_equal(found.logits, host.logits[:20])


def test_the_c_keeps_to_its_standard(student):
    need("make", "gcc", "clang")
    for compiler in ("gcc", "clang"):
        strict = "-pedantic-errors -Werror -Wshadow -Wno-unused-function"
        hear_on_host(student.folder, student.samples[0], RATE, strict, compiler)


# ---- budgets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("which, low_pass", [("cheap", CHEAP), ("exact", EXACT)])
def test_all_in_it_fits_the_chip_in_the_instructions_on_record(which, low_pass, student, tmp_path):
    """Half a second of samples, spectrum, picture, arena and stack, at 48 kHz."""
    need(*CHIP)
    write_listener(student.path, write_firmware(student.path, tmp_path), chip=low_pass)
    heard = hear_on_chip(tmp_path, np.resize(student.samples[:2], 48_000))
    flash, ram = sizes(tmp_path, "listen.elf")
    front, burst, model, stack = heard.counts
    assert 60_000 < flash < 100_000 < FLASH
    assert 48_000 + student.read.input.size < ram and ram + 4096 < 110_000 < RAM
    assert 100 < stack < 4096  # what the linker script reserves
    for found, expected in zip((front, model), INSTRUCTIONS[which], strict=True):
        assert abs(found / expected - 1) < 0.05
    assert burst < front / 30  # a frame, in 2 ms of sound


# ---- sound as it comes ---------------------------------------------------------------------------


def heard_by(student, *arguments, given: bytes = b"") -> subprocess.CompletedProcess:
    return subprocess.run(
        ["./listen.out", *map(str, arguments)], cwd=student.folder, input=given, capture_output=True
    )


def test_a_wav_says_its_rate_and_its_channels_are_averaged(host, student, tmp_path):
    one = student.samples[:3].ravel()
    expected = "\n".join(host.text.splitlines()[:4]) + "\n"
    for channels, sound in ((1, one), (2, np.stack([one, one], 1))):
        path = tmp_path / f"{channels}.wav"
        soundfile.write(path, sound, RATE, subtype="PCM_16")
        assert heard_by(student, path).stdout.decode() == expected
        assert heard_by(student, given=path.read_bytes()).stdout.decode() == expected


def test_seconds_that_are_not_whole_are_told(host, student):
    done = heard_by(student, "-r", RATE, given=student.samples[:2].tobytes()[:-10])
    assert done.returncode == 0 and done.stdout.decode().count("\n") == 2
    assert b"44095 samples at the end" in done.stderr


@pytest.mark.parametrize(
    "arguments, given, said",
    [
        ((), b"", b"no sound"),
        (("-r", 16_000), b"12345678", b"resample to 44100 or 48000"),
        (("absent.wav",), b"", b"absent.wav"),
        ((), b"RIFF\0\0\0\0WAVEdata\0\0\0\0", b"not a wav of 16 bits"),
        ((), b"RIFF\0\0\0\0WAVEfmt \xff\xff\xff\xff", b"not a wav of 16 bits"),
        ((), b"RIFF", b"not a wav of 16 bits"),
    ],
)
def test_what_it_cannot_hear_is_refused_in_one_line(host, student, arguments, given, said):
    done = heard_by(student, *arguments, given=given)
    assert done.returncode == 1 and said in done.stderr and done.stderr.count(b"\n") == 1
    assert done.stdout == b""


# ---- the command ---------------------------------------------------------------------------------


def test_the_command_writes_the_front_end_it_is_told(student, tmp_path, capsys):
    for option, host_edges, chip_edges in (([], 3, 0), (["--front-end", "exact"], 3, 3)):
        assert main([str(student.path), str(tmp_path), *option]) == 0
        for where, edges in (("host", host_edges), ("chip", chip_edges)):
            text = (tmp_path / where / "frontend_tables.h").read_text()
            assert f"FRONTEND_EDGES {edges}\n" in text
    assert "make listen" in capsys.readouterr().out
    assert main([str(student.path), str(tmp_path / "bare"), "--front-end", "none"]) == 0
    assert not (tmp_path / "bare" / "frontend.c").exists()


def test_classes_have_the_names_they_are_given(student, tmp_path, capsys):
    ten = [f"kind {i}" for i in range(10)]
    assert main([str(student.path), str(tmp_path), "--classes", *ten]) == 0
    assert '"kind 9"' in (tmp_path / "listening.h").read_text()
    assert main([str(student.path), str(tmp_path), "--classes", "one"]) == 1
    assert "1 names of classes for 10 outputs" in capsys.readouterr().err


def test_a_model_of_other_pictures_gets_no_front_end_unless_asked(tmp_path, capsys):
    path = tmp_path / "other.tflite"
    path.write_bytes(random_network(1))
    assert main([str(path), str(tmp_path / "c")]) == 0
    assert not (tmp_path / "c" / "frontend.c").exists()
    assert main([str(path), str(tmp_path / "c"), "--front-end", "cheap"]) == 1
    assert "leave the front end out" in capsys.readouterr().err


def test_a_network_of_other_bands_hears_as_well(tmp_path):
    need("make", "cc")
    x = LogMel(n_mels=64)(0.1 * torch.randn(4, RATE, generator=torch.Generator().manual_seed(0)))
    path = export(
        TMSIC(n_classes=3).eval(),
        tmp_path / "net.tflite",
        "full_int8",
        (1, 64, 8),
        calibration=Calibration(x),
    )
    write_listener(path, write_firmware(path, tmp_path / "c"))
    found = hear_on_host(tmp_path / "c", np.int16(3000 * np.sin(np.arange(RATE) / 9)), RATE)
    assert found.pictures.shape == (1, 64, 8) and ",class 0,class 1,class 2\n" in found.text


# ---- silence -------------------------------------------------------------------------------------


def test_silence_does_not_set_the_input_s_range():
    rng = np.random.default_rng(0)
    waves = np.float32(0.1 * rng.normal(size=(3, RATE)))
    waves[1, 15_000:] = 0
    waves[2] = 0
    clips = LogMel.tmsic()(waves, RATE)
    heard = sounding(clips)
    assert len(heard) == 2 and clips.min() < SILENT < heard.min()
    assert torch.equal(heard[0], clips[0])
    silent = clips[1, 0].amax(0) < SILENT
    assert silent.any() and not silent.all()
    assert torch.equal(heard[1, 0][:, ~silent], clips[1, 0][:, ~silent])
    softest = clips[1, 0][:, ~silent].mean(0).argmin()
    for frame in np.flatnonzero(silent):
        assert torch.equal(heard[1, 0, :, frame], clips[1, 0][:, ~silent][:, softest])


def test_the_clips_of_a_range_calibration_sound(tiny_store, monkeypatch):
    data = Experiment(TINY).data
    x = data.clips("fit").x.clone()
    x[:, :, :, 3] = -36.0
    monkeypatch.setattr(Data, "clips", lambda self, split: SimpleNamespace(x=x))
    assert range_calibration(data, 20).clips.min() > SILENT
    other = dataclasses.replace(data, front_end=LogMel(n_mels=140).forward)  # of units unknown
    assert range_calibration(other, 20).clips.min() == -36.0


def test_calibration_of_nothing_but_silence_is_refused():
    with pytest.raises(ValueError, match="none of 2 clips sounds"):
        sounding(LogMel.tmsic()(np.zeros((2, RATE), np.float32), RATE))
