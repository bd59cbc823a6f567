"""A full-int8 .tflite as a checked list of operators, or one line that says why it is none.

Whatever the file holds, what is read here is whole: tensors that exist, shapes that follow from one
another, constants as long as their shapes say, scales that are numbers. Nothing after this module
has to ask again.

Chapter: book/compression/chip.
"""

from __future__ import annotations

import math
import struct
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from asclib import litert
from asclib.deploy.operators import check
from asclib.deploy.tensors import Model, Operator, Tensor
from asclib.extras import needs

LARGEST_FILE = 16 * 2**20  # bytes; a microcontroller's flash is a hundredth of it
LARGEST_TENSOR = 2**24  # elements
TYPES = {"INT8": np.int8, "INT32": np.int32}
BROKEN = (  # what reading objects out of bytes that are none can raise
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


def read_model(path: str | Path) -> Model:
    """The operators of a full-int8 .tflite, checked, with one input and one output.

    Raises: FileNotFoundError; ValueError, in one line, for a file that is broken or no .tflite,
        or one that cannot become firmware, with the layer that is at fault.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; asclib.export(net, path, ...) writes one")
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path}: {path.stat().st_size:,} bytes are no microcontroller's model")
    content = path.read_bytes()
    if content[4:8] != b"TFL3":
        raise ValueError(f"{path}: not a .tflite file, whose bytes 4 to 7 are TFL3")
    try:
        return _model(litert.objects(content))
    except Unfit as error:
        raise ValueError(f"{path}: {error}") from error
    except BROKEN as error:
        reason = " ".join(f"{error}".split()) or "no reason given"
        raise ValueError(f"{path}: broken: {type(error).__name__}: {reason[:200]}") from error


class Unfit(ValueError):
    """A file that can be read, and cannot become firmware."""


def _model(file: Any) -> Model:
    if len(file.subgraphs) != 1:
        raise Unfit(f"{len(file.subgraphs)} subgraphs; firmware is made of files of one")
    graph = file.subgraphs[0]
    tensors = [_tensor(number, raw, file.buffers) for number, raw in enumerate(graph.tensors)]
    operators = [
        _operator(number, raw, file.operatorCodes, tensors)
        for number, raw in enumerate(graph.operators)
    ]
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise Unfit(
            f"{len(graph.inputs)} inputs and {len(graph.outputs)} outputs; firmware has one of each"
        )
    ends = [_at(tensors, end) for end in (graph.inputs[0], graph.outputs[0])]
    for tensor, what in zip(ends, ("input", "output"), strict=True):
        if tensor.kind != "INT8":
            raise Unfit(f"the {what} is {tensor.kind}: {REMEDY}")
        if not tensor.activation:
            raise Unfit(f"the {what} has no scale and zero point, or is a constant")
    model = Model(tuple(tensors), tuple(operators), ends[0], ends[1])
    _check_order(model)
    for operator in operators:
        try:
            check(operator)
        except ValueError as error:
            raise Unfit(f"{operator.name}: {error}") from error
    return model


REMEDY = 'export it with kind="full_int8" and calibration=Calibration(clips)'


def _tensor(number: int, raw: Any, buffers: list[Any]) -> Tensor:
    name = (raw.name or b"").decode("utf-8", "replace")
    name = "".join(c for c in name if c.isprintable())[:80] or f"tensor {number}"
    kind = _names("TensorType").get(raw.type, f"of unknown type {raw.type}")
    shape = tuple(int(n) for n in (() if raw.shape is None else raw.shape))
    if any(n < 1 for n in shape) or math.prod(shape) > LARGEST_TENSOR:
        raise Unfit(f"{name} has the shape {shape}")
    if not 0 <= raw.buffer < len(buffers):
        raise Unfit(f"{name} lies in buffer {raw.buffer} of {len(buffers)}")
    content = buffers[raw.buffer].data
    data = None
    if content is not None and kind in TYPES:
        data = np.frombuffer(bytes(bytearray(content)), TYPES[kind])
        if data.size != math.prod(shape):
            raise Unfit(f"{name} holds {data.size} numbers, its shape is {shape}")
        data = data.reshape(shape)
    scale, zero, axis = np.zeros(0, np.float32), np.zeros(0, np.int64), 0
    given = raw.quantization
    if given is not None and given.scale is not None and given.zeroPoint is not None:
        scale = np.asarray(given.scale, np.float32).reshape(-1)
        zero = np.asarray(given.zeroPoint, np.int64).reshape(-1)
        axis = int(given.quantizedDimension)
        if len(scale) != len(zero) or not (np.isfinite(scale).all() and (scale > 0).all()):
            raise Unfit(f"{name} has scales that are not finite numbers above 0, one a zero point")
        if kind == "INT8" and (abs(zero) > 128).any():
            raise Unfit(f"{name} has a zero point outside of int8")
    if raw.sparsity is not None or raw.isVariable:
        raise Unfit(f"{name} is sparse or a variable")
    return Tensor(number, name, kind, shape, data, scale, zero, axis, content is not None)


def _operator(number: int, raw: Any, codes: list[Any], tensors: list[Tensor]) -> Operator:
    code = _at(codes, raw.opcodeIndex)
    value = max(code.builtinCode, code.deprecatedBuiltinCode)
    kind = _names("BuiltinOperator").get(value, f"operator code {value}")
    if kind == "CUSTOM":
        kind = f"custom operator {(code.customCode or b'?').decode('utf-8', 'replace')[:40]!r}"
    places = [] if raw.inputs is None else [int(i) for i in raw.inputs]
    inputs = tuple(None if i == -1 else _at(tensors, i) for i in places)
    outputs = [] if raw.outputs is None else list(raw.outputs)
    name = f"operator {number} ({kind})"
    if len(outputs) != 1:
        raise Unfit(f"{name} has {len(outputs)} outputs; firmware knows operators of one")
    output = _at(tensors, outputs[0])
    name += f", which makes {output.name} of shape {output.shape}"
    options = dict(vars(raw.builtinOptions)) if raw.builtinOptions is not None else {}
    return Operator(name, kind, inputs, output, options)


def _at(values: list[Any], index: int) -> Any:
    """An entry by its index, which in a broken file may be any number."""
    if not 0 <= index < len(values):
        raise Unfit(f"an index of {index} where {len(values)} are listed")
    return values[index]


def _check_order(model: Model) -> None:
    """Every activation is made once, before it is read."""
    made = {model.input.number}
    for operator in model.operators:
        for tensor in operator.inputs:
            if tensor is not None and not tensor.constant and tensor.number not in made:
                raise Unfit(f"{operator.name}: reads {tensor.name} before it is made")
        if operator.output.number in made or operator.output.constant:
            raise Unfit(f"{operator.name}: its output is made already")
        made.add(operator.output.number)
    if model.output.number not in made:
        raise Unfit(f"nothing makes the output, {model.output.name}")


@cache
def _names(enumeration: str) -> dict[int, str]:
    with needs("deploy"):
        from ai_edge_litert import schema_py_generated as schema

    entries = vars(getattr(schema, enumeration)).items()
    return {value: name for name, value in entries if isinstance(value, int)}
