"""One operator as a call of a C kernel, and the constants that it needs.

Chapter: book/compression/chip.
"""

from __future__ import annotations

import math

import numpy as np

from asclib.deploy.operators import (
    frame_of,
    operands,
    order_of,
    output_range,
    reduced,
    window,
)
from asclib.deploy.plan import Plan, by_rows, is_convolution, is_one_tap, kernel_of
from asclib.deploy.tensors import Operator, Tensor


def fixed_point(value: float) -> tuple[int, int]:
    """(multiplier, shift) with value = multiplier / 2^31 * 2^shift, the multiplier from 2^30 on."""
    if not math.isfinite(value):
        raise ValueError(f"a factor of {value:g} has no fixed-point form")
    if value == 0:
        return 0, 0
    fraction, shift = math.frexp(value)
    multiplier = math.floor(fraction * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift + 1
    if shift > 30:
        raise ValueError(f"a factor of {value:g} is too large for fixed point")
    return (multiplier, shift) if shift >= -31 else (0, 0)


class Layer:
    """One operator as a call of a kernel, the constants that it needs, where it reads and writes.

    The arena is passed to it as pointers: of a function that computes from one constant address to
    another, GCC 12 has been seen to think that it writes nothing.
    """

    def __init__(self, number: int, operator: Operator, placed: Plan):
        self.number, self.operator, self.placed = number, operator, placed
        self.constants: list[str] = []
        self.places: dict[str, tuple[str, str]] = {}  # parameters: type, what is passed

    def statement(self) -> str:
        """The call; empty where nothing is to be done."""
        return {
            "CONV_2D": self._convolution,
            "DEPTHWISE_CONV_2D": self._convolution,
            "MAX_POOL_2D": self._pool,
            "AVERAGE_POOL_2D": self._pool,
            "MEAN": self._mean,
            "FULLY_CONNECTED": self._dense,
            "ADD": self._pairwise,
            "SUB": self._pairwise,
            "MUL": self._pairwise,
            "RELU": self._rescaled,
            "RELU6": self._rescaled,
            "QUANTIZE": self._rescaled,
            "RESHAPE": self._reshape,
            "TRANSPOSE": self._transpose,
            "CONCATENATION": self._concatenation,
            "PAD": self._pad,
        }[self.operator.kind]()

    def _at(self, tensor: Tensor) -> str:
        """A C expression for where a tensor lies: a constant's name or a parameter's."""
        if tensor.constant:
            name = f"constant_{self.number}_{len(self.constants)}"
            assert tensor.data is not None
            self.constants.append(_array("int8_t", name, tensor.data.ravel().tolist()))
            return name
        buffer = self.placed.buffer[tensor.number]
        place = f"arena.bytes + {buffer.offset}"
        if buffer is self.placed.output:
            place = "output"
        elif buffer is self.placed.input:
            place = "input"
        if tensor is self.operator.output:
            self.places["out"] = "int8_t *", place
            return "out"
        for name, (_, known) in self.places.items():
            if known == place and name != "out":
                return name
        name = f"in_{len(self.places)}" if self.places else "in"
        self.places[name] = "const int8_t *", place
        return name

    def _ends(self) -> str:
        return f"{self._at(self.operator.input)}, {self._at(self.operator.output)}"

    def _convolution(self) -> str:
        operator = self.operator
        weights = operator.inputs[1]
        assert weights is not None and weights.data is not None
        height, width = kernel_of(operator)
        channels = self._channels("weights" if is_convolution(operator) else "")
        low, high = output_range(operator)
        kernels = weights.data
        if operator.kind == "CONV_2D" and weights.shape[3] < operator.input.shape[3]:
            kernels = ungrouped(kernels, operator.input.shape[3])
        if is_one_tap(operator):
            self.constants.append(self._weights(kernels.ravel()))
            places = operator.input.size // operator.input.shape[3]
            start = _list(places, operator.input.shape[3], _zero(operator.input))
            middle = _list(_zero(operator.output), low, high, channels)
            return (
                f"scale_channels({start}, {middle}, {self._at(operator.input)}, "
                f"weights_{self.number}, channels_{self.number}, {self._at(operator.output)});"
            )
        sizes = window(operator, (height, width))
        fields = {
            **dict(zip(("height", "width", "channels"), operator.input.shape[1:], strict=True)),
            **dict(
                zip(
                    ("out_height", "out_width", "out_channels"),
                    operator.output.shape[1:],
                    strict=True,
                )
            ),
            "kernel_height": height,
            "kernel_width": width,
            **sizes,
            "zero": _zero(operator.input),
            "out_zero": _zero(operator.output),
            "low": low,
            "high": high,
            "quick": channels,
        }
        start = (
            f"{_structure('Convolution', fields)}, {self._at(operator.input)}, "
            f"weights_{self.number}, channels_{self.number}, {self._at(operator.output)}"
        )
        if not is_convolution(operator):
            self.constants.append(self._weights(kernels.ravel()))
            return f"convolve_depthwise({start});"
        if operator.kind == "DEPTHWISE_CONV_2D":
            kernels = kernels.transpose(3, 1, 2, 0)
        self.constants.append(self._weights(interleaved(kernels.reshape(len(kernels), -1))))
        how = "rows" if by_rows(operator) else "patches"
        work = self.placed.work[self.number].offset
        self.places["work"] = "int16_t *", f"arena.halves + {work // 2}"
        return f"convolve_{how}({start}, work);"

    def _weights(self, values: np.ndarray) -> str:
        # aligned: pairs of words are read from it
        name = f"weights_{self.number}"
        numbers = values.astype(int).ravel().tolist()
        return _array("int8_t", name, numbers, aligned=True)

    def _channels(self, padded: str) -> int:
        """Write biases and factors; whether all of them have the quick form (arithmetic.h)."""
        operator = self.operator
        weights = operator.inputs[1]
        assert weights is not None and weights.data is not None
        outputs = operator.output.shape[-1]
        bias = np.zeros(outputs, np.int64)
        if len(operator.inputs) == 3 and operator.inputs[2] is not None:
            given = operator.inputs[2].data
            assert given is not None
            bias = given.astype(np.int64).ravel()
        kernels = np.moveaxis(weights.data, weights.data.ndim - 1, 0)  # depthwise: channels last
        kernels = kernels if operator.kind == "DEPTHWISE_CONV_2D" else weights.data
        furthest = max(abs(-128 - _zero(operator.input)), abs(127 - _zero(operator.input)))
        most = np.abs(kernels.reshape(outputs, -1).astype(np.int64)).sum(1) * furthest + abs(bias)
        factors = [fixed_point(factor) for factor in self._factors(outputs)]
        quick = all(
            m == 0 or (s <= -1 and n < 2**30)
            for (m, s), n in zip(factors, most.tolist(), strict=True)
        )
        rows = [
            (b, m, (max(-1 - s, 0) if quick else s))
            for b, (m, s) in zip(bias.tolist(), factors, strict=True)
        ]
        if padded and outputs % 2:
            rows.append((0, 0, 0))
        body = ",\n".join(f"    {{{_int32(b)}, {m}, {s}}}" for b, m, s in rows)
        name = f"channels_{self.number}[{len(rows)}]"
        self.constants.append(f"static const Channel {name} = {{\n{body}\n}};")
        return int(quick)

    def _factors(self, outputs: int) -> list[float]:
        """Scale of input times that of weights, over that of the output, for each channel."""
        weights = self.operator.inputs[1]
        assert weights is not None
        given, made = self.operator.input.scale[0], float(self.operator.output.scale[0])
        if self.operator.kind == "FULLY_CONNECTED" and len(weights.scale) == 1:
            with np.errstate(over="ignore"):  # in float32, as TFLM does
                return [float(given * weights.scale[0]) / made] * outputs
        scales = np.broadcast_to(weights.scale, outputs)
        return [float(given) * float(scale) / made for scale in scales]

    def _pool(self) -> str:
        operator = self.operator
        height, width = kernel_of(operator)
        sizes = window(operator, (height, width))
        low, high = output_range(operator)
        fields = {
            **dict(zip(("height", "width", "channels"), operator.input.shape[1:], strict=True)),
            "out_height": operator.output.shape[1],
            "out_width": operator.output.shape[2],
            "kernel_height": height,
            "kernel_width": width,
            **{name: size for name, size in sizes.items() if "dilation" not in name},
            "low": low,
            "high": high,
        }
        average = int(operator.kind == "AVERAGE_POOL_2D")
        return f"pool({_structure('Pool', fields)}, {average}, {self._ends()});"

    def _mean(self) -> str:
        operator = self.operator
        outer, n, inner = reduced(operator)
        factor = float(operator.input.scale[0]) / float(operator.output.scale[0])
        multiplier, shift = fixed_point(factor)
        # the sum becomes a mean in the factor: TensorFlow Lite divides the multiplier
        bits = min(n.bit_length() - 1, 32, 31 + shift)
        multiplier, shift = (multiplier << bits) // n, shift - bits
        sizes = _list(outer, n, inner, _zero(operator.input), multiplier, shift)
        return f"mean({sizes}, {_zero(operator.output)}, {self._ends()});"

    def _dense(self) -> str:
        operator = self.operator
        weights = operator.inputs[1]
        assert weights is not None and weights.data is not None
        self.constants.append(self._weights(weights.data.ravel()))
        quick = self._channels("")
        outputs, inputs = weights.shape
        zeros = _list(_zero(operator.input), _zero(operator.output), *output_range(operator), quick)
        return (
            f"dense({inputs}, {outputs}, {zeros}, {self._at(operator.input)}, "
            f"weights_{self.number}, channels_{self.number}, {self._at(operator.output)});"
        )

    def _rescaled(self) -> str:
        operator = self.operator
        factor = float(operator.input.scale[0]) / float(operator.output.scale[0])
        start = _list(operator.input.size, _zero(operator.input), *fixed_point(factor))
        middle = _list(_zero(operator.output), *output_range(operator))
        return f"requantize({start}, {middle}, {self._ends()});"

    def _pairwise(self) -> str:
        operator = self.operator
        one, other = operands(operator)
        scales = [float(t.scale[0]) for t in (one, other, operator.output)]
        factors = [1.0, 1.0, scales[0] * scales[1] / scales[2]]
        if operator.kind != "MUL":
            largest = 2 * max(scales[:2])
            factors = [
                scales[0] / largest,
                scales[1] / largest,
                largest / ((1 << 20) * scales[2]),
            ]
        low, high = output_range(operator)
        swapped = one is not operator.inputs[0]
        fields = {
            "n": one.size,
            "m": other.size,
            "sign": -1 if operator.kind == "SUB" and swapped else 1,
            "other_sign": -1 if operator.kind == "SUB" and not swapped else 1,
            "zero": _zero(one),
            "other_zero": _zero(other),
            "out_zero": _zero(operator.output),
            "low": low,
            "high": high,
        }
        for name, factor in zip(("", "other_", "out_"), factors, strict=True):
            fields[f"{name}multiplier"], fields[f"{name}shift"] = fixed_point(factor)
        name = "multiply" if operator.kind == "MUL" else "add"
        places = ", ".join(self._at(t) for t in (one, other, operator.output))
        return f"{name}({_structure('Pairwise', fields)}, {places});"

    def _reshape(self) -> str:
        given, made = (
            self.placed.buffer[t.number] for t in (self.operator.input, self.operator.output)
        )
        if given is made:
            return ""  # the same bytes
        places = f"{self._at(self.operator.output)}, {self._at(self.operator.input)}"
        return f"memcpy({places}, {self.operator.input.size});"

    def _transpose(self) -> str:
        order, shape = order_of(self.operator), self.operator.input.shape
        steps = [math.prod(shape[axis + 1 :]) for axis in order]
        filled = 4 - len(order)
        sizes = _list(*[1] * filled, *(shape[axis] for axis in order), *[0] * filled, *steps)
        return f"transpose({sizes}, {self._ends()});"

    def _concatenation(self) -> str:
        axis = self.operator.option("axis") % len(self.operator.output.shape)
        rows = math.prod(self.operator.output.shape[:axis])
        length, start, calls = self.operator.output.size // rows, 0, []
        out = self._at(self.operator.output)
        for tensor in self.operator.inputs:
            assert tensor is not None
            part = tensor.size // rows
            calls.append(
                f"copy_rows({rows}, {part}, {length}, {self._at(tensor)}, {out} + {start});"
            )
            start += part
        return "\n    ".join(calls)

    def _pad(self) -> str:
        made, filled = self.operator.output.shape, 4 - len(self.operator.output.shape)
        before = [0] * filled + [first for first, _ in frame_of(self.operator)]
        steps = [math.prod(made[axis + 1 - filled :]) for axis in range(filled, 4)]
        steps = [0] * filled + steps  # of an axis that is not there
        start = sum(n * step for n, step in zip(before, steps, strict=True))
        block, plane, row, _ = steps
        shape = [1] * filled + list(self.operator.input.shape)
        sizes = _list(*shape, start, row, plane, block, self.operator.output.size)
        return f"pad({sizes}, {_zero(self.operator.output)}, {self._ends()});"


def ungrouped(kernels: np.ndarray, channels: int) -> np.ndarray:
    """Kernels (out, mel, time, in of a group) over all channels, 0 for those of other groups."""
    outputs, *taps, own = kernels.shape
    full = np.zeros((outputs, *taps, channels), np.int8)
    for output in range(outputs):
        start = output // (outputs * own // channels) * own
        full[output, :, :, start : start + own] = kernels[output]
    return full


def interleaved(kernels: np.ndarray) -> np.ndarray:
    """Kernels (out, n) in the order of `convolution.h`: pairs of channels, four by four.

    Filled up with zeros to an even number of channels, and to a multiple of four.
    """
    outputs, n = kernels.shape
    full = np.zeros((outputs + outputs % 2, -(-n // 4) * 4), np.int8)
    full[:outputs, :n] = kernels
    fours = full.reshape(len(full) // 2, 2, -1, 4).transpose(0, 2, 1, 3)
    return fours[..., [0, 2, 1, 3]]


def _array(kind: str, name: str, values: list[int], aligned: bool = False) -> str:
    rows = [values[i : i + 24] for i in range(0, len(values), 24)]
    body = ",\n".join("    " + ", ".join(map(str, row)) for row in rows)
    mark = "ALIGNED " if aligned else ""
    return f"{mark}static const {kind} {name}[{len(values)}] = {{\n{body}\n}};"


def _structure(kind: str, fields: dict[str, int]) -> str:
    return f"({kind}){{{', '.join(f'.{name} = {value}' for name, value in fields.items())}}}"


def _list(*numbers: int) -> str:
    return ", ".join(map(str, numbers))


def _zero(tensor: Tensor) -> int:
    return int(tensor.zero[0])


def _int32(value: int) -> str:
    return str(value) if value > -(2**31) else "(-2147483647 - 1)"
