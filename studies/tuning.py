"""The settings of each arm, tried on validation clips with seeds that no run of the comparison has.

Every arm, the labels included, has as many trials (`studies.arms.trials`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asclib.training import macro_accuracy, predict
from studies.arms import Design, trials
from studies.recipe import through
from studies.record import begun, write_json
from studies.sitting import Sitting


def tune(
    sitting: Sitting,
    arms: Sequence[str],
    seeds: Sequence[int],
    epochs: int,
    teacher: int,
    path: Path,
    speed: float,
) -> None:
    """Try the settings of each arm, and write them beside those that are there, arm by arm.

    Each trial has half of `epochs`. Raises: ValueError when the file was made with other settings.
    """
    made_with = sitting.made_with(tests=False) | {
        "candidate": sitting.candidate,
        "teacher": teacher,
        "seeds": list(seeds),
        "trial_epochs": max(2, epochs // 2),
    }
    found = begun(path, made_with)
    there = {row["arm"] for row in found["runs"]}
    missing = [arm for arm in dict.fromkeys(arms) if arm not in there]
    number = sum(len(trials(arm)) for arm in missing) * len(seeds)
    print(sitting.cost([made_with["trial_epochs"]] * number, speed))
    heard = [sitting.first.clips("validation"), through(sitting.first)]
    for arm in missing:
        asked = [(trial, seed) for trial in trials(arm) for seed in seeds]
        designs = [
            (Design(arm, made_with["trial_epochs"], tuple(trial.items()), sitting.batch), seed)
            for trial, seed in asked
        ]
        runs = sitting.runs([(design, seed, teacher) for design, seed in designs])
        for (trial, seed), run in zip(asked, runs, strict=True):
            scores = [macro_accuracy(predict(run.net(), one.x), one.labels) for one in heard]
            row = {"arm": arm, "seed": seed, "trial": trial, "score": round(np.mean(scores), 5)}
            found["runs"].append(row | {"seconds": run.seconds()})
        found["chosen"] = best(found["runs"])
        write_json(path, found)


def best(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The trial of each arm with the best mean score over its seeds; of equals the first."""
    scores: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        trial = json.dumps(row["trial"])
        scores.setdefault(row["arm"], {}).setdefault(trial, []).append(row["score"])
    return {
        arm: json.loads(max(each, key=lambda trial: np.mean(each[trial])))
        for arm, each in scores.items()
    }


def chosen(path: Path, arms: Sequence[str]) -> dict[str, dict[str, float]]:
    """The settings that `tune` has found. Raises: FileNotFoundError for arms without any."""
    found = json.loads(path.read_text())["chosen"] if path.is_file() else {}
    missing = [arm for arm in arms if arm not in found]
    if missing:
        raise FileNotFoundError(
            f"{path} has no settings of {', '.join(missing)}: run python -m studies fair --tune "
            f"--arms {' '.join(missing)} first, or add --untuned"
        )
    return found
