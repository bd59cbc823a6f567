"""One clip from its file, or the reason why it is none.

Chapter: book/task/dataset.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import soundfile

from asclib.challenge.task import SAMPLE_RATE
from asclib.corpus.tables import CorpusError


def read_audio(path: str | Path, *, row: int | None = None) -> np.ndarray:
    """One clip: (44100,) float32, mono, one second at 44.1 kHz.

    Reads what libsndfile reads: wav of 16, 24 or 32 bits or floats, and FLAC. Integers are scaled
    to [-1, 1); 24 bits fit a float32 exactly.

    Args: row, the clip's line in meta.csv, only to be named in an error.
    Raises: CorpusError when the file is absent, empty, truncated or no audio, has another rate,
    another length or more channels, holds NaN or infinity, or is silent throughout.
    """
    path = Path(path)

    def error(problem: str, remedy: str = "fetch the file again") -> CorpusError:
        return CorpusError(str(path), row, problem, remedy)

    try:
        size = path.stat().st_size
        if size == 0:
            raise error("has zero bytes")
        with soundfile.SoundFile(path) as file:
            rate, channels, frames = file.samplerate, file.channels, file.frames
            samples = file.read(dtype="float32", always_2d=True)
    except FileNotFoundError:
        remedy = "fetch it (complete the download), or remove its row from every table"
        raise error("is absent", remedy) from None
    except (soundfile.SoundFileError, OSError, RuntimeError) as reason:
        raise error(f"cannot be read as audio ({str(reason).rstrip('.')})") from None
    if rate != SAMPLE_RATE:
        remedy = f"resample it to {SAMPLE_RATE} Hz, or fetch it again"
        raise error(f"has a sample rate of {rate} Hz, not {SAMPLE_RATE} Hz", remedy)
    if channels != 1:
        remedy = "mix it down to one channel, or fetch it again"
        raise error(f"has {channels} channels, not 1 (mono)", remedy)
    if len(samples) < frames or _announced_bytes(path) > size:
        raise error(f"is truncated: {len(samples)} samples, fewer than its header announces")
    if len(samples) != SAMPLE_RATE:
        problem = f"lasts {len(samples) / SAMPLE_RATE:.5g} s ({len(samples)} samples), not 1 s"
        raise error(problem, f"cut the recording into clips of exactly {SAMPLE_RATE} samples")
    if not np.isfinite(samples).all():
        bad = int((~np.isfinite(samples)).sum())
        raise error(f"holds {bad} samples that are NaN or infinite")
    if not samples.any():
        raise error("is silent throughout: all samples are zero", "fetch it again, or leave it out")
    return samples[:, 0]


def _announced_bytes(path: Path) -> int:
    """The size a wav file's RIFF header gives for the whole file; 0 for other formats."""
    with open(path, "rb") as file:
        head = file.read(8)
    return struct.unpack("<I", head[4:])[0] + 8 if head[:4] == b"RIFF" else 0
