"""What each operator asks of its tensors and options, and what its sizes are.

An operator that is not in CHECKS, or not in this form, is refused by name: firmware never skips or
guesses one.

Chapter: book/compression/chip.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from asclib.deploy.tensors import Operator, Tensor

ACTIVATIONS = {0: "NONE", 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6"}
# what an activation lets through; None: all that int8 holds
BOUNDS = {"NONE": (None, None), "RELU": (0, None), "RELU_N1_TO_1": (-1, 1), "RELU6": (0, 6)}
SAME, VALID = 0, 1  # padding


def check(operator: Operator) -> None:
    """Raises: ValueError that says what about an operator firmware does not know."""
    if operator.kind not in CHECKS:
        raise ValueError(f"firmware does not know this operator; it knows {', '.join(CHECKS)}")
    CHECKS[operator.kind](operator)


def window(operator: Operator, kernel: tuple[int, ...]) -> dict[str, int]:
    """Strides, dilations and the padding above and left of a kernel (height, width).

    As in TensorFlow: "same" padding is what the last step lacks, half of it before, rounded down.
    """
    found: dict[str, int] = {}
    sides = (("H", "y", "top", 1), ("W", "x", "left", 2))
    for (side, axis, before, place), reach in zip(sides, kernel, strict=True):
        stride = operator.option(f"stride{side}")
        dilation = operator.option(f"dilation{side}Factor", 1)
        size, made = operator.input.shape[place], operator.output.shape[place]
        _ask(1 <= stride <= 1024 and 1 <= dilation <= 1024, f"stride {stride}, dilation {dilation}")
        spread = (reach - 1) * dilation + 1
        padding = operator.option("padding", -1)
        _ask(padding in (SAME, VALID), f"padding {padding}")
        expected = -(-size // stride) if padding == SAME else -(-(size - spread + 1) // stride)
        _ask(made == expected, f"an output of {made} along {axis}, where {expected} follow")
        lacking = max((made - 1) * stride + spread - size, 0) if padding == SAME else 0
        found |= {f"stride_{axis}": stride, f"dilation_{axis}": dilation, before: lacking // 2}
    return found


def output_range(operator: Operator) -> tuple[int, int]:
    """The least and largest int8 that the fused activation lets through."""
    activation = ACTIVATIONS.get(operator.option("fusedActivationFunction"))
    if operator.kind in ("RELU", "RELU6"):
        activation = operator.kind
    _ask(activation is not None, "an activation that firmware does not know")
    scale, zero = operator.output.scale[0], int(operator.output.zero[0])

    def step(value: float) -> int:  # as float32 divides and C rounds: halves away from zero
        with np.errstate(over="ignore"):
            quotient = np.float32(value) / scale
        _ask(abs(quotient) < 2**31, "a scale too small for its activation")
        return zero + int(math.floor(abs(quotient) + 0.5) * np.sign(quotient))

    low, high = BOUNDS[str(activation)]
    return (
        -128 if low is None else max(step(low), -128),
        127 if high is None else min(step(high), 127),
    )


def _ask(right: object, wrong: str) -> None:
    if not right:
        raise ValueError(f"{wrong}: firmware does not know this form")


def _activations(*tensors: Tensor | None) -> None:
    for tensor in tensors:
        if tensor is None or not tensor.activation:
            kind = "missing" if tensor is None else f"{tensor.name}, {tensor.kind}"
            wanted = "int8 activations of one scale are needed"
            raise ValueError(f'{wanted}, one is {kind}; export with kind="full_int8"')


def _weights(operator: Operator, axis: int, outputs: int, rank: int) -> Tensor:
    """The kernels of a convolution or dense layer, its bias checked as well."""
    _ask(len(operator.inputs) in (2, 3), f"{len(operator.inputs)} inputs")
    _activations(operator.input, operator.output)
    weights = operator.inputs[1]
    bias = operator.inputs[2] if len(operator.inputs) == 3 else None
    _ask(weights is not None and weights.kind == "INT8" and weights.data is not None, "weights")
    assert weights is not None
    _ask(len(weights.shape) == rank and weights.shape[axis] == outputs, f"weights {weights.shape}")
    per_channel = len(weights.scale) == outputs and weights.axis == axis
    _ask(len(weights.scale) == 1 or per_channel, f"{len(weights.scale)} scales of weights")
    _ask(not weights.zero.any(), "weights with a zero point")
    if bias is not None:
        known = bias.kind == "INT32" and bias.data is not None and bias.size == outputs
        _ask(known, f"a bias {bias.kind} {bias.shape}")
    return weights


def _pictures(operator: Operator) -> None:
    shapes = operator.input.shape, operator.output.shape
    flat = all(len(shape) == 4 and shape[0] == 1 for shape in shapes)
    _ask(flat, f"shapes {shapes[0]} and {shapes[1]}, not one picture each")


def _conv(operator: Operator) -> None:
    _pictures(operator)
    weights = _weights(operator, 0, operator.output.shape[3], 4)
    channels, own = operator.input.shape[3], weights.shape[3]
    even = channels % own == 0 and weights.shape[0] % (channels // own) == 0
    _ask(even, f"{weights.shape[0]} kernels of {own} channels out of {channels}")
    window(operator, weights.shape[1:3])
    output_range(operator)


def _depthwise(operator: Operator) -> None:
    _pictures(operator)
    weights = _weights(operator, 3, operator.output.shape[3], 4)
    channels, made = operator.input.shape[3], operator.output.shape[3]
    _ask(weights.shape[0] == 1 and made % channels == 0, f"weights {weights.shape}")
    _ask(operator.option("depthMultiplier") == made // channels, "this multiplier of depth")
    window(operator, weights.shape[1:3])
    output_range(operator)


def _pool(operator: Operator) -> None:
    _ask(len(operator.inputs) == 1, f"{len(operator.inputs)} inputs")
    _activations(operator.input, operator.output)
    _pictures(operator)
    _same_grid(operator)
    kernel = operator.option("filterHeight"), operator.option("filterWidth")
    _ask(min(kernel) >= 1 and max(kernel) <= 4096, f"a window of {kernel}")
    _ask(operator.input.shape[3] == operator.output.shape[3], "channels")
    window(operator, kernel)
    output_range(operator)


def _same_grid(operator: Operator) -> None:
    same = (
        operator.input.scale[0] == operator.output.scale[0]
        and operator.input.zero[0] == operator.output.zero[0]
    )
    _ask(same, "input and output of different scales")


def _mean(operator: Operator) -> None:
    _ask(len(operator.inputs) == 2, f"{len(operator.inputs)} inputs")
    _activations(operator.input, operator.output)
    outer, _, inner = reduced(operator)
    _ask(operator.output.size == outer * inner, f"an output {operator.output.shape}")


def reduced(operator: Operator) -> tuple[int, int, int]:
    """How many numbers a mean takes together, and the sizes of the axes before and behind them."""
    given, shape = operator.inputs[1], operator.input.shape
    _ask(given is not None and given.kind == "INT32" and given.data is not None, "axes")
    assert given is not None and given.data is not None
    listed = [int(axis) for axis in given.data.ravel()]
    _ask(listed and all(-len(shape) <= axis < len(shape) for axis in listed), f"axes {listed}")
    over = sorted({axis % len(shape) for axis in listed})
    first, end = over[0], over[-1] + 1
    _ask(over == list(range(first, end)), f"a mean over {over}, which are not neighbours")
    return math.prod(shape[:first]), math.prod(shape[first:end]), math.prod(shape[end:])


def order_of(operator: Operator) -> list[int]:
    """The axes of a TRANSPOSE's input in the order of its output."""
    given, rank = operator.inputs[1], len(operator.input.shape)
    _ask(given is not None and given.kind == "INT32" and given.data is not None, "an order")
    assert given is not None and given.data is not None
    order = [int(axis) for axis in given.data.ravel()]
    _ask(rank <= 4 and sorted(order) == list(range(rank)), f"an order {order}")
    return order


