"""The ten scenes of the embedded corpus: which sources each mixes, how loud, and in what room.

Every random choice is drawn from a generator named after what it decides (`generator`), so that a
recording of a given length sounds the same in whatever order or process it is rendered.

Chapter: book/task/dataset.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.random import PCG64, Generator
from scipy.fft import irfft, rfft

from asclib.corpus.embedded import sources
from asclib.corpus.embedded.sources import RATE

Source = Callable[[Generator, Generator, int], np.ndarray]


def generator(*names: object) -> Generator:
    """A random generator of its own for each tuple of names, independent of any order of calls."""
    digest = hashlib.sha256("|".join(map(str, names)).encode()).digest()
    return Generator(PCG64(int.from_bytes(digest[:16], "little")))


class Part(NamedTuple):
    """One source in a scene: how often it is heard in a recording, and how loud in decibels."""

    source: Source
    probability: float
    level: float


class Scene(NamedTuple):
    """The sources of a scene and its rooms.

    reverberation: range of its time in seconds. wet: energy of the tail against the direct sound.
    tilt: dB per octave, the mean slope of the scene's spectrum beyond that of its sources.
    """

    parts: tuple[Part, ...]
    reverberation: tuple[float, float]
    wet: float
    tilt: float = 0.0


SOUNDSCAPES: dict[str, Scene] = {
    "airport": Scene(
        (
            Part(sources.ventilation, 1.0, -2),
            Part(sources.babble, 0.9, -2),
            Part(sources.trolley, 0.85, 0),
            Part(sources.announcement, 0.5, 0),
            Part(sources.footsteps, 0.4, -4),
            Part(sources.talker, 0.25, -4),
            Part(sources.crockery, 0.15, -8),
            Part(sources.escalator, 0.15, -3),
        ),
        reverberation=(0.9, 2.0),
        wet=0.6,
        tilt=0.0,
    ),
    "bus": Scene(
        (
            Part(sources.diesel, 1.0, 1),
            Part(sources.tyres, 1.0, -1),
            Part(sources.ventilation, 0.7, -3),
            Part(sources.talker, 0.35, -3),
            Part(sources.rattle, 0.8, -8),
            Part(sources.pneumatics, 0.3, -7),
            Part(sources.cars, 0.3, -4),
            Part(sources.babble, 0.2, -5),
            Part(sources.announcement, 0.15, -5),
            Part(sources.door_beeps, 0.1, -6),
            Part(sources.squeal, 0.1, -8),
        ),
        reverberation=(0.1, 0.4),
        wet=0.25,
        tilt=-1.0,
    ),
    "metro": Scene(
        (
            Part(sources.traction, 0.9, 0),
            Part(sources.rails, 1.0, 1),
            Part(sources.rail_joints, 0.7, 3),
            Part(sources.ventilation, 0.5, -4),
            Part(sources.talker, 0.25, -4),
            Part(sources.door_beeps, 0.15, -5),
            Part(sources.announcement, 0.1, -5),
            Part(sources.squeal, 0.1, -8),
            Part(sources.inverter, 0.1, -2),
        ),
        reverberation=(0.1, 0.4),
        wet=0.25,
        tilt=-1.0,
    ),
    "metro_station": Scene(
        (
            Part(sources.ventilation, 1.0, -2),
            Part(sources.escalator, 0.55, 0),
            Part(sources.babble, 0.4, -5),
            Part(sources.footsteps, 0.6, -3),
            Part(sources.rails, 0.35, -1),
            Part(sources.traction, 0.25, -2),
            Part(sources.squeal, 0.2, -6),
            Part(sources.announcement, 0.3, -3),
            Part(sources.door_beeps, 0.25, -4),
        ),
        reverberation=(1.2, 2.5),
        wet=0.8,
        tilt=-0.5,
    ),
    "park": Scene(
        (
            Part(sources.birds, 0.85, -2),
            Part(sources.leaves, 0.8, -3),
            Part(sources.distant_traffic, 0.9, -2),
            Part(sources.footsteps, 0.3, -8),
            Part(sources.children, 0.2, -5),
            Part(sources.talker, 0.15, -6),
        ),
        reverberation=(0.05, 0.2),
        wet=0.1,
        tilt=1.0,
    ),
    "public_square": Scene(
        (
            Part(sources.distant_traffic, 1.0, -1),
            Part(sources.fountain, 0.55, -1),
            Part(sources.babble, 0.6, -3),
            Part(sources.footsteps, 0.35, -4),
            Part(sources.birds, 0.25, -6),
            Part(sources.cars, 0.2, -5),
            Part(sources.children, 0.45, -2),
            Part(sources.bell, 0.25, -4),
            Part(sources.leaves, 0.2, -8),
        ),
        reverberation=(0.3, 0.9),
        wet=0.25,
        tilt=0.5,
    ),
    "shopping_mall": Scene(
        (
            Part(sources.ventilation, 1.0, -3),
            Part(sources.babble, 0.9, -1),
            Part(sources.music, 0.7, -1),
            Part(sources.footsteps, 0.6, -4),
            Part(sources.crockery, 0.35, -5),
            Part(sources.talker, 0.3, -3),
            Part(sources.children, 0.15, -6),
            Part(sources.escalator, 0.2, -3),
        ),
        reverberation=(0.7, 1.6),
        wet=0.5,
        tilt=1.5,
    ),
    "street_pedestrian": Scene(
        (
            Part(sources.footsteps, 0.95, 1),
            Part(sources.talker, 0.7, -1),
            Part(sources.babble, 0.45, -5),
            Part(sources.distant_traffic, 1.0, -2),
            Part(sources.cars, 0.15, -5),
            Part(sources.music, 0.1, -8),
            Part(sources.trolley, 0.1, -6),
            Part(sources.birds, 0.1, -10),
        ),
        reverberation=(0.3, 0.8),
        wet=0.3,
        tilt=1.5,
    ),
    "street_traffic": Scene(
        (
            Part(sources.cars, 1.0, 4),
            Part(sources.distant_traffic, 1.0, -1),
            Part(sources.diesel, 0.15, -3),
            Part(sources.footsteps, 0.2, -8),
            Part(sources.birds, 0.1, -10),
            Part(sources.squeal, 0.1, -8),
        ),
        reverberation=(0.2, 0.6),
        wet=0.2,
        tilt=-1.0,
    ),
    "tram": Scene(
        (
            Part(sources.inverter, 0.8, -1),
            Part(sources.rails, 1.0, 0),
            Part(sources.rail_joints, 0.5, 0),
            Part(sources.squeal, 0.35, -2),
            Part(sources.bell, 0.25, -4),
            Part(sources.talker, 0.3, -4),
            Part(sources.ventilation, 0.4, -5),
            Part(sources.announcement, 0.15, -5),
            Part(sources.traction, 0.15, -3),
        ),
        reverberation=(0.1, 0.35),
        wet=0.2,
        tilt=0.0,
    ),
}

LEVEL_SPREAD = 3.0  # dB, standard deviation of a source's level from location to location
COLOUR = 4.0  # dB, amplitude of a location's random colouring


def room(place: Generator, scene: Scene, n: int) -> np.ndarray:
    """Transfer function of a location: early reflections, a tail of decaying noise, and a colour.

    Returns: complex spectrum of n // 2 + 1 bins at RATE.
    """
    seconds = place.uniform(*scene.reverberation)
    m = int(seconds * RATE)
    impulse = place.standard_normal(m) * sources.decay(m, seconds)
    impulse = impulse[:n]  # cut after drawing: what follows must not depend on the length
    impulse *= scene.wet * np.exp(0.3 * place.standard_normal()) / np.sqrt(np.sum(impulse**2))
    for delay in place.uniform(0.003, 0.05, 5):
        at = int(delay * RATE)
        if at < len(impulse):
            impulse[at] += 0.3 * place.standard_normal()
    impulse[0] = 1.0
    octaves = np.log2(np.maximum(sources.frequencies(n), 20) / 20)
    colour = scene.tilt * octaves
    for ripples in (0.5, 1.0, 1.7, 3.0, 5.0):
        phase = 2 * np.pi * place.uniform()
        wave = np.cos(2 * np.pi * ripples * octaves / 10 + phase)
        colour = colour + COLOUR / 2 * place.standard_normal() * wave
    return rfft(impulse, n) * 10 ** (colour / 20)


def render(
    seed: int, scene: str, city: str, location: int, segment: int, seconds: int
) -> np.ndarray:
    """The sound of one recording before any device: (seconds * RATE,) float64 of unit RMS."""
    here, n = (seed, scene, city, location), seconds * RATE
    model, mix = SOUNDSCAPES[scene], np.zeros(n)
    presence, levels = generator(*here, segment, "presence"), generator(*here, "levels")
    for part in model.parts:
        level = part.level + LEVEL_SPREAD * levels.standard_normal() + presence.standard_normal()
        if presence.uniform() < part.probability:
            name = part.source.__name__
            x = part.source(generator(*here, name), generator(*here, segment, name), n)
            mix += x * (10 ** (level / 20) / (np.sqrt(np.mean(x**2)) + 1e-9))
    x = irfft(rfft(mix) * room(generator(*here, "room"), model, n), n)
    return x / np.sqrt(np.mean(x**2))
