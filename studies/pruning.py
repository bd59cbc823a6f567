"""How small a student can be made: filters pruned, and healed with and without the teacher.

    python -m studies pruning

The student trained on labels is pruned to a share of its MACs. Each network that is left is healed
twice from the same weights, on labels alone and by response KD; at share 1 nothing is pruned, and
the two healings say what the further training does by itself. One teacher answers for all seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import nn

from asclib.complexity import complexity
from asclib.compression.pruning import (
    Narrowed,
    Thinned,
    fix_zeros,
    healed,
    healing,
    prune_filters,
    widths_for,
    zero_share,
)
from asclib.evaluation import paired, score
from asclib.runs import Experiment, Kept, Run, build
from asclib.runs.provenance import described, provenance
from asclib.training import predict, probabilities
from studies.command import Commands, add_command, experiments

SHARES = (1.0, 0.5, 0.25, 0.1)  # of the MACs
STEPS = (0.5, 0.25, 0.1)  # of iterative pruning, which heals after each
HEALERS = ("labels", "response")


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "pruning", _pruning)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--shares", nargs="+", type=float, default=SHARES, choices=SHARES)


def _pruning(options: argparse.Namespace) -> dict[str, Any]:
    found = experiments(options, one_teacher=True)
    made_with = provenance(found[0], ("response",))
    return made_with | pruning(found, options.methods, options.shares)


def one_shot(student: Run, share: float, teacher: Run | Kept | None) -> Run:
    """Pruned once to this share of the MACs, then healed."""
    return healed(Narrowed(student, widths_for(share)), teacher)


def iterative(student: Run, share: float, teacher: Run | Kept | None) -> Run:
    """Pruned in steps to the same share and healed after each, with as many epochs as one-shot.

    The shares are of the unpruned network; the last step ends at `share`.
    """
    steps = [step for step in STEPS if step >= share]
    plan, run = healing(student.plan, 1 / len(steps)), student
    for step in steps:
        run = healed(Narrowed(run, widths_for(step)), teacher, plan)
    return run


def unstructured(student: Run, share: float, teacher: Run | Kept | None) -> Run:
    """This share of the weights kept, the others held at zero, healed."""
    return healed(Thinned(student, 1 - share), teacher)


METHODS: dict[str, Callable[[Run, float, Run | Kept | None], Run]] = {
    "one_shot": one_shot,
    "iterative": iterative,
    "unstructured": unstructured,
}
RUNS = (  # method, share (of the MACs; of the weights where single ones are pruned), healer
    *(("one_shot", share, healer) for share in SHARES for healer in HEALERS),
    *(("iterative", SHARES[-1], healer) for healer in HEALERS),
    *(("unstructured", SHARES[-1], healer) for healer in HEALERS),
)


def pruned(experiment: Experiment, method: str, share: float, healer: str) -> Run:
    """One pruned and healed network, see RUNS; `network` gives what it is without its masks."""
    teacher = experiment.teacher() if healer == "response" else None
    return METHODS[method](experiment.student(), share, teacher)


def network(run: Run) -> nn.Module:
    """The network of a run, what was held at zero an ordinary zero."""
    net = run.net()
    fix_zeros(net)
    return net


def pruning(
    experiments: list[Experiment],
    methods: Sequence[str] = tuple(METHODS),
    shares: Sequence[float] = SHARES,
) -> dict[str, Any]:
    """The figures of `results/pruning.json`.

    Args: experiments of one profile and several seeds with one teacher; methods and shares to run,
        of RUNS.
    Returns: a row per network and seed, the mean accuracy over seeds, and paired differences with
        both intervals: for each method and share, healed by the teacher minus healed on labels;
        and for each healer, iterative minus one-shot pruning, and each network minus the one that
        was not cut but healed for as long.
    """
    wanted = [run for run in RUNS if run[0] in methods and run[1] in shares]
    # the smallest first: when a run is cut off, most of it is there
    smallest = sorted(wanted, key=lambda run: (run[0] == "unstructured", run[1]))
    build([pruned(experiment, *run) for run in smallest for experiment in experiments])
    clips, test = experiments[0].table("test"), experiments[0].clips("test")
    rows, answers = [], {}
    for experiment in experiments:
        start = experiment.student().net()
        nets = {("one_shot", 1.0, "not healed"): start}
        nets |= {
            ("one_shot", share, "not healed"): prune_filters(start, widths_for(share))
            for share in shares
            if share < 1
        }
        nets |= {run: network(pruned(experiment, *run)) for run in wanted}
        for run, net in nets.items():
            answer = probabilities(predict(net, test.x))
            answers.setdefault(run, []).append(answer)
            cost, found = complexity(net), score(answer, clips).overall
            rows.append(
                dict(
                    zip(("method", "share", "healed"), run, strict=True),
                    seed=experiment.seed,
                    macs=cost.macs,
                    parameters=cost.parameters,
                    bytes=cost.bytes(),
                    peak_activation=cost.peak_activation,
                    zeros=round(zero_share(net), 5),
                    accuracy=found.accuracy,
                    log_loss=found.log_loss,
                )
            )
    differences = [
        {
            "method": method,
            "share": share,
            **paired(answers[method, share, "response"], answers[method, share, "labels"], clips),
        }
        for method, share in dict.fromkeys(run[:2] for run in wanted)
    ]
    return {
        "clips": {split: len(experiments[0].table(split)) for split in ("fit", "test")},
        "seeds": [experiment.seed for experiment in experiments],
        "teacher_seed": 0,
        "plan": described(healing(experiments[0].profile.student)),
        "widths": {str(share): widths_for(share) for share in SHARES},
        "runs": rows,
        "mean_accuracy": [
            {
                "method": method,
                "share": share,
                "healed": healer,
                "accuracy": float(
                    np.mean(
                        [
                            r["accuracy"]
                            for r in rows
                            if (r["method"], r["share"], r["healed"]) == (method, share, healer)
                        ]
                    )
                ),
            }
            for method, share, healer in answers
        ],
        "differences": differences,
        "rivals": [
            {
                "method": method,
                "share": share,
                "healed": healer,
                "base": base[0],
                "base_share": base[1],
                **paired(ours, answers[*base, healer], clips),
            }
            for (method, share, healer), ours in answers.items()
            for base in (("one_shot", 1.0), ("one_shot", share))
            if healer in HEALERS
            and (*base, healer) in answers
            and (method, share) != base
            and (base[1] == 1.0 or method == "iterative")
        ],
    }
