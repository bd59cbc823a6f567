"""What a package would be refused for, or should be: every fault with its file, row and remedy.

The organisers' validators look at columns, labels, numbers of clips and fields of meta.yaml. They
do not see rows that sum to another number than 1, a label that is not the largest probability, one
output handed in for two subsets, or numbers that contradict each other.

Chapters: book/challenges/entry_2022, book/practice/tau.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import re
import tempfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from asclib.challenge.meta import (
    LABEL,
    costs_of,
    find_meta_faults,
    is_number,
    is_whole,
    read_yaml,
)
from asclib.challenge.outputs import find_missing, find_outputs
from asclib.challenge.years import COUNTED_DEVICES, SYSTEMS, Year, year_of
from asclib.corpus.tables import CorpusError

_KINDS = (".meta.yaml", ".technical_report.pdf")
_API = ("load_model", "load_inputs", "get_model_for_device", "predict")
_WRITE = "write the package with `python -m asclib package write`"
_LARGEST = 4 * 2**30  # bytes that a package may unpack to
_BROKEN = (  # what a zip that cannot be read makes zipfile raise
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,  # a password, or a compression that is not known
    UnicodeDecodeError,  # a name
)


def check(package: str | Path, year: int, expected: Sequence[str] | None = None) -> pd.DataFrame:
    """All that is wrong with a package.

    Args:
        package: a zip, or the folder it was made of.
        year: whose rules.
        expected: the bare names of the clips to be answered; those of the year's evaluation set
            where they are known and none are given.
    Returns: columns file, row, problem, remedy; empty when all is well.
    Raises: FileNotFoundError; ValueError for another year.
    """
    year_of(year)
    package = Path(package)
    if not package.exists():
        raise FileNotFoundError(f"{package}: no such package; name a zip or a folder")
    if package.is_dir():
        problems = find_faults(package, year, expected)
    else:
        with tempfile.TemporaryDirectory() as folder:
            try:
                unpack(package, Path(folder))
                problems = find_faults(Path(folder), year, expected)
            except CorpusError as problem:
                problems = [problem]
    table = pd.DataFrame(
        [problem.args for problem in problems], columns=["file", "row", "problem", "remedy"]
    )
    return table.astype({"row": "Int64"})


def unpack(package: Path, folder: Path) -> None:
    """Unpack a zip into a folder. Raises: CorpusError saying why it cannot be, or must not."""

    def bad(problem: str, remedy: str) -> CorpusError:
        return CorpusError(package.name, None, problem, remedy)

    fault = "is no readable zip"
    try:
        with zipfile.ZipFile(package) as zipped:
            names = zipped.namelist()
            if sum(item.file_size for item in zipped.infolist()) > _LARGEST:
                raise bad("unpacks to more than 4 GiB", "put in nothing but the files it needs")
            if double := sorted({name for name in names if names.count(name) > 1})[:1]:
                raise bad(f"holds {double[0]} twice", "keep one of the two")
            if wild := [n for n in names if n.startswith("/") or ".." in PurePosixPath(n).parts]:
                raise bad(f"holds {wild[0]}, outside its folder", "zip the folder task1 itself")
            for name in names:
                fault = f"holds {name}, which cannot be unpacked"
                zipped.extract(name, folder)
    except _BROKEN as error:
        remedy = "name a package that `python -m asclib package write` has written"
        raise bad(f"{fault} ({str(error) or 'it ends too early'})", remedy) from error


def refuse(problems: Sequence[CorpusError]) -> None:
    """Raise the first of some problems, where there is one; a note counts the others."""
    if not problems:
        return
    if len(problems) > 1:
        problems[0].add_note(f"and {len(problems) - 1} more faults")
    raise problems[0]


def find_faults(root: Path, year: int, expected: Sequence[str] | None = None) -> list[CorpusError]:
    """All that is wrong with an unpacked package; see `check`."""
    rules, problems = year_of(year), list[CorpusError]()
    if expected is None and rules.clips is not None:
        expected = [f"{number}.wav" for number in range(rules.clips)]
    task = root / "task1"
    labels = sorted(path.name for path in task.iterdir() if path.is_dir()) if task.is_dir() else []
    if not labels:
        remedy = "zip the folder task1 itself, with a folder for each system in it"
        return [CorpusError("task1", None, "is missing or holds no system", remedy)]
    if len(labels) > SYSTEMS:
        remedy = f"hand in {SYSTEMS} at the most"
        problems.append(CorpusError("task1", None, f"holds {len(labels)} systems", remedy))
    if len({label.rpartition("_")[0] for label in labels}) > 1:
        what = f"holds systems of several teams: {', '.join(labels)}"
        problems.append(CorpusError("task1", None, what, "make a package for each team"))
    for label in labels:
        if not LABEL.fullmatch(label):
            remedy = f"name it <last name>_<institute>_task1_<1 to {SYSTEMS}>"
            problems.append(CorpusError(f"task1/{label}", None, "is no label", remedy))
        meta = _find_system(root, label, rules, expected, problems)
        if rules.inference:
            _find_inference(root, label, rules, meta, problems)
    return problems


def _find_system(
    root: Path, label: str, rules: Year, expected: Sequence[str] | None, problems: list[CorpusError]
) -> dict[str, Any]:
    """The faults of one system's folder; returns its meta.yaml, {} where there is none."""
    folder = f"task1/{label}"
    names = rules.output_names(label)
    present = sorted(path.name for path in (root / folder).iterdir())
    known = {*names.values(), *(f"{label}{kind}" for kind in _KINDS)}
    for name in present:
        if name not in known:
            problem = f"is no file of a system of {rules.year}"
            remedy = f"take it out, or name it: {', '.join(sorted(known))}"
            problems.append(CorpusError(f"{folder}/{name}", None, problem, remedy))
    contents: dict[str, str] = {}
    for percent, name in names.items():
        path = f"{folder}/{name}"
        if name not in present:
            what = f"the answers of the system of {percent} %" if rules.subsets else "the answers"
            problems.append(CorpusError(path, None, "is missing", f"write {what} there"))
            continue
        if (found := _read(root, path, problems)) is None:
            continue
        content = hashlib.sha256(found).hexdigest()
        if content in contents:
            problem = f"is the same as {contents[content]}"
            remedy = "write the answers of the system that learnt from this subset"
            problems.append(CorpusError(path, None, problem, remedy))
        contents[content] = name
        table = find_outputs(root, path, problems)
        if expected is not None and len(table):
            find_missing(table, expected, path, problems)
    name = f"{folder}/{label}.meta.yaml"
    try:
        meta = read_yaml(root / name, name)
    except CorpusError as error:
        problems.append(error)
        return {}
    find_meta_faults(meta, rules, label, name, problems)
    return meta


