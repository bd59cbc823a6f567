"""How much memory it takes to extract the features of a corpus as large as TAU.

    python -m benchmarks.memory              some minutes; prints, writes nothing
    python -m benchmarks.memory --every 1    reads all clips

Writes the index of tests/corpora.py (230,350 clips) to a temporary folder, where every file is a
link to one wav, opens it with all checks, and extracts the features of the clips in its splits. All
chunks but every tenth are marked as done before, as after a kill: what a process holds at a time
should not depend on how many went before, and `--every 1` tells whether it does.

Memory is the proportional set size of this process and its workers together, looked up ten times a
second: pages that several share count once. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import soundfile

from asclib import features
from asclib.challenge import SAMPLE_RATE
from asclib.corpus import Corpus
from asclib.features import CHUNK, LogMel
from tests.corpora import tau_names, tone, write_tau

LIMIT_MEGABYTES = 1000  # the aim


def megabytes() -> list[float]:
    """What this process and its descendants hold, pages that they share divided among them."""
    own = psutil.Process()
    sizes = []
    for process in (own, *own.children(recursive=True)):
        with contextlib.suppress(psutil.Error):  # it may have ended meanwhile
            sizes.append(process.memory_full_info().pss / 1e6)
    return sizes


@contextlib.contextmanager
def watched(label: str) -> Iterator[None]:
    """Print the largest memory of the block, and how it was divided among the processes."""
    largest, over = megabytes(), threading.Event()

    def watch() -> None:
        nonlocal largest
        while not over.wait(0.1):
            largest = max(largest, megabytes(), key=sum)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.monotonic()
    yield
    over.set()
    watcher.join()
    parts = " + ".join(f"{size:.0f}" for size in largest)
    seconds = time.monotonic() - start
    print(f"{label:24} {sum(largest):6.0f} MB ({parts}), {seconds:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--every", type=int, default=10, help="work on every n-th chunk")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    print(f"{'after importing':24} {sum(megabytes()):6.0f} MB; aim {LIMIT_MEGABYTES} MB")
    with tempfile.TemporaryDirectory() as temporary:
        root, folder = Path(temporary) / "corpus", Path(temporary) / "features"
        write_tau(root)
        soundfile.write(root / "one.wav", tone(), SAMPLE_RATE, subtype="PCM_24")
        (root / "audio").mkdir()
        for name in (name for names in tau_names().values() for name in names):
            os.symlink(root / "one.wav", root / name)
        with watched("opening"):
            corpus = Corpus.open(root)
        clips = int((corpus.clips["split"] != "unused").sum())
        starts = range(0, clips, CHUNK)
        (folder / "chunks").mkdir(parents=True)
        for number, start in enumerate(starts):
            if number % options.every:
                (folder / "chunks" / str(start)).touch()
        print(f"{len(corpus.clips):,} clips, {clips:,} of them in a split, {len(starts)} chunks")
        with watched(f"extracting, workers: {options.workers}"):
            features.extract(corpus, LogMel.tmsic(), folder, workers=options.workers)


if __name__ == "__main__":
    main()
