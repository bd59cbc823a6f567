"""Ten one-vs-all networks, ten ordinary ones, or one as large as all ten?

    python -m studies ensembles

All get a member's effort, the same epochs on the same clips with the same augmentation:
ordinary    ten TMSIC of ten classes, from ten seeds, their probabilities averaged
single      one TMSIC with filters enough for the parameters of ten
one         one TMSIC: the control
unfused     the ten one-vs-all members by their odds
fused       the same, fused and fine-tuned: the teacher, which has the epochs of its fusion on top
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from asclib.challenge import SCENES
from asclib.complexity import complexity
from asclib.evaluation import calibration, paired, score
from asclib.networks import count_parameters, unfused_logits
from asclib.runs import Experiment, Run, build
from asclib.runs.provenance import provenance
from asclib.training import predict
from studies.command import Commands, add_command, experiments

MEMBERS = len(SCENES)
SYSTEMS = ("one", "ordinary", "single", "unfused", "fused")


def add_parser(commands: Commands) -> None:
    add_command(commands, "ensembles", _ensembles, seeds=5)


def _ensembles(options: argparse.Namespace) -> dict[str, Any]:
    found = experiments(options)
    return provenance(found[0]) | ensembles(found)


def ordinary(experiment: Experiment) -> list[Run]:
    """Ten ordinary networks with a member's effort, each from a seed of its own."""
    first = MEMBERS * experiment.seed
    return [replace(experiment.control(), seed=first + k) for k in range(MEMBERS)]


def answers(experiment: Experiment, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Probabilities (clips, 10) of every system, and `members`: each one's P(its scene)."""
    each = [predict(run.net(), x).softmax(1) for run in ordinary(experiment)]
    members = torch.stack([predict(run.net(), x) for run in experiment.members()], dim=1)
    return {
        "one": each[0],
        "ordinary": torch.stack(each).mean(0),
        "single": predict(experiment.single().net(), x).softmax(1),
        "unfused": unfused_logits(members).softmax(1),
        "fused": predict(experiment.teacher().net(), x).softmax(1),
        "members": members.softmax(2)[..., 0],
    }


def ensembles(experiments: list[Experiment]) -> dict[str, Any]:
    """The figures of `results/ensembles.json`.

    Returns: each system's size; a row for each system and seed; recalls of each scene, all seeds
        pooled; differences of every pair with both intervals; and for each scene's member, how far
        its probabilities are from the share of clips they are right for.
    """
    # the longest first: the last to be trained must not leave a core idle for minutes
    build(
        [experiment.single() for experiment in experiments]
        + [run for experiment in experiments for run in ordinary(experiment)]
        + [experiment.teacher() for experiment in experiments]
    )
    clips, test = experiments[0].table("test"), experiments[0].clips("test")
    truth = test.labels.numpy()
    said = [answers(experiment, test.x) for experiment in experiments]
    said = {name: [one[name].double().numpy() for one in said] for name in said[0]}
    rows, scenes = [], []
    for name in SYSTEMS:
        for experiment, p in zip(experiments, said[name], strict=True):
            found = score(p, clips)
            rows.append(
                {
                    "system": name,
                    "seed": experiment.seed,
                    "accuracy": found.overall.accuracy,
                    "log_loss": found.overall.log_loss,
                    "unseen_accuracy": found.unseen and found.unseen.accuracy,
                    "calibration_error": calibration(p, truth).error,
                }
            )
            scenes += [
                {"system": name, "seed": experiment.seed, "scene": scene, "recall": one.accuracy}
                for scene, one in found.scenes.items()
            ]
    return {
        "seeds": [experiment.seed for experiment in experiments],
        "sizes": sizes(experiments[0]),
        "runs": rows,
        "scenes": scenes,
        "differences": [
            {"system": a, "base": b, **paired(said[a], said[b], clips)}
            for i, b in enumerate(SYSTEMS)
            for a in SYSTEMS[i + 1 :]
        ],
        "members": [
            {"scene": scene, "seed": experiment.seed, **reliability(p[:, k], truth == k)}
            for experiment, p in zip(experiments, said["members"], strict=True)
            for k, scene in enumerate(SCENES)
        ],
    }


def sizes(experiment: Experiment) -> dict[str, dict[str, int]]:
    """Parameters and MACs of each system."""
    nets = {
        "one": (experiment.control(), 1),
        "ordinary": (experiment.control(), MEMBERS),
        "single": (experiment.single(), 1),
        "unfused": (experiment.member(SCENES[0]), MEMBERS),
        "fused": (experiment.teacher(), 1),
    }
    nets = {name: (run.net(), times) for name, (run, times) in nets.items()}
    return {
        name: {"parameters": times * count_parameters(net), "macs": times * complexity(net).macs}
        for name, (net, times) in nets.items()
    }


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
