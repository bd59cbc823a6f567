"""Is rounding in training worth it? Students rounded afterwards, and trained to be rounded.

    python -m studies qat --plan
    python -m studies qat --seeds 0 1 2 3 4 5 6 7 8 9

This is the design, written down before the first run; nothing here was changed by a test score.

Two students of 24 epochs, one on labels and one taught by RRS, everybody with the same
augmentation. Each is compared in these ways, with weights of eight bits or, harder, of four;
activations have eight throughout:

float              as it was trained
rounded            afterwards, so that every kernel keeps its sum, as the export rounds
rounded_nearest    afterwards, every weight to its nearest step (eight bits)
corrected          rounded, after biases have taken back what rounding adds on average
longer             fine-tuned in floating point for as long as those below
longer_rounded     the same, rounded: the control, for training longer helps by itself
aware              fine-tuned with the rounding of the export
aware_nearest      fine-tuned with rounding to the nearest (eight bits)

Fine-tuning has CP-Mobile's share of the epochs and of the rate, but 500 steps at the least, and a
rate that falls to zero. Normalisations stand still in it, in `longer` as well.

Primary hypothesis, the only one: aware - longer_rounded, eight bits, the student of RRS, macro
accuracy. Everything else explores. Ten seeds and one teacher. What they see if two arms differ as
two trainings do, `--plan` prints; arms that go on from one student differ by less. One rule
decides: *yes* where the 95 % interval over locations and seeds excludes zero, *no* where it lies
within a point of it, else *open*. The eight-bit networks that were trained with rounding are also
written as files, and LiteRT is asked whether it says the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asclib.compression import agreement, exported
from asclib.compression.pruning import REPAIR_CLIPS, some_clips
from asclib.compression.qat import VERSION, FakeQuantised, aware, fine_tuning, range_calibration
from asclib.compression.quantization import correct_biases
from asclib.compression.rounding import Rounding
from asclib.litert import LiteRT
from asclib.runs import Run
from asclib.runs.provenance import described
from asclib.training import Training, macro_accuracy
from studies.command import Commands
from studies.shrinking import (
    EPOCHS,
    STEPS,
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

STUDENTS = ("rrs", "labels")
BITS = (8, 4)
PAIRS = (
    ("rrs-aware-8", "rrs-longer_rounded-8"),
    *(
        (f"{who}-aware-{bits}", f"{who}-{base}-{bits}")
        for who in STUDENTS
        for bits in BITS
        for base in ("longer_rounded", "corrected", "rounded")
        if (who, bits, base) != ("rrs", 8, "longer_rounded")
    ),
    *(
        (f"{who}-{one}-{bits}", f"{who}-{other}")
        for who in STUDENTS
        for bits in BITS
        for one, other in (("rounded", "float"), ("corrected", "float"), ("aware", "float"))
    ),
    *((f"{who}-corrected-{bits}", f"{who}-rounded-{bits}") for who in STUDENTS for bits in BITS),
    *((f"{who}-longer", f"{who}-float") for who in STUDENTS),
    *(
        (f"{who}-{way}-8", f"{who}-{way}_nearest-8")
        for who in STUDENTS
        for way in ("aware", "rounded")
    ),
)


def add_parser(commands: Commands) -> None:
    add_study(commands, "qat", _qat, seeds=10)


def _qat(options: argparse.Namespace) -> None:
    run_study(options, arms, qat)


@dataclass(frozen=True)
class Rounded:
    """Makes a trained network one that computes as its int8 file, without any training.

    corrected: biases take back beforehand what the rounding adds on average.
    """

    of: Run
    bits: int
    rounding: Rounding = "sum_kept"
    corrected: bool = False
    version: int = VERSION

    def __call__(self) -> nn.Module:
        net = self.of.net()
        if isinstance(net, FakeQuantised):
            net = net.graph
        if self.corrected:
            net = correct_biases(net, some_clips(self.of.data, REPAIR_CLIPS), self.bits)
        ranges = range_calibration(self.of.data)
        return FakeQuantised(net, ranges, self.bits, rounding=self.rounding)


def in_litert(net: FakeQuantised, x: Tensor) -> Tensor:
    """What the full int8 file of an aware network answers: logits (clips, 10)."""
    return torch.from_numpy(LiteRT(exported(net.stored(), "full_int8", net.calibration))(x))


def qat(
    sitting: Sitting,
    seeds: list[int],
    output: Path,
    epochs: int = EPOCHS,
    steps: int = STEPS,
    only: Sequence[str] | None = None,
    ask: Callable[[FakeQuantised, Tensor], Tensor] = in_litert,
) -> None:
    """Train what is missing of `results/qat.json` and add it, network by network.

    Args: epochs of a student; steps of fine-tuning, at the least; only, the names of arms; ask,
        what the int8 file of a network answers.
    """
    clips, first = len(sitting.first.table("fit")), student(sitting, "labels", epochs, 0)
    made_with = {
        "fine_tuning": described(_fine_tuning(first, epochs, steps, clips)),
        "calibration_clips": len(range_calibration(sitting.first.data).clips),
    }
    record = record_of(sitting, output, made_with)
    own = sitting.first.clips("test")

    def measured(arm: Arm, net: nn.Module, logits: np.ndarray) -> dict[str, Any]:
        if not (arm.of["way"].startswith("aware") and arm.of["bits"] == 8):
            return {}
        assert isinstance(net, FakeQuantised)
        said = ask(net, own.x)
        return {
            "litert": {
                "accuracy": round(macro_accuracy(said, own.labels), 5),
                "as_trained": round(agreement(said, logits[: len(own.x)]), 5),
            }
        }

    def arms_of(seed: int) -> list[Arm]:
        return arms(sitting, seed, epochs, steps, clips)

    compare(sitting, record, arms_of, only, seeds, measured, PAIRS)


def arms(sitting: Sitting, seed: int, epochs: int, steps: int, clips: int) -> list[Arm]:
    """Every network of one seed; those of the primary hypothesis come first."""
    starts = {who: student(sitting, who, epochs, seed) for who in STUDENTS}
    return [arm for who, start in starts.items() for arm in _ways(who, start, epochs, steps, clips)]


def _ways(who: str, start: Run, epochs: int, steps: int, clips: int) -> list[Arm]:
    plan = _fine_tuning(start, epochs, steps, clips)
    longer, nearest = aware(start, None, plan), aware(start, 8, plan, "nearest")

    def arm(way: str, bits: int | None, made: Run | Made) -> Arm:
        name = "-".join(str(part) for part in (who, way, bits) if part)
        return Arm(name, made, {"student": who, "way": way, "bits": bits})

    found = []
    for bits in BITS:
        found += [
            arm("aware", bits, aware(start, bits, plan)),
            arm("longer_rounded", bits, Made(Rounded(longer, bits))),
            arm("rounded", bits, Made(Rounded(start, bits))),
            arm("corrected", bits, Made(Rounded(start, bits, corrected=True))),
        ]
    return [
        *found,
        arm("float", None, start),
        arm("longer", None, longer),
        arm("aware_nearest", 8, nearest),
        arm("rounded_nearest", 8, Made(Rounded(start, 8, "nearest"))),
    ]


def _fine_tuning(start: Run, epochs: int, steps: int, clips: int) -> Training:
    """CP-Mobile's share of all epochs of a student, those of every stage, and enough steps."""
    whole = fine_tuning(replace(start.plan, epochs=epochs))
    return of_steps(whole, clips, steps)
