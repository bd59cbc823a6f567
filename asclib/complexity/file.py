"""What a .tflite file costs: the count of `asclib.complexity`, read from the file itself.

    python -m asclib count student.tflite

Two conventions for MACs. The challenge counts convolutions and dense products only. Analysers of
.tflite files, such as NeSsi, also count one for every number that a pooling or a mean reads and
that a sum (ADD, SUB) makes; products with a constant (MUL) are free to them.

Chapter: book/compression/complexity.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from asclib import litert
from asclib.challenge.limits import Limits, Verdict
from asclib.complexity.count import COLUMNS, Complexity
from asclib.complexity.file_products import FOLLOWED, FileProducts, shape_of
from asclib.extras import needs

# Operators without MACs by the challenge's convention: pooling, normalisation, element-wise
# arithmetic, and moving data. What is neither here nor in `_macs` is named, never taken for free.
# A product that a sum adds up counts all the same: `asclib.complexity.file_products`.
FREE = FOLLOWED | frozenset(
    """
    SQUARED_DIFFERENCE SOFTMAX LOG_SOFTMAX MAX_POOL_2D AVERAGE_POOL_2D REDUCE_MAX REDUCE_MIN ARG_MAX
    ARG_MIN L2_NORMALIZATION SHAPE RESIZE_BILINEAR TOPK_V2
    """.split()
)
BITS = {
    "FLOAT64": 64,
    "FLOAT32": 32,
    "FLOAT16": 16,
    "BFLOAT16": 16,
    "FLOAT8_E4M3FN": 8,
    "FLOAT8_E5M2": 8,
    "COMPLEX64": 64,
    "COMPLEX128": 128,
    "INT64": 64,
    "INT32": 32,
    "INT16": 16,
    "INT8": 8,
    "INT4": 4,
    "INT2": 2,
    "UINT64": 64,
    "UINT32": 32,
    "UINT16": 16,
    "UINT8": 8,
    "UINT4": 4,
    "BOOL": 8,
}


@dataclass(frozen=True)
class FileComplexity(Complexity):
    """The cost of one inference with a file, besides what `Complexity` says.

    `stored` are the bytes of all constants, as stored: weights, biases of four bytes, folded
    normalisations, shapes; not their scales, nor the description of the graph. `analyser_macs` are
    MACs with poolings, means and sums. `peak_activation` is the largest sum of what is held at once
    in the file's order of operators, none of which works in place; `arena` the bytes that a planner
    that places the largest first needs for it. `bits` is the width of the widest kernel.
    """

    stored: int = 0
    analyser_macs: int = 0
    arena: int = 0
    bits: int = 8

    def bytes(self, bits: int | None = None) -> int:
        """The bytes of the constants as stored; or of the parameters in so many bits each."""
        return self.stored if bits is None else super().bytes(bits)

    def within(self, limits: Limits, bits: int | None = None) -> Verdict:
        """Whether the file's parameters, in the width of its widest kernel, keep within limits."""
        return super().within(limits, bits or self.bits)


def complexity_of_file(path: str | Path) -> FileComplexity:
    """Count parameters, MACs, bytes and activation memory of any .tflite file, for one clip.

    In a file whose inputs and outputs all begin with a batch of several clips, MACs are those of
    one clip, memory that of them all. Operators, and tensors of a type, that are not known are
    named in `unknown`; the verdict then never passes.
    Raises: FileNotFoundError; ValueError when it is no .tflite, or has several subgraphs.
    """
    model = litert.read(path)
    if len(model.subgraphs) != 1:
        raise ValueError(f"{path}: {len(model.subgraphs)} subgraphs; only files of one are counted")
    graph = model.subgraphs[0]
    tensors, types = graph.tensors, _names("TensorType")
    constant = {i for i, t in enumerate(tensors) if model.buffers[t.buffer].data is not None}
    kind_of = [types.get(t.type, f"number {t.type}") for t in tensors]
    size = [
        math.ceil(_numel(t) * BITS.get(k, 0) / 8) for t, k in zip(tensors, kind_of, strict=True)
    ]
    held, arena = _schedule(graph, constant, size)
    products, batch = FileProducts(tensors, model.buffers), _batch(graph)
    rows, counted, kernels = [], set(), [0]
    unknown = [f"tensor {i}: type {k}" for i, k in enumerate(kind_of) if k not in BITS]
    for number, operator in enumerate(graph.operators):
        kind = _kind(model.operatorCodes[operator.opcodeIndex])
        inputs = [i for i in operator.inputs if i >= 0]  # -1 stands for an input left out
        outputs = [tensors[i] for i in operator.outputs if i >= 0]
        macs = _macs(kind, [tensors[i] for i in inputs], outputs, operator)
        if macs is None and kind not in FREE:
            unknown.append(f"operator {number}: {kind}")
        new = [i for i in inputs if i in constant and tensors[i].buffer not in counted]
        counted |= {tensors[i].buffer for i in new}
        if macs is not None or kind == "DEQUANTIZE":
            kernels += [BITS.get(kind_of[i], 0) for i in new if len(shape_of(tensors[i])) > 1]
        macs = math.ceil(((macs or 0) + products.follow(kind, operator)) / batch)
        rows.append(
            {
                "name": f"{number} {kind.lower()}",
                "kind": kind,
                "output_shape": shape_of(outputs[0])[1:] if outputs else (),
                "parameters": sum(_numel(tensors[i]) for i in new if _is_weight(tensors[i], types)),
                "macs": macs,
                "activation_bytes": held[number],
                "stored": sum(len(model.buffers[tensors[i].buffer].data) for i in new),
                "analyser_macs": macs + math.ceil(_extra(kind, tensors, operator) / batch),
            }
        )
    layers = pd.DataFrame(rows, columns=[*COLUMNS, "stored", "analyser_macs"])
    return FileComplexity(
        parameters=int(layers["parameters"].sum()),
        macs=int(layers["macs"].sum()),
        peak_activation=max(held, default=0),
        layers=layers,
        unknown=tuple(unknown),
        stored=int(layers["stored"].sum()),
        analyser_macs=int(layers["analyser_macs"].sum()),
        arena=arena,
        bits=max(kernels) or 8,
    )


