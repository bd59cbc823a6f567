r"""All techniques against each other: weights tuned on validation clips, then scored on the test.

    python -m asclib.study teachers --seeds 0 1
    python -m asclib.study weights
    python -m asclib.study comparison --seeds 0 1 2
    python -m asclib.study comparison --seeds 0 1 2 --systems rrs@0.25 rrs@1 rrs@4
    python -m asclib.study comparison --seeds 3 4 --systems student student_smoothed response \
        relational joint rrs

A few cells of the table again, elsewhere, with the committed weights and teachers:

    python -m asclib.study comparison --seeds 0 --systems student response rrs --output again.json

`results/comparison_real.json` was made by the first three commands with `--profile small`,
`--data-root` and files of their own; nothing in it was trained for twice the epochs.

`teachers` keeps trained teachers in `results/teachers/`, so that whoever repeats a cell of the
comparison need not train ten members first. A student of seed s learns from teacher
s modulo their number. Techniques of two stages share the epochs of one: nothing is better for
having been trained longer, except where the column `epochs` says so. A run adds its seeds to those
of earlier runs with the same settings.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from asclib import kept, settings
from asclib.comparison import CLIPS, Results, condensed
from asclib.distillation import is_technique, stages_of
from asclib.evaluation import calibration, evaluate
from asclib.experiment import MEMBERS, Experiment, build
from asclib.store import PROJECT, write_atomic
from asclib.training import predict, probabilities

TEACHERS = PROJECT / "results" / "teachers"
FACTORS = (1 / 16, 0.25, 1.0, 4.0)  # of each technique's weight, in search of its own
TRIAL = 0.5  # the epochs of a trial in that search, as a share of a run's
CONTROLS = ("student", "student_smoothed")
CORE = (*CONTROLS, "response", "relational", "joint", "rrs")  # five seeds
REST = (
    "response_faithful", "relational_faithful", "rrs_faithful", "rrs_reversed", "decoupled", "dist",
    "fitnets", "fitnets_deep", "attention", "similarity", "ofd", "contrastive", "assisted",
    "assisted_fitnets",
)  # fmt: skip
LONG = ("student", "response_long", "response_twice", "rrs")  # twice the epochs in all


class System(NamedTuple):
    """One line of the comparison: what teaches the student, and for how many times the epochs."""

    name: str
    times: float = 1


SYSTEMS = (*(System(name) for name in (*CORE, *REST)), *(System(name, 2) for name in LONG))


def keep_teacher(experiment: Experiment, folder: Path) -> Path:
    """Write a teacher and its members into a folder of their own: for `Experiment(teacher=)`."""
    own = folder / f"{experiment.profile.name}-{experiment.seed}"
    trainings = {name: (experiment.history(name), experiment.wall_seconds(name))
                 for name in ("teacher", *MEMBERS)}  # fmt: skip
    members = {name: experiment.network(name).state_dict() for name in MEMBERS}
    kept.keep(experiment.teacher().state_dict(), members, trainings, own)
    return own


def student_of(
    profile: str, data_root: str | None, seed: int, system: System, teachers: Sequence[Path]
) -> Experiment:
    """The experiment in which a system's student is trained.

    Stages share the epochs of a single one, times the system's. Of several given teachers, seeds
    take turns; with none, each seed trains its own.
    """
    plans = settings.profile(profile)
    taught = is_technique(system.name)
    shares = sum(stage.epochs for stage in stages_of(system.name)) if taught else 1
    stage = max(1, round(plans.stage.epochs * system.times / shares))
    student = max(1, round(plans.student.epochs * system.times))
    plans = replace(
        plans,
        stage=replace(plans.stage, epochs=stage),
        student=replace(plans.student, epochs=student),
    )
    return Experiment(plans, data_root, seed, teachers[seed % len(teachers)] if teachers else None)


def weights(profile: str, data_root: str | None, seed: int, teachers: Sequence[Path]) -> dict:
    """Each technique with its weight times each of FACTORS, on validation clips alone.

    Trials have half the epochs, or the search would cost as much as all that is compared.
    Returns: rows of system, factor, validation accuracy and loss of the epoch kept, and the factor
        each technique goes into the comparison with: that of the best accuracy, the loss deciding
        between equals. The control with smoothed labels is searched likewise; response distillation
        of twice the epochs has the factor of response distillation.
    """
    names = [name for name in (*CORE, *REST) if name != "student"]
    # the weights as they are first: they are wanted whatever the search says
    tried = [(name, factor) for factor in sorted(FACTORS, key=lambda f: f != 1) for name in names]
    runs = {
        (name, factor): (
            student_of(profile, data_root, seed, System(name, TRIAL), teachers),
            scaled(name, factor),
        )
        for name, factor in tried
    }  # fmt: skip
    build(list(runs.values()))
    rows = [
        {"system": name, "factor": factor, **kept_epoch(experiment, network)}
        for (name, factor), (experiment, network) in runs.items()
    ]
    best = sorted(rows, key=lambda row: (-row["validation_accuracy"], row["validation_loss"]))
    factors = {name: next(r["factor"] for r in best if r["system"] == name) for name in names}
    longer = {name: factors["response"] for name in ("response_long", "response_twice")}
    return {"seed": seed, "rows": rows, "factors": factors | longer}


def scaled(name: str, factor: float) -> str:
    """The name of a technique with its weight multiplied; 1 leaves the name alone."""
    return name if factor == 1 else f"{name}@{factor:g}"


def kept_epoch(experiment: Experiment, network: str) -> dict[str, float]:
    """Validation accuracy and loss of the epoch whose weights were kept, of the last stage."""
    history = experiment.history(network)
    if "stage" in history:
        history = history[history["stage"] == history["stage"].max()]
    best = history.sort_values(["validation_accuracy", "validation_loss"], ascending=[False, True])
    return best.iloc[0][["validation_accuracy", "validation_loss"]].round(5).to_dict()


def comparison(
    profile: str,
    data_root: str | None,
    seeds: Sequence[int],
    teachers: Sequence[Path],
    factors: dict[str, float],
    systems: Sequence[System] = SYSTEMS,
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Train every system with every seed, and keep what it says of each test clip.

    Args: factors, of each technique's weight, as `weights` found them; others stay as they are.
    Returns: a row of settings and scores for each run; and arrays: `condensed` answers (runs,
        clips) in the order of the rows, and scene, device and recording (clips,) of the test clips.
    """
    runs = {
        (system, seed): (
            student_of(profile, data_root, seed, system, teachers),
            scaled(system.name, factors.get(system.name, 1.0)),
        )
        for seed in seeds
        for system in systems
    }
    build(list(runs.values()))
    any_of = next(iter(runs.values()))[0]
    test, table = any_of.clips("test"), any_of.table("test")
    given = {one.given_teacher: one for one, _ in runs.values() if one.given_teacher}
    taught_by = {}  # a teacher's accuracy: without it no gain can be understood
    for teacher, experiment in given.items():
        answer = probabilities(predict(experiment.network("teacher"), test.x))
        taught_by[teacher] = evaluate(answer, table, resamples=1).overall.accuracy
    rows, said = [], []
    for (system, seed), (experiment, network) in runs.items():
        answer = probabilities(predict(experiment.network(network), test.x))
        said.append(condensed(answer, test.labels.numpy()))
        score = evaluate(answer, table, resamples=1)
        rows.append(
            {
                "system": system.name,
                "times": system.times,
                "seed": seed,
                "factor": factors.get(system.name, 1.0),
                "epochs": len(experiment.history(network)),
                "teacher": seed % len(teachers) if teachers else seed,
                "teacher_accuracy": taught_by.get(experiment.given_teacher),
                **kept_epoch(experiment, network),
                "accuracy": score.overall.accuracy,
                "log_loss": score.overall.log_loss,
                "unseen_accuracy": score.unseen and score.unseen.accuracy,
                "calibration_error": calibration(answer, test.labels.numpy()).error,
                "wall_seconds": experiment.wall_seconds(network),
            }
        )
    answers = {key: np.stack([one[key] for one in said]) for key in said[0]}
    return rows, answers | {column: table[column].to_numpy(str) for column in CLIPS}


def add(
    path: Path, made_with: dict[str, Any], rows: list[dict[str, Any]], arrays: dict[str, np.ndarray]
) -> None:
    """Write runs to `path` (json, and npz beside it), beside those that are there.

    A run of the same system, epochs and seed takes the place of the old one.
    Raises: ValueError when the file there was made with other settings; nothing is lost.
    """
    if path.is_file():
        old = Results(path)
        differing = sorted(key for key in made_with if made_with[key] != old.settings.get(key))
        if differing or list(old.clips["recording"]) != list(arrays["recording"]):
            raise ValueError(
                f"{path} was made with other settings ({', '.join(differing) or 'test clips'}): "
                "move it away, or give another --output"
            )
        again = {(row["system"], row["times"], row["seed"]) for row in rows}
        kept = [(row.system, row.times, row.seed) not in again for row in old.runs.itertuples()]
        rows = old.runs[kept].to_dict("records") + rows
        arrays = arrays | {
            key: np.concatenate([old.arrays[key][kept], arrays[key]])
            for key in arrays if key not in CLIPS
        }  # fmt: skip
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomic(path.with_suffix(".npz"), buffer.getvalue())
    write_atomic(path, (json.dumps(made_with | {"runs": rows}, indent=1) + "\n").encode())
