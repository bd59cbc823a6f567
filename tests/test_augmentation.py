"""Augmentation of a clip against plain loops, and what must not change by it."""

from __future__ import annotations

import functools
import hashlib
import os
import random
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asclib.augmentation import (
    augmented_size,
    frequency_mask,
    impulse_response,
    other_device,
    perturb,
    time_roll,
    tmsic_versions,
)
from asclib.augmentation import clip as recipe
from asclib.augmentation.clip import COPIES, VERSIONS
from asclib.challenge import SAMPLE_RATE, SEEN_DEVICES
from asclib.corpus.embedded import RECORDERS, Device
from asclib.corpus.embedded.devices import response
from asclib.features import LogMel

ROOT = Path(__file__).resolve().parent.parent
CLIP = np.float32(0.1 * np.random.default_rng(0).standard_normal(SAMPLE_RATE))
SLOW = np.float32(0.1 * np.random.default_rng(1).standard_normal(8000))
PICTURE = np.float32(np.random.default_rng(2).normal(-4, 2, (1, 140, 8)))
TMSIC = LogMel.tmsic()
RESPONSES = [impulse_response(RECORDERS[name]) for name in SEEN_DEVICES[1:]]


# ---- the authors' recipe ---------------------------------------------------------------------


def test_the_training_clips_of_tau_become_as_many_items_as_the_authors_had(tau_corpus):
    assert augmented_size(tau_corpus.split("train")) == 326_970 == 102_150 + 6 * 37_470


def test_the_size_counts_what_the_versions_make():
    devices = ["a", "b", "a", "s3"]
    made = sum(len(tmsic_versions(CLIP, str(i), d, TMSIC, seed=0)) for i, d in enumerate(devices))
    assert augmented_size(pd.DataFrame({"device": devices})) == made == 1 + 6 + 1 + 6


@pytest.mark.parametrize("table", [{"device": ["a", None]}, {"scene": ["bus", "park"]}])
def test_clips_of_unknown_devices_are_not_counted(table):
    with pytest.raises(ValueError, match="clips of a training split"):
        augmented_size(pd.DataFrame(table))


def test_a_clip_of_device_a_has_no_version_but_itself():
    alone = tmsic_versions(CLIP, "x", "a", TMSIC, seed=0)
    assert alone.dtype == np.float32
    np.testing.assert_array_equal(alone, TMSIC(CLIP[None]).numpy())


@functools.cache
def versions(clips: int) -> np.ndarray:
    """(clips, 6, mels, frames): the versions of one sound under many names."""
    made = [tmsic_versions(CLIP, f"clip {k}", "b", TMSIC, seed=0) for k in range(clips)]
    assert all(one.shape == (len(VERSIONS), 1, 140, 8) for one in made)
    assert all(one.dtype == np.float32 for one in made)
    return np.stack(made)[:, :, 0]


def test_each_masked_version_differs_from_its_origin_in_whole_bands_alone():
    for one in versions(30):
        np.testing.assert_array_equal(one[0], TMSIC(CLIP[None])[0, 0])
        for plain, masked in zip(one[:3], one[3:], strict=True):
            changed = plain != masked
            np.testing.assert_array_equal(changed.any(1), changed.all(1))
            assert changed.all(1).sum() <= 2 * 14
            for band in masked[changed.any(1)]:
                assert len(set(band)) == 1


def test_both_fills_and_no_mask_at_all_occur_in_masked_versions():
    made = versions(30)
    origin, masked = made[:, :3].reshape(-1, 140, 8), made[:, 3:].reshape(-1, 140, 8)
    changed = (origin != masked).all(2)
    assert 0.3 < (~changed.any(1)).mean() < 0.8  # of 90; expected 0.75 squared
    filled = masked[changed]
    assert (filled == 0).any() and (filled != 0).any()


def test_the_waveform_versions_are_made_at_the_rate_of_the_spectrum(monkeypatch):
    seen = []
    monkeypatch.setattr(
        recipe, "perturb", lambda x, rate, p, **_: seen.append((len(x), rate, p)) or x
    )
    tmsic_versions(CLIP, "x", "b", TMSIC, seed=0)
    assert seen == [(8000, 8000, p) for p in COPIES.values()]


def test_a_silent_clip_has_versions_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = tmsic_versions(np.zeros_like(CLIP), "x", "b", TMSIC, seed=0)
    assert np.isfinite(made).all()


def longest_silence(y: np.ndarray) -> np.ndarray:
    """(first, last + 1) of the longest run of exact zeros in y."""
    edges = np.flatnonzero(np.diff(np.r_[0, y == 0, 0]))
    runs = edges.reshape(-1, 2)
    return runs[np.argmax(runs[:, 1] - runs[:, 0])] if len(runs) else np.zeros(2, int)


