"""The command that renders the embedded corpus into a folder of its own.

    python -m asclib.corpus.embedded DIR --train 1200 --test 600 --seed 0

Chapter: book/task/dataset.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from asclib.corpus.embedded.layout import CorpusSize
from asclib.corpus.embedded.render import render


def main() -> None:
    parser = argparse.ArgumentParser(description="Render the embedded corpus as a TAU folder.")
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--train", type=int, default=1_200, help="training clips, about")
    parser.add_argument("--test", type=int, default=600, help="test clips, about")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    render(given.folder, CorpusSize(given.train, given.test, given.seed))


if __name__ == "__main__":
    main()
