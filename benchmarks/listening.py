"""How fast a recording is heard, and how much memory that takes.

    python -m benchmarks.listening               some minutes; prints, writes nothing
    python -m benchmarks.listening --hours 10    the memory of ten hours (576 MB of disk)

Run it on an idle machine. Everything is done on one core: reading, resampling, pictures and
network. Rates are seconds of sound a second, of ten minutes in each container and with each model,
as the median of repetitions: by the clock, and by the processor's own time, which other work on the
machine leaves alone. Then the largest memory while a mono recording of 8 kHz is heard, of six
minutes first and of `--hours`: what the second adds is what grows with the length.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from threadpoolctl import threadpool_limits

from asclib import TMSIC, Listener
from asclib.compression import Calibration, export
from asclib.training import one_thread

AIM = 200  # times real time, on one core
MINUTES = 10
CONTAINERS = {
    "wav, 44.1 kHz, mono": ("wav", 44_100, 1),
    "wav, 48 kHz, stereo": ("wav", 48_000, 2),
    "flac, 48 kHz, stereo": ("flac", 48_000, 2),
    "mp3, 44.1 kHz, stereo": ("mp3", 44_100, 2),
    "wav, 8 kHz, mono": ("wav", 8_000, 1),
}


def write(path: Path, seconds: int, rate: int, channels: int) -> Path:
    """A recording of noise, a minute written again and again."""
    minute = 0.1 * np.random.default_rng(0).standard_normal((60 * rate, channels))
    with soundfile.SoundFile(path, "w", rate, channels) as file:
        for _ in range(seconds // 60):
            file.write(minute)
    return path


def rates(listener: Listener, path: Path, repeats: int) -> str:
    """Seconds of sound a second, by the clock and by the processor."""
    found = []
    for _ in range(repeats):
        clock, processor = time.perf_counter(), time.process_time()
        seconds = len(listener.hear(path).table)
        found.append(
            (
                seconds / (time.perf_counter() - clock),
                seconds / (time.process_time() - processor),
            )
        )
    clock, processor = np.median(found, axis=0)
    return f"{clock:6.0f} x real time, {processor:6.0f} by the processor (aim {AIM})"


def megabytes() -> float:
    """The largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3  # Linux counts in kilobytes


def memory(listener: Listener, folder: Path, hours: float) -> None:
    """Print the largest memory after a short recording and after a long one."""
    for length in (0.1, hours):
        path = write(folder / "long.wav", round(3_600 * length), 8_000, 1)
        seconds = len(listener.hear(path).table)
        print(f"{seconds / 3600:5.1f} h at 8 kHz: at most {megabytes():.0f} MB")


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--hours", type=float, default=1.0, help="of the long recording; default: 1"
    )
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    os.environ["ASCLIB_PROGRESS"] = os.devnull
    torch.manual_seed(0)
    net = TMSIC().eval()
    for value in net.state_dict().values():
        if value.dim() == 1:
            value.uniform_(0.5, 1.5)
    with tempfile.TemporaryDirectory() as temporary, threadpool_limits(1), one_thread():
        folder = Path(temporary)
        student = Listener(net)
        memory(student, folder, options.hours)
        for name, (suffix, rate, channels) in CONTAINERS.items():
            path = write(folder / f"x.{suffix}", 60 * MINUTES, rate, channels)
            print(f"{name:24} {rates(student, path, options.repeats)}", flush=True)
        path = write(folder / "x.wav", 60 * MINUTES, 44_100, 1)
        pictures = torch.randn(8, 1, 140, 8) - 6
        files = {
            "dynamic range": export(net, folder / "dynamic.tflite"),
            "full int8": export(
                net, folder / "full.tflite", "full_int8", calibration=Calibration(pictures)
            ),
        }
        for name, file in files.items():
            print(f".tflite, {name:15} {rates(Listener(file), path, options.repeats)}", flush=True)


if __name__ == "__main__":
    main()
