"""Hear recordings: the scene of each second, and of each file.

    python -m asclib listen walk.m4a ride.wav --csv seconds.csv --json seconds.json
    python -m asclib listen walk.m4a --model student.tflite
    python -m asclib listen walk.m4a --model mynets:make --classes dog,siren

Without --model the student of models/ listens; where asclib was installed without that folder, the
student of the book's quick profile, trained first where the store has none (a minute or two). Both
have learnt from synthetic sound only: not for a street.

Chapter: book/practice/listening.
"""

from __future__ import annotations

import argparse
import json
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from asclib.complexity.__main__ import network
from asclib.corpus.tables import CorpusError
from asclib.listen.listener import Heard, Listener, Model
from asclib.progress import bars_beside_results
from asclib.runs.experiment import Experiment
from asclib.runs.profiles import profile
from asclib.store import PROJECT, write_atomic

TRAINED = PROJECT / "models" / "student.safetensors"
SHOWN = 20  # rows of a file's table on the screen
DIGITS = 4  # of a probability


def main(arguments: list[str] | None = None) -> int:
    """Hear the files named; returns 1 when one of them has no answer or is damaged, else 0."""
    options = _parser().parse_args(arguments)
    bars_beside_results()
    try:
        for output in filter(None, (options.csv, options.json)):
            if not output.absolute().parent.is_dir():
                raise ValueError(f"{output} has no folder to be in: make it first")
            if output.is_dir():
                raise ValueError(f"{output} is a folder: name a file in it")
        listener = _listener(options)
    except (OSError, ValueError, TypeError, ModuleNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    heard: dict[str, Heard | str] = {}
    failed = False
    for name in options.files:
        file = name.encode("utf-8", "backslashreplace").decode()  # as it can be printed
        try:
            one = listener.hear(name)
        except CorpusError as error:
            heard[file] = said = str(error).replace(name, file)
            print(_one_line(said), file=sys.stderr)
            failed = True
            continue
        except ValueError as error:  # it is the model's, and comes with every file
            print(f"{options.model or 'the student'}: {error}", file=sys.stderr)
            return 2
        heard[file] = one
        failed = failed or one.damaged
        _show(file, one)
        for note in one.notes:
            print(_one_line(note), file=sys.stderr)
    found = {file: one for file, one in heard.items() if isinstance(one, Heard)}
    if options.csv:
        write_atomic(options.csv, table(found, listener.classes).to_csv(index=False).encode())
    if options.json:
        text = json.dumps([_entry(file, one) for file, one in heard.items()], indent=1)
        write_atomic(options.json, (text + "\n").encode())
    return int(failed)


def table(heard: dict[str, Heard], classes: Sequence[str]) -> pd.DataFrame:
    """All seconds of all files: file, start_s, scene, each class, and the decision of the file."""
    rows = [
        one.table.assign(decision=one.scene).assign(file=file)[["file", *one.table, "decision"]]
        for file, one in heard.items()
    ]
    empty = pd.DataFrame(columns=["file", "start_s", "scene", *classes, "decision"])
    return pd.concat(rows, ignore_index=True).round(DIGITS) if rows else empty


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m asclib listen",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="recordings, a second or longer")
    what = "FILE.tflite, a TMSIC's FILE.safetensors, or module:factory of a network of your own"
    parser.add_argument("--model", help=what)
    parser.add_argument(
        "--classes", help="what it answers about, such as dog,siren; default: TAU's"
    )
    parser.add_argument(
        "--answers",
        choices=("logits", "probabilities"),
        default="logits",
        help="what the model gives; default: logits",
    )
    parser.add_argument("--csv", type=Path, help="write every second of every file there")
    parser.add_argument("--json", type=Path, help="the same, with decisions and what went wrong")
    return parser


def _listener(options: argparse.Namespace) -> Listener:
    classes = None
    if options.classes:
        classes = [name.strip() for name in options.classes.split(",")]
    return Listener(_model(options.model), classes=classes, answers=options.answers)


def _model(name: str | None) -> Model:
    """What `--model` names. Raises: OSError or ValueError saying what to name."""
    if name is None:
        print("the student alone, of synthetic sound: not for a street", file=sys.stderr)
        return student_alone()
    return name if name.endswith((".tflite", ".safetensors")) else network(name)


def student_alone(path: Path = TRAINED) -> Model:
    """The file of the trained student; the run of the quick profile where there is no such file."""
    return path if path.is_file() else Experiment(profile("quick")).student()


def _one_line(text: str) -> str:
    """The text without line ends and other control characters, which a file's name may have."""
    return "".join(repr(c)[1:-1] if unicodedata.category(c) == "Cc" else c for c in text)


def _show(file: str, one: Heard) -> None:
    """Print the table of a file, its middle left out where it is long, and its decision."""
    shown = one.table[["start_s", "scene"]].copy()
    shown["probability"] = one.table[list(one.answer.index)].max(axis=1)
    best = one.answer.nlargest(3)
    print(f"{_one_line(file)}: {len(shown)} s")
    print(shown.to_string(index=False, max_rows=SHOWN, float_format="{:.2f}".format, na_rep="-"))
    print("  ".join(f"{scene} {share:.2f}" for scene, share in best.items()))
    print(f"decision: {one.scene}\n", flush=True)


def _entry(file: str, one: Heard | str) -> dict[str, Any]:
    """What the json file says of a recording."""
    if isinstance(one, str):
        return {"file": file, "error": one}
    classes = list(one.answer.index)
    seconds = [
        {"start_s": start, "scene": None, "probabilities": None}
        if pd.isna(scene)
        else {
            "start_s": start,
            "scene": scene,
            "probabilities": dict(zip(classes, (round(p, DIGITS) for p in row), strict=True)),
        }
        for start, scene, *row in one.table.itertuples(index=False)
    ]
    return {
        "file": file,
        "decision": one.scene,
        "probabilities": one.answer.round(DIGITS).to_dict(),
        "notes": list(one.notes),
        "seconds": seconds,
    }


if __name__ == "__main__":
    sys.exit(main())
