"""Recording devices that nobody held: what each does to a sound, and the file it writes.

Chapter: book/task/dataset.
"""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, rfft
from scipy.signal import lfilter

from asclib.challenge.task import SAMPLE_RATE

HEADER_BYTES = 44


# ---------------------------------------------------------------- devices


@dataclass(frozen=True)
class Device:
    """A recording device.

    low, high: band edges in hertz. tilt: dB per octave around 1 kHz. peaks: (hertz, octaves, dB)
    of its equaliser. compression: 0 none to 1 all level differences removed. drive: gain in dB
    into the soft clipping. noise: its floor in dB full scale; noise_slope in dB per octave.
    """

    low: float
    high: float
    tilt: float = 0.0
    peaks: tuple[tuple[float, float, float], ...] = ()
    compression: float = 0.0
    drive: float = 0.0
    noise: float = -90.0
    noise_slope: float = 0.0


RECORDERS = {
    "a": Device(20, 18_000),
    "b": Device(90, 15_000, 0.5, ((2600, 0.8, 5),), 0.2, 0, -72, -1),
    "c": Device(60, 13_000, -0.8, ((350, 1.0, 4), (1500, 0.6, -4)), 0.3, 0, -74, -3),
    "s1": Device(120, 12_000, 1.0, ((900, 0.6, 5), (2200, 0.5, -5)), 0.1, 4, -68, 0),
    "s2": Device(150, 9_000, -1.2, ((600, 0.5, -5), (1800, 0.7, 5)), 0.3, 2, -66, -2),
    "s3": Device(80, 10_000, 0.3, ((250, 0.7, 5), (3000, 0.5, -7)), 0.2, 6, -70, 1),
    "s4": Device(220, 8_000, 1.5, ((1200, 0.4, 7), (450, 0.5, -5)), 0.4, 4, -64, 0),
    "s5": Device(140, 6_000, -2.5, ((700, 0.5, 7), (2500, 0.4, 8)), 0.2, 8, -60, -2),
    "s6": Device(300, 5_000, 1.0, ((1600, 0.5, 8), (3000, 0.5, -6)), 0.5, 8, -60, 1),
}


def response(device: Device, hertz: np.ndarray) -> np.ndarray:
    """Linear magnitude of a device's frequency response at these frequencies."""
    f = np.maximum(hertz, 1.0)
    edges = 1 / np.sqrt((1 + (device.low / f) ** 4) * (1 + (f / device.high) ** 8))
    decibels = device.tilt * np.log2(f / 1000)
    for centre, octaves, gain in device.peaks:
        decibels = decibels + gain * np.exp(-((np.log2(f / centre) / octaves) ** 2))
    return edges * 10 ** (decibels / 20)


def capture(sound: np.ndarray, name: str, rng: np.random.Generator, level: float) -> np.ndarray:
    """What a device makes of a sound.

    Args: sound, float64 of unit RMS at soundscapes.RATE; name of the device; rng of its noise;
        level, the recording's RMS in dB below full scale at device a.
    Returns: twice as many samples, int16 at SAMPLE_RATE.
    """
    device, n = RECORDERS[name], 2 * len(sound)
    hertz = np.arange(n // 2 + 1) * (SAMPLE_RATE / n)
    spectrum = np.zeros(n // 2 + 1, complex)
    spectrum[: len(sound) // 2 + 1] = 2 * rfft(sound)
    x = irfft(spectrum * response(device, hertz), n) * 10 ** (level / 20)
    if device.compression:
        power = lfilter([2e-4], [1, -(1 - 2e-4)], x**2, zi=[np.mean(x**2)])[0]
        x *= (power / np.mean(x**2) + 1e-3) ** (-device.compression / 2)
    slope = (np.maximum(hertz, 20) / 1000) ** (device.noise_slope / 6.02)
    x += irfft(rfft(rng.standard_normal(n)) * slope, n) * 10 ** (device.noise / 20)
    drive = 10 ** (device.drive / 20)
    x = np.tanh(drive * x) / drive
    # The last bit of sin, exp and the FFT differs between processors; on the 16-bit grid, a
    # billion times coarser, it is rounded away and the files are the same everywhere.
    return np.rint(x * 32767).astype(np.int16)


def wav(samples: np.ndarray) -> bytes:
    """A 24-bit mono wav file of int16 samples: 44 bytes of header, no date, then the data."""
    data = np.zeros((len(samples), 3), np.uint8)
    data[:, 1:] = samples.astype("<i2")[:, None].view(np.uint8)
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(3)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(data.tobytes())
    return content.getvalue()
