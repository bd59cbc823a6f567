"""How long Corpus.open takes to read and check the index of the whole of TAU, without audio.

    python -m benchmarks.corpus_index

Writes the index of tests/corpora.py (230,350 clips, five subsets) to a temporary folder and opens
it five times, with files=False. Prints the seconds of the first and of the fastest run, each as
time on the wall and on the processor: the two differ where the processor does other work.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from asclib.corpus import Corpus
from tests.corpora import write_tau

RUNS = 5
LIMIT_SECONDS = 3.0  # the aim


def main() -> None:
    wall, processor = [], []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "index"
        write_tau(root)
        for _ in range(RUNS):
            start = time.perf_counter(), time.process_time()
            corpus = Corpus.open(root, files=False)
            wall.append(time.perf_counter() - start[0])
            processor.append(time.process_time() - start[1])
    print(f"{len(corpus.clips):,} clips, {len(corpus.subsets)} subsets; aim {LIMIT_SECONDS} s")
    for name, seconds in (("wall", wall), ("processor", processor)):
        print(f"{name:10} first {seconds[0]:.2f} s, fastest of {RUNS} {min(seconds):.2f} s")


if __name__ == "__main__":
    main()
