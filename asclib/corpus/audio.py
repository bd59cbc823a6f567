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

BLOCK = 10 * SAMPLE_RATE  # samples read at once: some headers announce more than there is memory
LOUDEST = 8.0  # of full scale; louder floats are whole numbers that nobody has scaled
SCALES = (2**15, 2**23, 2**31)  # full scale of 16, 24 and 32 bits
OPEN = 2**31 - 1  # a size from here on says that the writer, a pipe, did not know it


def read_audio(path: str | Path, *, row: int | None = None) -> np.ndarray:
    """One clip: (44100,) float32, mono, one second at 44.1 kHz.

    Reads what libsndfile reads: wav of 16, 24 or 32 bits or floats, and FLAC. Integers are scaled
    to [-1, 1); 24 bits fit a float32 exactly. A file of a second is one, whatever sizes its header
    names: many programs write one that is off, or could not know it.

    Args: row, the clip's line in meta.csv, only to be named in an error.
    Raises: CorpusError when the file is absent, empty, truncated or no audio, has another rate,
    another length or more channels, holds NaN, infinity or floats that are not scaled to [-1, 1],
    or is silent throughout.
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
            samples = file.read(BLOCK, dtype="float32", always_2d=True)
            length = part = len(samples)
            while part == BLOCK:
                part = len(file.read(BLOCK, dtype="int16"))
                length += part
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
    if length < SAMPLE_RATE and (length < frames < OPEN or size < _announced_bytes(path) < OPEN):
        raise error(f"is truncated: {length} samples, fewer than its header announces")
    if length == 0:
        remedy = "fetch it again, or write it anew with the program that made it"
        raise error("has no samples, by its header", remedy)
    if length != SAMPLE_RATE:
        problem = f"lasts {length / SAMPLE_RATE:.5g} s ({length} samples), not 1 s"
        remedy = f"cut the recording into clips of exactly {SAMPLE_RATE} samples"
        raise error(problem, f"{remedy}: python -m asclib corpus adapt does")
    if not np.isfinite(samples).all():
        bad = int((~np.isfinite(samples)).sum())
        raise error(f"holds {bad} samples that are NaN or infinite")
    peak = float(np.abs(samples).max())
    if peak > LOUDEST:
        scale = next((scale for scale in SCALES if peak <= scale), SCALES[-1])
        problem = f"has floats up to {peak:,.0f}, and full scale is 1"
        raise error(problem, f"divide its samples by {scale:,}, or write it as whole numbers")
    if not samples.any():
        raise error("is silent throughout: all samples are zero", "fetch it again, or leave it out")
    return samples[:, 0]


def _announced_bytes(path: Path) -> int:
    """The size a wav file's RIFF header gives for the whole file; 0 for other formats."""
    with open(path, "rb") as file:
        head = file.read(8)
    return struct.unpack("<I", head[4:])[0] + 8 if head[:4] == b"RIFF" else 0
