"""Log-mel energies: the front end that turns one second of sound into a small picture.

    ln(M @ |STFT(y + eps)| + eps)        eps = 2^-52, natural logarithm: values in nepers

M is the Slaney mel filter bank with area norm (librosa.filters.mel's default); the magnitude, not
the power, of a centred short-time Fourier transform under a periodic Hamming window is filtered.
This is the MelExtractor of dcase_util, which the authors of TMSIC and the DCASE baselines use.
Digital silence is ln(eps) = -36.04 but where the window smears the inner eps, a constant, into
the lowest band: -34.01 in TMSIC's configuration.

Chapter: book/input/features.
"""

from __future__ import annotations

import json
import math
import shutil
import warnings
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import joblib
import librosa
import numpy as np
import pandas as pd
import soxr
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asclib.challenge.task import SAMPLE_RATE
from asclib.corpus.audio import read_audio
from asclib.corpus.folder import Corpus
from asclib.progress import progress
from asclib.store import reserved, write_atomic

VERSION = 2  # raised when a clip gives other features: tests/code_versions.json
EPS = float(np.spacing(1))  # 2^-52
CHUNK = 256  # clips per step of `extract`: what a kill loses at most, and 40 MB of frames
CHUNKS_PER_WORKER = 8  # at least: a process takes seconds to start
BATCH = 32  # clips computed at once: what fits the processor's cache


Pad = Literal["reflect", "constant"]


class FrontEnd(Protocol):
    """From waveforms (batch, samples) to pictures (batch, 1, mels, frames), in float32.

    `settings` are all that the pictures depend on, `shape` is that of one clip's.
    """

    settings: dict[str, Any]

    def shape(self) -> tuple[int, ...]: ...

    def __call__(self, x: np.ndarray, /) -> Tensor: ...