# ---- 2025 ----------------------------------------------------------------------------------------


def _find_inference(
    root: Path, label: str, rules: Year, meta: Mapping[str, Any], problems: list[CorpusError]
) -> None:
    """The faults of the code that infers, and of what it left in `predictions`."""
    package, folder = label.rpartition("_")[0], f"inference/predictions/{label}"
    module = f"inference/{package}/{label}.py"
    problems += [
        CorpusError(name, None, "is missing", _WRITE)
        for name in (module, f"{folder}/output.csv")
        if not (root / name).is_file()
    ]
    if (root / module).is_file() and (code := _read(root, module, problems)) is not None:
        text = code.decode(errors="replace")
        lacking = [name for name in _API if not re.search(rf"\b{name}\b", text)]
        if lacking:
            problem = f"does not define {', '.join(lacking)}"
            problems.append(CorpusError(module, None, problem, "define all of " + ", ".join(_API)))
    ours, theirs = root / f"task1/{label}/{label}.output.csv", root / f"{folder}/output.csv"
    if ours.is_file() and theirs.is_file():
        answer = _read(root, f"{folder}/output.csv", problems)
        own = _read(root, f"task1/{label}/{ours.name}", [])  # its fault is known by now
        if answer is not None and own is not None and answer != own:
            problem = f"differs from {ours.name}"
            remedy = "hand in what the inference answers: copy this file"
            problems.append(CorpusError(f"{folder}/output.csv", None, problem, remedy))
    _find_device_costs(root, f"{folder}/complexity.json", rules, meta, problems)
    _find_test_accuracy(root, f"{folder}/test_accuracy.json", meta, problems)


