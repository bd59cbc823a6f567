"""The front end against a plain double-precision librosa computation, and its extraction."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from scipy.signal import get_window

from asclib import features
from asclib.challenge import SAMPLE_RATE
from asclib.corpus import Corpus, CorpusError
from asclib.features import LogMel, extract, load

EPS = np.spacing(1)
WITHIN = 60 * np.log(10) / 20  # 60 dB in nepers
rng = np.random.default_rng(0)
seconds = np.arange(SAMPLE_RATE) / SAMPLE_RATE
SIGNALS = {
    "noise": 0.1 * rng.normal(size=SAMPLE_RATE),
    "chirp": 0.5 * np.sin(2 * np.pi * (20 * seconds + 1990 * seconds**2)),  # 20 to 4,000 Hz
    "near-silent": 1e-6 * rng.normal(size=SAMPLE_RATE),
    "silent half": np.where(seconds < 0.5, 0.1, 0) * rng.normal(size=SAMPLE_RATE),
}
CONFIGURATIONS = {
    "tmsic": LogMel.tmsic(),
    "zero padding": LogMel(pad="constant"),
    "dcase_baseline": LogMel.dcase_baseline(),
    "cp_mobile": LogMel.cp_mobile(),
    "cnn_gru": LogMel.cnn_gru(),
    "16 kHz": LogMel(sample_rate=16_000, n_fft=1024, hop=256, n_mels=60),
    "odd sizes": LogMel(sample_rate=22_050, n_fft=999, hop=333, n_mels=40, win_length=700),
}


def reference(y: np.ndarray, log_mel: LogMel, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """ln(M @ |STFT(y + eps)| + eps) by librosa in double precision: (mels, frames)."""
    y = librosa.resample(np.float64(y), orig_sr=sample_rate, target_sr=log_mel.sample_rate)
    window = get_window("hamming", log_mel.win_length, fftbins=True)
    spectrum = librosa.stft(
        y + EPS,
        n_fft=log_mel.n_fft,
        hop_length=log_mel.hop,
        win_length=log_mel.win_length,
        window=window,
        pad_mode=log_mel.pad,
        dtype=np.complex128,
    )
    filters = librosa.filters.mel(
        sr=log_mel.sample_rate, n_fft=log_mel.n_fft, n_mels=log_mel.n_mels, dtype=np.float64
    )
    return np.log(filters @ np.abs(spectrum) + EPS)


@pytest.mark.parametrize("signal_name", SIGNALS)
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_log_mel_equals_the_formula_in_double_precision(name, signal_name):
    log_mel, y = CONFIGURATIONS[name], np.float32(SIGNALS[signal_name])
    expected = reference(y, log_mel)
    found = log_mel(y[None])[0, 0].numpy()
    assert found.shape == expected.shape == log_mel.shape()[1:]
    loud = expected > expected.max() - WITHIN
    assert np.abs(found - expected)[loud].max() < 2e-6  # asked for: 1e-3


@pytest.mark.parametrize("signal_name", SIGNALS)
def test_input_at_its_own_rate_is_not_resampled(signal_name):
    y = np.float32(SIGNALS[signal_name][:8000])
    expected = reference(y, LogMel.tmsic(), sample_rate=8000)
    found = LogMel.tmsic()(torch.from_numpy(y)[None], sample_rate=8000)[0, 0].numpy()
    loud = expected > expected.max() - WITHIN
    assert np.abs(found - expected)[loud].max() < 2e-6


def by_hand(y: np.ndarray, log_mel: LogMel) -> np.ndarray:
    """The formula frame by frame in numpy, of a waveform at the rate of the spectrum."""
    n, long = log_mel.n_fft, log_mel.win_length
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(long) / long)
    before = (n - long) // 2
    window = np.pad(window, (before, n - long - before))
    filters = librosa.filters.mel(
        sr=log_mel.sample_rate, n_fft=n, n_mels=log_mel.n_mels, dtype=np.float64
    )
    padded = np.pad(np.float64(y) + EPS, n // 2, mode=log_mel.pad)
    starts = range(0, len(padded) - n + 1, log_mel.hop)
    spectra = [np.abs(np.fft.rfft(window * padded[start : start + n])) for start in starts]
    return np.stack([np.log(filters @ spectrum + EPS) for spectrum in spectra], axis=1)


@pytest.mark.parametrize("rate", [8000, SAMPLE_RATE])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_digital_silence_is_what_the_window_makes_of_eps(name, rate):
    log_mel = CONFIGURATIONS[name]
    expected = by_hand(np.zeros(log_mel.sample_rate), log_mel)
    found = log_mel(torch.zeros(1, rate), rate)[0, 0].numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


def test_silence_under_the_window_is_the_same_beside_sound():
    for log_mel in CONFIGURATIONS.values():
        rate = log_mel.sample_rate
        half = 0.1 * np.float32(rng.normal(size=(1, rate)))
        half[:, rate // 2 :] = 0
        np.testing.assert_allclose(
            log_mel(half, rate)[0, 0].numpy(), by_hand(half[0], log_mel), rtol=0, atol=1e-3
        )


def test_the_students_silence_is_34_nepers_down_in_the_lowest_band_and_36_elsewhere():
    """Also after half a second of sound, from the frame on that the resampler's ringing misses."""
    silence = LogMel.tmsic()(torch.zeros(1, SAMPLE_RATE))[0, 0].numpy()
    assert np.abs(silence[0] - -34.008).max() < 1e-3
    assert np.abs(silence[1:] - np.log(EPS)).max() < 1e-3
    after = LogMel.tmsic()(np.float32(SIGNALS["silent half"])[None])[0, 0].numpy()
    np.testing.assert_allclose(after[:, 6:], silence[:, 6:], rtol=0, atol=1e-3)
    assert (after[:, :5] > -20).all()
    assert (after[:, 5] > -25).all()  # begins 12 ms after the sound: soxr still rings