def only(monkeypatch, name: str, x: np.ndarray, clip: int) -> np.ndarray:
    """What one of the four transforms alone makes of a waveform: the others leave it as it is."""
    with monkeypatch.context() as patch:
        for other in {"PitchShift", "Shift", "TimeStretch", "TimeMask"} - {name}:
            transform = getattr(recipe.audiomentations, other)
            patch.setattr(transform, "apply", lambda self, samples, sample_rate: samples)
        return perturb(x, 8000, 1.0, seed=0, identifier=f"clip {clip}", what="one")


def test_a_time_mask_silences_five_to_ten_percent_without_a_fade(monkeypatch):
    lengths = []
    for clip in range(60):
        y = only(monkeypatch, "TimeMask", SLOW, clip)
        first, end = longest_silence(y)
        assert (y[first:end] == 0).all()
        np.testing.assert_array_equal(
            np.delete(y, slice(first, end)), np.delete(SLOW, slice(first, end))
        )
        lengths.append(end - first)
    assert min(lengths) >= 400 and max(lengths) <= 800
    assert max(lengths) - min(lengths) > 200


def test_a_shift_rolls_by_up_to_a_quarter_without_a_fade(monkeypatch):
    shifts = []
    for clip in range(60):
        y = only(monkeypatch, "Shift", SLOW, clip)
        shift = (np.flatnonzero(y == SLOW[0])[0] + 4000) % 8000 - 4000
        np.testing.assert_array_equal(y, np.roll(SLOW, shift))
        shifts.append(shift)
    assert -2000 <= min(shifts) < -1000 and 1000 < max(shifts) <= 2000


def dominant(y: np.ndarray) -> float:
    """Hertz of the strongest partial of 8,000 samples at 8 kHz."""
    return np.abs(np.fft.rfft(y * np.hanning(len(y)), 2**17)).argmax() * 8000 / 2**17


def test_a_pitch_shift_moves_a_tone_by_up_to_two_semitones(monkeypatch):
    tone = np.float32(0.5 * np.sin(2 * np.pi * 500 * np.arange(8000) / 8000))
    moved = [
        12 * np.log2(dominant(only(monkeypatch, "PitchShift", tone, k)) / 500) for k in range(30)
    ]
    assert -2.1 < min(moved) < -1 and 1 < max(moved) < 2.1


def test_a_time_stretch_moves_the_end_of_a_tone_and_keeps_its_pitch(monkeypatch):
    """Two seconds of tone in four: long against the vocoder's window, which smears the end."""
    tone = np.float32(0.5 * np.sin(2 * np.pi * 500 * np.arange(32_000) / 8000))
    tone[16_000:] = 0
    ends = []
    for clip in range(30):
        y = only(monkeypatch, "TimeStretch", tone, clip)
        assert len(y) == len(tone)
        assert abs(dominant(y[4000:12_000]) - 500) < 1
        ends.append(np.flatnonzero(np.abs(y) > 0.25)[-1])
    window = 2048
    assert 16_000 / 1.15 - window / 2 < min(ends) < 15_000
    assert 17_000 < max(ends) < 16_000 / 0.9 + window / 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("samples", [8000, 44_100, 5001])
def test_a_perturbed_waveform_keeps_length_and_type_and_its_origin(samples, dtype):
    x = CLIP[:samples].astype(dtype)
    before = x.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = perturb(x, 8000, 1.0, seed=0, identifier="x", what="one")
    assert y.shape == x.shape and y.dtype == dtype and not np.array_equal(x, y)
    np.testing.assert_array_equal(x, before)


def test_each_transform_happens_with_its_probability(monkeypatch):
    count = dict.fromkeys((0.25, 0.5), 0)
    for name in ("PitchShift", "Shift", "TimeStretch", "TimeMask"):
        transform = getattr(recipe.audiomentations, name)
        monkeypatch.setattr(transform, "apply", lambda self, samples, sample_rate: samples + 1)
    for p in count:
        for clip in range(200):
            y = perturb(SLOW, 8000, p, seed=0, identifier=f"{clip}", what="one")
            count[p] += round(float((y - SLOW).mean()))
    assert abs(count[0.25] / 800 - 0.25) < 0.06  # four standard deviations
    assert abs(count[0.5] / 800 - 0.5) < 0.07


# ---- one clip at a time ----------------------------------------------------------------------

