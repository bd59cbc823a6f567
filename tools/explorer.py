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

from asclib.challenge import UNSEEN_DEVICES
from asclib.evaluation.statistics import Interval, difference, score
from asclib.evaluation.systems import Clips, Measure, System
from asclib.store import PROJECT, write_atomic
from studies.models import TEACHING
from studies.record import NOBODY, Kept, Record
from studies.verdicts import MEASURED, shared, whole

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
OF_RUN = ("seed", "teacher", "accuracy", "unseen_accuracy", "log_loss", "tempered_log_loss")
Key = tuple[str, int, str]  # of a system: arm, epochs, who teaches


def explored(record: Record) -> dict[str, Any]:
    """All systems of a record with their runs and scores, and the difference of each two.

    A seed counts once it is there with all teachers of its system: the intervals are of whole
    grids. Systems with a single run, and pairs that share fewer than two, have no interval; nor has
    a log loss after a temperature where the runs have none.
    """
    rows, measured = _systems(record), _measured(record)
    systems = {
        (key, name): _system(record, key, some, measure, mask)
        for key, some in rows.items()
        for name, (measure, mask) in measured.items()
        if sum(measure in row for row in some) > 1
    }
    asked = {
        name: (Clips.of(record.table[mask]), MEASURED[how])
        for name, (how, mask) in measured.items()
    }
    taught_by = [who for who in dict.fromkeys(who for *_, who in rows) if who != NOBODY]
    return {
        "corpus": record.settings["corpus"],
        "teachers": [TEACHING[who] for who in taught_by],
        "clips": len(record.table),
        "locations": len(record.clips.strata),
        "renderings": int(record.table["rendering"].nunique()),
        "systems": [
            _shown(key, some, several=len(taught_by) > 1)
            | {
                "score": {
                    m: _interval(score(systems[key, m], *asked[m]))
                    for m in asked
                    if (key, m) in systems
                }
            }
            for key, some in rows.items()
        ],
        "pairs": {
            f"{i}-{j}": {
                m: found
                for m in asked
                if (one, m) in systems and (two, m) in systems
                if (found := _difference(systems[two, m], systems[one, m], *asked[m]))
            }
            for (i, one), (j, two) in combinations(enumerate(rows), 2)
        },
    }


def _measured(record: Record) -> dict[str, tuple[Kept, np.ndarray]]:
    """What the page can ask: how a clip is scored, and which clips count, (clips,) of bool."""
    unseen = record.table["device"].isin(UNSEEN_DEVICES).to_numpy()
    found: dict[str, tuple[Kept, np.ndarray]] = {
        "accuracy": ("accuracy", np.ones_like(unseen)),
        "unseen": ("accuracy", unseen),
        "log_loss": ("log_loss", np.ones_like(unseen)),
        "tempered_log_loss": ("tempered_log_loss", np.ones_like(unseen)),
    }
    return {name: one for name, one in found.items() if one[1].any()}


def _systems(record: Record) -> dict[Key, list[dict[str, Any]]]:
    """The rows of each system, with the tuned second rate and the seeds that are complete."""
    rows: dict[Key, list[dict[str, Any]]] = {}
    for row in record.rows:
        if row["second_rate"] is None:
            key = (row["arm"], row["epochs"], row["candidate"])
            rows.setdefault(key, []).append(row)
    found = {}
    for key, some in rows.items():
        seeds = whole(record.system(*key))
        kept = [row for row in some if row["seed"] in seeds]
        if len(kept) > 1:
            found[key] = kept
    return found


def _system(
    record: Record, key: Key, rows: list[dict[str, Any]], measure: Kept, mask: np.ndarray
) -> System:
    """The runs of these rows, on the clips that count."""
    return record.system(*key, measure).only({row["seed"] for row in rows}).on(mask)


def _shown(key: Key, rows: list[dict[str, Any]], several: bool) -> dict[str, Any]:
    """A system's label, with the teacher where there are several, and its runs."""
    arm, epochs, candidate = key
    label = LABELS.get(arm, arm.replace("_", " "))
    taught = f", by {TEACHING[candidate]}" if several and candidate != NOBODY else ""
    return {
        "name": "-".join(map(str, key)),
        "label": f"{label}, {epochs} epochs{taught}",
        "runs": [[row.get(name) for name in OF_RUN] for row in rows],
    }


def _interval(found: Interval) -> list[float]:
    return [round(float(value), 5) for value in (found.estimate, found.low, found.high)]


def _difference(one: System, other: System, places: Clips, measure: Measure) -> list[Any] | None:
    """Estimate, low, high and verdict of one - other over the runs that both have."""
    runs, base = (set(zip(s.seeds, s.teachers or (), strict=True)) for s in (one, other))
    if len(runs & base) < 2:
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
