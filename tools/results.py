"""The page of results/: each file, what writes it, how long that took, and who reads it.

`_config.yml` names tools.pages, which puts this table into book/results.md while the book is built.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

OTHERS = {  # what no study writes, or not under its own name
    "training": "benchmarks/training.py",
    "distillation": "python -m benchmarks.distillation",
    "tuning_features": "python -m asclib.tuning.report features",
    "tuning_architecture": "python -m asclib.tuning.report architecture",
}
INDIRECTLY = {  # read by a function of the library, or under a name that is put together
    "comparison": r"|plotting\.study_gains\(",
    "quantization_real": r'|results\("quantization" \+',
}
SECONDS = ("wall_seconds", "seconds")  # what a run may say of itself
UNKNOWN = "not known"


def sources(project: Path) -> list[Path]:
    """What the page depends on: the files of results/, their folder, and the chapters."""
    folder = project / "results"
    return [folder, *sorted(folder.glob("*.json")), *sorted((project / "book").glob("*/*.py"))]


def table(project: Path) -> str:
    """A table in markdown, for a page of the folder book: a row for each json of results/."""
    rows = [
        "| file | corpus | written by | hours | read in |",
        "|---|---|---|---|---|",
    ]
    chapters = {path: path.read_text() for path in sorted((project / "book").glob("*/*.py"))}
    for file in sorted((project / "results").glob("*.json")):
        found = json.loads(file.read_text())
        name = file.stem
        named = rf'results(?:/{name}\.|\("{name}")' + INDIRECTLY.get(name, "")
        readers = [path for path, text in chapters.items() if re.search(named, text)]
        links = ", ".join(
            f"[{path.stem.replace('_', ' ')}]({path.parent.name}/{path.stem}.ipynb)"
            for path in readers
        )
        link = f"[{file.name}](../results/{file.name})"
        cells = link, corpus(found), f"`{command(name, found, project)}`", hours(found), links
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def corpus(found: dict[str, Any]) -> str:
    """The corpus of a file: the embedded one with its version, or a given one without its hash."""
    return re.sub(r"^given .*", "given", found.get("corpus", "none"))


def command(name: str, found: dict[str, Any], project: Path) -> str:
    """What writes results/NAME.json, which holds `found`; UNKNOWN where nothing of the project."""
    study = name.removesuffix("_real")  # of recordings of one's own
    if name in OTHERS:
        return OTHERS[name]
    if not (project / "studies" / f"{study}.py").is_file():
        return UNKNOWN
    if name == study:
        return f"python -m studies {study}"
    options = f"--profile {found['profile']['name']} --data-root DIR --output results/{name}.json"
    return f"python -m studies {study} {options}"


def hours(found: dict[str, Any]) -> str:
    """The sum over runs, where each says how long it took."""
    for rows in found.values():
        if isinstance(rows, list) and rows and isinstance(rows[0], dict):
            for name in SECONDS:
                if all(isinstance(row.get(name), (int, float)) for row in rows):
                    return f"{sum(row[name] for row in rows) / 3600:.1f}"
    return "–"
