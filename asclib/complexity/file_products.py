"""The products of a .tflite file that are added up: `asclib.complexity.products`, told of a file.

Every tensor of the file is stood for by one of torch's, of the same shape and of unset values, and
every operator by the operation that moves or adds up numbers as it does.

Chapter: book/compression/complexity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asclib.complexity.products import Products, storage_of

# operators that are one operation, and whether number by number
PLAIN = {
    "MUL": "mul",
    "DIV": "div",
    "ADD": "add",
    "SUB": "sub",
    "SQUARE": "square",
    "NEG": "neg",
    "QUANTIZE": "clone",
    "DEQUANTIZE": "clone",
    "CAST": "clone",
}
ACTIVATIONS = frozenset(
    """RELU RELU6 RELU_N1_TO_1 RELU_0_TO_1 LEAKY_RELU PRELU ELU GELU TANH LOGISTIC HARD_SWISH EXP
    LOG ABS SQRT RSQRT MAXIMUM MINIMUM POW SIGN SIN COS FLOOR CEIL ROUND""".split()
)
REDUCED = {"SUM": "sum", "MEAN": "mean", "CUMSUM": "cumsum"}
RESHAPED = frozenset("RESHAPE SQUEEZE EXPAND_DIMS".split())
MOVED = frozenset(
    """TRANSPOSE CONCATENATION PACK BROADCAST_TO TILE SLICE STRIDED_SLICE SPLIT SPLIT_V UNPACK PAD
    PADV2 MIRROR_PAD GATHER GATHER_ND SPACE_TO_DEPTH DEPTH_TO_SPACE SELECT SELECT_V2 REVERSE_V2
    RESIZE_NEAREST_NEIGHBOR DYNAMIC_UPDATE_SLICE""".split()
)
FOLLOWED = ACTIVATIONS | MOVED | RESHAPED | {*PLAIN, *REDUCED}


class FileProducts:
    """Follows the products of one graph; `follow` is told of its operators in order.

    Args: tensors and buffers of the file.
    """

    def __init__(self, tensors: list[Any], buffers: list[Any]):
        self.tensors, self.buffers = tensors, buffers
        self.stand_ins = [torch.empty(shape_of(tensor)) for tensor in tensors]
        constant = [i for i, t in enumerate(tensors) if buffers[t.buffer].data is not None]
        self.products = Products(storage_of(self.stand_ins[i]) for i in constant)

    def follow(self, kind: str, operator: Any) -> int:
        """The MACs that an operator completes."""
        inputs = [int(i) for i in operator.inputs if i >= 0]
        given = [self.stand_ins[i] for i in inputs]
        made = [self.stand_ins[int(i)] for i in operator.outputs if i >= 0]
        if not given or not made:
            return 0
        options = operator.builtinOptions
        macs = self._follow(kind, inputs, given, made, options)
        if getattr(options, "fusedActivationFunction", 0):
            self._tell("relu", made[:1], made[0])
        return macs

    def _follow(
        self, kind: str, inputs: list[int], given: list[Tensor], made: list[Tensor], options: Any
    ) -> int:
        x, result = given[0], made[0]
        if kind in PLAIN:
            return self._tell(PLAIN[kind], given, result)
        if kind == "SQUARED_DIFFERENCE" or (kind == "POW" and self._is_square(inputs)):
            base = x
            if kind == "SQUARED_DIFFERENCE":
                base = torch.empty(result.shape)
                self.stand_ins.append(base)  # held, so that no storage comes back
                self._tell("sub", given, base)
            return self._tell("square", [base], result)
        if kind in ACTIVATIONS:
            return self._tell("relu", given, result)
        if kind in REDUCED:
            try:
                dims = self._integers(inputs[1])
            except RuntimeError:
                dims = list(range(x.dim()))
            return self._tell(REDUCED[kind], [x], result, extra=(dims,))
        if kind == "AVERAGE_POOL_2D":
            return self._tell("avg_pool2d", [x.permute(0, 3, 1, 2)], result, elementwise=False)
        if kind in RESHAPED:
            return self._tell("_unsafe_view", [x], result, lambda y: y.reshape(result.shape))
        if kind in MOVED:
            for one in made:
                self._tell("_unsafe_view", given, one, self._mover(kind, inputs, options, one))
            return 0
        for one in made:
            self._tell("", given, one, elementwise=False)
        return 0

    def _tell(
        self,
        name: str,
        given: list[Tensor],
        result: Tensor,
        move: Callable[..., Tensor] | None = None,
        extra: tuple[Any, ...] = (),
        elementwise: bool = True,
    ) -> int:
        """Report one operation of torch; what moves or adds up is none number by number."""
        elementwise &= move is None and not extra
        return self.products.follow(name, move, (*given, *extra), {}, [result], elementwise)

    def _mover(self, kind: str, inputs: list[int], options: Any, result: Tensor) -> Any:
        """What an operator does to numbers; of the rest, numbers are taken for all different."""

        def move(*given: Tensor) -> Tensor:
            if kind == "TRANSPOSE":
                return given[0].permute(self._integers(inputs[1]))
            if kind == "CONCATENATION":
                return torch.cat(given, options.axis)
            if kind == "PACK":
                return torch.stack(given, options.axis)
            if kind == "BROADCAST_TO":
                return given[0].expand(result.shape)
            if kind == "TILE":
                return given[0].repeat(self._integers(inputs[1]))
            if kind == "SLICE":
                first = self._integers(inputs[1])
                ends = zip(first, result.shape, strict=True)
                return given[0][tuple(slice(a, a + n) for a, n in ends)]
            raise RuntimeError(kind)

        return move

    def _integers(self, tensor: int) -> list[int]:
        """What a constant of integers holds, such as the axes of a sum."""
        data = self.buffers[self.tensors[tensor].buffer].data
        if data is None:  # given by another operator
            raise RuntimeError("no constant")
        wide = len(data) == 8 * self.stand_ins[tensor].numel()
        return [int(n) for n in np.frombuffer(bytearray(data), np.int64 if wide else np.int32)]

    def _is_square(self, inputs: list[int]) -> bool:
        data = self.buffers[self.tensors[inputs[1]].buffer].data
        return data is not None and bytearray(data) == np.float32(2).tobytes()


def shape_of(tensor: Any) -> tuple[int, ...]:
    """The sizes of a tensor of a file; those that it leaves open, -1, as one."""
    sizes = () if tensor.shape is None else tensor.shape
    return tuple(1 if n < 0 else int(n) for n in sizes)
