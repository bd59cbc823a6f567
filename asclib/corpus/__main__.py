"""The command line of the corpus.

    python -m asclib.corpus download DIR     fetches TAU Urban Acoustic Scenes 2022 Mobile

Chapter: book/task/dataset.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from asclib.corpus.download import DownloadError, download, subset_report


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m asclib.corpus")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    summary = "fetch TAU Urban Acoustic Scenes 2022 Mobile, development set (30 GB)"
    command = commands.add_parser("download", help=summary, description=summary)
    command.add_argument("folder", metavar="DIR", type=Path, help="where it goes; may hold a part")
    folder = parser.parse_args(arguments).folder
    try:
        root = download(folder)
    except DownloadError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on from here.", file=sys.stderr)
        return 130
    print(subset_report(root))
    print(f"Ready. As data_root name\n  {root}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
