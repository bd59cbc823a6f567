"""What the decisive comparison has found: one primary difference, its confirmation, and the rest.

One rule decides everywhere, `asclib.evaluation.statistics`: *yes* where the 95 % interval over
locations, seeds and teachers excludes zero, *no* where it lies within a point of it, else *open*.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from scipy import stats

from asclib.evaluation import control
from asclib.evaluation.statistics import LEVEL, Difference, Interval, combine, difference
from asclib.evaluation.systems import Clips, Measure, System
from studies.arms import ARMS, DECIDING
from studies.record import ARRAYS, Kept, Record

PRIMARY = ("rrs", "response_response")
CONTROL = "labels"
MEASURED: dict[Kept, Measure] = {
    "accuracy": "accuracy",
    "log_loss": "log_loss",
    "tempered_log_loss": "log_loss",
}
PAIRS = (  # of the deciding arms: the primary one first
    PRIMARY,
    ("rrs", "labels_response"),
    ("rrs", "labels"),
    ("response_response", "labels"),
    ("labels_response", "labels"),
    ("labels_response", "response_response"),
)
ALSO = (  # what one phase is worth, tuned by itself; and what a fresh start in the middle costs
    ("response", "labels"),
    ("response", "response_response"),
    ("rrs", "response"),
    ("response_alone", "response_response"),
    ("response", "response_alone"),
)


def decide(record: Record, epochs: Sequence[int], candidate: str) -> dict[str, Any]:
    """The differences of the deciding arms, and those of all arms to the control.

    Returns: `primary` at the longest of the epochs; `pairs`, a row for each two deciding arms,
        epochs and measure, and for those of ALSO that were run; `control`, each other arm minus
        labels in accuracy with Dunnett's intervals, at the shortest of the epochs.
    Raises: ValueError naming the run that is missing of a deciding arm.
    """
    clips, rows = record.clips, []
    for length in epochs:
        there = record.arms(length, candidate)
        also = [pair for pair in ALSO if {*pair} <= there]
        arms = [*DECIDING, *({arm for pair in also for arm in pair} - {*DECIDING})]
        for measure in ARRAYS:
            systems = {arm: record.system(arm, length, candidate, measure) for arm in arms}
            for one, other in (*PAIRS, *also):
                pair = shared(systems[one], systems[other])
                found = difference(*pair, clips, MEASURED[measure])
                row = {"system": one, "base": other, "epochs": length, "measure": measure}
                rows.append(row | plain(found))
    primary = next(
        row
        for row in rows
        if (row["system"], row["base"]) == PRIMARY
        and (row["epochs"], row["measure"]) == (max(epochs), "accuracy")
    )
    against = against_labels(record, min(epochs), candidate, clips)
    return {"candidate": candidate, "primary": primary, "pairs": rows, "control": against}


def shared(one: System, other: System) -> tuple[System, System]:
    """Both with the teachers that they share, and the seeds that both have with all of these.

    One may have been given more, and a seed that is being run waits until it is whole.
    """
    teachers = set(one.teachers or ()) & set(other.teachers or ())
    seeds = whole(one, teachers) & whole(other, teachers)
    return one.only(seeds, teachers), other.only(seeds, teachers)


def whole(system: System, teachers: set[str | int] | None = None) -> set[int]:
    """The seeds that a system has with all of these teachers; with all of its own when None."""
    if teachers is None:
        teachers = set(system.teachers or ())
    by: dict[int, set[str | int]] = {}
    for seed, teacher in zip(system.seeds, system.teachers or (), strict=True):
        by.setdefault(seed, set()).add(teacher)
    return {seed for seed, theirs in by.items() if teachers <= theirs}


def against_labels(
    record: Record, epochs: int, candidate: str, clips: Clips
) -> list[dict[str, Any]]:
    """All arms that were run minus labels, their intervals holding all at once.

    A seed that is being run waits, as in `shared`.
    """
    there = record.arms(epochs, candidate) - {CONTROL}
    base, *systems = (
        one.only(whole(one))
        for one in (
            record.system(arm, epochs, candidate)
            for arm in (CONTROL, *(arm for arm in ARMS if arm in there))
        )
    )
    found = control.against(base, systems, clips)
    return [{"system": arm, "epochs": epochs} | plain(one) for arm, one in found.items()]


def plain(found: Difference) -> dict[str, Any]:
    """A difference for a table: fractions, or nats for log loss."""
    df = found.degrees_of_freedom
    return {
        "difference": round(found.estimate, 5),
        "low": round(found.low, 5),
        "high": round(found.high, 5),
        "verdict": str(found.verdict),
        "degrees_of_freedom": round(df, 1) if math.isfinite(df) else None,
        "seeds": found.seeds,
        "teachers": found.teachers,
        "locations": found.locations,
    }


def figures(found: Interval, name: str = "accuracy") -> dict[str, Any]:
    """An accuracy, or a difference of two with its verdict: columns of a table, as fractions."""
    ends = {name: found.estimate, f"{name}_low": found.low, f"{name}_high": found.high}
    rounded: dict[str, Any] = {column: round(value, 5) for column, value in ends.items()}
    return rounded | ({"verdict": str(found.verdict)} if isinstance(found, Difference) else {})


def weighted(parts: Sequence[Interval], weights: Sequence[float]) -> Interval:
    """The weighted sum of estimates that have neither clips nor trainings in common.

    `asclib.evaluation.statistics.combine` adds their variances up: of two, weighted 1 and -1, the
    interval is Welch's.
    """
    squares = {
        frozenset({str(k)}): ((weight * one.standard_error) ** 2, one.degrees_of_freedom)
        for k, (one, weight) in enumerate(zip(parts, weights, strict=True))
    }
    variance, df, components = combine(squares)
    middle = sum(weight * one.estimate for one, weight in zip(parts, weights, strict=True))
    half = float(stats.t.ppf((1 + LEVEL) / 2, df)) * variance**0.5
    return Interval(
        middle,
        middle - half,
        middle + half,
        variance**0.5,
        df,
        min(one.seeds for one in parts),
        max(one.teachers for one in parts),
        sum(one.locations for one in parts),
        {"".join(factors): value for factors, value in components.items()},
    )


def sentence(row: dict[str, Any]) -> str:
    """One difference in words."""
    unit, scale = ("points", 100) if row.get("measure", "accuracy") == "accuracy" else ("nats", 1)
    low, middle, high = (scale * row[key] for key in ("low", "difference", "high"))
    heard = f", {row['heard']}" if "heard" in row else ""  # devices, where not all of them
    heard += ", tempered" if row.get("measure") == "tempered_log_loss" else ""
    return (
        f"{row['system']} - {row.get('base', CONTROL)}, {row['epochs']} epochs{heard}: "
        f"{middle:+.2f} {unit}, {low:+.2f} to {high:+.2f} ({row['verdict']})"
    )
