"""Where each activation lies in one arena, over which operators pass in order.

Three ways to spend less than the sum of an operator's input and output. What works element by
element writes where it reads. What goes down the picture row by row, a convolution or a pooling,
has read the upper rows when it writes them, so its output may begin some bytes before its input and
overrun it from behind: `lead` is how many. And buffers that are never held at once share their
bytes: each is placed as low as it can be while it is held, the largest first.

Chapter: book/compression/chip.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from asclib.deploy.operators import operands, window
from asclib.deploy.tensors import Model, Operator

ALIGNMENT = 8  # bytes; two words are read at once
MOVED = 20  # buffers, the largest, whose order is searched
ROWS = 3  # that a convolution works on at a time: MOST_ROWS in convolution.h
ELEMENTWISE = {"ADD", "SUB", "MUL", "RELU", "RELU6", "QUANTIZE"}
WEIGHTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
ROW_BY_ROW = {"CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D", "AVERAGE_POOL_2D"}


@dataclass
class Buffer:
    """Bytes that one or several tensors use in turn, held from operator `born` to `dies`."""

    size: int
    born: int
    dies: int
    tensors: list[int] = field(default_factory=list)
    offset: int = -1


@dataclass(frozen=True)
class Plan:
    """The buffers of a model, of which those of its input and output lie outside of the arena.

    `held` are the bytes of the arena that each operator needs by itself, a lower bound; `buffer`
    tells which one holds a tensor, `work` the one that an operator computes in.
    """

    buffers: tuple[Buffer, ...]
    buffer: dict[int, Buffer]
    work: dict[int, Buffer]
    input: Buffer
    output: Buffer
    arena: int
    held: tuple[int, ...]


def plan(model: Model) -> Plan:
    """Place all activations of a model."""
    buffers = _buffers(model)
    of = {tensor: buffer for buffer in buffers for tensor in buffer.tensors}
    ends = of[model.input.number], of[model.output.number]
    work = {
        number: Buffer(size, number, number)
        for number, operator in enumerate(model.operators)
        if (size := work_bytes(operator))
    }
    placed = [b for b in buffers if all(b is not end for end in ends)] + list(work.values())
    leads = _leads(model, of, placed)
    held = tuple(_held(placed, leads, number) for number in range(len(model.operators)))
    arena = _place(placed, leads, max(held, default=0))
    return Plan((*buffers, *work.values()), of, work, *ends, arena, held)


def is_one_tap(operator: Operator) -> bool:
    """Whether it scales and shifts each channel and does nothing else, as a normalisation does."""
    weights = operator.inputs[1] if operator.kind == "DEPTHWISE_CONV_2D" else None
    return (
        weights is not None
        and weights.shape[:3] == (1, 1, 1)
        and operator.input.shape == operator.output.shape
    )


def is_convolution(operator: Operator) -> bool:
    """Whether it is one over all channels: a depthwise one of a single channel is as well."""
    depthwise = operator.kind == "DEPTHWISE_CONV_2D" and operator.input.shape[3] == 1
    return operator.kind == "CONV_2D" or (depthwise and not is_one_tap(operator))


def by_rows(operator: Operator) -> bool:
    """Whether a convolution goes row by row: else position by position, from copied patches."""
    undilated = all(operator.option(f"dilation{side}Factor", 1) == 1 for side in "HW")
    return is_convolution(operator) and operator.input.shape[3] % 4 == 0 and undilated


def kernel_of(operator: Operator) -> tuple[int, int]:
    """Height and width of what a convolution or a pooling looks at."""
    if operator.kind.endswith("POOL_2D"):
        return operator.option("filterHeight"), operator.option("filterWidth")
    weights = operator.inputs[1]
    assert weights is not None
    return weights.shape[1], weights.shape[2]


def work_bytes(operator: Operator) -> int:
    """What a convolution unpacks its input to, in 16 bits: rows of it, or of these some patches."""
    if not is_convolution(operator):
        return 0
    height, width = kernel_of(operator)
    columns, channels = operator.input.shape[2:]
    sizes = window(operator, (height, width))
    if not by_rows(operator):
        span = (operator.output.shape[2] - 1) * sizes["stride_x"] + 1
        span += (width - 1) * sizes["dilation_x"]
        patches = ROWS * _aligned(height * width * channels, 4)
        return 2 * (patches + height * span * channels)
    together = ROWS if operator.output.shape[1] >= ROWS else 1
    return 2 * ((together - 1) * sizes["stride_y"] + height) * columns * channels


def products(operator: Operator) -> int:
    """Pairs of numbers that the C multiplies for a convolution or a dense layer; else 0.

    Fewer than the MACs where taps beside the picture are left out: those to its left and right, of
    depthwise ones those above and below as well. More where places are filled up with zeros.
    """
    weights = operator.inputs[1] if operator.kind in WEIGHTED else None
    if weights is None:
        return 0
    if operator.kind == "FULLY_CONNECTED":
        return weights.size * operator.output.size // weights.shape[0]
    if is_one_tap(operator):
        return operator.output.size
    made, columns, outputs = operator.output.shape[1:]
    height, width = kernel_of(operator)
    across, pairs = _inside(operator, 2), outputs + outputs % 2
    if not is_convolution(operator):
        return outputs * across * _inside(operator, 1)
    if by_rows(operator):
        return pairs * across * made * height * operator.input.shape[3]
    seen = _aligned(height * width * operator.input.shape[3], 4)
    return pairs * made * _aligned(columns, ROWS) * seen


def _inside(operator: Operator, axis: int) -> int:
    """Taps along an axis (1 or 2) that lie within the input, of all places of the output."""
    kernel, (side, before) = kernel_of(operator), {1: ("y", "top"), 2: ("x", "left")}[axis]
    sizes = window(operator, kernel)
    places = (
        place * sizes[f"stride_{side}"] - sizes[before] + tap * sizes[f"dilation_{side}"]
        for place in range(operator.output.shape[axis])
        for tap in range(kernel[axis - 1])
    )
    return sum(0 <= place < operator.input.shape[axis] for place in places)


def lead(operator: Operator) -> int:
    """How many bytes before its input an output must begin, where the two share their bytes.

    When rows of the output are written, the rows of the input still to be read lie behind them.
    """
    made, row = operator.output.shape[1], operator.output.size // operator.output.shape[1]
    read = operator.input.size // operator.input.shape[1]
    sizes = window(operator, kernel_of(operator))

    def needed(y: int) -> int:  # the first byte that row y of the output looks at
        return max(0, y * sizes["stride_y"] - sizes["top"]) * read

    if not by_rows(operator):
        return max((y + 1) * row - needed(y) for y in range(made))
    whole = made - made % ROWS
    starts = [*range(ROWS, whole + 1, ROWS), *range(whole + 1, made)]
    return max([0, *(y * row - needed(y) for y in starts if y < made)])


def _buffers(model: Model) -> list[Buffer]:
    """One buffer for each activation, or for several where an operator writes where it reads."""
    last = {model.input.number: 0}
    for number, operator in enumerate(model.operators):
        last |= {t.number: number for t in operator.inputs if t is not None}
        last.setdefault(operator.output.number, number)
    last[model.output.number] = len(model.operators)
    first = Buffer(model.input.size, 0, last[model.input.number], [model.input.number])
    of = {model.input.number: first}
    buffers = [first]
    for number, operator in enumerate(model.operators):
        output = operator.output
        dies = last[output.number]
        for source in _sources(operator):
            buffer = of[source]
            if operator.kind == "RESHAPE":  # the input is not ours to hand out as the output
                shared = buffer is not first or output is not model.output
            else:
                ended = buffer.dies <= number and buffer is not first
                shared = ended and buffer.size == output.size
            if shared:
                buffer.dies = max(buffer.dies, dies)
                buffer.tensors.append(output.number)
                of[output.number] = buffer
                break
        else:
            of[output.number] = Buffer(output.size, number, dies, [output.number])
            buffers.append(of[output.number])
    return buffers


def _sources(operator: Operator) -> Iterable[int]:
    """Inputs over which an operator may write."""
    if operator.kind == "RESHAPE" or is_one_tap(operator):
        return [operator.input.number]
    if operator.kind in ("ADD", "SUB", "MUL"):
        return [t.number for t in operands(operator) if not t.constant]
    return [operator.input.number] if operator.kind in ELEMENTWISE else []


def _leads(model: Model, of: dict[int, Buffer], placed: list[Buffer]) -> dict[tuple[int, int], int]:
    """{(identity of an output's buffer, of the input's it may overrun): bytes it begins before}."""
    inside, leads = {id(buffer) for buffer in placed}, {}
    for number, operator in enumerate(model.operators):
        if operator.kind not in ROW_BY_ROW or is_one_tap(operator):
            continue
        made, read = of[operator.output.number], of[operator.input.number]
        both = {id(made), id(read)} <= inside and made is not read
        if both and made.born == number and read.dies == number:
            leads[id(made), id(read)] = lead(operator)
    return leads


def _place(placed: list[Buffer], leads: dict[tuple[int, int], int], enough: int) -> int:
    """Give each buffer its offset, so that the arena is small; returns its bytes.

    Each in turn goes to the lowest place that is free: the largest first, and then in orders in
    which one buffer is moved, as long as that saves anything over `enough`.
    """
    order = sorted(placed, key=lambda b: -b.size)
    best = _in_order(order, leads)
    better = True
    while better and best > enough:
        better = False
        for old in range(min(len(order), MOVED)):
            for new in range(min(len(order), MOVED)):
                moved = order[:old] + order[old + 1 :]
                moved.insert(new, order[old])
                if (arena := _in_order(moved, leads)) < best:
                    order, best, better = moved, arena, True
    return _in_order(order, leads)


def _in_order(order: list[Buffer], leads: dict[tuple[int, int], int]) -> int:
    """Place buffers in this order; returns the bytes of the arena."""
    for rank, buffer in enumerate(order):
        taken = [
            _taken(buffer, other, leads)
            for other in order[:rank]
            if buffer.born <= other.dies and other.born <= buffer.dies
        ]
        buffer.offset = 0
        while clash := [above for below, above in taken if below < buffer.offset < above]:
            buffer.offset = min(clash)
    return max((b.offset + _aligned(b.size) for b in order), default=0)


def _taken(buffer: Buffer, other: Buffer, leads: dict[tuple[int, int], int]) -> tuple[int, int]:
    """Offsets strictly between these would put a buffer where the other one is in use."""
    below, above = other.offset - _aligned(buffer.size), other.offset + _aligned(other.size)
    if (id(buffer), id(other)) in leads:  # the output, before an input that is placed
        below = max(below, other.offset - _aligned(leads[id(buffer), id(other)]))
    elif (id(other), id(buffer)) in leads:  # the input, behind an output that is placed
        above = min(above, other.offset + _aligned(leads[id(other), id(buffer)]))
    return below, above


def _held(placed: list[Buffer], leads: dict[tuple[int, int], int], number: int) -> int:
    """The bytes that operator `number` cannot do without."""
    held = [b for b in placed if b.born <= number <= b.dies]
    total = sum(_aligned(b.size) for b in held)
    for made in held:
        for read in held:
            if (id(made), id(read)) in leads:
                before = _aligned(leads[id(made), id(read)])
                saved = _aligned(made.size) + _aligned(read.size)
                total -= saved - min(max(_aligned(made.size), before + _aligned(read.size)), saved)
    return total


def _aligned(size: int, to: int = ALIGNMENT) -> int:
    return -(-size // to) * to