def _batch(graph: Any) -> int:
    """The clips of one inference: what all inputs and outputs begin with, or one."""
    ends = [shape_of(graph.tensors[i]) for i in (*graph.inputs, *graph.outputs)]
    firsts = {shape[0] if len(shape) > 1 else 1 for shape in ends}
    return firsts.pop() if len(firsts) == 1 else 1


def _kind(code: Any) -> str:
    """The name of an operator, one that is not of TensorFlow Lite by the name it has there."""
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    kind = _names("BuiltinOperator").get(number, f"operator number {number}")
    return f"CUSTOM {bytes(code.customCode or b'').decode()}".strip() if kind == "CUSTOM" else kind


@functools.cache
def _names(enumeration: str) -> dict[int, str]:
    with needs("deploy"):
        from ai_edge_litert import schema_py_generated as schema

    entries = vars(getattr(schema, enumeration)).items()
    return {value: name for name, value in entries if isinstance(value, int)}


def _numel(tensor: Any) -> int:
    return math.prod(shape_of(tensor))


def _is_weight(tensor: Any, types: dict[int, str]) -> bool:
    """Not a shape, an axis or a padding: those are integers without a scale."""
    scales = tensor.quantization is not None and tensor.quantization.scale is not None
    return types.get(tensor.type, "").startswith(("FLOAT", "BFLOAT", "COMPLEX")) or scales


def _macs(kind: str, inputs: list[Any], outputs: list[Any], operator: Any) -> int | None:
    """MACs of one operator; None when it is none that the challenge counts."""
    if kind == "CONV_2D":  # kernels (out, mel, time, in of a group)
        return _numel(outputs[0]) * math.prod(shape_of(inputs[1])[1:])
    if kind == "DEPTHWISE_CONV_2D":  # kernels (1, mel, time, out)
        return _numel(outputs[0]) * math.prod(shape_of(inputs[1])[1:3])
    if kind == "CONV_3D":  # kernels (depth, mel, time, in of a group, out)
        return _numel(outputs[0]) * math.prod(shape_of(inputs[1])[:4])
    if kind == "TRANSPOSE_CONV":  # output shape, kernels (out, mel, time, in), input
        return _numel(inputs[2]) * math.prod(shape_of(inputs[1])[:3])
    if kind == "CONV_3D_TRANSPOSE":  # output shape, kernels (depth, mel, time, out, in), input
        return _numel(inputs[2]) * math.prod(shape_of(inputs[1])[:4])
    if kind == "FULLY_CONNECTED":  # weights (out, in)
        return _numel(outputs[0]) * shape_of(inputs[1])[-1]
    if kind == "BATCH_MATMUL":
        return _numel(outputs[0]) * shape_of(inputs[0])[-2 if operator.builtinOptions.adjX else -1]
    return None


def _extra(kind: str, tensors: list[Any], operator: Any) -> int:
    """What analysers of files add to the MACs of the challenge's convention."""
    if kind in ("MAX_POOL_2D", "AVERAGE_POOL_2D"):
        window = operator.builtinOptions
        return _numel(tensors[operator.outputs[0]]) * window.filterHeight * window.filterWidth
    if kind in ("MEAN", "SUM"):
        return _numel(tensors[operator.inputs[0]])
    return _numel(tensors[operator.outputs[0]]) if kind in ("ADD", "SUB") else 0


def _schedule(graph: Any, constant: set[int], size: list[int]) -> tuple[list[int], int]:
    """Bytes held while each operator runs, and of an arena placed largest first.

    A tensor is held from the operator that makes it to the last that reads it.
    """
    born = dict.fromkeys(map(int, graph.inputs), 0)
    dies = dict.fromkeys(map(int, graph.outputs), len(graph.operators) - 1)
    for number, operator in enumerate(graph.operators):
        born |= {int(i): number for i in operator.outputs if int(i) not in born}
        for i in (*operator.outputs, *operator.inputs):
            if i >= 0 and i not in constant and int(i) not in map(int, graph.outputs):
                dies[int(i)] = number
    held = [
        sum(size[i] for i in born if born[i] <= number <= dies.get(i, -1))
        for number in range(len(graph.operators))
    ]
    placed: list[tuple[int, int, int]] = []  # tensor, first byte, byte after the last
    for i in sorted(born, key=lambda i: -size[i]):
        neighbours = sorted(
            (first, end)
            for j, first, end in placed
            if born[i] <= dies.get(j, -1) and born[j] <= dies.get(i, -1)
        )
        start = 0
        for first, end in neighbours:
            if first - start >= size[i]:
                break
            start = max(start, end)
        placed.append((i, start, start + size[i]))
    return held, int(np.max([end for _, _, end in placed], initial=0))
