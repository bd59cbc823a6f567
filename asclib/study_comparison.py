"""All techniques against each other: weights tuned on validation clips, then scored on the test.

    python -m asclib.study teachers --seeds 0 1
    python -m asclib.study weights
    python -m asclib.study comparison --seeds 0 1 2

`teachers` keeps the weights of trained teachers in `results/teachers/`, so that whoever repeats a
cell of the comparison need not train ten members first. A student of seed s learns from teacher
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
import pandas as pd
from safetensors.torch import save_file

from asclib import settings
from asclib.distillation import is_technique, stages_of
from asclib.evaluation import calibration, evaluate
from asclib.experiment import Experiment, build
from asclib.store import PROJECT, write_atomic
from asclib.training import predict

TEACHERS = PROJECT / "results" / "teachers"
FACTORS = (0.25, 1.0, 4.0)  # what each technique's weight is multiplied by, in search of its own
CONTROLS = ("student", "student_smoothed")
CORE = (*CONTROLS, "response", "relational", "joint", "rrs")  # five seeds
REST = (
    "response_faithful", "relational_faithful", "rrs_faithful", "rrs_reversed", "decoupled", "dist",
    "fitnets", "fitnets_deep", "attention", "similarity", "ofd", "contrastive", "assisted",
    "assisted_fitnets",
)  # fmt: skip
CLIPS = ("scene", "device", "recording")  # what scores ask of a test clip
LONG = ("student", "response_long", "response_twice", "rrs")  # twice the epochs in all


class System(NamedTuple):
    """One line of the comparison: what teaches the student, and for how many times the epochs."""

    name: str
    times: int = 1


SYSTEMS = (*(System(name) for name in (*CORE, *REST)), *(System(name, 2) for name in LONG))


def keep_teacher(experiment: Experiment, folder: Path) -> Path:
    """Write a teacher's weights as 16-bit floats, a megabyte: what `Experiment(teacher=)` reads."""
    weights = experiment.teacher().state_dict()
    halves = {key: value.half() if value.is_floating_point() else value
              for key, value in weights.items()}  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{experiment.profile.name}-{experiment.seed}.safetensors"
    save_file({key: value.contiguous() for key, value in halves.items()}, path)
    return path


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
    plans = replace(
        plans,
        stage=replace(plans.stage, epochs=round(plans.stage.epochs * system.times / shares)),
        student=replace(plans.student, epochs=plans.student.epochs * system.times),
    )
    return Experiment(plans, data_root, seed, teachers[seed % len(teachers)] if teachers else None)


def weights(profile: str, data_root: str | None, seed: int, teachers: Sequence[Path]) -> dict:
    """Each technique with its weight times each of FACTORS, on validation clips alone.

    Returns: rows of system, factor, validation accuracy and loss of the epoch kept, and the factor
        each technique goes into the comparison with: that of the best accuracy, the loss deciding
        between equals. The control with smoothed labels is searched likewise.
    """
    names = [name for name in (*CORE, *REST) if name != "student"]
    # the weights as they are first: they are wanted whatever the search says
    tried = [(name, factor) for factor in sorted(FACTORS, key=lambda f: f != 1) for name in names]
    runs = {
        (name, factor): (
            student_of(profile, data_root, seed, System(name), teachers), scaled(name, factor)
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
    return {"seed": seed, "rows": rows, "factors": factors}


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
    rows, said = [], []
    for (system, seed), (experiment, network) in runs.items():
        probabilities = predict(experiment.network(network), test.x).double().softmax(1).numpy()
        said.append(condensed(probabilities, test.labels.numpy()))
        score = evaluate(probabilities, table, resamples=1)
        rows.append(
            {
                "system": system.name,
                "times": system.times,
                "seed": seed,
                "factor": factors.get(system.name, 1.0),
                "epochs": len(experiment.history(network)),
                "teacher": seed % len(teachers) if teachers else seed,
                **kept_epoch(experiment, network),
                "accuracy": score.overall.accuracy,
                "log_loss": score.overall.log_loss,
                "unseen_accuracy": score.unseen and score.unseen.accuracy,
                "calibration_error": calibration(probabilities, test.labels.numpy()).error,
                "wall_seconds": experiment.wall_seconds(network),
            }
        )
    answers = {key: np.stack([one[key] for one in said]) for key in said[0]}
    return rows, answers | {column: table[column].to_numpy(str) for column in CLIPS}


def condensed(probabilities: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """What every score needs of an answer: the scene guessed, its probability, ln p of the truth.

    Args: probabilities (clips, 10), truth (clips,). Returns: arrays (clips,), five bytes a clip.
    """
    true = probabilities[np.arange(len(truth)), truth]
    return {
        "guess": probabilities.argmax(1).astype(np.uint8),
        "confidence": probabilities.max(1).astype(np.float16),
        "log_true": np.log(true.clip(1e-16)).astype(np.float16),
    }


def restored(
    guess: np.ndarray, confidence: np.ndarray, log_true: np.ndarray, truth: np.ndarray
) -> np.ndarray:
    """Probabilities (clips, 10) with the scores of those that were condensed, to 16-bit floats.

    Scenes that are neither guessed nor true share what is left.
    """
    rows, truth = np.arange(len(truth)), truth.astype(int)
    right = guess == truth
    top, true = confidence.astype(float), np.exp(log_true.astype(float))
    below = top * (1 - 1e-3)  # rounding must not give the guess to another scene
    true = np.where(right, top, np.minimum(true, below))
    rest = np.where(right, (1 - top) / 9, (1 - top - true) / 8).clip(0, below)
    probabilities = np.repeat(rest[:, None], len(settings.SCENES), axis=1)
    probabilities[rows, truth] = true
    probabilities[rows, guess] = top
    return probabilities / probabilities.sum(1, keepdims=True)


class Results:
    """The committed runs of the comparison, for whoever wants to score them.

    `runs`: a row for each, see `comparison`; `clips`: scene, device and recording of the test.
    """

    def __init__(self, path: Path = PROJECT / "results" / "comparison.json"):
        self.settings = json.loads(path.read_text())
        self.runs = pd.DataFrame(self.settings.pop("runs"))
        self.arrays = dict(np.load(path.with_suffix(".npz")))
        self.clips = pd.DataFrame({column: self.arrays[column] for column in CLIPS})
        self.truth = np.array([settings.SCENES.index(scene) for scene in self.clips["scene"]])

    def seeds(self, name: str, times: int = 1) -> list[int]:
        """The seeds a system was trained with, in order."""
        runs = self.runs[(self.runs["system"] == name) & (self.runs["times"] == times)]
        return sorted(runs["seed"].tolist())

    def probabilities(self, name: str, seeds: Sequence[int], times: int = 1) -> list[np.ndarray]:
        """One (clips, 10) array of each seed. Raises: ValueError when a seed was not trained."""
        arrays = []
        for seed in seeds:
            run = self.runs.query("system == @name and times == @times and seed == @seed")
            if run.empty:
                raise ValueError(f"no run of {name} with {times} times the epochs and seed {seed}")
            row = run.index[0]
            arrays.append(
                restored(*(self.arrays[key][row] for key in ("guess", "confidence", "log_true")),
                         self.truth)
            )  # fmt: skip
        return arrays


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

