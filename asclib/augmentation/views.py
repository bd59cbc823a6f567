"""The pictures a network is shown of each clip to fit: made once, and stored.

Chapter: book/input/augmentation.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from asclib.augmentation.clip import View
from asclib.corpus.audio import read_audio
from asclib.corpus.folder import Corpus
from asclib.features import FrontEnd
from asclib.progress import progress
from asclib.store import reserved, write_atomic
from asclib.training import one_thread

CHUNK = 256  # clips: what a kill loses at most


def show(
    corpus: Corpus,
    clips: pd.DataFrame,
    views: View,
    front_end: FrontEnd,
    folder: Path,
    *,
    workers: int = 1,
    chunk: int = CHUNK,
) -> None:
    """Write all views of the given clips, and go on where a killed run stopped.

    Args: clips, rows of the clip table of `corpus`; views and front_end, see `Data`; folder;
        workers, processes at the most; chunk, clips between two marks, the same in every call.
    Writes: x.npy (n, 1, mels, frames) float32, all views of the first clip, then of the second;
        rows.npy (n, 2), of each view the position of its clip in `clips` and its own number.
    Raises: CorpusError for a clip that cannot be read; ValueError when the views of a clip are no
        (k, 1, mels, frames) of at least one.
    """
    parts = folder / "parts"
    parts.mkdir(exist_ok=True)
    starts = range(0, len(clips), chunk)
    missing = [start for start in starts if not (parts / f"{start}.json").exists()]
    workers = min(workers, max(1, len(missing)))
    jobs = joblib.Parallel(n_jobs=workers, return_as="generator_unordered")(
        joblib.delayed(_show)(
            corpus.root, clips[start : start + chunk], views, front_end, parts / str(start)
        )
        for start in missing
    )
    for _ in progress(jobs, total=len(missing), label="views of the clips to fit"):
        pass
    made = [json.loads((parts / f"{start}.json").read_text()) for start in starts]
    counts = np.concatenate([np.array(part, dtype=int) for part in made])
    rows = np.repeat(np.arange(len(clips)), counts)
    number = np.concatenate([np.arange(count) for count in counts])
    np.save(folder / "rows.npy", np.stack([rows, number], axis=1))
    shape = (len(rows), *np.load(parts / "0.npy", mmap_mode="r").shape[1:])
    whole = reserved(folder / "x.npy", shape)
    first = 0
    for start in starts:
        pictures = np.load(parts / f"{start}.npy", mmap_mode="r")
        whole[first : first + len(pictures)] = pictures
        first += len(pictures)
    whole.flush()
    for part in parts.iterdir():
        part.unlink()
    parts.rmdir()


def _show(root: Path, clips: pd.DataFrame, views: View, front_end: FrontEnd, part: Path) -> None:
    pictures, counts = [], []
    clip: Any  # a row of pandas has no types
    with one_thread():
        for clip in clips.itertuples():
            seen = np.asarray(
                views(read_audio(root / clip.filename, row=clip.Index + 2), clip, front_end),
                dtype=np.float32,
            )
            if seen.ndim != 4 or len(seen) == 0:
                raise ValueError(
                    f"the views of {clip.identifier} have shape {seen.shape}: give one picture or "
                    "more, (k, 1, mels, frames)"
                )
            pictures.append(seen)
            counts.append(len(seen))
    np.save(part.with_suffix(".npy"), np.concatenate(pictures))
    write_atomic(part.with_suffix(".json"), json.dumps(counts).encode())  # last: it vouches for it