def test_a_clip_is_the_same_alone_and_in_a_batch():
    for log_mel in CONFIGURATIONS.values():
        batch = torch.from_numpy(np.float32(list(SIGNALS.values())))
        together = log_mel(batch)
        assert together.shape == (4, *log_mel.shape()) and together.dtype == torch.float32
        alone = torch.cat([log_mel(clip[None]) for clip in batch])
        torch.testing.assert_close(together, alone, rtol=0, atol=2e-6)


def test_the_named_configurations_have_their_published_shapes():
    assert LogMel.tmsic().shape() == (1, 140, 8)
    assert LogMel.dcase_baseline().shape() == (1, 40, 51)
    assert LogMel.cp_mobile().shape() == (1, 256, 65)
    assert LogMel.cnn_gru().shape() == (1, 256, 33)
    assert LogMel.tmsic().shape(8000, 8000) == (1, 140, 8)


def test_a_log_mel_moved_to_single_precision_or_saved_keeps_no_state():
    assert LogMel.tmsic().state_dict() == {}


@pytest.mark.parametrize(
    "x, words",
    [
        (torch.zeros(SAMPLE_RATE), "x\\[None\\]"),
        (torch.zeros(2, 1, SAMPLE_RATE), "\\(2, 1, 44100\\) of float32"),
        (torch.zeros(2, SAMPLE_RATE, dtype=torch.int16), "floats, got .* of int16"),
        (torch.zeros(2, 5000), "5000 samples are too few: n_fft 2048 needs at least 5651"),
    ],
)
def test_input_of_another_kind_is_refused(x, words):
    with pytest.raises(ValueError, match=words):
        LogMel.tmsic()(x)


def test_the_fewest_samples_named_in_the_error_are_enough():
    assert LogMel.tmsic()(torch.ones(1, 5651)).shape == (1, 1, 140, 2)


@pytest.mark.parametrize(
    "setting, words",
    [
        (dict(pad="edge"), "reflect"),
        (dict(hop=0), "hop must be a positive"),
        (dict(n_fft=512.5), "n_fft must be"),
        (dict(win_length=4096), "exceeds n_fft 2048"),
    ],
)
def test_settings_without_sense_are_refused(setting, words):
    with pytest.raises(ValueError, match=words):
        LogMel(**setting)


def test_empty_mel_filters_are_counted():
    with pytest.warns(UserWarning, match="of 300 mel filters are empty") as caught:
        log_mel = LogMel(n_fft=256, hop=128, n_mels=300)
    count = int(str(caught[0].message).split()[0])
    bands = log_mel(np.float32(SIGNALS["noise"])[None])[0, 0]
    assert count == (bands == np.float32(np.log(EPS))).all(1).sum() > 50


# ---- extraction ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    """40 clips of noise, of which 6 belong to no split."""
    root = tmp_path_factory.mktemp("features") / "corpus"
    (root / "audio").mkdir(parents=True)
    (root / "evaluation_setup").mkdir()
    noise = np.random.default_rng(1)
    rows = []
    for i in range(40):
        name = f"audio/park-porto-{i % 5}-{i // 10}-{i % 10}-a.wav"
        samples = 0.1 * noise.normal(size=SAMPLE_RATE)
        soundfile.write(root / name, samples.clip(-1, 1), SAMPLE_RATE, subtype="PCM_24")
        rows.append((name, "park", f"porto-{i % 5}", "a"))
    columns = ["filename", "scene_label", "identifier", "source_label"]
    meta = pd.DataFrame(rows, columns=columns)

    def write(table: pd.DataFrame, name: str) -> None:
        table.to_csv(root / name, sep="\t", index=False)

    write(meta, "meta.csv")
    write(meta.iloc[10:36, :2], "evaluation_setup/fold1_train.csv")
    write(meta.iloc[2:10, :1], "evaluation_setup/fold1_test.csv")
    write(meta.iloc[2:10, :2], "evaluation_setup/fold1_evaluate.csv")
    return Corpus.open(root)


def direct(corpus: Corpus, clips: pd.DataFrame) -> np.ndarray:
    waves = [soundfile.read(corpus.root / name, dtype="float32")[0] for name in clips["filename"]]
    return LogMel.tmsic()(np.stack(waves)).numpy()


