"""How small a student can be made: filters cut and healed, or the small network from scratch?

    python -m studies pruning --plan
    python -m studies pruning --seeds 0 1 2 3 4

This is the design, written down before the first run; nothing here was changed by a test score.

The student is trained on labels (24 epochs). The taps that only meet padding go first, which
loses nothing. Then filters go, in widths of multiples of 4, until a half, a quarter and a tenth of
the MACs are left. What is left is healed for half as many epochs again: by labels, by the best
teacher there is alone, or by both. Everybody has the same augmentation.

Primary hypothesis, the only one: at a quarter of the MACs, healed by labels - the same small
network from random weights, trained for as many epochs in all, macro accuracy. Where it is *no* or
*open*, pruning was a search for widths and nothing more. Everything else explores:

whole        not cut: as it was trained, and healed in each way, for what longer training does
cut          healed in each way; at a quarter also with filters chosen by their plain L1 norm or by
             their folded one, and with biases and statistics repaired before healing
scratch      from random weights with as many epochs in all, on labels, and by both
iterative    to a tenth in three steps, healed after each, with as many epochs in all
unstructured nine tenths of the weights at zero, which the challenge does not reward
unhealed     the cut networks before any healing, repaired: filters chosen by what the next layer
             hears or by the plain L1 norm; and unrepaired

Each network that was trained is also written as a full int8 file and asked on the test. Five seeds
and one teacher. What they see if two arms differ as two trainings do, `--plan` prints; arms that go
on from one student differ by less. One rule decides: *yes* where the 95 % interval over locations
and seeds excludes zero, *no* where it lies within a point of it, else *open*.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from asclib.complexity import complexity
from asclib.compression import agreement, exported
from asclib.compression.pruning import (
    REPAIR_CLIPS,
    Criterion,
    Narrowed,
    Thinned,
    fix_zeros,
    healed,
    healing,
    widths,
    widths_for,
    zero_share,
)
from asclib.compression.qat import range_calibration
from asclib.compression.surgery import trimmed
from asclib.distillation import TECHNIQUES, Stage
from asclib.litert import LiteRT
from asclib.networks import TMSIC
from asclib.runs import Lesson, Run
from asclib.runs.provenance import described
from asclib.training import Clips, macro_accuracy, predict
from studies.command import Commands
from studies.shrinking import (
    EPOCHS,
    STEPS,
    TEACHER,
    Arm,
    Made,
    add_study,
    compare,
    of_steps,
    record_of,
    run_study,
    student,
)
from studies.sitting import Sitting

SHARES = (0.5, 0.25, 0.1)  # of the MACs; iterative pruning goes from one to the next
BOTH: tuple[Stage, ...] = TECHNIQUES["response"]
HEALERS: dict[str, tuple[Stage, ...]] = {
    "labels": (),
    "teacher": tuple(replace(stage, hard=0.0) for stage in BOTH),
    "both": BOTH,
}
PAIRS = (
    ("cut-0.25-labels", "scratch-0.25-labels"),
    *((f"cut-{share}-labels", f"scratch-{share}-labels") for share in SHARES if share != 0.25),
    *((f"cut-{share}-both", f"scratch-{share}-both") for share in SHARES),
    *((f"cut-{share}-{by}", f"whole-{by}") for share in SHARES for by in HEALERS),
    *(
        (f"cut-{share}-{by}", f"cut-{share}-labels")
        for share in SHARES
        for by in ("teacher", "both")
    ),
    ("whole-labels", "whole"),
    *(("cut-0.25-labels", f"cut-0.25-labels-{other}") for other in ("l1", "folded", "repaired")),
    ("iterative-0.1-labels", "cut-0.1-labels"),
    ("unstructured-0.1-labels", "whole-labels"),
    *((f"unhealed-{share}", f"unhealed-{share}-l1") for share in SHARES),
    *((f"unhealed-{share}", f"unhealed-{share}-unrepaired") for share in SHARES),
)
narrow = functools.cache(widths_for)


def add_parser(commands: Commands) -> None:
    add_study(commands, "pruning", _pruning, seeds=5)


def _pruning(options: argparse.Namespace) -> None:
    run_study(options, arms, pruning)


def pruning(
    sitting: Sitting,
    seeds: list[int],
    output: Path,
    epochs: int = EPOCHS,
    steps: int = STEPS,
    only: Sequence[str] | None = None,
    in_int8: Callable[[nn.Module, Clips, Sitting], dict[str, Any]] | None = None,
) -> None:
    """Train what is missing of `results/pruning.json` and add it, network by network.

    Args: epochs of a student; steps of healing, at the least; only, the names of arms; in_int8,
        what a row says of the network's int8 file: `as_int8` when None.
    """
    clips, first = len(sitting.first.table("fit")), student(sitting, "labels", epochs, 0)
    made_with = {
        "healing": described(of_steps(healing(first.plan), clips, steps)),
        "widths": {str(share): list(narrow(share)) for share in SHARES},
    }
    record = record_of(sitting, output, made_with)
    own = sitting.first.clips("test")

    def measured(arm: Arm, net: nn.Module, logits: np.ndarray) -> dict[str, Any]:
        fix_zeros(net)
        net = trimmed(net)
        cost = complexity(net)
        row = {
            "widths": list(widths(net)),
            "macs": cost.macs,
            "parameters": cost.parameters,
            "bytes": cost.bytes(),
            "peak_activation": cost.peak_activation,
            "zeros": round(zero_share(net), 5),
        }
        if isinstance(arm.made, Run):
            row["int8"] = (in_int8 or as_int8)(net, own, sitting)
        return row

    def arms_of(seed: int) -> list[Arm]:
        return arms(sitting, seed, epochs, steps, clips)

    compare(sitting, record, arms_of, only, seeds, measured, PAIRS)


def as_int8(net: nn.Module, test: Clips, sitting: Sitting) -> dict[str, Any]:
    """The full int8 file of a network: its bytes, and what it says of the corpus's own test."""
    file = exported(net, "full_int8", range_calibration(sitting.first.data))
    said = torch.from_numpy(LiteRT(file)(test.x))
    exact = predict(net, test.x)
    return {
        "file_bytes": file.stat().st_size,
        "accuracy": round(macro_accuracy(said, test.labels), 5),
        "float_accuracy": round(macro_accuracy(exact, test.labels), 5),
        "as_float": round(agreement(said, exact), 5),
    }