class LogMel(nn.Module):
    """Log-mel energies of a batch of waveforms.

    Args:
        sample_rate: hertz at which the spectrum is taken; other input is resampled to it.
        n_fft: samples of the Fourier transform.
        hop: samples between frames.
        n_mels: bands, from 0 Hz to sample_rate / 2.
        pad: what lies beyond the clip's edges, "reflect" (librosa before 0.10, the authors') or
            "constant" (zeros; librosa since). Edge frames differ by several nepers.
        win_length: samples of the window, centred in n_fft; n_fft when None.

    Raises: ValueError for settings that make no spectrum. Warns when mel bands are so narrow that
    no Fourier bin falls into them: they hold ln(eps) whatever the sound.
    """

    version = VERSION  # part of the key of what is learnt from it
    window: Tensor  # (n_fft,) float64
    filters: Tensor  # (n_mels, n_fft // 2 + 1) float64

    def __init__(
        self,
        sample_rate: int = 8000,
        n_fft: int = 2048,
        hop: int = 1024,
        n_mels: int = 140,
        pad: Pad = "reflect",
        win_length: int | None = None,
    ):
        super().__init__()
        win_length = n_fft if win_length is None else win_length
        sizes = {"sample_rate": sample_rate, "n_fft": n_fft, "hop": hop, "n_mels": n_mels}
        for name, value in (sizes | {"win_length": win_length}).items():
            if value != int(value) or value < 1:
                raise ValueError(f"{name} must be a positive whole number, not {value}")
        if win_length > n_fft:
            raise ValueError(f"win_length {win_length} exceeds n_fft {n_fft}: raise n_fft")
        if pad not in get_args(Pad):
            raise ValueError(f"pad is 'reflect' or 'constant', not {pad!r}")
        self.settings: dict[str, Any] = sizes | {"pad": pad, "win_length": win_length}
        self.sample_rate, self.n_fft, self.hop, self.n_mels = sample_rate, n_fft, hop, n_mels
        self.pad, self.win_length = pad, win_length
        window = torch.hamming_window(win_length, periodic=True, dtype=torch.float64)
        before = (n_fft - win_length) // 2
        self.register_buffer("window", F.pad(window, (before, n_fft - win_length - before)), False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # librosa's warning does not say how many are empty
            filters = librosa.filters.mel(
                sr=sample_rate, n_fft=n_fft, n_mels=n_mels, dtype=np.float64
            )
        self.register_buffer("filters", torch.from_numpy(filters), False)
        empty = int((filters.sum(1) == 0).sum())
        if empty:
            warnings.warn(
                f"{empty} of {n_mels} mel filters are empty: too many for n_fft {n_fft} at"
                f" {sample_rate} Hz; use fewer bands or a larger n_fft",
                stacklevel=2,
            )

    @classmethod
    def tmsic(cls) -> LogMel:
        """The small input configuration of TMSIC: 140 bands x 8 frames for one second, at 8 kHz."""
        return cls(sample_rate=8000, n_fft=2048, hop=1024, n_mels=140)

    @classmethod
    def dcase_baseline(cls) -> LogMel:
        """The DCASE 2022 baseline's: 40 bands x 51 frames, 40 ms every 20 ms, at 44.1 kHz."""
        return cls(sample_rate=44_100, n_fft=2048, hop=882, n_mels=40, win_length=1764)

    @classmethod
    def cp_mobile(cls) -> LogMel:
        """The DCASE 2024 and 2025 baseline's: 256 bands x 65 frames, 96 ms every 16, at 32 kHz.

        Theirs has the power spectrum under a Hann window, mel filters of equal height on HTK's
        scale, and 1e-5 added before the logarithm, which hides what is very quiet.
        """
        return cls(sample_rate=32_000, n_fft=4096, hop=500, n_mels=256, win_length=3072)

    @classmethod
    def cnn_gru(cls) -> LogMel:
        """The DCASE 2025 runner-up's: 256 bands x 33 frames, 186 ms every 31, at 44.1 kHz.

        Theirs differs as that of `cp_mobile` does.
        """
        return cls(sample_rate=44_100, n_fft=8192, hop=1364, n_mels=256)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.settings.items())

    def shape(self, samples: int = SAMPLE_RATE, sample_rate: int = SAMPLE_RATE) -> tuple[int, ...]:
        """(1, mels, frames) of one waveform of that many samples at that rate in hertz."""
        length = _resampled_length(samples, sample_rate, self.sample_rate)
        return 1, self.n_mels, length // self.hop + 1

    @torch.no_grad()
    def forward(self, x: Tensor | np.ndarray, sample_rate: int = SAMPLE_RATE) -> Tensor:
        """(batch, samples) of float waveforms at `sample_rate` hertz -> (batch, 1, mels, frames).

        The result is float32, on the device of this module. Inside, doubles are used: a band 60 dB
        below the loudest would otherwise lose its third digit to rounding. Resampling is done on
        the CPU, clip by clip, by soxr HQ, librosa's default.

        Raises: ValueError for another shape, samples that are not floats, or too short a clip.
        """
        x = torch.as_tensor(x)
        if x.ndim != 2 or not x.is_floating_point():
            kind = f"{tuple(x.shape)} of {str(x.dtype).removeprefix('torch.')}"
            raise ValueError(
                f"expected (batch, samples) of floats, got {kind}; x[None] makes a batch of one"
            )
        length = _resampled_length(x.shape[1], sample_rate, self.sample_rate)
        if length <= self.n_fft // 2:
            needed = math.ceil((self.n_fft // 2 + 1) * sample_rate / self.sample_rate)
            raise ValueError(
                f"{x.shape[1]} samples are too few: n_fft {self.n_fft} needs at least {needed}"
            )
        y = resample(x, sample_rate, self.sample_rate).to(self.window.device, torch.float64)
        y = F.pad((y + EPS)[:, None], (self.n_fft // 2, self.n_fft // 2), mode=self.pad)[:, 0]
        frames = y.unfold(1, self.n_fft, self.hop) * self.window  # (batch, frames, n_fft)
        parts = torch.view_as_real(torch.fft.rfft(frames))
        # The root of the squares: abs() guards against overflow, for 2.5 times as long.
        magnitude = torch.addcmul(parts[..., 0].square(), parts[..., 1], parts[..., 1]).sqrt_()
        nepers = (magnitude @ self.filters.T + EPS).log()  # (batch, frames, mels)
        return nepers.float().transpose(1, 2)[:, None].contiguous()


def resample(x: Tensor, sample_rate: int, target_rate: int) -> Tensor:
    """(batch, samples) at one rate in hertz -> another, as librosa.resample does: soxr HQ."""
    if sample_rate == target_rate:
        return x
    length = _resampled_length(x.shape[1], sample_rate, target_rate)
    y = torch.zeros(len(x), length, dtype=x.dtype)
    for row, clip in zip(y, x.cpu().numpy(), strict=True):
        samples = torch.from_numpy(soxr.resample(clip, sample_rate, target_rate, quality="HQ"))
        row[: len(samples)] = samples[:length]
    return y


def _resampled_length(samples: int, sample_rate: int, target_rate: int) -> int:
    return -(-samples * target_rate // sample_rate)  # rounded up, in whole numbers


def extract(
    corpus: Corpus, log_mel: FrontEnd, folder: Path, *, workers: int = 1, chunk: int = CHUNK
) -> None:
    """Write the features of the training and test clips of a corpus; `load` reads them.

    Works chunk by chunk through a memory-mapped array, in up to `workers` processes of one thread
    each (any joblib backend), and goes on where a killed run stopped: a chunk counts when its
    marker is there, and the marker is written after the chunk's rows have reached the file.

    Writes: folder/features.npy (N, 1, mels, frames) float32 in nepers; identifiers.csv, N rows in
    the same order; plan.json, the settings; and at the end an empty file `complete`.
    Raises: CorpusError for the first clip that cannot be read, naming file and row; ValueError when
    the folder holds other features; DiskFull before the first clip where there is no room for all.
    """
    folder = Path(folder)
    clips = corpus.clips[corpus.clips["split"] != "unused"]
    order = joblib.hash(clips["identifier"].tolist())
    plan = {"log_mel": log_mel.settings, "clips": order, "sound": corpus.fingerprint}
    planned = folder / "plan.json"
    if not planned.exists():
        (folder / "chunks").mkdir(parents=True, exist_ok=True)
        clips[["identifier"]].to_csv(folder / "identifiers.csv", index=False)
        shape = (len(clips), *log_mel.shape())
        reserved(folder / "features.npy", shape)
        write_atomic(planned, json.dumps(plan).encode())  # last: it vouches for the empty array
    if json.loads(planned.read_text()) != plan:
        raise ValueError(f"{folder.name} holds features of other clips or settings: empty it")
    if (folder / "complete").exists():
        return
    done = {int(mark.name) for mark in (folder / "chunks").glob("[0-9]*")}
    starts = [start for start in range(0, len(clips), chunk) if start not in done]
    workers = min(workers, max(1, len(starts) // CHUNKS_PER_WORKER))
    names = clips["filename"]
    jobs = joblib.Parallel(n_jobs=workers, return_as="generator_unordered")(
        joblib.delayed(_extract_chunk)(
            names.iloc[start : start + chunk], corpus.root, log_mel, folder, start, workers
        )
        for start in starts
    )
    for _ in progress(jobs, total=len(starts), label="log-mel"):
        pass
    write_atomic(folder / "complete", b"")
    shutil.rmtree(folder / "chunks")


def _extract_chunk(
    filenames: pd.Series, root: Path, log_mel: FrontEnd, folder: Path, start: int, workers: int
) -> None:
    if workers > 1:
        torch.set_num_threads(1)  # in a process of its own
    array = np.lib.format.open_memmap(folder / "features.npy", mode="r+")
    for first in range(0, len(filenames), BATCH):
        some = filenames.iloc[first : first + BATCH]
        lines = some.index + 2  # of meta.csv
        waves = np.stack([read_audio(root / n, row=i) for i, n in zip(lines, some, strict=True)])
        rows = slice(start + first, start + first + len(waves))
        array[rows] = log_mel(waves).cpu().numpy()
    array.flush()
    write_atomic(folder / "chunks" / str(start), b"")


def load(folder: Path, clips: pd.DataFrame) -> np.ndarray:
    """The features of the given clips, joined by identifier: row i belongs to row i of `clips`.

    Args: folder that `extract` filled; clips, any table with a column `identifier`.
    Returns: (len(clips), 1, mels, frames) float32; the memory-mapped array itself when the clips
    are all its rows in their order, else a copy of the rows in memory.
    Raises: ValueError when the folder is unfinished, or clips are not in it.
    """
    folder = Path(folder)
    if not (folder / "complete").exists():
        raise ValueError(f"{folder.name} holds no finished features: run extract on it again")
    array = np.load(folder / "features.npy", mmap_mode="r")
    stored = pd.Index(pd.read_csv(folder / "identifiers.csv", dtype=str)["identifier"])
    rows = stored.get_indexer(clips["identifier"])
    if (rows < 0).any():
        first = clips["identifier"].iloc[int(np.argmax(rows < 0))]
        raise ValueError(
            f"{(rows < 0).sum()} clips have no features in {folder.name}, the first is {first}:"
            " extract them anew from this corpus"
        )
    whole = len(rows) == len(array) and (rows == np.arange(len(rows))).all()
    return array if whole else array[rows]
