"""The embedded corpus: a procedural data set in the folder layout of TAU Urban Acoustic Scenes.

    audio/<scene>-<city>-<location>-<segment>-<slice>-<device>.wav    1 s, 44.1 kHz, mono, 24 bit
    meta.csv   evaluation_setup/fold1_{train,test,evaluate}.csv       as the development set
    evaluation_setup/split{5,10,25,50,100}.csv, test.csv              as the 2024 challenge

Run `python -m asclib.corpus.embedded DIR --train 1200 --test 600 --seed 0` for a folder of its own.

Chapter: book/task/dataset.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from asclib.challenge.task import SAMPLE_RATE
from asclib.corpus.embedded import scenes
from asclib.corpus.embedded.devices import HEADER_BYTES, capture, wav
from asclib.corpus.embedded.layout import SUBSETS, CorpusSize, Recording, layout, subset
from asclib.progress import progress
from asclib.store import write_atomic

VERSION = 2  # raised when other sounds are rendered: tests/code_versions.json


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
    sound = scenes.render(*key, one.slices)
    level = -26 + 4 * np.clip(scenes.generator(*key, "gain").standard_normal(), -2, 2)
    for device in one.devices:
        own = [folder / f"audio/{one.name}-{k}-{device}.wav" for k in range(one.slices)]
        if missing.isdisjoint(own):
            continue
        samples = capture(sound, device, scenes.generator(*key, device), level)
        for path, second in zip(own, np.split(samples, one.slices), strict=True):
            if path in missing:
                # Renamed into place but not synced: the size tells a rerun what is complete.
                temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
                temporary.write_bytes(wav(second))
                temporary.replace(path)


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> bytes:
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
