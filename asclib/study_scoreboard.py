"""Every system, several seeds: the figures of `results/scoreboard.json`, and how long to train.

    python -m asclib.study scoreboard --seeds 0 1 2
    python -m asclib.study budget
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from asclib.evaluation import calibration, evaluate, paired
from asclib.experiment import MEMBERS, Experiment, build
from asclib.quantization import simulate
from asclib.settings import SCENES
from asclib.study_comparison import kept_epoch
from asclib.study_data import device_gap
from asclib.teacher import unfused_logits
from asclib.training import predict, probabilities

STUDENTS = ("student", "student_control")  # taught by no teacher
BASES = (*STUDENTS, "teacher_unfused", "response", "response_twice", "response_long")
TAUGHT = ("response", "response_faithful", "relational", "rrs", "rrs_faithful", "response_twice",
          "response_long")  # fmt: skip
BUDGETS = (6, 12, 24, 40)  # epochs of a student


def system_logits(experiment: Experiment, names: tuple[str, ...], x: torch.Tensor) -> dict:
    """Test logits (clips, 10) of every system: both teachers, each student and its int8 form."""
    # The members as trained: inside the fused teacher their bodies have moved on.
    members = [predict(experiment.member(scene), x) for scene in SCENES]
    answers = {
        "teacher_unfused": unfused_logits(torch.stack(members, dim=1)),
        "teacher": predict(experiment.teacher(), x),
        "student_control": predict(experiment.student(control=True), x),
    }
    for name in ("student", *names):
        net = experiment.student() if name == "student" else experiment.distilled(name)
        answers[name] = predict(net, x)
        answers[f"{name}_int8"] = predict(simulate(net), x)
    return answers


def scoreboard(experiments: list[Experiment], names: tuple[str, ...]) -> dict[str, Any]:
    """Scores of every system and seed on the test split, pooled scores, and paired differences."""
    clips = experiments[0].table("test")
    test = experiments[0].clips("test")
    said: dict[str, list[np.ndarray]] = {}
    rows, curves = [], []
    for experiment in experiments:
        for name, logits in system_logits(experiment, names, test.x).items():
            answer = probabilities(logits)
            said.setdefault(name, []).append(answer)
            score = evaluate(answer, clips, resamples=1)
            rows.append(
                {
                    "system": name,
                    "seed": experiment.seed,
                    "accuracy": score.overall.accuracy,
                    "log_loss": score.overall.log_loss,
                    "unseen_accuracy": score.unseen and score.unseen.accuracy,
                    "calibration_error": calibration(answer, test.labels.numpy()).error,
                }
            )
        for name in (*STUDENTS, *MEMBERS, "teacher", *names):
            history = experiment.history(name)
            curves.append(
                {
                    "network": name,
                    "seed": experiment.seed,
                    "wall_seconds": experiment.wall_seconds(name),
                    **{column: history[column].round(5).tolist() for column in history},
                }
            )
    every_seed = pd.concat([clips] * len(experiments), ignore_index=True)
    scores = {
        name: evaluate(np.concatenate(answers), every_seed)
        for name, answers in said.items()
    }
    differences = [
        {"system": name, "base": base, **paired(said[name], said[base], clips)}
        for name in said
        for base in sorted({*BASES, name.removesuffix("_int8")})
        if name != base and base in said
    ]
    sizes = {split: len(experiments[0].table(split)) for split in ("fit", "validation", "test")}
    hits = {
        name: np.concatenate(answers).argmax(1) == test.labels.repeat(len(answers)).numpy()
        for name, answers in said.items()
    }
    tables = {name: score.table().round(5).to_dict("records") for name, score in scores.items()}
    return {
        "clips": sizes,
        "seeds": [experiment.seed for experiment in experiments],
        "runs": rows,
        "pooled": tables,
        "device_gaps": {name: device_gap(hit, every_seed) for name, hit in hits.items()},
        "confusion": {name: score.confusion.tolist() for name, score in scores.items()},
        "differences": differences,
        "curves": curves,
    }


def budget(experiments: list[Experiment]) -> list[dict[str, Any]]:
    """Students trained for longer or shorter, with MixStyle and without, on validation clips alone.

    Returns: a row for each: epochs, mixstyle, seed, validation accuracy and loss of the epoch kept.
    """
    plans = [
        replace(experiments[0].profile.student, epochs=epochs, mixstyle=mixstyle)
        for epochs in sorted(BUDGETS, reverse=True)
        for mixstyle in (0.0, experiments[0].profile.member.mixstyle)
    ]
    runs = [
        Experiment(replace(one.profile, student=plan), one.data_root, one.seed)
        for plan in plans
        for one in experiments
    ]
    build([(run, "student") for run in runs])
    return [
        {"epochs": run.profile.student.epochs, "mixstyle": run.profile.student.mixstyle,
         "seed": run.seed, **kept_epoch(run, "student")}
        for run in runs
    ]  # fmt: skip
