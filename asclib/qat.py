"""Quantisation-aware training: a student is fine-tuned while it computes as its int8 file will.

A *fake quantiser* rounds a number to the grid of its integers and reads it back at once, so the
network stays in floating point and every answer has the errors that the file will have. Rounding
has no slope; its gradient is passed straight through, as if nothing had been rounded, and stopped
where a range clips (Bengio et al. 2013, arXiv 1308.3432; Jacob et al. 2018, arXiv 1712.05877).
"""

from __future__ import annotations

import operator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from asclib.distillation import TECHNIQUES, objective
from asclib.experiment import Experiment
from asclib.graph import inference_graph
from asclib.quantization import (
    Calibration,
    Walk,
    calibrated_ranges,
    calibration_rows,
    constants_of,
    kernels_of,
    min_max,
    quantize_weight,
    round_between,
)
from asclib.runs import save_weights
from asclib.settings import Training
from asclib.store import artefact
from asclib.training import device, one_thread, train

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

    Weights are rounded anew at every step, with scales of their present size. Ranges of activations
    come from the calibration clips; in training they follow the extremes of the batches, as moving
    averages. Each return to evaluation mode takes them from the calibration clips again, with the
    weights as they are then: so does the export.

    Args: net, left as it is, or the `graph` of another FakeQuantised; calibration; bits of the
        weights (activations keep eight), or None to round nothing: the control; input_shape of one
        clip.
    Raises: ValueError as `asclib.quantization.simulate` for full_int8.
    """

    def __init__(
        self,
        net: nn.Module,
        calibration: Calibration,
        bits: int | None = 8,
        input_shape: tuple[int, ...] = (1, 140, 8),
    ):
        super().__init__()
        self.graph = inference_graph(net, input_shape, depthwise=True)
        self.calibration, self.bits = calibration, bits
        ranges = self._calibrated()
        self.places = {name: row for row, name in enumerate(ranges)}
        self.register_buffer("ranges", torch.tensor(list(ranges.values()), dtype=torch.float64))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.graph(x) if self.bits is None else _FakeWalk(self).run(x)

    def train(self, mode: bool = True) -> FakeQuantised:
        """Enter training, or leave it: then ranges are taken from the calibration clips again."""
        if self.training and not mode:
            self.ranges.copy_(torch.tensor(list(self._calibrated().values())))
        return super().train(mode)

    def _calibrated(self) -> dict[str, tuple[float, float]]:
        weights = [operator.attrgetter(target)(self.graph) for target in kernels_of(self.graph)]
        precise = [weight.data for weight in weights]
        if self.bits is not None:
            for weight in weights:
                weight.data = quantize_weight(weight.data, self.bits)
        try:
            with one_thread():
                return calibrated_ranges(self.graph, self.calibration)
        finally:
            for weight, values in zip(weights, precise, strict=True):
                weight.data = values


class _FakeWalk(Walk):
    """One pass through the graph of a FakeQuantised, everything rounded on its way."""

    def __init__(self, owner: FakeQuantised):
        super().__init__(owner.graph, self.activation)
        self.owner = owner
        self.kernels, self.constants = kernels_of(owner.graph), constants_of(owner.graph)
        self.ranges = owner.ranges.tolist()

    def get_attr(self, target: str, args: tuple, kwargs: dict) -> Any:
        value = super().get_attr(target, args, kwargs)
        if target in self.kernels:
            return value + (quantize_weight(value.detach(), self.owner.bits) - value).detach()
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


def calibration(experiment: Experiment, number: int = CALIBRATION_CLIPS) -> Calibration:
    """Min-max calibration with so many of the clips to fit, or all, even over devices."""
    table = experiment.table("fit")
    rows = calibration_rows(table, min(number, len(table)))
    return Calibration(experiment.clips("fit").x[rows])


def plan(experiment: Experiment) -> Training:
    """How a student is fine-tuned: CP-Mobile's share of the epochs and of the rate of a stage."""
    stage = experiment.profile.stage
    return replace(
        stage, epochs=max(1, round(EPOCHS * stage.epochs)), learning_rate=RATE * stage.learning_rate
    )


def tuned(experiment: Experiment, technique: str, bits: int | None = 8) -> FakeQuantised:
    """A distilled student, fine-tuned in so many bits with the loss of its last stage.

    From the store or made now. `bits` is None for the control: as many epochs without rounding.
    Its `graph` is what `asclib.quantization.export` takes.
    Raises: ValueError for a technique whose last stage does not compare logits.
    """
    if technique not in TECHNIQUES or TECHNIQUES[technique][-1].on != "logits":
        able = [name for name, stages in TECHNIQUES.items() if stages[-1].on == "logits"]
        raise ValueError(
            f"{technique!r} does not end with a stage on logits, all that an int8 network shows; "
            f"choose one of {', '.join(able)}"
        )
    stage = TECHNIQUES[technique][-1]
    net = FakeQuantised(experiment.distilled(technique), calibration(experiment), bits)

    def build(folder: Path) -> None:
        fit, answers = experiment.clips("fit"), experiment.answers(of=stage.teacher)
        teacher = answers.joined(fit.identifiers).to(device())
        history = train(
            net, fit, experiment.clips("validation"), plan(experiment), seed=experiment.seed,
            objective=objective(stage, teacher), folder=folder, label=f"{technique}, {bits} bits",
        )  # fmt: skip
        history.to_csv(folder / "history.csv", index=False)
        save_weights(net, folder)

    recipe = {"technique": technique, "bits": bits, "seed": experiment.seed,
              "plan": asdict(plan(experiment)), "stage": stage.settings(),
              "calibration": [CALIBRATION_CLIPS, net.calibration.method]}  # fmt: skip
    folder = artefact(
        "qat", recipe, build,
        version=VERSION,
        parents=(experiment.run(technique).folder(), experiment.run(stage.teacher).folder()),
    )  # fmt: skip
    net.load_state_dict(load_file(folder / "weights.safetensors"))
    return net
