"""meta.yaml: what a team says of a system, put together and checked.

A team writes `about.yaml` once; costs and results are filled in by the program that measured them.

Chapters: book/challenges/entry_2022, book/practice/tau.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import yaml

from asclib.challenge.task import DEVICES, SCENES
from asclib.challenge.years import ABBREVIATION, AUTHOR, DATASET, ENERGY, SYSTEMS, Year
from asclib.corpus.tables import CorpusError
from asclib.evaluation.scores import Evaluation, Score

BLANK = "FILL IN"  # what about.yaml has where only its authors know
LABEL = re.compile(rf"[^_\s./\\]+_[^_\s./\\]+_task1_[1-{SYSTEMS}]")
_ROUNDED = 0.02  # of per cent and of the log loss: twice what rounding to two digits may do
_REMEDY = "compare the file with one that `python -m asclib package write` has written"

_TMSIC = {
    "input_sampling_rate": "8 kHz",
    "acoustic_features": "log-mel energies",
    "machine_learning_method": "CNN",
    "embeddings": None,
    "ensemble_method_subsystem_count": None,
    "decision_making": None,
    "external_data_usage": None,
    "complexity_management": "knowledge distillation, quantisation",
    "framework": "pytorch",
}


def about_template(year: Year) -> str:
    """An about.yaml to be filled in: what no program knows of a system."""
    affiliation = {"abbreviation": BLANK, "institute": BLANK, "location": BLANK}
    author = {"lastname": BLANK, "firstname": BLANK, "email": BLANK, "corresponding": True}
    about: dict[str, Any] = {
        "team": BLANK,
        "name": BLANK,
        "abbreviation": BLANK,
        "authors": [author | {"affiliation": affiliation}],
        "description": {field: _TMSIC.get(field, BLANK) for field in year.description},
    }
    if year.energy:
        about["energy_consumption"] = dict.fromkeys(ENERGY, BLANK)
    about |= {"external_datasets": [], "source_code": None}
    notes = [
        f"# A system of the challenge of {year.year}: write what you know where it says {BLANK}.",
        "# team is <last name of the corresponding author>_<abbreviation of the institute>;",
        f"# abbreviation has {ABBREVIATION} characters at most; energies are in kWh.",
    ]
    return "\n".join([*notes, dump(about)])


def dump(value: Mapping[str, Any]) -> str:
    """A mapping as YAML, in its own order."""
    return yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True, width=100)


def read_yaml(path: Path, name: str) -> dict[str, Any]:
    """A mapping from a YAML file, called `name` in errors. Raises: CorpusError."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CorpusError(name, None, "is missing", _REMEDY) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(name, None, f"cannot be read ({error})", "save it as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        what = getattr(error, "problem", None) or "no YAML"
        remedy = "put texts with a colon or a tab in quotation marks, and indent with spaces"
        raise CorpusError(name, None, f"is no YAML{where}: {what}", remedy) from None
    if not isinstance(value, dict):
        raise CorpusError(name, None, "holds no fields", _REMEDY)
    return value


def meta_of(
    year: Year,
    about: Mapping[str, Any],
    index: int,
    complexity: Mapping[str, int],
    results: Mapping[int, Evaluation],
) -> dict[str, Any]:
    """The meta.yaml of one system.

    Args: about, as of about.yaml; index, 1 to 4; complexity, the fields of `year.complexity`;
        results, on the development test, by subset in per cent (100 where there are none).
    Raises: ValueError, as `label_of`.
    """
    named = {"label": label_of(year, about, index)}
    named |= {field: about[field] for field in ("name", "abbreviation", "authors")}
    system = {
        "description": about["description"],
        "complexity": {field: int(complexity[field]) for field in year.complexity},
    }
    if year.energy:
        system["energy_consumption"] = about["energy_consumption"]
    system["external_datasets"] = about.get("external_datasets") or []
    system["source_code"] = about.get("source_code")
    tables = {percent: results_of(one) for percent, one in results.items()}
    if year.subsets:
        development = {f"split_{percent}": tables[percent] for percent in year.subsets}
    else:
        development = tables[100]
    return {"submission": named, "system": system, "results": {"development_dataset": development}}


