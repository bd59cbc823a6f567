"""How fast log-mel features come from files: a plain librosa loop and ours, in turn.

    python benchmarks/features.py                 a few minutes; prints, writes nothing
    python benchmarks/features.py --quick         less than a minute: one process, one repetition

Run it on an idle machine. The clips are wav files of the embedded corpus in a temporary folder,
read again and again, so that they come from memory and no disk is timed.

The plain loop: librosa.load, which resamples by soxr HQ, librosa.feature.melspectrogram and a
logarithm, clip by clip in one process. Ours: `asclib.features.extract` in one process, and in as
many as there are cores, whose start is not timed: on a whole data set it does not count. Then one
core alone: the milliseconds a clip takes in each step.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from asclib import features, training
from asclib.challenge import SAMPLE_RATE
from asclib.corpus import Corpus, read_audio
from asclib.corpus.embedded import CorpusSize
from asclib.corpus.embedded.render import render
from asclib.features import EPS, LogMel, extract, resample

AIM = 4  # times the plain loop on two cores
WITHIN = 1e-3  # nepers: librosa computes in float32
LOUD = 4.6  # nepers below the loudest band of a clip (40 dB): what float32 can be held to


def corpus_of(clips: int, files: Corpus) -> Corpus:
    """So many clips, made of the files of a small corpus over and over."""
    table = files.clips[files.clips["split"] != "unused"]
    repeats = -(-clips // len(table))
    clips_table = pd.concat([table] * repeats, ignore_index=True).iloc[:clips]
    return Corpus(files.root, clips_table, subsets={})


# ---- the two loops ---------------------------------------------------------------------------


def plain_spectrum(y: np.ndarray, log_mel: LogMel) -> np.ndarray:
    """(mels, frames) in nepers of a waveform at the rate of the spectrum."""
    mel = librosa.feature.melspectrogram(
        y=y + EPS,
        sr=log_mel.sample_rate,
        n_fft=log_mel.n_fft,
        hop_length=log_mel.hop,
        n_mels=log_mel.n_mels,
        window="hamming",
        pad_mode=log_mel.pad,
        power=1,
    )
    return np.log(mel + EPS)


def plain(corpus: Corpus, log_mel: LogMel) -> np.ndarray:
    """What one writes first: (clips, 1, mels, frames)."""
    pictures = []
    for name in corpus.clips["filename"]:
        y, _ = librosa.load(corpus.root / name, sr=log_mel.sample_rate)
        pictures.append(plain_spectrum(y, log_mel))
    return np.stack(pictures)[:, None]


def ours(corpus: Corpus, log_mel: LogMel, workers: int) -> np.ndarray:
    """The same by the library, into files of a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        extract(corpus, log_mel, Path(folder), workers=workers)
        return np.load(Path(folder) / "features.npy")


def clips_per_second(work: Callable[..., np.ndarray], corpus: Corpus, *arguments) -> float:
    begin = time.perf_counter()
    work(corpus, *arguments)
    return len(corpus.clips) / (time.perf_counter() - begin)


def timings(files: Corpus, log_mel: LogMel, clips: int, repeats: int) -> None:
    """Print clips per second of the plain loop and of ours, taken in turn, and their ratio."""
    many, few = corpus_of(clips, files), corpus_of(min(clips, 512), files)
    runs = {"plain loop": (plain, few, log_mel), "ours, one process": (ours, many, log_mel, 1)}
    most = len(many.clips) // (features.CHUNK * features.CHUNKS_PER_WORKER)  # as in `extract`
    workers = min(training.cores(), most)
    if workers > 1:
        runs[f"ours, {workers} processes"] = (ours, many, log_mel, workers)
    else:
        print(f"{clips} clips are too few for more than one process")
    for work, _, *arguments in runs.values():  # imports, compiled code, processes
        work(many if work is ours else few, *arguments)
    speeds = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            speeds[name].append(clips_per_second(*run))
    for name, values in speeds.items():
        ratios = np.array(values) / np.array(speeds["plain loop"])
        print(
            f"{name:20s} {np.median(values):8.0f} clips/s   {np.median(ratios):5.2f} times the"
            f" plain loop ({ratios.min():.2f} to {ratios.max():.2f}; aim {AIM} on two cores)"
        )


def difference(files: Corpus, log_mel: LogMel) -> float:
    """The largest difference between both loops, nepers, in bands within 40 dB of the loudest."""
    few = corpus_of(64, files)
    expected, found = plain(few, log_mel), ours(few, log_mel, 1)
    loud = expected > expected.max((1, 2, 3), keepdims=True) - LOUD
    return float(np.abs(found - expected)[loud].max())


# ---- where the time goes ---------------------------------------------------------------------


def steps(files: Corpus, log_mel: LogMel, repeats: int) -> None:
    """Print the milliseconds a clip takes on one core in each step of both loops."""
    chunk = corpus_of(features.CHUNK, files)
    paths = [chunk.root / name for name in chunk.clips["filename"]]
    waves = np.stack([read_audio(path) for path in paths])
    low = resample(torch.from_numpy(waves), SAMPLE_RATE, log_mel.sample_rate)
    rates = {"orig_sr": SAMPLE_RATE, "target_sr": log_mel.sample_rate}
    work = {
        "plain: reading": lambda: [librosa.load(path, sr=None) for path in paths],
        "plain: resampling": lambda: [librosa.resample(x, **rates) for x in waves],
        "plain: spectrum": lambda: [plain_spectrum(y, log_mel) for y in low.numpy()],
        "ours: reading": lambda: np.stack([read_audio(path) for path in paths]),
        "ours: resampling": lambda: resample(torch.from_numpy(waves), *rates.values()),
        "ours: spectrum": lambda: log_mel(low, log_mel.sample_rate),
        "ours: spectrum and resampling": lambda: log_mel(waves),
        "ours: all, with writing": lambda: ours(chunk, log_mel, 1),
    }
    taken = {name: [] for name in work}
    with threadpool_limits(1), training.one_thread():
        for _ in range(repeats):
            for name, step in work.items():
                begin = time.perf_counter()
                step()
                taken[name].append(time.perf_counter() - begin)
    for name, seconds in taken.items():
        milliseconds = 1e3 * np.array(seconds) / len(paths)
        print(
            f"{name:30s} {np.median(milliseconds):6.3f} ms a clip"
            f" ({milliseconds.min():.3f} to {milliseconds.max():.3f})"
        )


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=8192, help="clips of one extraction")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="512 clips, one repetition")
    options = parser.parse_args()
    os.environ["ASCLIB_PROGRESS"] = os.devnull
    clips, repeats = (512, 1) if options.quick else (options.clips, options.repeats)
    log_mel = LogMel.tmsic()
    with tempfile.TemporaryDirectory() as folder:
        render(Path(folder), CorpusSize(train=200, test=180), workers=training.cores())
        files = Corpus.open(folder)
        print(f"{training.cores()} cores, {len(files.clips)} files")
        largest = difference(files, log_mel)
        print(f"largest difference between the loops {largest:.1e} nepers")
        if largest > WITHIN:
            raise SystemExit("the two loops do not compute the same: nothing to compare")
        timings(files, log_mel, clips, repeats)
        steps(files, log_mel, repeats)


if __name__ == "__main__":
    main()