# Each: (seed, identifier, p or its stand-in) -> array; without the last, p is 1.
ONE_CLIP = {
    "perturb": lambda seed, name, p=1.0: perturb(
        SLOW, 8000, p, seed=seed, identifier=name, what="one"
    ),
    "frequency_mask": lambda seed, name, p=1.0: frequency_mask(
        PICTURE, p, seed=seed, identifier=name
    ),
    "time_roll": lambda seed, name, p=1.0: time_roll(
        SLOW, int(4000 * p), seed=seed, identifier=name
    ),
    "other_device": lambda seed, name, p=1.0: other_device(
        CLIP, "a", RESPONSES, p, seed=seed, identifier=name
    ),
    "tmsic_versions": lambda seed, name: tmsic_versions(CLIP, name, "c", TMSIC, seed=seed),
}
ORIGIN = {
    "perturb": SLOW,
    "frequency_mask": PICTURE,
    "time_roll": SLOW,
    "other_device": CLIP,
}
NAMES = [f"park-lyon-7-{k}-0-a" for k in range(6)]


@pytest.mark.parametrize("name", ONE_CLIP)
def test_a_clip_is_changed_alike_in_any_order_and_whatever_else_was_drawn(name):
    augment = ONE_CLIP[name]
    forward = [augment(0, clip) for clip in NAMES]
    np.random.seed(5)
    torch.manual_seed(5)
    random.seed(5)
    for clip, expected in reversed(list(zip(NAMES, forward, strict=True))):
        np.testing.assert_array_equal(augment(0, clip), expected)


@pytest.mark.parametrize("name", ONE_CLIP)
def test_another_clip_another_seed_and_another_epoch_are_changed_otherwise(name):
    augment = ONE_CLIP[name]
    one, other = NAMES[:2]
    drawn = {
        augment(seed, clip).tobytes()
        for seed, clip in [(0, one), (0, other), (1, one), ((0, 1), one), ((0, 2), one)]
    }
    # one of five impulse responses may come twice
    assert len(drawn) == 5 if name != "other_device" else len(drawn) > 1


@pytest.mark.parametrize("name", ORIGIN)
def test_with_probability_zero_nothing_changes(name):
    for clip in NAMES:
        np.testing.assert_array_equal(ONE_CLIP[name](0, clip, 0.0), ORIGIN[name])


@pytest.mark.parametrize("name", ORIGIN)
def test_the_input_is_never_written_to(name):
    before = ORIGIN[name].copy()
    for clip in NAMES:
        ONE_CLIP[name](0, clip)
    np.testing.assert_array_equal(ORIGIN[name], before)


def test_another_process_changes_a_clip_alike_and_imports_the_module_without_a_word():
    script = (
        "import asclib.augmentation\n"
        "from tests.test_augmentation import fingerprint\n"
        "print(fingerprint())\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"}
    other = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == fingerprint()
    assert other.stderr == ""


def fingerprint() -> str:
    """A hash of one clip changed in every way; rounded, for threads may move a last digit."""
    changed = [np.round(augment(3, NAMES[2]), 4).tobytes() for augment in ONE_CLIP.values()]
    return hashlib.sha256(b"".join(changed)).hexdigest()


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 9),
    st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
    st.sampled_from(["mean", 0.0, -36.0]),
    st.integers(0, 10**6),
    st.sampled_from([np.float32, np.float64]),
)
def test_a_mask_hides_adjacent_bands_within_its_range_by_its_fill(
    mels, frames, share, fill, seed, dtype
):
    x = np.random.default_rng(seed).normal(-4, 2, (1, mels, frames)).astype(dtype)
    y = frequency_mask(x, share=tuple(share), fill=fill, seed=seed, identifier="x")
    assert y.shape == x.shape and y.dtype == dtype
    hidden = np.flatnonzero((y != x)[0].any(1))
    low, high = (round(part * mels) for part in share)
    if frames * len(hidden) > 1:  # the mean of one value is that value
        assert low <= len(hidden) <= high
    if len(hidden):
        assert hidden[-1] - hidden[0] == len(hidden) - 1
        block = x[0, hidden].astype(np.float64)
        expected = block.mean() if fill == "mean" else fill
        np.testing.assert_allclose(y[0, hidden], expected, rtol=1e-5)


def test_masks_of_every_width_and_place_occur():
    made = [frequency_mask(PICTURE, fill=9.0, seed=0, identifier=f"{k}")[0] for k in range(2000)]
    widths = [int((picture == 9).all(1).sum()) for picture in made]
    assert set(widths) == set(range(4, 15))  # 3 to 10 % of 140 bands
    assert np.any([picture == 9 for picture in made], axis=0).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.data())
def test_a_roll_is_circular_and_within_its_range(samples, data):
    limit = data.draw(st.integers(0, samples - 1))
    x = np.arange(samples, dtype=np.float32)
    y = time_roll(x, limit, seed=data.draw(st.integers(0, 99)), identifier="x")
    assert y.dtype == x.dtype
    rolled = int(-y[0]) % samples
    np.testing.assert_array_equal(y, np.roll(x, rolled))
    assert min(rolled, samples - rolled) <= limit