def label_of(year: Year, about: Mapping[str, Any], index: int) -> str:
    """The label of a system, whose about.yaml must be filled in. Args: as of `meta_of`.

    Raises: ValueError naming a field that about.yaml lacks, or a team that makes no label.
    """
    wanted = ["team", "name", "abbreviation", "authors", "description"]
    wanted += ["energy_consumption"] * year.energy
    if lacking := [field for field in wanted if not about.get(field)]:
        raise ValueError(f"about.yaml lacks {', '.join(lacking)}")
    label = f"{about['team']}_task1_{index}"
    if not LABEL.fullmatch(label):
        raise ValueError(
            f"team is {about['team']!r} in about.yaml: write <last name>_<institute>, such as"
            " Heittola_TAU, without further underscores"
        )
    if blank := list(_blanks(about)):
        raise ValueError(f"about.yaml is still to be filled in: {', '.join(blank)}")
    return label


def results_of(evaluation: Evaluation) -> dict[str, Any]:
    """Scores as meta.yaml has them: accuracies in per cent, those of scenes being recalls."""

    def two(score: Score) -> dict[str, float]:
        return {"accuracy": round(100 * score.accuracy, 2), "logloss": round(score.log_loss, 3)}

    return {
        "overall": two(evaluation.overall),
        "class_wise": {scene: two(score) for scene, score in evaluation.scenes.items()},
        "device_wise": {device: two(score) for device, score in evaluation.devices.items()},
    }


