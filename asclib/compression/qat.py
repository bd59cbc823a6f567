"""Quantisation-aware training: a student is fine-tuned while it computes as its int8 file will.

A *fake quantiser* rounds a number to the grid of its integers and reads it back at once, so the
network stays in floating point and every answer has the errors that the file will have. Rounding
has no slope; its gradient is passed straight through, as if nothing had been rounded, and stopped
where a range clips (Bengio et al. 2013, arXiv 1308.3432; Jacob et al. 2018, arXiv 1712.05877).

Weights are rounded as `asclib.compression.export` rounds them, so that each kernel keeps its sum
("sum_kept"), or each to its nearest step, as in the literature ("nearest"). Scales are those of the
largest weight of each channel: no weight is ever clipped, activations are.

Chapter: book/compression/qat.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from asclib.compression.calibration import Calibration, calibration_rows, min_max, sounding
from asclib.compression.graph import copied, inference_graph
from asclib.compression.quantization import (
    Walk,
    calibrated_ranges,
    constants_of,
    kernels_of,
)
from asclib.compression.rounding import Rounding, quantize_weight, round_between
from asclib.features import LogMel
from asclib.pretraining.methods import SelfSupervised
from asclib.runs.data import Data
from asclib.runs.run import Run
from asclib.training import Training

VERSION = 1  # raised when a training comes to other weights: tests/code_versions.json
CALIBRATION_CLIPS = 100
KEEP = 0.95  # of a range, from batch to batch
# DCASE 2023, CP-Mobile (Schmid et al.): 20 epochs at 5e-5 after 150 epochs at 9e-4
EPOCHS, RATE = 20 / 150, 5e-5 / 9e-4


class FakeQuantised(nn.Module):
    """A network that computes, and learns, as its full int8 file computes: (batch, …) -> logits.

    It is the network's graph at inference. Normalisations are constants in it, folded into a
    convolution or one of their own: the file has no batch to normalise by, and a weight that the
    statistics of every batch rescaled would never rest on its grid. Dropout is gone as well. What
    is trained are the numbers that the file stores.

    Weights are rounded anew at every step, with scales of their present size; `stored` has them as
    they end. Ranges of activations come from the calibration clips; in training they follow the
    extremes of the batches, as moving averages. Each return to evaluation mode takes them from the
    calibration clips again, with the weights as they are then: so does the export.

    Args: net, left as it is, or the `graph` of another FakeQuantised; calibration; bits of the
        weights (activations keep eight), or None to round nothing: the control; input_shape of one
        clip; rounding of weights, "sum_kept" or "nearest": see `quantize_weight`.
    Raises: ValueError as `asclib.compression.simulate` for full_int8, or for another rounding.
    """

    ranges: Tensor  # (activations, 2) float64, lowest and highest

    def __init__(
        self,
        net: nn.Module,
        calibration: Calibration,
        bits: int | None = 8,
        input_shape: tuple[int, ...] = (1, 140, 8),
        rounding: Rounding = "sum_kept",
    ):
        super().__init__()
        self.rounding: Rounding = rounding
        self.graph = inference_graph(net, input_shape, depthwise=True)
        self.calibration, self.bits = calibration, bits
        ranges = self._calibrated()
        self.places = {name: row for row, name in enumerate(ranges)}
        self.register_buffer("ranges", torch.tensor(list(ranges.values()), dtype=torch.float64))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.graph(x) if self.bits is None else _FakeWalk(self, self.bits).run(x)

    def train(self, mode: bool = True) -> FakeQuantised:
        """Enter training, or leave it: then ranges are taken from the calibration clips again."""
        if self.training and not mode:
            self.ranges.copy_(torch.tensor(list(self._calibrated().values())))
        return super().train(mode)

    def stored(self) -> fx.GraphModule:
        """The network with its weights on their grid, as a file stores them: for `export`.

        Of weights that lie on an eight-bit grid already, the export's own rounding changes none.
        """
        graph: Any = copied(self.graph)
        if self.bits is not None:
            for target, groups in kernels_of(graph).items():
                weight = operator.attrgetter(target)(graph)
                weight.data = quantize_weight(weight.data, self.bits, groups, self.rounding)
        return graph

    def _calibrated(self) -> dict[str, tuple[float, float]]:
        return calibrated_ranges(self.stored(), self.calibration)


def range_calibration(data: Data, number: int = CALIBRATION_CLIPS) -> Calibration:
    """Min-max calibration with so many of the clips to fit, or all, even over devices.

    Of log-mel pictures digital silence is left out: `asclib.compression.calibration.sounding`.
    """
    table = data.table("fit")
    rows = calibration_rows(table, min(number, len(table)))
    clips = replace(data, views=None).clips("fit").x[rows]
    return Calibration(sounding(clips) if isinstance(data.front_end, LogMel) else clips)


@dataclass(frozen=True)
class Aware:
    """Makes a trained network ready to be trained with its own rounding: a `FakeQuantised`.

    Args: of, the run whose network it is; bits and rounding, see `FakeQuantised`; clips, for the
        ranges.
    """

    of: Run
    bits: int | None = 8
    clips: int = CALIBRATION_CLIPS
    rounding: Rounding = "sum_kept"
    version: int = VERSION

    def __call__(self) -> nn.Module:
        ranges = range_calibration(self.of.data, self.clips)
        return FakeQuantised(self.of.net(), ranges, self.bits, rounding=self.rounding)


def aware(
    student: Run,
    bits: int | None = 8,
    plan: Training | None = None,
    rounding: Rounding = "sum_kept",
) -> Run:
    """A student fine-tuned in so many bits with the loss of its last stage.

    Args: student, taught or not; bits, None for the control of as many epochs without rounding;
        plan, CP-Mobile's share of the student's own epochs and rate when None: `fine_tuning`;
        rounding of weights, see `FakeQuantised`.
    The run's network is a `FakeQuantised`; `asclib.compression.export` takes what it has `stored`.
    Raises: ValueError for a student whose last stage does not compare logits, or without a label.
    """
    lesson = student.lesson
    if isinstance(lesson, SelfSupervised):
        raise ValueError("this network was shown no label yet: take a student that goes on from it")
    if lesson is not None and lesson.stages[-1].on != "logits":
        raise ValueError(
            f"the student's last stage compares {lesson.stages[-1].on}, and an int8 network shows "
            "logits alone: take a student whose last stage compares logits"
        )
    if lesson is not None:
        lesson = replace(lesson, stages=lesson.stages[-1:])
    return replace(
        student,
        network=Aware(student, bits, rounding=rounding),
        plan=plan or fine_tuning(student.plan),
        lesson=lesson,
        start=None,
    )


def fine_tuning(plan: Training) -> Training:
    """How a student is fine-tuned: CP-Mobile's share of the epochs and of the rate.

    The rate falls to zero, whatever the student's own does, and no epoch is saved: at a constant
    rate a rounded weight jumps between two steps until the end, wherever that is.
    """
    return replace(
        plan,
        epochs=max(1, round(EPOCHS * plan.epochs)),
        learning_rate=RATE * plan.learning_rate,
        schedule="one_cycle",
        patience=None,
    )


class _FakeWalk(Walk):
    """One pass through the graph of a FakeQuantised, everything rounded on its way."""

    def __init__(self, owner: FakeQuantised, bits: int):
        super().__init__(owner.graph, self.activation)
        self.owner, self.bits = owner, bits
        self.kernels, self.constants = kernels_of(owner.graph), constants_of(owner.graph)
        self.ranges = owner.ranges.tolist()

    def get_attr(
        self, target: fx.node.Target, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        value = super().get_attr(target, args, kwargs)
        if target in self.kernels:
            groups, rounding = self.kernels[str(target)], self.owner.rounding
            rounded = quantize_weight(value.detach(), self.bits, groups, rounding)
            return value + (rounded - value).detach()
        if target in self.constants:
            return round_between(value, *min_max(value.detach()))
        return value

    def activation(self, name: str, x: Tensor) -> Tensor:
        place = self.owner.places[name]
        if self.owner.training:
            with torch.no_grad():
                extremes = torch.stack(x.aminmax()).to(self.owner.ranges)
                self.owner.ranges[place].lerp_(extremes, 1 - KEEP)
            self.ranges[place] = self.owner.ranges[place].tolist()
        return round_between(x, *self.ranges[place])
