"""The space in which TMSIC was found, and what each point of it costs before it is trained.

The space of the published search {filters 4-32 / 4-48 / 4-64, kernels of 3, 5 or 7, pools of 1 or
2, average or maximum, an optional fourth convolution, dropouts 0-0.7, dense 32-256}; its limits
are those of the DCASE Challenge 2022. TMSIC is one of its points, and `Searched` of that point is
the same function as `asclib.networks.TMSIC`, weight by weight.

Chapters: book/input/feature_search, book/networks/architecture_search.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import optuna
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asclib.challenge.limits import LIMITS
from asclib.challenge.task import SCENES
from asclib.complexity.count import complexity
from asclib.networks.tmsic import INPUT_SHAPE, Conv2d

Limited = tuple[int | None, int | None]  # the most parameters, the most MACs
LIMITED: Limited = (LIMITS[2022].parameters, LIMITS[2022].macs)  # 128 K and 30 M
SIZES = (3, 5, 7)  # of a kernel, along mel and along time
FILTERS = (32, 48, 64, 32)  # the most of each convolution; from 4 in steps of 4


@dataclass(frozen=True)
class Architecture:
    """One point of the space; the default point is TMSIC.

    Four convolutions as (mel, time) kernels and filters; the fourth is left out when it has 0
    filters. `pools` follow the second and the third convolution. `dropouts` follow convolutions
    two, three and four and the dense layer.
    """

    filters: tuple[int, int, int, int] = (20, 28, 28, 16)
    kernels: tuple[tuple[int, int], ...] = ((7, 5), (7, 3), (3, 7), (7, 5))
    pools: tuple[tuple[int, int], tuple[int, int]] = ((1, 2), (2, 2))
    pooling: str = "max"
    dropouts: tuple[float, float, float, float] = (0.1, 0.3, 0.3, 0.4)
    dense: int = 256


class Cost(NamedTuple):
    """Parameters as Keras counts them, and multiply-accumulates of one inference on one clip."""

    parameters: int
    macs: int

    def excess(self, limits: Limited = LIMITED) -> dict[str, float]:
        """How far it is above each limit, as a share of the limit; negative when below."""
        amounts = zip(self._fields, self, limits, strict=True)
        return {name: amount / limit - 1 for name, amount, limit in amounts if limit is not None}

    def reasons(self, limits: Limited = LIMITED) -> list[str]:
        """What exceeds what; empty when the network is within the limits."""
        amounts = zip(("parameters", "MACs"), self, limits, strict=True)
        return [
            f"{amount:,} {name}, {limit:,} allowed"
            for name, amount, limit in amounts
            if limit is not None and amount > limit
        ]


class TooLarge(ValueError):
    """A network above a limit, which must not be trained; `cost` and `limits` hold its numbers."""

    def __init__(self, cost: Cost, limits: Limited = LIMITED):
        super().__init__("; ".join(cost.reasons(limits)))
        self.cost, self.limits = cost, limits


class Searched(nn.Module):
    """The network of one architecture: (batch, 1, mel, frames) log-mel -> logits (batch, classes).

    Its layers are named as TMSIC's, so the weights of the default point fit either.
    """

    conv1: Conv2d
    norm1: nn.BatchNorm2d

    def __init__(self, architecture: Architecture | None = None, n_classes: int = 10):
        super().__init__()
        self.architecture = architecture = architecture or Architecture()
        self.depth = 4 if architecture.filters[3] else 3
        channels = (1, *architecture.filters[: self.depth])
        for layer in range(self.depth):
            kernel = architecture.kernels[layer]
            conv = Conv2d(channels[layer], channels[layer + 1], kernel, padding="same")
            norm = nn.BatchNorm2d(channels[layer + 1], eps=1e-3, momentum=0.01)
            self.add_module(f"conv{layer + 1}", conv)
            self.add_module(f"norm{layer + 1}", norm)
        self.dense = nn.Linear(channels[-1], architecture.dense)
        self.head = nn.Linear(architecture.dense, n_classes)
        for module in self.modules():  # as TMSIC: Glorot uniform, biases zero
            if isinstance(module, (Conv2d, nn.Linear)):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        point = self.architecture
        x = F.relu(self.norm1(self.conv1(x)))
        for layer in range(1, self.depth):
            conv, norm = getattr(self, f"conv{layer + 1}"), getattr(self, f"norm{layer + 1}")
            x = F.relu(norm(F.relu(conv(x))))
            if layer < 3:
                pool = F.max_pool2d if point.pooling == "max" else F.avg_pool2d
                x = pool(x, point.pools[layer - 1])
            x = F.dropout(x, point.dropouts[layer - 1], self.training)
        x = F.relu(self.dense(F.adaptive_avg_pool2d(x, 1).flatten(1)))
        return self.head(F.dropout(x, point.dropouts[3], self.training))


def cost(architecture: Architecture, input_shape: tuple[int, ...] = INPUT_SHAPE) -> Cost:
    """What the network will cost, from the sizes of its layers alone, in microseconds.

    Raises: ValueError when the pools leave nothing of the input.
    """
    depth = 4 if architecture.filters[3] else 3
    inputs, bands, frames = input_shape
    parameters = macs = 0
    for layer in range(depth):
        outputs, (mel, time) = architecture.filters[layer], architecture.kernels[layer]
        taps = inputs * mel * time
        parameters += outputs * (taps + 1 + 4)  # a bias, and the four numbers of a normalisation
        macs += outputs * taps * bands * frames
        if layer in (1, 2):
            pool = architecture.pools[layer - 1]
            bands, frames = bands // pool[0], frames // pool[1]
        inputs = outputs
    if not bands * frames:
        raise ValueError(f"pools {architecture.pools} leave nothing of {input_shape}: use 1 x 1")
    dense, classes = architecture.dense, len(SCENES)
    parameters += (inputs + 1) * dense + (dense + 1) * classes
    return Cost(parameters, macs + inputs * dense + dense * classes)


def admit(architecture: Architecture, input_shape: tuple[int, ...] = INPUT_SHAPE) -> Cost:
    """The cost of a network that may be trained, counted before one weight of it exists.

    What passes the arithmetic is built on torch's meta device, where tensors have shapes and no
    content, and counted operation by operation; the two counts must agree.

    Raises: TooLarge naming what exceeds which limit; ValueError as `cost`.
    """
    expected = cost(architecture, input_shape)
    if expected.reasons():
        raise TooLarge(expected)
    with torch.device("meta"):
        net = Searched(architecture)
    counted = complexity(net, input_shape)
    if (counted.parameters, counted.macs) != expected:
        raise AssertionError(f"{architecture} was to cost {expected}, but costs {counted}")
    return expected


def suggest(trial: optuna.trial.BaseTrial) -> Architecture:
    """The architecture of one trial. Every parameter is always asked for, also of a fourth
    convolution with 0 filters: the importances compare trials that have all parameters.
    """

    def filters(layer: int) -> int:
        fewest = 0 if layer == 4 else 4
        return trial.suggest_int(f"filters{layer}", fewest, FILTERS[layer - 1], step=4)

    def kernel(layer: int) -> tuple[int, int]:
        return (
            trial.suggest_categorical(f"kernel{layer}_mel", SIZES),
            trial.suggest_categorical(f"kernel{layer}_time", SIZES),
        )

    def pool(layer: int) -> tuple[int, int]:
        return (
            trial.suggest_int(f"pool{layer}_mel", 1, 2),
            trial.suggest_int(f"pool{layer}_time", 1, 2),
        )

    def dropout(name: str) -> float:
        return round(trial.suggest_float(f"dropout_{name}", 0, 0.7, step=0.1), 1)

    return Architecture(
        filters=(filters(1), filters(2), filters(3), filters(4)),
        kernels=tuple(kernel(layer) for layer in (1, 2, 3, 4)),
        pools=(pool(2), pool(3)),
        pooling=trial.suggest_categorical("pooling", ("max", "avg")),
        dropouts=(dropout("2"), dropout("3"), dropout("4"), dropout("dense")),
        dense=trial.suggest_int("dense", 32, 256, step=32),
    )


def parameters(architecture: Architecture) -> dict[str, int | float | str]:
    """The same point as the names and values that `suggest` asks for."""
    values: dict[str, int | float | str] = {}
    for layer, (filters, kernel) in enumerate(
        zip(architecture.filters, architecture.kernels, strict=True), start=1
    ):
        values[f"filters{layer}"] = filters
        values[f"kernel{layer}_mel"], values[f"kernel{layer}_time"] = kernel
    for layer, pool in zip((2, 3), architecture.pools, strict=True):
        values[f"pool{layer}_mel"], values[f"pool{layer}_time"] = pool
    for name, dropout in zip(("2", "3", "4", "dense"), architecture.dropouts, strict=True):
        values[f"dropout_{name}"] = dropout
    return values | {"pooling": architecture.pooling, "dense": architecture.dense}


def widest(form: Architecture, input_shape: tuple[int, ...], macs: int) -> Architecture:
    """The widest network of a form that costs no more MACs for this input, and keeps the limits.

    What reads a large picture and what reads a small one then cost the same, and inputs can be
    compared. Args: form, whose numbers of filters keep their ratios.
    Raises: TooLarge where even the narrowest costs more.
    """
    limits = (LIMITED[0], macs)
    first, found = form.filters[0], None
    for width in range(1, 16 * first + 1):
        one, two, three, four = (round(width * n / first) for n in form.filters)
        point = replace(form, filters=(one, two, three, four))
        spent = cost(point, input_shape)
        if spent.reasons(limits):
            if found is None:
                raise TooLarge(spent, limits)
            break
        found = point
    assert found is not None
    return found