def _find_device_costs(
    root: Path, name: str, rules: Year, meta: Mapping[str, Any], problems: list[CorpusError]
) -> None:
    found = _read_json(root, name, problems)
    if found is None:
        return

    def bad(problem: str, remedy: str) -> None:
        problems.append(CorpusError(name, None, problem, remedy))

    devices = found.get("per_device")
    if not isinstance(devices, dict):
        bad("has no per_device", "count again: give MACs and Params of each device")
        return
    if lacking := [device for device in COUNTED_DEVICES if device not in devices]:
        bad(f"has no {', '.join(lacking)} in per_device", "count the model of every device")
    limits = {"MACs": rules.limits.macs, "Params": rules.limits.bytes}
    fields = {"MACs": "macs", "Params": "total_model_size"}
    declared = costs_of(meta)
    for quantity, limit in limits.items():
        numbers = {}
        for device, one in devices.items():
            number = one.get(quantity) if isinstance(one, dict) else None
            if not is_whole(number) or number < 1:
                bad(f"per_device.{device}.{quantity} is {number!r}", "write a whole number above 0")
                continue
            numbers[device] = number
            if limit is not None and number > limit:
                bad(
                    f"the model of device {device} has {number:,} {quantity}, {limit:,} allowed",
                    "take a smaller network, or fewer bits",
                )
        largest = max(numbers.values(), default=None)
        said = found.get(f"max_{quantity}")
        if largest is not None and said != largest:
            problem = f"max_{quantity} is {said!r}, and the largest of the devices {largest:,}"
            bad(problem, "count again")
        count = declared.get(fields[quantity])
        if largest is not None and is_whole(count) and count < largest:
            bad(
                f"has {largest:,} {quantity}, and meta.yaml says {fields[quantity]} {count:,}",
                "write the count of the largest model into both",
            )


def _find_test_accuracy(
    root: Path, name: str, meta: Mapping[str, Any], problems: list[CorpusError]
) -> None:
    found = _read_json(root, name, problems)
    if found is None:
        return
    accuracy = found.get("Test Accuracy")
    if not is_number(accuracy) or not 0 <= accuracy <= 100:
        problem = f"has the Test Accuracy {accuracy!r}"
        remedy = "write a number from 0 to 100, per cent"
        problems.append(CorpusError(name, None, problem, remedy))
        return
    try:
        scenes = meta["results"]["development_dataset"]["class_wise"].values()
        recalls = [float(one["accuracy"]) for one in scenes]
    except (KeyError, TypeError, AttributeError, ValueError):
        return  # meta.yaml has a fault of its own
    # over clips, where meta.yaml has the mean of scenes: it lies between their recalls all the same
    if recalls and not min(recalls) - 0.02 <= accuracy <= max(recalls) + 0.02:
        problem = f"has the Test Accuracy {accuracy:g}, outside the recalls in meta.yaml"
        remedy = "score again: both are of the development test"
        problems.append(CorpusError(name, None, problem, remedy))


def _read(root: Path, name: str, problems: list[CorpusError]) -> bytes | None:
    """What a file of the package holds; None, with the fault, where it cannot be read."""
    try:
        return (root / name).read_bytes()
    except FileNotFoundError:
        problem, remedy = "is missing", _WRITE
    except OSError as error:
        problem, remedy = f"cannot be read ({error.strerror})", "make it a readable file"
    problems.append(CorpusError(name, None, problem, remedy))
    return None


def _read_json(root: Path, name: str, problems: list[CorpusError]) -> dict[str, Any] | None:
    if (content := _read(root, name, problems)) is None:
        return None
    try:
        found = json.loads(content)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        problems.append(CorpusError(name, None, f"is no JSON ({error})", _WRITE))
        return None
    if not isinstance(found, dict):
        problems.append(CorpusError(name, None, "holds no fields", _WRITE))
        return None
    return found
