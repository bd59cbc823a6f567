"""What the explorer's page shows: any two systems of the comparison, and what may be said of them.

    python -m tools.explorer     reads results/fair.json, writes _static/explore/data.js

The intervals are those of `asclib.evaluation.statistics`, computed here: the page draws and counts
nothing but single runs.
"""

from __future__ import annotations

import json
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from asclib.challenge import UNSEEN_DEVICES
from asclib.evaluation.statistics import difference, score
from asclib.evaluation.systems import Clips, Measure, System
from asclib.store import PROJECT, write_atomic
from studies.models import TEACHING
from studies.record import NOBODY, Record
from studies.verdicts import shared

PAGE = PROJECT / "_static" / "explore"
LABELS = {  # arms whose names are not words yet
    "rrs": "RRS",
    "rrs_published": "RRS as published",
    "response_response": "response, then response",
    "labels_response": "labels, then response",
    "reversed": "RRS reversed",
    "joint": "relations and response at once",
    "relational_embedding": "relations of embeddings",
    "ofd": "OFD",
    "fitnets": "FitNets",
    "dist": "DIST",
}
MEASURES = ("accuracy", "unseen", "log_loss")  # of a run's row: accuracy, unseen_accuracy, log_loss


def explored(record: Record) -> dict[str, Any]:
    """All systems of a record with their runs and scores, and the difference of each two.

    Systems with a single run, and pairs that share fewer than two, have no interval.
    """
    unseen = record.table["device"].isin(UNSEEN_DEVICES).to_numpy()
    places = {"accuracy": record.clips, "log_loss": record.clips}
    if unseen.any():
        places["unseen"] = Clips.of(record.table[unseen])
    systems = _systems(record)
    several = len({who for _, _, who in systems} - {NOBODY}) > 1
    asked = {
        (key, measure): _asked(record, key, measure, unseen)
        for key in systems
        for measure in places
    }
    return {
        "corpus": record.settings["corpus"],
        "teachers": [
            TEACHING[who] for who in dict.fromkeys(who for *_, who in systems) if who != NOBODY
        ],
        "clips": len(record.table),
        "locations": len(record.clips.strata),
        "renderings": int(record.table["rendering"].nunique()),
        "systems": [
            _shown(key, rows, several)
            | {
                "score": {
                    m: _interval(score(asked[key, m], places[m], _measure(m))) for m in places
                }
            }
            for key, rows in systems.items()
        ],
        "pairs": {
            f"{i}-{j}": {
                m: found
                for m in places
                if (found := _difference(asked[two, m], asked[one, m], places[m], _measure(m)))
            }
            for (i, one), (j, two) in combinations(enumerate(systems), 2)
        },
    }


def _systems(record: Record) -> dict[tuple[str, int, str], list[dict[str, Any]]]:
    """The rows of each system: arm, epochs and who teaches, with the tuned second rate."""
    rows = pd.DataFrame([row for row in record.rows if row["second_rate"] is None])
    keys = ["arm", "epochs", "candidate"]
    return {
        key: some.to_dict("records")
        for key, some in rows.groupby(keys, sort=False)
        if len(some) > 1
    }


def _asked(record: Record, key: tuple[str, int, str], measure: str, unseen: np.ndarray) -> System:
    arm, epochs, candidate = key
    found = record.system(arm, epochs, candidate, _measure(measure))
    if measure != "unseen":
        return found
    return System(found.name, found.values[:, unseen], found.seeds, found.teachers)


def _measure(name: str) -> Measure:
    return "log_loss" if name == "log_loss" else "accuracy"


def _shown(key: tuple[str, int, str], rows: list[dict[str, Any]], several: bool) -> dict[str, Any]:
    """A system's label, with the teacher where there are several, and its runs."""
    arm, epochs, candidate = key
    label = LABELS.get(arm, arm.replace("_", " "))
    taught = f", by {TEACHING[candidate]}" if several and candidate != NOBODY else ""
    return {
        "name": "-".join(map(str, key)),
        "label": f"{label}, {epochs} epochs{taught}",
        "runs": [
            [row[name] for name in ("seed", "teacher", "accuracy", "unseen_accuracy", "log_loss")]
            for row in rows
        ],
    }


def _interval(found: Any) -> list[float]:
    return [round(float(value), 5) for value in (found.estimate, found.low, found.high)]


def _difference(one: System, other: System, places: Clips, measure: Measure) -> list[Any] | None:
    """Estimate, low, high and verdict of one - other over the runs that both have."""
    if len(set(one.seeds) & set(other.seeds)) < 2:
        return None
    found = difference(*shared(one, other), places, measure)
    return [*_interval(found), str(found.verdict)]


def write(source: Path = PROJECT / "results" / "fair.json", target: Path = PAGE) -> Path:
    """Write the page's data. Raises: FileNotFoundError where there is no comparison."""
    if not source.is_file():
        raise FileNotFoundError(f"no comparison in {source}: run python -m studies fair first")
    text = json.dumps(explored(Record(source)), separators=(",", ":"))
    path = target / "data.js"
    write_atomic(path, f'"use strict";\nconst COMPARISON = {text};\n'.encode())
    return path


if __name__ == "__main__":
    sys.exit(print(write()))
