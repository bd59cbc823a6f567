"""The embedded corpus: a procedural data set in the folder layout of TAU Urban Acoustic Scenes.

    audio/<scene>-<city>-<location>-<segment>-<slice>-<device>.wav    1 s, 44.1 kHz, mono, 24 bit
    meta.csv   evaluation_setup/fold1_{train,test,evaluate}.csv       as the development set
    evaluation_setup/split{5,10,25,50,100}.csv, test.csv              as the 2024 challenge

Run `python -m asclib.synthesis DIR --train 1200 --test 600 --seed 0` for a folder of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from scipy.fft import irfft, rfft
from scipy.signal import lfilter

from asclib import soundscapes
from asclib.settings import DEVICES, SAMPLE_RATE, SCENES, SEEN_DEVICES, CorpusSize
from asclib.store import progress, write_atomic

CITIES = (
    "barcelona", "helsinki", "lisbon", "london", "lyon",
    "milan", "paris", "prague", "stockholm", "vienna",
)  # fmt: skip
OTHER_SHARE = 0.0537  # of the training clips, for each seen device but a (TAU: 7,490 of 139,620)
VERSION = 1  # raised when other sounds are rendered: tests/code_versions.json
SUBSETS = (5, 10, 25, 50, 100)  # percent of the training split, 2024 challenge
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
    riff = struct.pack("<4sI4s", b"RIFF", HEADER_BYTES - 8 + data.nbytes, b"WAVE")
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, SAMPLE_RATE, 3 * SAMPLE_RATE, 3, 24)
    return riff + form + struct.pack("<4sI", b"data", data.nbytes) + data.tobytes()


# ---------------------------------------------------------------- layout


@dataclass(frozen=True)
class Recording:
    """One event of up to ten seconds and the devices that recorded it in parallel."""

    scene: str
    city: str
    location: int
    segment: int
    slices: int
    split: str
    devices: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.scene}-{self.city}-{self.location}-{self.segment}"

    @property
    def clips(self) -> int:
        return self.slices * len(self.devices)

    def files(self) -> list[str]:
        """Paths of its clips inside the corpus, device by device."""
        return [
            f"audio/{self.name}-{k}-{device}.wav"
            for device in self.devices
            for k in range(self.slices)
        ]


def layout(size: CorpusSize) -> list[Recording]:
    """The recordings of a corpus of about this size, scene by scene, training before test.

    Each scene gets the same. Recordings shrink from ten slices with the size, so that a small
    corpus still has many locations; device a records every training event, each other seen device
    about 5 % of the clips, and every test event is recorded by all nine devices. Of a scene's
    location numbers, 2, 5, 8, ... are the test's and the others the training's.
    Raises: ValueError when there are too few clips to serve every class and device.
    """
    train, test = size.train / len(SCENES), size.test / len(SCENES)
    others = SEEN_DEVICES[1:]
    slices = min(10, max(1, int(train / 40)))
    parallel = max(1, round(OTHER_SHARE * train / slices))  # recordings of each other device
    count = round(train / slices) - len(others) * parallel
    per_device = round(test / len(DEVICES))  # test clips of one scene and device
    if count < 4 or per_device < 2:
        raise ValueError(
            f"{size.train} training and {size.test} test clips are too few for ten scenes and nine"
            " devices: ask for at least 90 and 180"
        )
    test_slices = min(10, max(2, int(test / 80)))
    test_count = max(2, round(per_device / test_slices))
    places = [k for k in range(100) if k % 3 != 2][: max(4, min(60, round(0.7 * count)))]
    test_places = [k for k in range(100) if k % 3 == 2][: min(test_count, 16)]
    devices = [["a"] for _ in range(count)]
    for k, device in enumerate(others):
        for j in range(parallel):
            event = (j * len(others) + k) * count // (parallel * len(others))  # spread evenly
            devices[event].append(device)
    recordings = []
    for index, scene in enumerate(SCENES):
        for k in range(count):
            place = places[k % len(places)]
            recordings.append(
                Recording(
                    scene, CITIES[(place + index) % 10], 100 * index + place, k // len(places),
                    slices, "train", tuple(devices[k]),
                )
            )  # fmt: skip
        for k in range(test_count):
            place = test_places[k % len(test_places)]
            long = per_device // test_count + (k < per_device % test_count)
            recordings.append(
                Recording(
                    scene, CITIES[(place + index) % 10], 100 * index + place,
                    k // len(test_places), long, "test", DEVICES,
                )
            )  # fmt: skip
    return recordings


def subset(recordings: list[Recording], percent: int) -> list[Recording]:
    """The training recordings of one of the 2024 subsets: nested, each scene alike, none cut."""
    chosen = []
    for scene in SCENES:
        pool = [one for one in recordings if one.scene == scene and one.split == "train"]
        pool.sort(key=lambda one: hashlib.sha256(one.name.encode()).digest())
        budget, taken = percent / 100 * sum(one.clips for one in pool), 0
        for one in pool:
            if taken and taken + one.clips / 2 > budget:
                break
            chosen.append(one)
            taken += one.clips
    return chosen


# ---------------------------------------------------------------- rendering


def record(folder: Path, recording: Recording, seed: int) -> None:
    """Writes into folder/audio those clips of one recording that are not complete yet."""
    size = HEADER_BYTES + 3 * SAMPLE_RATE
    paths = [folder / file for file in recording.files()]
    missing = {path for path in paths if not path.is_file() or path.stat().st_size != size}
    if not missing:
        return
    one = recording
    key = (seed, one.scene, one.city, one.location, one.segment)
    sound = soundscapes.render(*key, one.slices)
    level = -26 + 4 * np.clip(soundscapes.generator(*key, "gain").standard_normal(), -2, 2)
    for device in one.devices:
        own = [folder / f"audio/{one.name}-{k}-{device}.wav" for k in range(one.slices)]
        if missing.isdisjoint(own):
            continue
        samples = capture(sound, device, soundscapes.generator(*key, device), level)
        for path, second in zip(own, np.split(samples, one.slices), strict=True):
            if path in missing:
                # Renamed into place but not synced: the size tells a rerun what is complete.
                temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
                temporary.write_bytes(wav(second))
                temporary.replace(path)


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> bytes:
    return "".join("\t".join(row) + "\n" for row in [header, *rows]).encode()


def render(folder: Path, size: CorpusSize, *, workers: int = 2) -> None:
    """Renders the embedded corpus into `folder`, which may hold part of it already.

    Args: folder, made if missing; size, rounded to whole recordings (see `layout`); workers,
        processes of one thread each: the bytes do not depend on them.
    The tables are written last. A killed run is continued by calling again.
    Raises: ValueError when the size is too small.
    """
    folder = Path(folder)
    recordings = layout(size)
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    (folder / "evaluation_setup").mkdir(exist_ok=True)
    for leftover in (folder / "audio").glob(".*.tmp"):
        leftover.unlink()
    jobs = Parallel(n_jobs=workers, return_as="generator_unordered")(
        delayed(record)(folder, one, size.seed) for one in recordings
    )
    for _ in progress(jobs, total=len(recordings), label="rendering the embedded corpus"):
        pass
    clips = [(file, one) for one in recordings for file in one.files()]
    meta = [
        (file, one.scene, f"{one.city}-{one.location}", file[:-4].rsplit("-", 1)[1])
        for file, one in clips
    ]
    header = ("filename", "scene_label")
    labelled = {
        split: [(file, one.scene) for file, one in clips if one.split == split]
        for split in ("train", "test")
    }
    setup = folder / "evaluation_setup"
    write_atomic(setup / "fold1_train.csv", _table(header, labelled["train"]))
    write_atomic(setup / "fold1_test.csv", _table(header[:1], [(f,) for f, _ in labelled["test"]]))
    write_atomic(setup / "fold1_evaluate.csv", _table(header, labelled["test"]))
    write_atomic(setup / "test.csv", _table(header, labelled["test"]))
    for percent in SUBSETS:
        rows = [(f, one.scene) for one in subset(recordings, percent) for f in one.files()]
        write_atomic(setup / f"split{percent}.csv", _table(header, rows))
    write_atomic(
        folder / "meta.csv", _table(("filename", "scene_label", "identifier", "source_label"), meta)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Render the embedded corpus as a TAU folder.")
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--train", type=int, default=1_200, help="training clips, about")
    parser.add_argument("--test", type=int, default=600, help="test clips, about")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    render(given.folder, CorpusSize(given.train, given.test, given.seed))


if __name__ == "__main__":
    main()
