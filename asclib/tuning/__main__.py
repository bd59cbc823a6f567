"""One worker of a search, of which a cluster starts many.

    python -m asclib.tuning architecture --storage postgresql://host/name --trials 200

All workers of a study are given the same arguments. It ends when the study has its trials; started
again with more, it goes on.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace

from asclib import store
from asclib.experiment import Experiment
from asclib.tuning.search import EFFORTS, KINDS, Search, work


def main(arguments: list[str] | None = None) -> None:
    """Take trials of the study that the arguments name until it has them all."""
    parser = argparse.ArgumentParser(prog="python -m asclib.tuning", description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--storage", help="URL of a database, or path of a journal file; default:"
                        " a journal in the store")  # fmt: skip
    parser.add_argument("--trials", type=int, help="of the study, over all workers")
    parser.add_argument("--profile", default="quick", help="whose corpus; default: quick")
    parser.add_argument("--data-root", help="a folder in TAU layout, instead of that corpus")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--effort", choices=EFFORTS, default="study", help="spent on a trial")
    options = parser.parse_args(arguments)
    if options.trials is not None and options.trials < 1:
        parser.error(f"--trials {options.trials}: a study has at least one")
    os.environ.setdefault("ASCLIB_PROGRESS", os.devnull)  # a bar for every epoch is too many
    effort = EFFORTS[options.effort]
    effort = replace(effort, trials=options.trials or effort.trials)
    experiment = Experiment(options.profile, options.data_root, options.seed)
    search = Search(options.kind, experiment, effort)
    url = options.storage or str(store.root() / f"{search.name()}.journal")
    work(search, url, say=lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
