"""Ten one-vs-all networks, ten ordinary ones, or one as large as all ten?

    python -m asclib.study ensembles

All get a member's effort, the same epochs on the same clips with the same augmentation:
ordinary    ten TMSIC of ten classes, from ten seeds, their probabilities averaged
single      one TMSIC with filters enough for the parameters of ten
one         one TMSIC: the control
unfused     the ten one-vs-all members by their odds
fused       the same, fused and fine-tuned: the teacher, which has the epochs of its fusion on top
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from asclib.complexity import complexity
from asclib.evaluation import calibration, evaluate, paired
from asclib.experiment import Experiment, build
from asclib.networks import count_parameters
from asclib.settings import SCENES
from asclib.teacher import unfused_logits
from asclib.training import predict

MEMBERS = len(SCENES)
SYSTEMS = ("one", "ordinary", "single", "unfused", "fused")


def ordinary(experiment: Experiment) -> list[Experiment]:
    """Ten experiments whose `student` is an ordinary network with a member's effort."""
    plan = replace(
        experiment.profile.student,
        epochs=experiment.profile.member.epochs, mixstyle=experiment.profile.member.mixstyle,
    )  # fmt: skip
    profile = replace(experiment.profile, student=plan)
    first = MEMBERS * experiment.seed
    return [Experiment(profile, experiment.data_root, first + k) for k in range(MEMBERS)]


def answers(experiment: Experiment, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Probabilities (clips, 10) of every system, and `members`: each one's P(its scene)."""
    each = [predict(one.student(), x).softmax(1) for one in ordinary(experiment)]
    members = torch.stack([predict(experiment.member(scene), x) for scene in SCENES], dim=1)
    return {
        "one": each[0],
        "ordinary": torch.stack(each).mean(0),
        "single": predict(experiment.network("single"), x).softmax(1),
        "unfused": unfused_logits(members).softmax(1),
        "fused": predict(experiment.teacher(), x).softmax(1),
        "members": members.softmax(2)[..., 0],
    }


def ensembles(experiments: list[Experiment]) -> dict[str, Any]:
    """The figures of `results/ensembles.json`.

    Returns: each system's size; a row for each system and seed; recalls of each scene, all seeds
        pooled; differences of every pair with both intervals; and for each scene's member, how far
        its probabilities are from the share of clips they are right for.
    """
    singles = [one for experiment in experiments for one in ordinary(experiment)]
    # the longest first: the last to be trained must not leave a core idle for minutes
    build([(experiment, "single") for experiment in experiments])
    build([(one, "student") for one in singles])
    build([(experiment, "teacher") for experiment in experiments])
    clips, test = experiments[0].table("test"), experiments[0].clips("test")
    truth = test.labels.numpy()
    said = [answers(experiment, test.x) for experiment in experiments]
    said = {name: [one[name].double().numpy() for one in said] for name in said[0]}
    rows, scenes = [], []
    for name in SYSTEMS:
        for experiment, p in zip(experiments, said[name], strict=True):
            score = evaluate(p, clips, resamples=1)
            rows.append(
                {"system": name, "seed": experiment.seed, "accuracy": score.overall.accuracy,
                 "log_loss": score.overall.log_loss,
                 "unseen_accuracy": score.unseen and score.unseen.accuracy,
                 "calibration_error": calibration(p, truth).error}
            )  # fmt: skip
            scenes += [
                {"system": name, "seed": experiment.seed, "scene": scene, "recall": one.accuracy}
                for scene, one in score.scenes.items()
            ]
    return {
        "seeds": [experiment.seed for experiment in experiments],
        "sizes": sizes(experiments[0]),
        "runs": rows,
        "scenes": scenes,
        "differences": [
            {"system": a, "base": b, **paired(said[a], said[b], clips)}
            for i, b in enumerate(SYSTEMS) for a in SYSTEMS[i + 1 :]
        ],
        "members": [
            {"scene": scene, "seed": experiment.seed, **reliability(p[:, k], truth == k)}
            for experiment, p in zip(experiments, said["members"], strict=True)
            for k, scene in enumerate(SCENES)
        ],
    }  # fmt: skip


def sizes(experiment: Experiment) -> dict[str, dict[str, int]]:
    """Parameters and MACs of each system."""
    student = ordinary(experiment)[0].student()
    nets = {"one": (student, 1), "ordinary": (student, MEMBERS),
            "single": (experiment.network("single"), 1),
            "unfused": (experiment.member(SCENES[0]), MEMBERS), "fused": (experiment.teacher(), 1)}
    return {
        name: {"parameters": times * count_parameters(net), "macs": times * complexity(net).macs}
        for name, (net, times) in nets.items()
    }  # fmt: skip


def reliability(probability: np.ndarray, own: np.ndarray) -> dict[str, float]:
    """A member's mean probability, the share of clips that are of its scene, and the mean gap.

    The gap is the expected calibration error of the two-way answer, in 15 bins of its confidence.
    """
    two = np.stack([probability, 1 - probability], axis=1)
    return {
        "said": float(probability.mean()),
        "share": float(own.mean()),
        "calibration_error": calibration(two, (~own).astype(int)).error,
    }
