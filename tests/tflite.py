"""Small .tflite files written by hand, and the interpreter that firmware has to equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from asclib import litert

TYPES = {"int8": schema.TensorType.INT8, "int32": schema.TensorType.INT32}


class Network:
    """A .tflite in the making. `open` is the activation that the next layer reads."""

    def __init__(self, seed: int, shape: tuple[int, ...]):
        self.random = np.random.default_rng(seed)
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]
        self.shapes: list[tuple[int, ...]] = []
        self.open = self.activation(shape)
        self.graph.inputs = [self.open]

    def tensor(self, shape, kind="int8", scale=(), zero=(), data=None, axis=0) -> int:
        tensor = schema.TensorT()
        tensor.shape, tensor.type = list(shape), TYPES[kind]
        tensor.name = f"layer/{len(self.graph.tensors)}".encode()
        tensor.buffer = 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        if len(scale):
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.asarray(scale, np.float32)
            tensor.quantization.zeroPoint = list(zero)
            tensor.quantization.quantizedDimension = axis
        self.graph.tensors.append(tensor)
        self.shapes.append(tuple(shape))
        return len(self.graph.tensors) - 1

    def activation(self, shape, scale=None, zero=None) -> int:
        scale = self.random.uniform(0.01, 0.2) if scale is None else scale
        zero = int(self.random.integers(-128, 128)) if zero is None else zero
        return self.tensor(shape, scale=[scale], zero=[zero])

    def scale(self, tensor: int) -> float:
        return float(self.graph.tensors[tensor].quantization.scale[0])

    def zero(self, tensor: int) -> int:
        return int(self.graph.tensors[tensor].quantization.zeroPoint[0])

    def operator(self, kind: str, inputs, output: int, options: Any = None) -> None:
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = 1
        self.model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = list(inputs), [output]
        if options is not None:
            operator.builtinOptions = options
            name = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
        self.graph.operators.append(operator)
        self.open = output

    def content(self) -> bytes:
        self.graph.outputs = [self.open]
        return litert.content_of(self.model)

    # ---- layers, each with scales that use most of int8 ----------------------------------------

    def _weights(self, shape, axis: int, outputs: int, fan: int) -> tuple[int, int, np.ndarray]:
        random = self.random
        weights = random.integers(-127, 128, shape).astype(np.int8)
        if random.random() < 0.2:  # a channel that is dead
            np.moveaxis(weights, axis, 0)[0] = 0
        scales = random.uniform(0.001, 0.02, outputs if random.random() < 0.8 else 1)
        bias = random.integers(-3000, 3000, outputs).astype(np.int32)
        given = self.scale(self.open)
        return (
            self.tensor(shape, scale=scales, zero=[0] * len(scales), data=weights, axis=axis),
            self.tensor(
                (outputs,), "int32", scale=scales * given, zero=[0] * len(scales), data=bias
            ),
            given * scales.max() * np.sqrt(fan) * random.uniform(30, 150),
        )

    def _window(self, options, kernel) -> tuple[int, int]:
        """Strides and padding at random; returns the output's height and width."""
        random = self.random
        size = self.shapes[self.open][1:3]
        options.strideH, options.strideW = (int(n) for n in random.integers(1, 4, 2))
        options.padding = int(random.random() < 0.4)
        dilations = [1, 1]
        if hasattr(options, "dilationHFactor"):
            if random.random() < 0.2:
                dilations = [int(n) for n in random.integers(1, 3, 2)]
            if max(dilations) > 1:
                options.strideH = options.strideW = 1
            options.dilationHFactor, options.dilationWFactor = dilations
        spread = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        if any(n < s for n, s in zip(size, spread, strict=True)):
            options.padding = 0
        sizes = zip(size, spread, (options.strideH, options.strideW), strict=True)
        return tuple(-(-(n if options.padding == 0 else n - s + 1) // t) for n, s, t in sizes)

    def conv(self) -> None:
        channels = self.shapes[self.open][3]
        outputs = int(self.random.choice([1, 2, 3, 4, 7, 8]))
        groups = 2 if channels % 2 == outputs % 2 == 0 and self.random.random() < 0.3 else 1
        kernel = [int(n) for n in self.random.integers(1, 6, 2)]
        options = schema.Conv2DOptionsT()
        made = self._window(options, kernel)
        options.fusedActivationFunction = int(self.random.choice([0, 1, 3]))
        shape = (outputs, *kernel, channels // groups)
        weights, bias, scale = self._weights(shape, 0, outputs, int(np.prod(shape[1:])))
        output = self.activation((1, *made, outputs), scale)
        self.operator("CONV_2D", [self.open, weights, bias], output, options)

    def depthwise(self, one_tap: bool = False) -> None:
        channels = self.shapes[self.open][3]
        many = 1 if one_tap else int(self.random.choice([1, 1, 2, 5]))
        kernel = [1, 1] if one_tap else [int(n) for n in self.random.integers(1, 5, 2)]
        options = schema.DepthwiseConv2DOptionsT()
        options.depthMultiplier = many
        options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
        made = self.shapes[self.open][1:3] if one_tap else self._window(options, kernel)
        options.strideW = options.strideH  # TensorFlow Lite knows no others here
        if not one_tap:
            sizes = zip(self.shapes[self.open][1:3], kernel, strict=True)
            dilations = (options.dilationHFactor, options.dilationWFactor)
            made = tuple(
                -(-(n if options.padding == 0 else n - (k - 1) * d) // options.strideH)
                for (n, k), d in zip(sizes, dilations, strict=True)
            )
        options.fusedActivationFunction = int(self.random.choice([0, 1, 3]))
        outputs = channels * many
        fan = kernel[0] * kernel[1]
        weights, bias, scale = self._weights((1, *kernel, outputs), 3, outputs, fan)
        output = self.activation((1, *made, outputs), scale)
        self.operator("DEPTHWISE_CONV_2D", [self.open, weights, bias], output, options)

    def norm(self) -> None:
        self.depthwise(one_tap=True)

    def pool(self) -> None:
        options = schema.Pool2DOptionsT()
        kernel = [int(n) for n in self.random.integers(1, 4, 2)]
        options.filterHeight, options.filterWidth = kernel
        made = self._window(options, kernel)
        options.fusedActivationFunction = int(self.random.choice([0, 1]))
        kind = str(self.random.choice(["MAX_POOL_2D", "AVERAGE_POOL_2D"]))
        shape = (1, *made, self.shapes[self.open][3])
        output = self.activation(shape, self.scale(self.open), self.zero(self.open))
        self.operator(kind, [self.open], output, options)

    def pairwise(self) -> None:
        kind = str(self.random.choice(["ADD", "SUB", "MUL"]))
        shape = self.shapes[self.open]
        options = getattr(schema, f"{kind.title()}OptionsT")()
        options.fusedActivationFunction = int(self.random.choice([0, 1]))
        alike = [i for i, s in enumerate(self.shapes) if s == shape and self._is_open(i)]
        if self.random.random() < 0.5:
            other = int(self.random.choice(alike))
        else:
            size = (1,) * (len(shape) - 1) + shape[-1:]
            size = size if self.random.random() < 0.7 else shape
            values = self.random.integers(-128, 128, size).astype(np.int8)
            zero = int(self.random.integers(-128, 128))
            other = self.tensor(size, scale=[0.03], zero=[zero], data=values)
        scale = 2 * max(self.scale(self.open), self.scale(other))
        if kind == "MUL":
            scale = self.scale(self.open) * self.scale(other) * 100
        places = [self.open, other]
        if self.random.random() < 0.5:
            places.reverse()
        self.operator(kind, places, self.activation(shape, scale), options)

    def _is_open(self, tensor: int) -> bool:
        made = [output for o in self.graph.operators for output in o.outputs]
        return tensor in made or tensor in self.graph.inputs

    def relu(self) -> None:
        shape = self.shapes[self.open]
        if self.random.random() < 0.5:
            output = self.activation(shape, self.scale(self.open) * self.random.uniform(0.5, 1.5))
            self.operator("RELU", [self.open], output)
        else:
            output = self.activation(shape, self.scale(self.open), self.zero(self.open))
            self.operator("RELU6", [self.open], output)

    def quantize(self) -> None:
        scale = self.scale(self.open) * self.random.uniform(0.4, 2.5)
        output = self.activation(self.shapes[self.open], scale)
        self.operator("QUANTIZE", [self.open], output, schema.QuantizeOptionsT())

    def pad(self) -> None:
        frame = np.zeros((4, 2), np.int32)
        first = self.random.choice([1, 1, 2])  # around the picture, or channels as well
        frame[first : first + 2] = self.random.integers(0, 3, (2, 2))
        shape = self.shapes[self.open]
        made = tuple(int(n + sum(f)) for n, f in zip(shape, frame, strict=True))
        output = self.activation(made, self.scale(self.open), self.zero(self.open))
        around = self.tensor((4, 2), "int32", data=frame)
        self.operator("PAD", [self.open, around], output, schema.PadOptionsT())

    def reshape(self, shape: tuple[int, ...] | None = None) -> None:
        _, height, width, channels = self.shapes[self.open]
        shape = shape or (1, width, height, channels)
        output = self.activation(shape, self.scale(self.open), self.zero(self.open))
        options = schema.ReshapeOptionsT()
        options.newShape = list(shape)
        given = self.tensor((len(shape),), "int32", data=np.array(shape, np.int32))
        self.operator("RESHAPE", [self.open, given], output, options)

    def transpose(self) -> None:
        order = [0, *(int(axis) for axis in self.random.permutation([1, 2, 3]))]
        made = tuple(self.shapes[self.open][axis] for axis in order)
        output = self.activation(made, self.scale(self.open), self.zero(self.open))
        axes = self.tensor((4,), "int32", data=np.array(order, np.int32))
        self.operator("TRANSPOSE", [self.open, axes], output, schema.TransposeOptionsT())

    def concatenation(self) -> None:
        """The open activation twice, once through a RELU6, along any axis."""
        options = schema.ConcatenationOptionsT()
        options.axis = int(self.random.integers(1, 4)) - 4 * int(self.random.integers(2))
        one, shape = self.open, list(self.shapes[self.open])
        other = self.activation(shape, self.scale(one), self.zero(one))
        self.operator("RELU6", [one], other)
        shape[options.axis] *= 2
        output = self.activation(shape, self.scale(one), self.zero(one))
        self.operator("CONCATENATION", [one, other], output, options)

    def mean(self) -> None:
        options = schema.ReducerOptionsT()
        options.keepDims = bool(self.random.random() < 0.5)
        places = [1, 2] if self.random.random() < 0.7 else [2, 3]
        kept = list(self.shapes[self.open])
        for axis in places:
            kept[axis] = 1
        shape = kept if options.keepDims else [n for i, n in enumerate(kept) if i not in places]
        output = self.activation(shape, self.scale(self.open) * self.random.uniform(0.2, 1))
        axes = self.tensor((2,), "int32", data=np.array(places, np.int32))
        self.operator("MEAN", [self.open, axes], output, options)

    def dense(self) -> None:
        inputs = int(np.prod(self.shapes[self.open]))
        if self.shapes[self.open] != (1, inputs):
            self.reshape((1, inputs))
        outputs = int(self.random.integers(1, 12))
        weights, bias, scale = self._weights((outputs, inputs), 0, outputs, inputs)
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = int(self.random.choice([0, 1]))
        output = self.activation((1, outputs), scale)
        self.operator("FULLY_CONNECTED", [self.open, weights, bias], output, options)


def random_network(seed: int) -> bytes:
    """Two to six layers on a small picture, then perhaps a mean and a dense layer."""
    random = np.random.default_rng([seed, 7])
    shape = (int(random.integers(3, 15)), int(random.integers(1, 11)))
    network = Network(seed, (1, *shape, int(random.choice([1, 1, 2, 3, 4, 8, 12]))))
    layers = ["conv", "conv", "conv", "depthwise", "norm", "pool", "pairwise", "relu"]
    more = ["quantize", "pad", "reshape", "transpose", "concatenation"]
    for layer in random.choice([*layers, *more], random.integers(2, 7)):
        getattr(network, str(layer))()
    if random.random() < 0.4:
        network.mean()
    if random.random() < 0.5:
        network.dense()
    return network.content()


class Reference:
    """TensorFlow Lite Micro's interpreter: (n, …) int8 -> (n, outputs) int8."""

    def __init__(self, model: bytes | Path):
        from tflite_micro import runtime

        content = model if isinstance(model, bytes) else model.read_bytes()
        self.interpreter = runtime.Interpreter.from_bytes(content, arena_size=2**21)

    def __call__(self, clips: np.ndarray) -> np.ndarray:
        answers = []
        for clip in clips:
            self.interpreter.set_input(clip[None], 0)
            self.interpreter.invoke()
            answers.append(self.interpreter.get_output(0).ravel())
        return np.array(answers)