@pytest.mark.parametrize("workers", [1, 2])
def test_each_row_of_the_features_is_its_clip_of_the_table(corpus, tmp_path, workers):
    extract(corpus, LogMel.tmsic(), tmp_path, workers=workers, chunk=2)
    for split in ("train", "test", "fit", "validation"):
        clips = corpus.split(split)
        np.testing.assert_allclose(load(tmp_path, clips), direct(corpus, clips), rtol=0, atol=2e-6)
    mixed = corpus.split("train").sample(9, random_state=0)
    np.testing.assert_allclose(load(tmp_path, mixed), direct(corpus, mixed), rtol=0, atol=2e-6)
    everything = corpus.clips[corpus.clips["split"] != "unused"]
    assert isinstance(load(tmp_path, everything), np.memmap)
    assert len(load(tmp_path, everything)) == 34


def test_clips_without_features_are_an_error_and_never_a_shift(corpus, tmp_path):
    with pytest.raises(ValueError, match="run extract"):
        load(tmp_path, corpus.split("train"))
    extract(corpus, LogMel.tmsic(), tmp_path)
    with pytest.raises(ValueError, match="6 clips have no features.*park-porto-0-0-0-a"):
        load(tmp_path, corpus.clips)
    with pytest.raises(ValueError, match="other clips or settings"):
        extract(corpus, LogMel(pad="constant"), tmp_path)


def test_a_clip_that_cannot_be_read_is_named_with_its_row(corpus, tmp_path):
    path = corpus.root / corpus.clips["filename"].iloc[20]
    content = path.read_bytes()
    try:
        path.write_bytes(content[:5000])
        with pytest.raises(CorpusError, match=f"{path.name}, row 22 of meta.csv: .*truncated"):
            extract(corpus, LogMel.tmsic(), tmp_path)
    finally:
        path.write_bytes(content)
    extract(corpus, LogMel.tmsic(), tmp_path)
    clips = corpus.split("train")
    np.testing.assert_allclose(load(tmp_path, clips), direct(corpus, clips), rtol=0, atol=2e-6)


def test_other_sound_under_the_same_names_is_not_taken_for_what_was_extracted(corpus, tmp_path):
    shutil.copytree(corpus.root, tmp_path / "corpus")
    once = Corpus.open(tmp_path / "corpus")
    extract(once, LogMel.tmsic(), tmp_path / "features")
    extract(Corpus.open(tmp_path / "corpus"), LogMel.tmsic(), tmp_path / "features")
    name = once.root / once.split("test")["filename"].iloc[0]
    samples, rate = soundfile.read(name)
    soundfile.write(name, samples[::-1], rate, subtype="PCM_24")  # as many bytes
    with pytest.raises(ValueError, match="holds features of other clips or settings"):
        extract(Corpus.open(tmp_path / "corpus"), LogMel.tmsic(), tmp_path / "features")


def test_a_killed_extraction_goes_on_where_it_stopped(corpus, tmp_path, monkeypatch):
    """SIGKILL while the fourth chunk is at work; the rerun reads only what was not yet done."""
    script = textwrap.dedent(f"""
        import os, signal
        from asclib import features
        from asclib.corpus import Corpus
        read, calls = features.read_audio, []
        def dying(path, row):
            calls.append(row)
            if len(calls) == 14:
                os.kill(os.getpid(), signal.SIGKILL)
            return read(path, row=row)
        features.read_audio = dying
        corpus = Corpus.open({str(corpus.root)!r})
        features.extract(corpus, features.LogMel.tmsic(), {str(tmp_path)!r}, chunk=4)
    """)
    killed = subprocess.run([sys.executable, "-c", script], cwd=Path(features.__file__).parents[1])
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(ValueError, match="run extract"):
        load(tmp_path, corpus.split("train"))
    read, rows = features.read_audio, []
    monkeypatch.setattr(
        features, "read_audio", lambda path, row: rows.append(row) or read(path, row=row)
    )
    extract(corpus, LogMel.tmsic(), tmp_path, chunk=4)
    assert len(rows) == 34 - 12
    clips = corpus.split("train")
    np.testing.assert_allclose(load(tmp_path, clips), direct(corpus, clips), rtol=0, atol=2e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "complete",
        "features.npy",
        "identifiers.csv",
        "plan.json",
    ]


@pytest.mark.skipif(
    not Path(os.environ.get("ASCLIB_REAL_SOUNDS", "absent")).is_dir(),
    reason="ASCLIB_REAL_SOUNDS names no folder of real recordings in TAU layout",
)
@pytest.mark.parametrize("name", ["tmsic", "dcase_baseline"])
def test_real_recordings_have_the_features_of_the_formula(name):
    corpus = Corpus.open(os.environ["ASCLIB_REAL_SOUNDS"])
    log_mel = CONFIGURATIONS[name]
    for filename in corpus.clips["filename"].iloc[::100]:
        y = soundfile.read(corpus.root / filename, dtype="float32")[0]
        expected = reference(y, log_mel)
        loud = expected > expected.max() - WITHIN
        assert np.abs(log_mel(y[None])[0, 0].numpy() - expected)[loud].max() < 1e-5
