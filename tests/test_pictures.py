"""Claims about pictures of sound: where their frames stand, and what is heard of them."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from asclib import plotting
from asclib.features import LogMel

SECOND = np.arange(44_100) / 44_100


def test_a_frame_is_drawn_around_its_centre() -> None:
    """Frame k is the sound around k hops: half a hop on either side is its own."""
    figure, (plain, timed) = plt.subplots(1, 2)
    picture = np.random.default_rng(0).normal(size=(140, 8))
    plotting.spectrogram(plain, picture)
    plotting.spectrogram(timed, picture, hop_seconds=0.128)
    left, right, *_ = timed.images[0].get_extent()
    edges = np.linspace(left, right, 9)
    np.testing.assert_allclose((edges[:-1] + edges[1:]) / 2, 0.128 * np.arange(8), atol=1e-12)
    assert timed.get_xlim() == (0, 1) and timed.get_xlabel() == "seconds"
    assert plain.images[0].get_extent()[:2] == [-0.5, 7.5] and plain.get_xlabel() == "frame"
    plt.close(figure)


@pytest.mark.parametrize("front", [LogMel.tmsic(), LogMel.dcase_baseline()], ids=["8", "51"])
def test_what_is_played_has_the_picture_it_was_played_from(front: LogMel) -> None:
    """Analysed again, noise with a slope and a swell has its bands and frames where they were."""
    noise = np.random.default_rng(1).standard_normal(44_100)
    swell = np.exp(2 * np.sin(2 * np.pi * SECOND))
    slope = 1 / (1 + np.fft.rfftfreq(44_100, 1 / 44_100) / 500)
    sound = swell * np.fft.irfft(np.fft.rfft(noise) * slope)
    picture = front(sound[None])[0, 0].numpy()
    copy = front(plotting.played(picture, front, 44_100)[None])[0, 0].numpy()
    inner = slice(2, -2)  # bands that the resampling leaves alone
    apart = (copy - picture)[inner]
    assert (
        abs(apart.mean()) < 0.15
        and np.corrcoef(copy[inner].ravel(), picture[inner].ravel())[0, 1] > 0.9
    )


def test_the_sound_of_a_picture_is_always_the_same_and_lasts_a_second() -> None:
    front = LogMel.tmsic()
    picture = front(np.random.default_rng(2).standard_normal((1, 44_100)))[0, 0].numpy()
    one = plotting.played(picture, front, 16_000)
    assert one.shape == (16_000,)
    np.testing.assert_array_equal(one, plotting.played(picture, front, 16_000))