# ---- the arms ------------------------------------------------------------------------------------


def arms(sitting: Sitting, seed: int, epochs: int, steps: int, clips: int) -> list[Arm]:
    """Every network of one seed, in the order of their need: what decides comes first."""
    start = student(sitting, "labels", epochs, seed)
    plan = of_steps(healing(start.plan), clips, steps)
    whole, total, teacher = narrow(1.0), epochs + plan.epochs, sitting.teacher(TEACHER)

    def cut(share: float, criterion: Criterion = "heard", clips: int = 0) -> Narrowed:
        return Narrowed(start, narrow(share), criterion, clips)

    def by(pruned: Narrowed | Thinned, healer: str) -> Run:
        stages = HEALERS[healer]
        if not stages:
            return healed(pruned, plan=plan)
        return healed(pruned, teacher, plan, stages)  # type: ignore[arg-type]  # it can be asked

    def arm(way: str, share: float, healer: str | None, made: Run | Made, more: str = "") -> Arm:
        parts = [way, None if way == "whole" else str(share), healer, more or None]
        name = "-".join(part for part in parts if part)
        of = {"way": way, "share": share, "healed": healer, "variant": more or None}
        return Arm(name, made, of)

    found = []
    for share in sorted(SHARES, key=lambda share: share != 0.25):
        found.append(arm("cut", share, "labels", by(cut(share), "labels")))
        found.append(arm("scratch", share, "labels", scratch(start, share, total)))
    uncut = Narrowed(start, whole)  # without the taps that only meet padding
    found.append(arm("whole", 1.0, None, Made(uncut)))
    found += [arm("whole", 1.0, healer, by(uncut, healer)) for healer in HEALERS]
    for share in SHARES:
        found += [
            arm("cut", share, healer, by(cut(share), healer)) for healer in ("teacher", "both")
        ]
        lesson = Lesson(BOTH, teacher)  # type: ignore[arg-type]
        found.append(arm("scratch", share, "both", scratch(start, share, total, lesson)))
    variants = {"l1": cut(0.25, "l1"), "folded": cut(0.25, "folded")}
    variants["repaired"] = cut(0.25, clips=REPAIR_CLIPS)
    for variant, pruned in variants.items():
        found.append(arm("cut", 0.25, "labels", by(pruned, "labels"), variant))
    found.append(arm("iterative", SHARES[-1], "labels", iterative(start, plan.epochs)))
    found.append(arm("unstructured", 0.1, "labels", by(Thinned(start, 0.9), "labels")))
    for share in SHARES:
        found += [
            arm("unhealed", share, None, Made(cut(share, clips=REPAIR_CLIPS))),
            arm("unhealed", share, None, Made(cut(share, "l1", REPAIR_CLIPS)), "l1"),
            arm("unhealed", share, None, Made(cut(share)), "unrepaired"),
        ]
    return found


def scratch(start: Run, share: float, epochs: int, lesson: Lesson | None = None) -> Run:
    """The same small network from random weights: as wide, with as many epochs in all.

    It has the taps that only meet padding still: trained with them or without, all else of it
    comes out the same.
    """
    small = functools.partial(TMSIC, widths=narrow(share))
    return Run(small, start.data, replace(start.plan, epochs=epochs), start.seed, lesson)


def iterative(start: Run, epochs: int) -> Run:
    """Cut in steps and healed by labels after each, with as many epochs in all as at one go."""
    run = start
    for place, share in enumerate(SHARES):
        share_of, left = divmod(epochs, len(SHARES))
        number = max(1, share_of + (left if place == len(SHARES) - 1 else 0))
        plan = replace(healing(start.plan), epochs=number)
        run = healed(Narrowed(run, narrow(share)), plan=plan)
    return run
