"""One worker of a search, of which a cluster starts many.

    python -m asclib tuning architecture --storage postgresql://host/name --trials 200

All workers of a study are given the same arguments. It ends when the study has its trials; started
again with more, it goes on.

Chapters: book/input/feature_search, book/networks/architecture_search.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace

from asclib.runs.profiles import Profile
from asclib.tuning.command import add_arguments, positive, search_of
from asclib.tuning.search import work


def main(arguments: list[str] | None = None, profile: Profile | None = None) -> None:
    """Take trials of the study that the arguments name until it has them all.

    Args: profile, one of your own instead of the one that the arguments name.
    """
    parser = argparse.ArgumentParser(prog="python -m asclib tuning", description=__doc__)
    add_arguments(parser)
    parser.add_argument("--trials", type=positive, help="of the study, over all workers")
    options = parser.parse_args(arguments)
    os.environ.setdefault("ASCLIB_PROGRESS", os.devnull)  # a bar for every epoch is too many
    search, url = search_of(options, profile)
    trials = options.trials or search.effort.trials
    search = replace(search, effort=replace(search.effort, trials=trials))
    work(search, url, say=lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