def test_every_roll_within_the_limit_occurs_and_no_other():
    x = np.arange(50)
    shifts = {int(time_roll(x, 3, seed=k, identifier="x")[0]) for k in range(200)}
    assert shifts == {0, 1, 2, 3, 49, 48, 47}


def test_an_impulse_response_has_the_magnitude_of_its_device():
    hertz = np.fft.rfftfreq(2**16, 1 / SAMPLE_RATE)
    heard = (hertz > 100) & (hertz < 20_000)
    for device in RECORDERS.values():
        spectrum = np.abs(np.fft.rfft(impulse_response(device), 2**16))
        decibels = 20 * np.log10(spectrum / response(device, hertz))
        assert np.abs(decibels[heard]).max() < 0.5


def test_an_impulse_response_acts_at_once_and_dies_away():
    for name in SEEN_DEVICES[1:]:
        energy = impulse_response(RECORDERS[name]) ** 2
        assert energy[:441].sum() > 0.99 * energy.sum()  # 10 ms
        assert energy[1024:].sum() < 1e-6 * energy.sum()


def test_a_flat_device_answers_with_an_impulse():
    flat = impulse_response(Device(low=1e-9, high=1e9), samples=64)
    np.testing.assert_allclose(flat, np.eye(64)[0], atol=1e-9)


def test_another_device_is_a_direct_convolution_cut_to_the_clip():
    rng = np.random.default_rng(3)
    x, impulse = rng.standard_normal(40), rng.standard_normal(12)
    expected = np.zeros(40)
    for n in range(40):
        for k in range(min(n + 1, 12)):
            expected[n] += impulse[k] * x[n - k]
    found = other_device(x, "a", [impulse], 1.0, seed=0, identifier="x")
    np.testing.assert_allclose(found, expected, atol=1e-12)
    single = other_device(np.float32(x), "a", [impulse], 1.0, seed=0, identifier="x")
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, atol=1e-5)


def test_only_clips_of_device_a_are_given_another_device():
    for device in SEEN_DEVICES[1:]:
        found = other_device(CLIP, device, RESPONSES, 1.0, seed=0, identifier="x")
        np.testing.assert_array_equal(found, CLIP)


def test_every_response_is_used_and_as_often_as_asked():
    x = np.float32([1, 0, 0])
    gains = [np.array([gain]) for gain in (2.0, 3.0, 4.0)]
    heard = [
        float(other_device(x, "a", gains, 0.6, seed=0, identifier=f"{k}")[0]) for k in range(600)
    ]
    share = {gain: np.isclose(heard, gain).mean() for gain in (1, 2, 3, 4)}
    assert sum(share.values()) == pytest.approx(1)
    for gain, expected in {1: 0.4, 2: 0.2, 3: 0.2, 4: 0.2}.items():
        assert abs(share[gain] - expected) < 0.08  # four standard deviations


# ---- errors ----------------------------------------------------------------------------------

NAMED = dict(seed=0, identifier="x")


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: perturb(SLOW, 8000, 1.5, **NAMED, what="one"), "a probability, 0 to 1, not 1.5"),
        (lambda: perturb(SLOW[None], 8000, 1, **NAMED, what="one"), "float32 of shape \\(1, 8000"),
        (lambda: perturb(torch.zeros(9), 8000, 1, **NAMED, what="one"), "a numpy array"),
        (lambda: tmsic_versions(np.zeros(44_100, int), "x", "b", TMSIC, seed=0), "floats, got int"),
        (lambda: frequency_mask(PICTURE, -1, **NAMED), "a probability"),
        (lambda: frequency_mask(PICTURE, share=(0.5, 0.1), **NAMED), "two parts of the bands"),
        (lambda: frequency_mask(PICTURE, fill="median", **NAMED), "'mean' or a number of nepers"),
        (lambda: frequency_mask(SLOW, **NAMED), "expected \\(..., mels, frames\\)"),
        (lambda: time_roll(SLOW, 8000, **NAMED), "a whole number of samples, 0 to 7999"),
        (lambda: time_roll(SLOW, 0.1, **NAMED), "limit 0.1 must be a whole number of samples"),
        (lambda: other_device(SLOW, "a", [], **NAMED), "one or more arrays"),
        (lambda: other_device(SLOW, "a", np.ones(9), **NAMED), "one or more arrays"),
        (lambda: impulse_response(RECORDERS["b"], samples=0), "must be positive, not 0: 2048"),
    ],
)
def test_arguments_without_sense_are_refused_with_what_to_do(call, words):
    with pytest.raises(ValueError, match=words):
        call()