def costs_of(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The block `system.complexity` of a meta.yaml; {} where there is none."""
    system = meta.get("system")
    costs = system.get("complexity") if isinstance(system, dict) else None
    return costs if isinstance(costs, dict) else {}


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value of a file is a number, whole or not; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether a value of a file is a whole number."""
    return is_number(value) and isinstance(value, int)


def find_meta_faults(
    meta: Mapping[str, Any], year: Year, label: str, name: str, problems: list[CorpusError]
) -> None:
    """Append all that is wrong with a meta.yaml, of the system `label`, to `problems`."""

    def bad(problem: str, remedy: str) -> None:
        problems.append(CorpusError(name, None, problem, remedy))

    def block(within: Any, path: str, fields: Sequence[str]) -> dict[str, Any]:
        """A block of the file; {} and a problem where it is none, or lacks fields."""
        if not isinstance(within, dict):
            bad(f"{path} is missing or no block of fields", f"give it {', '.join(fields)}")
            return {}
        if lacking := [field for field in fields if field not in within]:
            bad(f"{path} lacks {', '.join(lacking)}", f"give it {', '.join(fields)}")
        return within

    top = block(meta, "the file", ("submission", "system", "results"))
    submission = block(top.get("submission"), "submission", ("label", "name", "abbreviation"))
    if submission.get("label", label) != label:
        bad(
            f"submission.label is {submission['label']}, and its folder is {label}",
            "name folder, files and label alike",
        )
    abbreviation = str(submission.get("abbreviation", ""))
    if len(abbreviation) > ABBREVIATION:
        bad(
            f"submission.abbreviation {abbreviation!r} has {len(abbreviation)} characters",
            f"shorten it to {ABBREVIATION}",
        )
    authors = submission.get("authors")
    if not isinstance(authors, list) or not authors:
        bad("submission.authors is missing or no list", "list who made the system")
        authors = []
    for number, author in enumerate(authors, start=1):
        block(author, f"submission.authors, number {number},", AUTHOR)
    heads = sum(bool(author.get("corresponding")) for author in authors if isinstance(author, dict))
    if authors and heads != 1:
        bad(
            f"{heads} of the authors are corresponding",
            "write corresponding: true for exactly one of them",
        )
    fields = ("description", "complexity", "external_datasets", "source_code")
    system = block(top.get("system"), "system", (*fields, *["energy_consumption"] * year.energy))
    if system:
        block(system.get("description"), "system.description", year.description)
        if year.energy:
            block(system.get("energy_consumption"), "system.energy_consumption", ENERGY)
        datasets = system.get("external_datasets") or []
        for number, item in enumerate(datasets if isinstance(datasets, list) else [None], start=1):
            block(item, f"system.external_datasets, number {number},", DATASET)
        costs = block(system.get("complexity"), "system.complexity", year.complexity)
        _find_costs(costs, year, bad)
    results = block(top.get("results"), "results", ("development_dataset",))
    if results:
        names = [f"split_{percent}" for percent in year.subsets]
        path = "results.development_dataset"
        development = block(results.get("development_dataset"), path, names)
        tables = (
            {f"{path}.{n}": development.get(n) for n in names} if names else {path: development}
        )
        for where, table in tables.items():
            if table is not None:
                _find_results(table, where, block, bad)
    for field in _blanks(meta):
        bad(f"{field} is still to be filled in", f"write it in the place of {BLANK!r}")


def _find_costs(costs: Mapping[str, Any], year: Year, bad: Any) -> None:
    """Costs that are no whole numbers, are beyond the limits, or contradict each other."""
    numbers = {}
    for field in year.complexity:
        if field not in costs:
            continue
        value = costs[field]
        if not is_whole(value) or value < 1:
            bad(f"system.complexity.{field} is {value!r}", "write a whole number above 0")
        else:
            numbers[field] = value
    limits = {
        "total_parameters": year.limits.parameters,
        "total_model_size": year.limits.bytes,
        "macs": year.limits.macs,
    }
    for field, limit in limits.items():
        if limit is not None and numbers.get(field, 0) > limit:
            problem = f"system.complexity.{field} is {numbers[field]:,}"
            remedy = "take a smaller network, or fewer bits"
            bad(f"{problem}, and {year.year} allows {limit:,}", remedy)
    parameters, non_zero = numbers.get("total_parameters"), numbers.get("total_parameters_non_zero")
    if parameters and non_zero and non_zero > parameters:
        bad(
            f"system.complexity.total_parameters_non_zero is {non_zero:,} of {parameters:,}",
            "count again: python -m asclib count MODEL",
        )


def _find_results(table: Any, path: str, block: Any, bad: Any) -> None:
    """Results that lack a scene or a device, are no numbers, or contradict each other."""
    table = block(table, path, ("overall", "class_wise", "device_wise"))
    groups = {"overall": [table.get("overall")]}
    for name, members in (("class_wise", SCENES), ("device_wise", DEVICES)):
        found = block(table.get(name), f"{path}.{name}", members) if name in table else {}
        groups[name] = [found[member] for member in members if member in found]
    values: dict[str, list[dict[str, float]]] = {name: [] for name in groups}
    for name, items in groups.items():
        for item in items:
            two = block(item, f"{path}.{name}", ("accuracy", "logloss"))
            highest = {"accuracy": 100.0, "logloss": float("inf")}
            for field in [field for field in highest if field in two]:
                value = two[field]
                if not (is_number(value) and 0 <= value <= highest[field]):
                    what = "a number from 0 to 100, per cent" if field == "accuracy" else "a number"
                    bad(f"{path}.{name} has {field} {value!r}", f"write {what}")
                    return
            if {"accuracy", "logloss"} <= set(two):
                values[name].append(two)
    if not values["overall"] or len(values["class_wise"]) < len(SCENES):
        return
    overall, recalls = values["overall"][0], [one["accuracy"] for one in values["class_wise"]]
    mean = sum(recalls) / len(recalls)
    if abs(mean - overall["accuracy"]) > _ROUNDED:
        bad(
            f"{path}.overall has accuracy {overall['accuracy']:g}, and the mean of class_wise is"
            f" {mean:.2f}",
            "macro accuracy is the mean of the scenes' recalls: score again",
        )
    losses = [one["logloss"] for one in values["class_wise"]]
    if not min(losses) - _ROUNDED <= overall["logloss"] <= max(losses) + _ROUNDED:
        bad(
            f"{path}.overall has logloss {overall['logloss']:g}, outside those of class_wise"
            f" ({min(losses):g} to {max(losses):g})",
            "the log loss is a mean over all clips: score again",
        )


def _blanks(value: Any, path: str = "") -> Iterator[str]:
    """The fields that nobody has filled in."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _blanks(inner, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for number, inner in enumerate(value, start=1):
            yield from _blanks(inner, f"{path}, number {number}")
    elif isinstance(value, str) and BLANK in value:
        yield path
