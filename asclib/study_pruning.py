"""How small a student can be made: filters pruned, and healed with and without the teacher.

    python -m asclib.study pruning

The student trained on labels is pruned to a share of its MACs. Each network that is left is healed
twice from the same weights, on labels alone and by response KD; at share 1 nothing is pruned, and
the two healings say what the further training does by itself. One teacher answers for all seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from asclib.complexity import complexity
from asclib.distillation import TECHNIQUES
from asclib.evaluation import evaluate, paired
from asclib.experiment import Experiment
from asclib.networks import TMSIC
from asclib.parallel import side_by_side
from asclib.pruning import (
    fix_zeros,
    heal,
    prune_filters,
    prune_weights,
    widths_for,
    zero_share,
)
from asclib.runs import save_weights
from asclib.store import artefact
from asclib.training import predict, probabilities

VERSION = 1  # raised when a training comes to other weights: tests/code_versions.json
SHARES = (1.0, 0.5, 0.25, 0.1)  # of the MACs
STEPS = (0.5, 0.25, 0.1)  # of iterative pruning, which heals after each
TEACHERS = ("labels", "response")


def one_shot(experiment: Experiment, folder: Path, share: float, teacher: str) -> torch.nn.Module:
    """Prune once to this share of the MACs, then heal."""
    net = prune_filters(experiment.student(), widths_for(share))
    _heal(net, experiment, folder, teacher, 1)
    return net


def iterative(experiment: Experiment, folder: Path, share: float, teacher: str) -> torch.nn.Module:
    """Prune in steps to the same share and heal after each, with as many epochs in all as one-shot.

    The shares are of the unpruned network; the last step ends at `share`.
    """
    steps = [step for step in STEPS if step >= share]
    net: TMSIC = experiment.student()
    for number, step in enumerate(steps):
        net = prune_filters(net, widths_for(step))
        place = folder / f"step-{number}"
        place.mkdir(exist_ok=True)
        _heal(net, experiment, place, teacher, 1 / len(steps))
    return net


def unstructured(
    experiment: Experiment, folder: Path, share: float, teacher: str
) -> torch.nn.Module:
    """Keep this share of the weights, hold the others at zero, heal."""
    net = experiment.student()
    prune_weights(net, 1 - share)
    _heal(net, experiment, folder, teacher, 1)
    fix_zeros(net)
    return net


def plan(experiment: Experiment, part: float = 1.0):
    """How a pruned network is healed: half a stage of distillation, at a third of its rate."""
    stage = experiment.profile.stage
    epochs = max(1, round(part * stage.epochs / 2))
    return replace(stage, epochs=epochs, learning_rate=stage.learning_rate / 3)


def _heal(net, experiment: Experiment, folder: Path, teacher: str, part: float) -> None:
    answers = None
    if teacher == "response":
        answers = Experiment(experiment.profile, experiment.data_root, seed=0).answers()
    heal(
        net, experiment.clips("fit"), experiment.clips("validation"), plan(experiment, part),
        seed=experiment.seed, answers=answers, folder=folder,
    )  # fmt: skip


METHODS: dict[str, Callable[..., torch.nn.Module]] = {
    "one_shot": one_shot, "iterative": iterative, "unstructured": unstructured,
}  # fmt: skip
RUNS = (
    *(("one_shot", share, teacher) for share in SHARES for teacher in TEACHERS),
    *(("iterative", SHARES[-1], teacher) for teacher in TEACHERS),
    *(("unstructured", SHARES[-1], teacher) for teacher in TEACHERS),  # of the weights, not MACs
)


def pruned(experiment: Experiment, method: str, share: float, teacher: str) -> torch.nn.Module:
    """One pruned and healed network, from the store or made now."""

    def build(folder: Path) -> None:
        net = METHODS[method](experiment, folder, share, teacher)
        save_weights(net, folder)

    experiment.build("student")
    recipe = {"share": share, "teacher": teacher, "seed": experiment.seed,
              "plan": asdict(plan(experiment))}  # fmt: skip
    parents = (experiment.run("student").folder(),)
    if teacher == "response":
        stages = TECHNIQUES["response"]
        recipe["stages"] = [stage.settings() for stage in stages]
        one_teacher = Experiment(experiment.profile, experiment.data_root).run("teacher")
        parents += (one_teacher.folder(),)
    folder = artefact(f"pruned_{method}", recipe, build, version=VERSION, parents=parents)
    state = load_file(folder / "weights.safetensors")
    net = TMSIC(widths=[len(state[f"conv{layer}.bias"]) for layer in (1, 2, 3, 4)])
    net.load_state_dict(state)
    return net.eval()


def pruning(
    experiments: list[Experiment],
    methods: tuple[str, ...] = tuple(METHODS),
    shares: tuple[float, ...] = SHARES,
) -> dict[str, Any]:
    """The figures of `results/pruning.json`.

    Args: experiments of one profile and several seeds; methods and shares to run, of RUNS.
    Returns: a row per network and seed, the mean accuracy over seeds, and paired differences with
        both intervals: for each method and share, healed by the teacher minus healed on labels;
        and for each healer, iterative minus one-shot pruning, and each network minus the one that
        was not cut but healed for as long.
    """
    Experiment(experiments[0].profile, experiments[0].data_root).answers()
    # the smallest first: when a run is cut off, most of it is there
    wanted = [run for run in RUNS if run[0] in methods and run[1] in shares]
    smallest = sorted(wanted, key=lambda run: (run[0] == "unstructured", run[1]))
    jobs = [(experiment, *run) for run in smallest for experiment in experiments]
    side_by_side(pruned, jobs, "pruned networks")
    clips, test = experiments[0].table("test"), experiments[0].clips("test")
    rows, answers = [], {}
    for experiment in experiments:
        start = experiment.student()
        nets = {("one_shot", 1.0, "not healed"): start}
        nets |= {
            ("one_shot", share, "not healed"): prune_filters(start, widths_for(share))
            for share in shares
            if share < 1
        }
        nets |= {run: pruned(experiment, *run) for run in wanted}
        for run, net in nets.items():
            answer = probabilities(predict(net, test.x))
            answers.setdefault(run, []).append(answer)
            cost, score = complexity(net), evaluate(answer, clips, resamples=1)
            rows.append(dict(
                zip(("method", "share", "healed"), run, strict=True),
                seed=experiment.seed, macs=cost.macs, parameters=cost.parameters,
                bytes=cost.bytes(), peak_activation=cost.peak_activation,
                zeros=round(zero_share(net), 5), accuracy=score.overall.accuracy,
                log_loss=score.overall.log_loss,
            ))  # fmt: skip
    differences = [
        {"method": method, "share": share,
         **paired(answers[method, share, "response"], answers[method, share, "labels"], clips)}
        for method, share in dict.fromkeys(run[:2] for run in wanted)
    ]  # fmt: skip
    return {
        "clips": {split: len(experiments[0].table(split)) for split in ("fit", "test")},
        "seeds": [experiment.seed for experiment in experiments],
        "teacher_seed": 0,
        "plan": asdict(plan(experiments[0])),
        "widths": {str(share): widths_for(share) for share in SHARES},
        "runs": rows,
        "mean_accuracy": [
            {"method": method, "share": share, "healed": healed,
             "accuracy": float(np.mean([r["accuracy"] for r in rows if (
                 r["method"], r["share"], r["healed"]) == (method, share, healed)]))}
            for method, share, healed in answers
        ],
        "differences": differences,
        "rivals": [
            {"method": method, "share": share, "healed": healed, "base": base[0],
             "base_share": base[1], **paired(ours, answers[*base, healed], clips)}
            for (method, share, healed), ours in answers.items()
            for base in (("one_shot", 1.0), ("one_shot", share))
            if healed in TEACHERS and (*base, healed) in answers and (method, share) != base
            and (base[1] == 1.0 or method == "iterative")
        ],
    }  # fmt: skip