def _transpose(operator: Operator) -> None:
    _ask(len(operator.inputs) == 2, f"{len(operator.inputs)} inputs")
    _activations(operator.input, operator.output)
    _same_grid(operator)
    made = tuple(operator.input.shape[axis] for axis in order_of(operator))
    _ask(made == operator.output.shape, f"{made} as {operator.output.shape}")


def _concatenation(operator: Operator) -> None:
    _activations(*operator.inputs, operator.output)
    made, output = operator.output.shape, operator.output
    axis = operator.option("axis")
    _ask(made and -len(made) <= axis < len(made), f"axis {axis}")
    axis %= len(made)
    _ask(operator.option("fusedActivationFunction") == 0, "an activation")
    for tensor in operator.inputs:
        assert tensor is not None
        others = tensor.shape[:axis] + tensor.shape[axis + 1 :]
        _ask(others == made[:axis] + made[axis + 1 :], f"{tensor.shape} in {made}")
        same = tensor.scale[0] == output.scale[0] and tensor.zero[0] == output.zero[0]
        _ask(same, "parts of different scales")
    parts = [tensor.shape[axis] for tensor in operator.inputs if tensor is not None]
    _ask(sum(parts) == made[axis], f"parts of {parts} in {made}")


def _dense(operator: Operator) -> None:
    weights = _weights(operator, 0, operator.output.shape[-1] if operator.output.shape else 0, 2)
    outputs, inputs = weights.shape
    _ask(operator.option("weightsFormat") == 0, "shuffled weights")
    same = operator.input.size == inputs and operator.output.size == outputs
    _ask(same, f"{operator.input.shape} to {operator.output.shape}, not one clip's vector")
    output_range(operator)


