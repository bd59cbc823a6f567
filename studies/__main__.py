"""The study runs: what made each file of results/.

    python -m studies NAME

Everything trained lands in the store, so a run that was cut off goes on where it stopped. A new
study is a module here with a function `add_parser(commands)`. results/training.json and
results/distillation.json are timings and come from benchmarks/, results/tuning_*.json from
`python -m asclib.tuning.report`.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil

import studies
from asclib.runs import Profile
from asclib.runs import profile as named
from asclib.store import PROJECT
from studies.command import Commands
from studies.record import write_json


def main(arguments: list[str] | None = None, profile: Profile | None = None) -> None:
    """Train what is missing, then write `results/<name>.json`.

    Args: profile, one of your own instead of the one that the arguments name.
    """
    parser = argparse.ArgumentParser(
        prog="python -m studies",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    collect(parser.add_subparsers(dest="command", required=True))
    options = parser.parse_args(arguments)
    options.profile = profile or named(options.profile)
    options.output = options.output or PROJECT / "results" / f"{options.command}.json"
    options.output.parent.mkdir(parents=True, exist_ok=True)
    results = options.work(options)
    if results is not None:  # else it has written them itself
        write_json(options.output, results)


def collect(commands: Commands) -> None:
    """Register the command of every module beside this one that has one."""
    for found in pkgutil.iter_modules(studies.__path__):
        if found.name != "__main__":
            module = importlib.import_module(f"studies.{found.name}")
            if hasattr(module, "add_parser"):
                module.add_parser(commands)


if __name__ == "__main__":
    main()
