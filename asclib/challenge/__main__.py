"""From a trained network to the zip that is handed in.

    python -m asclib package score OUTPUT.csv --truth fold1_evaluate.csv
    python -m asclib package score --model student.tflite --data_root DEVELOPMENT
    python -m asclib package write PACKAGE.zip --year 2023 --about about.yaml
        --model student.tflite --data_root DEVELOPMENT --evaluation EVALUATION
    python -m asclib package check PACKAGE.zip --year 2023

Chapter: book/practice/tau.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import yaml
from safetensors import SafetensorError

from asclib.challenge.check import check, find_faults, refuse, unpack
from asclib.challenge.meta import about_template, costs_of, read_yaml
from asclib.challenge.official import (
    against,
    mean_over_subsets,
    official,
    ranking,
    read_truth,
)
from asclib.challenge.outputs import read_outputs
from asclib.challenge.submission import Submission, entry
from asclib.challenge.systems import System, answers_of, system
from asclib.challenge.task import SCENES
from asclib.challenge.years import SYSTEMS, YEARS, year_of
from asclib.compression.quantization import KINDS
from asclib.corpus.folder import Corpus
from asclib.corpus.tables import CorpusError, read_table
from asclib.evaluation.scores import evaluate
from asclib.listen.listener import Answers
from asclib.progress import bars_beside_results
from asclib.runs.data import Data
from asclib.store import write_atomic

_KEYED = re.compile(r"(\w+)=(.+)")
_MODEL = "FILE.tflite, a TMSIC's FILE.safetensors or .h5, or module:factory of a network or a Run"


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns 1 when a package has faults, 2 when nothing could be done."""
    options = _parser().parse_args(arguments)
    bars_beside_results()
    try:
        return options.work(options)
    except CorpusError as error:
        print(error, *getattr(error, "__notes__", []), sep="\n", file=sys.stderr)
    except (OSError, ValueError, SafetensorError, ModuleNotFoundError) as error:
        print(error, file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m asclib package",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    summary = "print the tables of a year, of outputs, packages or a model"
    command = commands.add_parser("score", help=summary, description=summary)
    command.set_defaults(work=_score)
    what = "an outputs csv, or a package, of which every system is scored and ranked"
    command.add_argument("files", nargs="*", type=Path, metavar="FILE", help=what)
    truth = "table of filename and scene_label, as TAU's fold1_evaluate.csv or meta.csv"
    command.add_argument("--truth", type=Path, help=truth)
    command.add_argument("--year", type=int, choices=YEARS, help="whose ranking, of packages")
    command.add_argument("--csv", type=Path, help="write the table of groups there")
    _add_model(command)
    one = "of a network of two classes, such as a published member: the scene it listens for"
    command.add_argument("--scene", choices=SCENES, help=one)

    summary = "ask a model about both sets, and write the zip, or add a system to it"
    command = commands.add_parser("write", help=summary, description=summary)
    command.set_defaults(work=_write)
    command.add_argument("package", type=Path, metavar="PACKAGE.zip", help="where it goes")
    command.add_argument("--year", type=int, choices=YEARS, required=True)
    about = "what only its authors know; where it is missing, one to be filled in is written"
    command.add_argument("--about", type=Path, required=True, metavar="about.yaml", help=about)
    _add_model(command)
    command.add_argument("--evaluation", help="folder of the clips to be answered")
    indices = range(1, SYSTEMS + 1)
    command.add_argument("--index", type=int, choices=indices, default=1, help="of the system")
    command.add_argument("--report", type=Path, help="the technical report, a pdf")

    summary = "print all that a package would be refused for; 1 when there is something"
    command = commands.add_parser("check", help=summary, description=summary)
    command.set_defaults(work=_check)
    command.add_argument("package", type=Path, metavar="PACKAGE", help="a zip, or its folder")
    command.add_argument("--year", type=int, choices=YEARS, required=True)
    clips = "the clips to be answered: a table with the column filename, or a folder in TAU layout"
    command.add_argument("--clips", type=Path, help=f"{clips}; default: the challenge's")
    return parser


def _add_model(command: argparse.ArgumentParser) -> None:
    keyed = "of 2024 one for each subset, 5=FILE, of 2025 one for a device and others, general=FILE"
    command.add_argument(
        "--model", action="append", default=[], help=f"{_MODEL}; {keyed}; give it several times"
    )
    command.add_argument("--data_root", help="folder whose test clips give the results")
    command.add_argument("--kind", choices=KINDS, help="export the network as such a .tflite first")
    what = "what the model gives; default: logits"
    command.add_argument("--answers", choices=get_args(Answers), default="logits", help=what)


# ---- score ---------------------------------------------------------------------------------------


def _score(options: argparse.Namespace) -> int:
    if options.model:
        return _score_model(options)
    if not options.files or options.truth is None:
        raise ValueError("name outputs or packages and their --truth, or a --model and --data_root")
    truth = read_truth(options.truth)
    packages = [path for path in options.files if path.suffix == ".zip"]
    tables = []
    for path in options.files:
        if path not in packages:
            probabilities = against(read_outputs(path), truth, path.name)
            tables.append(_shown(path.name, official(probabilities, truth)))
    if packages:
        if options.year is None:
            raise ValueError("packages are ranked by the rules of a year: give --year")
        rows: dict[str, dict[str, float]] = {}
        for path in packages:
            rows |= _systems(path, options.year, truth, tables)
        ranked = ranking(options.year, pd.DataFrame.from_dict(rows, orient="index"))
        print(f"ranked by the rules of {options.year}\n{_percent(ranked).to_string()}")
    _write_csv(options, tables)
    return 0


def _systems(
    package: Path, year: int, truth: pd.DataFrame, tables: list[pd.DataFrame]
) -> dict[str, dict[str, float]]:
    """What a year ranks each system of a package by; the tables of groups are appended."""
    rules, rows = year_of(year), dict[str, dict[str, float]]()
    with tempfile.TemporaryDirectory() as folder:
        unpack(package, Path(folder))
        refuse(find_faults(Path(folder), year, truth["filename"].tolist()))
        for root in sorted(Path(folder, "task1").glob("*/")):
            label, scores = root.name, dict[int, pd.Series]()
            for percent, name in rules.output_names(label).items():
                probabilities = against(read_outputs(root / name), truth, name)
                shown = f"{label}, {percent} %" if rules.subsets else label
                tables.append(_shown(shown, official(probabilities, truth)))
                scores[percent] = tables[-1].iloc[0]
            meta = read_yaml(root / f"{label}.meta.yaml", f"{label}.meta.yaml")
            costs = costs_of(meta)
            accuracies = {percent: one["accuracy"] for percent, one in scores.items()}
            rows[label] = {
                "accuracy": mean_over_subsets(accuracies) if rules.subsets else accuracies[100],
                "log_loss": float(np.mean([one["log_loss"] for one in scores.values()])),
                "bytes": costs.get("memory_use", costs.get("total_model_size", np.nan)),
                "macs": costs.get("macs", np.nan),
            }
    return rows


def _score_model(options: argparse.Namespace) -> int:
    if options.data_root is None or len(options.model) != 1 or options.files:
        raise ValueError("a single --model is scored on the test clips of a --data_root")
    (one,) = _models(options).values()
    clips, probabilities = answers_of(one, options.data_root)
    if clips["scene"].isna().any():
        raise ValueError(f"{options.data_root} has no scenes: nobody can score its clips")
    name = Path(options.model[0]).name
    classes = probabilities.shape[1]
    if classes == len(SCENES):
        _write_csv(options, [_shown(name, official(probabilities, clips))])
        return 0
    if classes != 2 or options.scene is None:
        raise ValueError(
            f"{name} answers about {classes} classes: the challenge has {len(SCENES)}; of a network"
            " [scene, others] name the scene: --scene park"
        )
    scene = clips["scene"].where(clips["scene"] == options.scene, "others")
    pair = (options.scene, "others")
    table = evaluate(probabilities, clips.assign(scene=scene), classes=pair).table()
    _write_csv(options, [_shown(f"{name}, {options.scene} against the others", table)])
    return 0


def _shown(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Print a system's table of groups, and give it back with its name in front."""
    print(f"{name}\n{_percent(table).to_string(index=False, na_rep='-')}\n", flush=True)
    table.insert(0, "system", name)
    return table


def _percent(table: pd.DataFrame) -> pd.DataFrame:
    """A table for people: accuracies in per cent."""
    shown = table.copy()
    for column in shown.columns:
        if column in ("accuracy", "accuracy_low", "accuracy_high"):
            shown[column] = (100 * shown[column]).round(2)
        elif column.startswith("log_loss"):
            shown[column] = shown[column].round(3)
    return shown


def _write_csv(options: argparse.Namespace, tables: list[pd.DataFrame]) -> None:
    if options.csv:
        write_atomic(options.csv, pd.concat(tables).to_csv(index=False).encode())


# ---- write ---------------------------------------------------------------------------------------


def _write(options: argparse.Namespace) -> int:
    rules = year_of(options.year)
    if not options.about.exists():
        write_atomic(options.about, about_template(rules).encode())
        print(f"{options.about} is new: fill it in, and give the same command again")
        return 1
    if not options.model or options.data_root is None or options.evaluation is None:
        raise ValueError("a package needs a --model, a --data_root and an --evaluation set")
    if options.report is not None and not options.report.is_file():
        raise FileNotFoundError(f"{options.report}: no such report")
    about = read_yaml(options.about, options.about.name)
    made = entry(
        options.year,
        _models(options),
        about,
        development=options.data_root,
        evaluation=options.evaluation,
        index=options.index,
    )
    expected = made.outputs[100]["filename"].tolist()
    path = Submission(options.year, [made], expected, options.report).write(options.package)
    print(f"{path} holds {made.label}: {len(expected):,} clips answered")
    print(yaml.safe_dump(made.meta["system"]["complexity"], sort_keys=False), end="")
    if rules.clips is not None and rules.clips != len(expected):
        print(f"The evaluation set of {options.year} has {rules.clips:,} clips: this is another")
    if options.report is None:
        print("A technical report belongs to it: --report FILE.pdf")
    return 0


def _models(options: argparse.Namespace) -> Mapping[str, System]:
    """The systems named, by what stands before the sign of equality."""
    found: dict[str, System] = {}
    year = getattr(options, "year", None)
    ranges = Data(options.data_root) if options.data_root else None
    for given in options.model:
        keyed = _KEYED.fullmatch(given)
        key, name = keyed.groups() if keyed else ("general", given)
        if key in found:
            raise ValueError(f"two models are named {key}: give each once")
        if keyed and year in (2022, 2023):
            raise ValueError(f"{given}: a system of {year} has one model, without a name")
        kind, answers = options.kind, options.answers
        found[key] = system(name, kind=kind, ranges=ranges, answers=answers)
    return found


# ---- check ---------------------------------------------------------------------------------------


def _check(options: argparse.Namespace) -> int:
    expected = None if options.clips is None else _names(options.clips)
    report = check(options.package, options.year, expected)
    for file, row, problem, remedy in report.itertuples(index=False):
        print(CorpusError(file, None if pd.isna(row) else int(row), problem, remedy))
    print(f"{len(report)} problems" if len(report) else "all is well")
    if expected is None and year_of(options.year).clips is None:
        print(f"Whether all clips of {options.year} are answered, only --clips can tell")
    return int(len(report) > 0)


def _names(path: Path) -> list[str]:
    """The bare names of the clips to be answered."""
    if path.is_dir():
        clips = Corpus.open(path, files=False).clips
        split = "evaluation" if (clips["split"] == "evaluation").any() else "test"
        names = clips.loc[clips["split"] == split, "filename"].tolist()
    elif not path.is_file():
        raise FileNotFoundError(f"{path}: no such table of clips")
    else:
        problems = list[CorpusError]()
        names = read_table(path.parent, path.name, ("filename",), problems).columns["filename"]
        if problems:
            raise problems[0]
    return [name.rpartition("/")[2] for name in names]


if __name__ == "__main__":
    sys.exit(main())