def _pairwise(operator: Operator) -> None:
    """ADD, SUB, MUL: two operands, either a constant, the shorter one repeated along the longer."""
    _ask(len(operator.inputs) == 2, f"{len(operator.inputs)} inputs")
    for tensor in operator.inputs:
        _ask(tensor is not None and tensor.kind == "INT8" and len(tensor.scale) == 1, "an operand")
        assert tensor is not None
        _ask(not tensor.constant or tensor.data is not None, "a constant without data")
    one, other = operands(operator)
    _activations(operator.output)
    _ask(one.size == operator.output.size, "operands that both are repeated")
    shape = other.shape
    while shape and shape[0] == 1:
        shape = shape[1:]
    _ask(one.shape[len(one.shape) - len(shape) :] == shape, f"{one.shape} with {other.shape}")
    output_range(operator)


def operands(operator: Operator) -> tuple[Tensor, Tensor]:
    """The two operands, the one of the output's size first."""
    one, other = operator.inputs
    assert one is not None and other is not None
    return (one, other) if one.size >= other.size else (other, one)


def _reshape(operator: Operator) -> None:
    _ask(len(operator.inputs) in (1, 2), f"{len(operator.inputs)} inputs")
    _activations(operator.input, operator.output)
    _same_grid(operator)
    _ask(operator.input.size == operator.output.size, "sizes")


def _rescaled(operator: Operator) -> None:
    _ask(len(operator.inputs) == 1, f"{len(operator.inputs)} inputs")
    _activations(operator.input, operator.output)
    _ask(operator.input.shape == operator.output.shape, "shapes")
    output_range(operator)


def _pad(operator: Operator) -> None:
    _ask(len(operator.inputs) == 2, f"{len(operator.inputs)} inputs")
    _activations(operator.input, operator.output)
    _same_grid(operator)
    sizes = zip(operator.input.shape, frame_of(operator), strict=True)
    made = tuple(n + before + after for n, (before, after) in sizes)
    _ask(made == operator.output.shape, f"{made} as {operator.output.shape}")


def frame_of(operator: Operator) -> list[tuple[int, int]]:
    """What PAD adds before and after each axis."""
    given = operator.inputs[1]
    known = given is not None and given.kind == "INT32" and given.data is not None
    _ask(known, "a frame that is no constant")
    assert given is not None and given.data is not None
    rank = len(operator.input.shape)
    framed = rank <= 4 and given.shape == (rank, 2) and (given.data >= 0).all()
    _ask(framed, f"a frame {given.data.tolist()}")
    return [(int(before), int(after)) for before, after in given.data]


CHECKS: dict[str, Callable[[Operator], None]] = {
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "MAX_POOL_2D": _pool,
    "AVERAGE_POOL_2D": _pool,
    "MEAN": _mean,
    "FULLY_CONNECTED": _dense,
    "ADD": _pairwise,
    "SUB": _pairwise,
    "MUL": _pairwise,
    "RELU": _rescaled,
    "RELU6": _rescaled,
    "QUANTIZE": _rescaled,
    "RESHAPE": _reshape,
    "TRANSPOSE": _transpose,
    "CONCATENATION": _concatenation,
    "PAD": _pad,
}
