"""The command line of the corpus.

    python -m asclib corpus check DIR                   prints all that is wrong with a folder
    python -m asclib corpus download DIR                fetches TAU Urban Acoustic Scenes 2022
    python -m asclib corpus adapt KIND SOURCE TARGET    cuts other recordings into such a folder

Chapters: book/task/dataset, book/practice/tau.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import joblib
import pandas as pd
import soundfile

from asclib.challenge.task import SCENES
from asclib.corpus import sources
from asclib.corpus.adapters import TEST_SHARE, adapt
from asclib.corpus.download import DownloadError, download, subset_report
from asclib.corpus.folder import Corpus
from asclib.corpus.tables import META, CorpusError, read_table
from asclib.progress import bars_beside_results


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m asclib corpus",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    summary = "print all that is wrong with a folder in TAU's layout; 1 when there is something"
    command = commands.add_parser("check", help=summary, description=summary)
    command.set_defaults(work=_check)
    command.add_argument("folder", metavar="DIR", type=Path, help="the one that holds meta.csv")
    classes = (
        "the labels there are, such as dog,siren, or ANY for those of meta.csv; default: TAU's"
    )
    command.add_argument("--classes", help=classes)
    command.add_argument("--tables", action="store_true", help="read the tables, not the audio")
    summary = "fetch TAU Urban Acoustic Scenes 2022 Mobile, development set (30 GB)"
    command = commands.add_parser("download", help=summary, description=summary)
    command.set_defaults(work=_download)
    command.add_argument("folder", metavar="DIR", type=Path, help="where it goes; may hold a part")
    _add_adapt(commands)
    options = parser.parse_args(arguments)
    bars_beside_results()
    return options.work(options)


def _add_adapt(commands: argparse._SubParsersAction) -> None:
    summary = "cut recordings into a folder in TAU's layout"
    command = commands.add_parser(
        "adapt",
        help=summary,
        description=f"Cut recordings into a folder in TAU's layout.\n\n{sources.__doc__}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(work=_adapt)
    command.add_argument("kind", choices=sources.SOURCES, metavar="KIND", help="see above")
    command.add_argument("source", metavar="SOURCE", type=Path, help="the folder of recordings")
    command.add_argument("target", metavar="TARGET", type=Path, help="a folder not there yet")
    command.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="another name for a class, or of DEMAND for an environment; give it several times",
    )
    places = "places to test on, <city>-<location>; default: by seed and share"
    command.add_argument("--test", nargs="+", default=[], metavar="PLACE", help=places)
    command.add_argument(
        "--test-share",
        type=float,
        default=TEST_SHARE,
        help=f"of each scene's recordings; default: {TEST_SHARE:g}",
    )
    command.add_argument("--seed", type=int, default=0, help="another one, another split")
    command.add_argument("--licence", help="of recordings of your own, and whose they are")


def _check(options: argparse.Namespace) -> int:
    classes: tuple[str, ...] = SCENES
    devices = {}
    if options.classes:
        classes, devices = tuple(options.classes.split(",")), {"devices": None}
    if options.classes == "ANY":
        labels = read_table(options.folder, META, ("scene_label",), []).columns["scene_label"]
        classes = tuple(sorted(set(labels))) or SCENES
    try:
        report = Corpus.report(options.folder, files=not options.tables, classes=classes, **devices)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    for file, row, problem, remedy in report.itertuples(index=False):
        print(CorpusError(file, None if pd.isna(row) else int(row), problem, remedy))
    print(f"{len(report)} problems" if len(report) else "all is well")
    return int(len(report) > 0)


def _download(options: argparse.Namespace) -> int:
    try:
        root = download(options.folder)
    except DownloadError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on from here.", file=sys.stderr)
        return 130
    print(subset_report(root))
    print(f"Ready. As data_root name\n  {root}")
    return 0


def _adapt(options: argparse.Namespace) -> int:
    wrong = [label for label in options.label if "=" not in label]
    try:
        if wrong:
            raise ValueError(f"--label {wrong[0]}: write OLD=NEW, such as TBUS=bus")
        adapted = adapt(
            options.kind,
            options.source,
            options.target,
            labels=dict(label.split("=", 1) for label in options.label),
            test=options.test,
            test_share=options.test_share,
            seed=options.seed,
            licence=options.licence,
            workers=joblib.cpu_count(),
        )
    except (CorpusError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    except (OSError, soundfile.SoundFileError) as error:
        print(f"{options.target} was not written: {error}", file=sys.stderr)
        return 2
    for problem in adapted.problems:
        print(problem, file=sys.stderr)
    for scene in adapted.untested:
        print(f"{scene}: all recordings are of one place, so nothing tests it", file=sys.stderr)
    clips, classes = adapted.corpus.clips, adapted.classes
    print(f"{adapted.source.title}: {adapted.recordings} recordings, {len(clips):,} clips")
    print(f"Licence: {adapted.licence}\n")
    print(clips.groupby(["scene", "split"]).size().unstack(fill_value=0).to_string(), end="\n\n")
    root = str(adapted.corpus.root)
    if set(classes) <= set(SCENES):
        print(f"Ready. As data_root name\n  {root}")
    else:
        print(f"Ready. From Python:\n  Data({root!r}, classes={classes!r})")
    return int(bool(adapted.problems))


if __name__ == "__main__":
    sys.exit(main())
