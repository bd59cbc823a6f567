"""A recording read second by second, whatever its length, rate, channels and container."""

from __future__ import annotations

import os
import struct
import tracemalloc
from pathlib import Path

import audioread
import librosa
import numpy as np
import pytest
import soundfile
import soxr

from asclib.corpus import CorpusError, Recording
from asclib.corpus.recording import unheard
from tests.corpora import wav


def noise(samples: int, *channels: int, seed: int = 0) -> np.ndarray:
    """Noise at a tenth of full scale, (samples, *channels) float32."""
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal((samples, *channels))).astype(np.float32)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".aiff", ".caf"])
@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_a_second_is_what_librosa_reads_of_it(tmp_path, suffix, rate) -> None:
    path = tmp_path / f"x{suffix}"
    soundfile.write(path, noise(3 * rate + 77, 2), rate)
    whole, _ = librosa.load(path, sr=None, mono=True)
    seconds = list(Recording.open(path).seconds())
    assert len(seconds) == len(whole) // rate == 3
    np.testing.assert_allclose(np.concatenate(seconds), whole[: 3 * rate], rtol=0, atol=1e-7)


def test_one_channel_or_the_mean_of_all(tmp_path) -> None:
    x = noise(8_000, 5)
    path = wav(tmp_path / "x.wav", x, 8_000, "FLOAT")
    recording = Recording.open(path)
    (mean,), (third,) = recording.seconds(), recording.seconds(2)
    np.testing.assert_allclose(mean, x.mean(1), atol=1e-7)
    np.testing.assert_array_equal(third, x[:, 2])
    with pytest.raises(CorpusError, match="x.wav: has 5 channels, not 6"):
        next(recording.seconds(5))


@pytest.mark.parametrize("rate", [8_000, 48_000, 96_000])
def test_resampled_in_blocks_is_resampled_whole(tmp_path, rate) -> None:
    x = noise(4 * rate)
    path = wav(tmp_path / "x.wav", x, rate, "FLOAT")
    whole = soxr.resample(x, rate, 44_100, quality="HQ")
    found = list(Recording.open(path).seconds(rate=44_100))
    np.testing.assert_array_equal(np.concatenate(found), whole[: 4 * 44_100])
    assert len(found) == 4


def test_memory_does_not_grow_with_the_length(tmp_path) -> None:
    """Twenty minutes take no more than two do: the second in hand, and not the file."""
    rate, peaks = 8_000, []
    for minutes in (2, 20):
        path = tmp_path / f"{minutes}.wav"
        with soundfile.SoundFile(path, "w", rate, 1, "PCM_16") as file:
            for minute in range(minutes):
                file.write(noise(60 * rate, seed=minute))
        tracemalloc.start()
        assert sum(1 for _ in Recording.open(path).seconds()) == 60 * minutes
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] and peaks[1] < 20 * 4 * rate


def test_what_soundfile_cannot_read_goes_to_audioread(tmp_path, monkeypatch) -> None:
    """As for m4a; here the file is a wav of 16 bits, which both can read."""
    path = wav(tmp_path / "x.wav", noise(20_000, 2), 8_000)
    expected = list(Recording.open(path).seconds())

    def refuse(*args, **kwargs):
        raise soundfile.LibsndfileError(1)

    monkeypatch.setattr(soundfile, "SoundFile", refuse)
    recording = Recording.open(path)
    assert (recording.reader, recording.frames) == ("audioread", None)
    found = list(recording.seconds())
    np.testing.assert_array_equal(found, expected)
    assert len(found) == 2

    monkeypatch.setattr(audioread, "audio_open", lambda path: (_ for _ in ()).throw(EOFError()))
    with pytest.raises(CorpusError, match="x.wav: cannot be read as audio .*ffmpeg"):
        Recording.open(path)


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("absent.wav", None, "cannot be opened (No such file or directory)"),
        ("empty.wav", b"", "has zero bytes"),
        ("text.wav", b"no sound at all\n" * 100, "cannot be read as audio (Format not recognised)"),
        ("text.mp3", b"no sound at all\n" * 100, "cannot be read as audio (Format not recognised)"),
        ("numbers.raw", bytes(1000), "cannot be read as audio"),
    ],
)
def test_what_is_no_recording_is_named_in_a_line(tmp_path, capfd, name, content, reason) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CorpusError) as caught:
        Recording.open(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: {reason}") and "Remedy: " in line and "\n" not in line
    assert capfd.readouterr().err == ""  # nor does a C library say anything
    with pytest.raises(CorpusError, match="Is a directory"):
        Recording.open(tmp_path)


@pytest.mark.parametrize("rate", [0, 1, 999, 1_000_001, 2**31 - 1])
def test_a_rate_that_no_recording_has_is_a_damaged_header(tmp_path, rate) -> None:
    path = wav(tmp_path / "x.wav", noise(20_000), 8_000)
    content = bytearray(path.read_bytes())
    content[24:32] = struct.pack("<II", rate, 2 * rate)  # samples and bytes a second
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=f"x.wav: has a sample rate of {rate} Hz, by its header"):
        Recording.open(path)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(CorpusError, match="pipe.wav: is a pipe or a device.*to a file"):
        Recording.open(tmp_path / "pipe.wav")


def test_a_file_that_breaks_off_gives_the_seconds_before(tmp_path) -> None:
    whole = wav(tmp_path / "whole.flac", noise(10 * 8_000), 8_000)
    cut = tmp_path / "cut.flac"
    cut.write_bytes(whole.read_bytes()[: os.path.getsize(whole) // 2])
    found: list[np.ndarray] = []
    with pytest.raises(CorpusError, match="cut.flac: (cannot be decoded beyond|is truncated)"):
        found += Recording.open(cut).seconds()  # keeps what came before the error
    assert 3 <= len(found) <= 5
    np.testing.assert_array_equal(found[0], next(Recording.open(whole).seconds()))


def test_floats_that_were_never_scaled_are_refused(tmp_path) -> None:
    x = noise(16_000) * 10  # as far as four times full scale: too loud, but sound
    path = wav(tmp_path / "loud.wav", x, 8_000, "FLOAT")
    np.testing.assert_array_equal(np.concatenate(list(Recording.open(path).seconds())), x)
    path = wav(tmp_path / "integers.wav", x * 2_000, 8_000, "FLOAT")
    with pytest.raises(CorpusError, match="integers.wav: reaches .* times full scale.*32768"):
        next(Recording.open(path).seconds())


def test_silence_is_what_never_changes() -> None:
    second = noise(100)
    assert unheard(second) is None
    assert unheard(np.zeros(100, np.float32)) == unheard(np.full(100, 1e-3)) == "silent"
    for bad in (np.nan, np.inf, -np.inf):
        second[50] = bad
        assert unheard(second) == "NaN or infinite"


def test_a_home_folder_is_found(tmp_path, monkeypatch) -> None:
    wav(tmp_path / "x.wav", noise(8_000), 8_000)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Recording.open("~/x.wav").path == Path(tmp_path, "x.wav")
