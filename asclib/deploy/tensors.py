"""What a checked .tflite is made of: tensors and operators as values.

Chapter: book/compression/chip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor: an activation, or a constant with its data.

    `kind` is TensorFlow Lite's name of its type, `scale` and `zero` hold one number, or one for
    each place along `axis`.
    """

    number: int
    name: str
    kind: str
    shape: tuple[int, ...]
    data: np.ndarray | None
    scale: np.ndarray
    zero: np.ndarray
    axis: int
    constant: bool

    @property
    def size(self) -> int:
        """Its number of elements; of int8, its bytes."""
        return math.prod(self.shape)

    @property
    def activation(self) -> bool:
        """Whether it is int8 with one scale and zero point, and computed."""
        return self.kind == "INT8" and len(self.scale) == 1 and not self.constant


@dataclass(frozen=True, eq=False)
class Operator:
    """One operator: `name` says where it stands, `options` are the file's own."""

    name: str
    kind: str
    inputs: tuple[Tensor | None, ...]
    output: Tensor
    options: dict[str, Any]

    @property
    def input(self) -> Tensor:
        """The first input."""
        assert self.inputs[0] is not None
        return self.inputs[0]

    def option(self, name: str, default: int = 0) -> int:
        """A whole number among the options."""
        return int(self.options.get(name, default))


@dataclass(frozen=True, eq=False)
class Model:
    """Operators in order, from one int8 input to one int8 output."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    input: Tensor
    output: Tensor
