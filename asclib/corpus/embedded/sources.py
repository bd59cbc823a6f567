"""Signal models of the sound sources of a city, from which the embedded corpus is mixed.

Each source takes two random generators and a number of samples. `place` is the same for every
recording at a location and draws its character (which bird, which tram); `take` is the recording's
own and draws what happens in it. The result is float64 at RATE, of any level.

A recording is treated as one period of a periodic signal: filters act on its spectrum, so that a
filter needs no time to start.

Chapter: book/task/dataset.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.random import Generator
from scipy.fft import irfft, rfft

RATE = 22_050  # hertz; half the corpus' rate, which the capture by a device doubles
Array = np.ndarray


# ---------------------------------------------------------------- building blocks


def frequencies(n: int) -> Array:
    """Frequencies in hertz of the n // 2 + 1 bins of a spectrum of n samples at RATE."""
    return np.arange(n // 2 + 1) * (RATE / n)


def shaped(x: Array, gain: Callable[[Array], Array]) -> Array:
    """`x` filtered with the zero-phase magnitude `gain(hertz)`."""
    n = len(x)
    return irfft(rfft(x) * gain(frequencies(n)), n)


def band(low: float, high: float, slope: float = 0.0, order: int = 2) -> Callable[[Array], Array]:
    """A band-pass magnitude with edges in hertz and a slope in dB per octave between them."""

    def gain(hertz: Array) -> Array:
        f = np.maximum(hertz, 1.0)
        edges = 1 / np.sqrt((1 + (low / f) ** (2 * order)) * (1 + (f / high) ** (2 * order)))
        return edges * (f / 1000) ** (slope / 6.02)

    return gain


def resonances(centres: Array, widths: Array, gains: Array) -> Callable[[Array], Array]:
    """A sum of resonance peaks (hertz, hertz, linear), as of a vocal tract or an engine's body."""

    def gain(hertz: Array) -> Array:
        shapes = zip(centres, widths, gains, strict=True)
        peaks = [g / (1 + ((hertz - c) / w) ** 2) for c, w, g in shapes]
        return np.sum(peaks, axis=0)

    return gain


def wander(rng: Generator, n: int, seconds: float) -> Array:
    """A smooth random curve of about unit variance that changes within so many seconds."""
    knots = max(2, int(n / RATE / seconds) + 3)
    at = (np.arange(knots) - rng.uniform()) * (seconds * RATE)
    return np.interp(np.arange(n), at, rng.standard_normal(knots))


def pulses(frequency: Array, start: float = 0.0) -> Array:
    """Unit impulses, one per cycle of a frequency curve in hertz: a buzz with all harmonics."""
    cycles = np.floor(np.cumsum(frequency) / RATE + start)
    return np.diff(cycles, prepend=np.floor(start))


def tone(frequency: Array, partials: Array) -> Array:
    """A harmonic tone: partial k + 1 of a frequency curve in hertz with amplitude partials[k]."""
    phase = 2 * np.pi * np.cumsum(frequency) / RATE
    return np.sum([a * np.sin((k + 1) * phase) for k, a in enumerate(partials) if a], axis=0)


def add(x: Array, start: float, event: Array, gain: float = 1.0) -> None:
    """Adds an event to `x` from `start` seconds on, cut at both ends of the recording."""
    at = int(start * RATE)
    first, last = max(at, 0), min(at + len(event), len(x))
    if first < last:
        x[first:last] += gain * event[first - at : last - at]


def moments(rng: Generator, n: int, interval: float, spread: float) -> list[float]:
    """Event times in seconds, an interval apart that varies by the factor exp(±spread)."""
    times, now, end = [], -interval * rng.uniform(), n / RATE
    while now < end:
        times.append(now)
        now += interval * float(np.exp(spread * rng.standard_normal()))
    return times


def decay(n: int, seconds: float) -> Array:
    """An exponential decay by 60 dB in so many seconds."""
    return np.exp(np.arange(n) * (-6.9 / (seconds * RATE)))


# ---------------------------------------------------------------- sources


def ventilation(place: Generator, take: Generator, n: int) -> Array:
    """Band-limited coloured noise of air handling, with a hum at a multiple of the fan's speed."""
    low, high, slope = place.uniform(30, 120), place.uniform(400, 4000), place.uniform(-9, -3)
    hum = place.uniform(80, 400)
    x = shaped(take.standard_normal(n), band(low, high, slope))
    x /= np.std(x)
    return x + place.uniform(0, 0.6) * tone(np.full(n, hum), np.array([1, 0.5, 0.3]))


def distant_traffic(place: Generator, take: Generator, n: int) -> Array:
    """Band-limited coloured noise of a city far away, swelling slowly."""
    x = shaped(take.standard_normal(n), band(40, place.uniform(300, 1500), place.uniform(-6, -2)))
    return x * np.exp(0.3 * wander(take, n, 2.0))


def diesel(place: Generator, take: Generator, n: int) -> Array:
    """Engine firing pulses with rpm drift and jitter, through the resonances of the body."""
    idle, top = place.uniform(22, 34), place.uniform(60, 95)
    centres = np.sort(place.uniform(80, 1400, 5))
    gains = place.uniform(0.3, 1, 5) * (200 / centres) ** 0.7
    body = resonances(centres, 0.25 * centres + 30, gains)
    speed = np.interp(wander(take, n, 3.0), [-1, 0.2, 1.5], [idle, idle * 1.3, top])
    cycle = speed * (1 + 0.01 * wander(take, n, 0.02))
    x = shaped(pulses(cycle, take.uniform()), body)
    return x * (1 + 0.02 * speed)


def traction(place: Generator, take: Generator, n: int) -> Array:
    """Motor and gear harmonics of an electric train that glide with its speed."""
    base = place.uniform(260, 420)
    speed = 1 + 0.6 * np.tanh(0.8 * wander(take, n, 3.0))
    orders = np.zeros(14)
    orders[place.choice(14, 5, replace=False)] = place.uniform(0.3, 1, 5)
    return tone(base * speed, orders) * (0.4 + speed)


def inverter(place: Generator, take: Generator, n: int) -> Array:
    """The stepped whistle of a tram's inverter, whose pulse rate jumps as the speed changes."""
    base = place.uniform(300, 600)
    held = np.repeat(wander(take, n // 2205 + 1, 10 / RATE), 2205)[:n]
    steps = np.floor(2 * held) / 2
    return tone(base * 2 ** (steps * 0.25), np.array([1, 0.2, 0.6, 0, 0.4, 0, 0.3]))


def rail_joints(place: Generator, take: Generator, n: int) -> Array:
    """Double knocks of the wheels on rail joints, as far apart as the speed makes them."""
    interval, low = place.uniform(0.35, 0.8), place.uniform(90, 250)
    ring = shaped(place.standard_normal(4410) * decay(4410, 0.12), band(low, low * 12, -3))
    x = np.zeros(n)
    for at in moments(take, n, interval, 0.08):
        gain = take.uniform(0.5, 1)
        add(x, at, ring, gain)
        add(x, at + 0.22 * interval, ring, 0.8 * gain)
    return x


def tyres(place: Generator, take: Generator, n: int) -> Array:
    """Tyre and road noise heard inside a vehicle: low band-limited noise, louder with speed."""
    centre = place.uniform(80, 250)
    x = shaped(take.standard_normal(n), band(centre / 3, centre * 3, -5))
    return x * np.exp(0.4 * wander(take, n, 2.0))


def rattle(place: Generator, take: Generator, n: int) -> Array:
    """Loose windows, panels and handles that the engine shakes: short bright knocks, in bouts."""
    centre, x = place.uniform(1500, 4500), np.zeros(n)
    knock = shaped(place.standard_normal(1103) * decay(1103, 0.04), band(centre / 2, centre * 2))
    for at in moments(take, n, 1 / place.uniform(12, 34), 0.4):
        add(x, at, knock, take.uniform(0.1, 1))
    return x * np.exp(0.8 * wander(take, n, 0.6))


def pneumatics(place: Generator, take: Generator, n: int) -> Array:
    """Compressed air let off by doors and brakes: bright hisses that start at once and die away."""
    low, high, x = place.uniform(800, 2500), place.uniform(4500, 9000), np.zeros(n)
    for at in moments(take, n, place.uniform(2, 6), 0.5):
        seconds = take.uniform(0.4, 2)
        add(x, at, decay(int(seconds * RATE), seconds), take.uniform(0.3, 1))
    return x * shaped(take.standard_normal(n), band(low, high))


def rails(place: Generator, take: Generator, n: int) -> Array:
    """Wheel-on-rail noise: a roar with resonances of wheel and rail, loud with speed."""
    centres = place.uniform(200, 1500, 4)
    roar = shaped(take.standard_normal(n), band(120, 1500, -4))
    ring = shaped(take.standard_normal(n), resonances(centres, np.full(4, 15), np.ones(4)))
    x = roar / np.std(roar) + place.uniform(0.2, 0.7) * ring / np.std(ring)
    return x * np.exp(0.5 * wander(take, n, 2.0))


def escalator(place: Generator, take: Generator, n: int) -> Array:
    """An escalator: the chain's hum and the clatter of its steps, evenly spaced."""
    x, interval = np.zeros(n), 1 / place.uniform(5, 9)
    step = shaped(place.standard_normal(2205) * decay(2205, 0.08), band(500, 2500))
    for at in moments(take, n, interval, 0.01):
        add(x, at, step, take.uniform(0.7, 1))
    return x / np.std(x) + 0.7 * tone(np.full(n, place.uniform(150, 300)), 1 / np.arange(1, 5))


def fountain(place: Generator, take: Generator, n: int) -> Array:
    """Falling water: bright noise and many small bubbles, damped tones that rise in pitch."""
    x = shaped(take.standard_normal(n), band(300, 9000, -1))
    x, m = x / np.std(x), 661
    ramp = np.arange(m) / m
    pitches = place.uniform(600, 3000, 8)
    drops = [tone(f * (1 + 0.3 * ramp), np.ones(1)) * decay(m, 0.03) for f in pitches]
    for at in moments(take, n, 0.015, 1.0):
        add(x, at, drops[take.integers(8)], 4 * take.uniform())
    return x


def squeal(place: Generator, take: Generator, n: int) -> Array:
    """Brake or curve squeal: an unsteady pure tone with partials that comes and goes."""
    pitch = place.uniform(700, 2500)
    x = tone(pitch * (1 + 0.015 * wander(take, n, 0.1)), np.array([1, 0.4, 0.2]))
    return x * np.clip(wander(take, n, 0.7), 0, None) ** 2


def footsteps(place: Generator, take: Generator, n: int) -> Array:
    """Two to five walkers, each a regular series of short, damped noise bursts."""
    x = np.zeros(n)
    for _ in range(take.integers(2, 6)):
        centre = place.uniform(300, 2500)
        step = shaped(place.standard_normal(2205) * decay(2205, 0.06), band(centre / 2, centre * 2))
        gain = take.uniform(0.2, 1)
        for at in moments(take, n, take.uniform(0.42, 0.65), 0.04):
            add(x, at, step, gain * take.uniform(0.6, 1))
    return x


VOWELS = np.array(
    [[730, 1090, 2440], [270, 2290, 3010], [300, 870, 2240], [530, 1840, 2480], [570, 840, 2410]]
)  # hertz: formants of Peterson & Barney (1952), a few vowels


def speech(
    rng: Generator, n: int, talkers: int, pitch: tuple[float, float] = (90, 230), pause: float = 0.3
) -> Array:
    """Formant speech: glottal pulses of moving pitch, cut in syllables, through vowel filters."""
    driven = np.zeros((len(VOWELS), n))
    for _ in range(talkers):
        f0 = rng.uniform(*pitch) * (1 + 0.12 * wander(rng, n, 0.4))
        buzz = pulses(f0, rng.uniform()) + 0.02 * rng.standard_normal(n)
        gain, times = rng.uniform(0.3, 1), moments(rng, n, rng.uniform(0.17, 0.26), 0.35)
        for start, end in pairwise([*times, n / RATE]):
            first, last = max(0, int(start * RATE)), min(n, int(end * RATE))
            if rng.uniform() > pause and last > first:
                hill = np.sin(np.pi * np.arange(last - first) / (last - first))
                driven[rng.integers(len(VOWELS)), first:last] += gain * hill * buzz[first:last]
    hertz = frequencies(n)
    glottis, spectrum = 1 / (1 + (hertz / 300) ** 1.5), 0
    for vowel, x in zip(VOWELS, driven, strict=True):
        tract = resonances(vowel * 1.05, 40 + 0.06 * vowel, np.array([1, 1, 0.8]))
        spectrum = spectrum + rfft(x) * tract(hertz) * glottis
    return irfft(spectrum, n)


def babble(place: Generator, take: Generator, n: int) -> Array:
    """Many talkers at once, far away: chatter without words."""
    return speech(take, n, int(place.integers(5, 9)), pause=0.15)


def talker(place: Generator, take: Generator, n: int) -> Array:
    """One or two people talking nearby, with pauses."""
    return speech(take, n, int(take.integers(1, 3)), pause=0.35)


def children(place: Generator, take: Generator, n: int) -> Array:
    """High voices shouting at play."""
    return speech(take, n, 2, (260, 480), pause=0.5)


def announcement(place: Generator, take: Generator, n: int) -> Array:
    """A chime and one voice through a loudspeaker: band-limited to 400 to 3,000 Hz."""
    x = 0.5 * speech(take, n, 1, (150, 240), pause=0.15)
    x /= np.std(x) + 1e-9
    start = take.uniform(-2, n / RATE)
    x[: max(0, int((start + 1) * RATE))] *= 0.05
    for k, pitch in enumerate(place.uniform(400, 900, 3)):
        add(x, start + 0.35 * k, tone(np.full(RATE, pitch), np.array([3, 0.5])) * decay(RATE, 0.8))
    return shaped(x, band(400, 3000, order=4))


def birds(place: Generator, take: Generator, n: int) -> Array:
    """Bird song: repeated short chirps, each a sine that sweeps within its species' range."""
    x = np.zeros(n)
    for _ in range(place.integers(1, 4)):
        pitch, sweep = place.uniform(1700, 3600), place.uniform(-0.4, 0.4)
        length = place.uniform(0.04, 0.2)
        m = int(length * RATE)
        ramp = np.linspace(-1, 1, m)
        wobble = 0.08 * np.sin(2 * np.pi * place.uniform(0, 6) * ramp)
        chirp = tone(pitch * (1 + sweep * ramp / 2 + wobble), np.array([1.0, 0.1])) * (1 - ramp**2)
        for at in moments(take, n, place.uniform(0.25, 0.9), 0.5):
            add(x, at, chirp, take.uniform(0.2, 1))
            if take.uniform() < 0.4:
                add(x, at + 1.3 * length, chirp, 0.7)
    return x


def leaves(place: Generator, take: Generator, n: int) -> Array:
    """Wind in leaves: high-passed noise in gusts."""
    x = shaped(take.standard_normal(n), band(place.uniform(500, 1500), 8000, place.uniform(-3, 0)))
    return x * np.exp(0.8 * wander(take, n, 0.8))


def cars(place: Generator, take: Generator, n: int) -> Array:
    """Cars passing by: tyre noise and engine harmonics with level and Doppler shift by distance."""
    tyres, engines, t = np.zeros(n), np.zeros(n), np.arange(n) / RATE
    for at in moments(take, n, place.uniform(1.2, 3.0), 0.5):
        speed, distance = take.uniform(8, 16), take.uniform(2, 8)
        along = speed * (t - at - 0.5)
        radius = np.sqrt(along**2 + distance**2)
        tyres += distance / radius
        doppler = 1 - speed * along / radius / 343
        engines += distance / radius * pulses(take.uniform(45, 110) * doppler)
    tyres *= shaped(take.standard_normal(n), band(150, place.uniform(1200, 3000), -2))
    engines = shaped(engines, band(60, 600, -3))
    return tyres / np.std(tyres) + 0.5 * engines / np.std(engines)


def door_beeps(place: Generator, take: Generator, n: int) -> Array:
    """The warning beeps of closing doors: one pitch, switched on and off."""
    pitch, rate = place.uniform(700, 2200), place.uniform(3, 7)
    t = np.arange(n) / RATE
    on = ((t * rate + take.uniform()) % 1 < 0.5) & (np.abs(t - take.uniform(0, n / RATE)) < 1.5)
    return tone(np.full(n, pitch), np.array([1, 0.3, 0.3])) * on


def bell(place: Generator, take: Generator, n: int) -> Array:
    """A tram's or church's bell: inharmonic partials that die away."""
    base, m = place.uniform(500, 1100), 2 * RATE
    ratios = (1.0, 1.19, 1.52, 2.0, 2.71)
    strike = sum(tone(np.full(m, base * r), np.array([1 / r])) for r in ratios) * decay(m, 1.2)
    x = np.zeros(n)
    for at in moments(take, n, place.uniform(0.4, 2.5), 0.1):
        add(x, at, strike)
    return x


def music(place: Generator, take: Generator, n: int) -> Array:
    """Music from a shop: a chord on each beat and a drum's noise between."""
    x, beat = np.zeros(n), place.uniform(0.35, 0.6)
    root, m = place.uniform(110, 220), int(beat * 1.5 * RATE)
    hat = shaped(place.standard_normal(m), band(2000, 9000)) * decay(m, 0.08)
    pitches = root * 2 ** (np.array([0, 4, 7, 9, 12, 16]) / 12)
    notes = [tone(np.full(m, pitch), 1 / np.arange(1, 7)) * decay(m, 1.0) for pitch in pitches]
    for at in moments(take, n, beat, 0.0):
        for k in take.choice(6, 3, replace=False):
            add(x, at, notes[k])
        add(x, at + beat / 2, hat, 1.5)
    return x


def trolley(place: Generator, take: Generator, n: int) -> Array:
    """A rolling suitcase: noise that rattles at the rate of the floor's tiles."""
    x = shaped(take.standard_normal(n), band(place.uniform(300, 700), place.uniform(1500, 4000)))
    rate = place.uniform(6, 14) * (1 + 0.1 * wander(take, n, 0.5))
    rattle = (np.cumsum(rate) / RATE) % 1
    return x * np.exp(-5 * rattle) * np.exp(0.7 * wander(take, n, 1.0))


def crockery(place: Generator, take: Generator, n: int) -> Array:
    """Cups and cutlery: short high, inharmonic rings."""
    x, m = np.zeros(n), 4410
    for at in moments(take, n, place.uniform(0.3, 0.8), 0.7):
        ring = sum(tone(np.full(m, f), np.array([1.0])) for f in take.uniform(1800, 6000, 3))
        add(x, at, ring * decay(m, 0.15), take.uniform(0.3, 1))
    return x
