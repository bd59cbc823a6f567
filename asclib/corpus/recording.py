"""A recording of any length, rate, channels and container, read second by second.

A second is cut at the recording's own rate: `rate` samples, of which the channels' mean is given.
What is left at the end, shorter than a second, is not. libsndfile reads wav, FLAC, Ogg, Opus, MP3,
AIFF, CAF and others; what it cannot read, such as m4a, audioread tries (with ffmpeg, or what a Mac
has). Nothing but the second in hand is kept, so memory does not grow with the length.

Chapter: book/task/dataset.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
import soxr

from asclib.corpus.audio import LOUDEST
from asclib.corpus.tables import CorpusError
from asclib.progress import quiet

KNOWN_FRAMES = 2**62  # libsndfile announces about 2^63 where a file does not tell its length
RATES = 1_000, 1_000_000  # hertz: of another rate there is no recording, only a damaged header


@dataclass(frozen=True)
class Recording:
    """A sound file, opened and found readable.

    Attributes: rate in hertz; channels; frames as its header announces them, None where it does
    not; reader, the library that decodes it.
    """

    path: Path
    rate: int
    channels: int
    frames: int | None
    reader: Literal["soundfile", "audioread"]

    @classmethod
    def open(cls, path: str | Path) -> Recording:
        """Raises: CorpusError naming the file and why it is absent, empty or no audio, be it a pipe
        or of a rate outside RATES.
        """
        path = Path(path).expanduser()
        try:
            if path.exists() and not (path.is_file() or path.is_dir()):  # to open one may never end
                remedy = "write what comes out of it to a file, and name that"
                raise CorpusError(str(path), None, "is a pipe or a device, and no file", remedy)
            with open(path, "rb") as file:
                empty = not file.read(1)
        except OSError as reason:
            problem = f"cannot be opened ({reason.strerror})"
            raise CorpusError(str(path), None, problem, "check the path") from None
        if empty:
            raise CorpusError(str(path), None, "has zero bytes", "fetch or record it again")
        found = cls._opened(path)
        if not RATES[0] <= found.rate <= RATES[1]:
            problem = f"has a sample rate of {found.rate} Hz, by its header"
            raise found.error(problem, "write it anew with the rate it was recorded at")
        return found

    @classmethod
    def _opened(cls, path: Path) -> Recording:
        try:
            # mpg123 would tell all that it tries
            with quiet(), soundfile.SoundFile(os.fsencode(path)) as sound:
                frames = sound.frames if 0 < sound.frames < KNOWN_FRAMES else None
                return cls(path, sound.samplerate, sound.channels, frames, "soundfile")
        except (soundfile.SoundFileError, RuntimeError, TypeError) as reason:  # .raw: TypeError
            why = str(reason).splitlines()[0].removeprefix(f"Error opening {os.fsencode(path)!r}: ")
            if "possibly a pipe" in why:  # what it says of a text named .mp3
                why = "Format not recognised"
        try:
            with _audioread(path) as sound:
                return cls(path, sound.samplerate, sound.channels, None, "audioread")
        except (OSError, EOFError, RuntimeError, ValueError, _undecodable()):
            problem = f"cannot be read as audio ({why.rstrip('.')})"
            remedy = "give a sound file; m4a, wma and the sound of a video need ffmpeg installed"
            raise CorpusError(str(path), None, problem, remedy) from None

    def seconds(
        self, channel: int | None = None, *, rate: int | None = None
    ) -> Iterator[np.ndarray]:
        """Second after second, (rate,) float32 each, integers scaled to [-1, 1).

        Args: channel, one of them, from 0, instead of their mean; rate in hertz, to which the
        whole recording is resampled (soxr HQ) before it is cut; None leaves it as it is.
        Raises: CorpusError, after the seconds before it, where decoding fails, where the file ends
        earlier than its header announces, or where it is louder than LOUDEST.
        """
        if channel is not None and not 0 <= channel < self.channels:
            raise self.error(f"has {self.channels} channels, not {channel + 1}", "choose another")
        chunks = self._mono(channel)
        if rate is not None and rate != self.rate:
            chunks = resampled(chunks, self.rate, rate)
        kept = np.zeros(0, np.float32)
        size = rate or self.rate
        for chunk in chunks:
            kept = np.concatenate([kept, chunk]) if len(kept) else chunk
            while len(kept) >= size:
                second, kept = kept[:size], kept[size:]
                yield second

    def error(self, problem: str, remedy: str) -> CorpusError:
        """Something wrong with this recording."""
        return CorpusError(str(self.path), None, problem, remedy)

    def _mono(self, channel: int | None) -> Iterator[np.ndarray]:
        heard = 0
        try:
            for chunk in self._chunks():
                heard += len(chunk)
                mono = chunk[:, channel or 0].copy()
                if channel is None and self.channels > 1:
                    for other in range(1, self.channels):
                        mono += chunk[:, other]
                    mono /= self.channels
                if len(mono) and np.abs(mono).max() > LOUDEST and np.isfinite(mono).all():
                    times = f"{np.abs(mono).max():.4g} times full scale"
                    remedy = "divide its samples by the largest integer there is, such as 32768"
                    raise self.error(f"reaches {times}: floats in the scale of integers", remedy)
                yield mono
        except (soundfile.SoundFileError, RuntimeError, _undecodable()) as reason:
            why = str(reason).splitlines()[0].rstrip(".")
            at = f"cannot be decoded beyond {heard / self.rate:.4g} s ({why})"
            raise self.error(at, "fetch it again, or convert what there is") from None
        if self.frames is not None and self.frames - heard >= self.rate:  # of MP3 it is an estimate
            said = f"{heard / self.rate:.4g} s, and its header announces"
            problem = f"is truncated: it holds {said} {self.frames / self.rate:.4g} s"
            raise self.error(problem, "fetch it again, or convert what there is")

    def _chunks(self) -> Iterator[np.ndarray]:
        """(samples, channels) float32, a second at a time or as the decoder gives them."""
        if self.reader == "soundfile":
            with soundfile.SoundFile(os.fsencode(self.path)) as sound:
                while len(chunk := sound.read(self.rate, dtype="float32", always_2d=True)):
                    yield chunk
            return
        with _audioread(self.path) as sound:
            for buffer in sound:
                whole = np.frombuffer(buffer, "<i2").reshape(-1, self.channels)
                yield whole.astype(np.float32) / 32768


def resampled(chunks: Iterator[np.ndarray], rate: int, target: int) -> Iterator[np.ndarray]:
    """A stream of (samples,) float32 at another rate in hertz, as soxr makes it of the whole."""
    stream = soxr.ResampleStream(rate, target, 1, dtype="float32", quality="HQ")
    for chunk in chunks:
        yield stream.resample_chunk(chunk)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def unheard(second: np.ndarray) -> str | None:
    """Why a second of sound cannot be heard, "silent" or "NaN or infinite"; None where it can.

    Silent is what never changes, be it at zero or beside it.
    """
    high, low = second.max(), second.min()
    if not (np.isfinite(high) and np.isfinite(low)):
        return "NaN or infinite"
    return "silent" if high == low else None


def _audioread(path: Path) -> Any:
    import audioread  # what soundfile reads needs none of its programs

    return audioread.audio_open(str(path))


def _undecodable() -> type[Exception]:
    from audioread.exceptions import DecodeError

    return DecodeError
