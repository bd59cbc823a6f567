"""From a trained network to the .tflite file a device runs, and a simulation of it in torch.

Four kinds. Everywhere but in float16, weights are int8, one scale per output channel.
dynamic_range: activations stay float between the layers and are quantised to int8 clip by clip just
    before each convolution and dense layer (LiteRT's "hybrid" kernels).
weight_only: weights are read back to float before they are used; activations are float.
full_int8: activations are int8 as well, in ranges fixed in advance from calibration clips.
float16: weights are 16-bit floats, and are read back before they are used.
Jacob et al. 2018 (arXiv 1712.05877) for the affine scheme.
Weights are rounded here, so that kernels keep their sums; LiteRT finds them on its grid already.

Chapter: book/compression/quantization.
"""

from __future__ import annotations

import copy
import operator
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, fx, nn

from asclib import keys
from asclib.compression import convert
from asclib.compression.calibration import RANGES, Calibration, min_max
from asclib.compression.convert import Kind
from asclib.compression.graph import inference_graph, operation_of
from asclib.litert import LiteRT
from asclib.store import artefact
from asclib.training import one_thread

VERSION = 1  # raised when a file comes out another: tests/code_versions.json
KINDS: tuple[Kind, ...] = get_args(Kind)
WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)

# Operations of a graph, by their names in torch's ATen library, as the full int8 file does them.
WEIGHTED_OPERATIONS = {"conv1d", "conv2d", "conv3d", "linear"}
ELEMENTWISE = {"add", "sub", "mul"}
ACTIVATIONS = {"relu", "relu_"}  # done in the operation before, at no rounding of its own
AVERAGES = {"mean", "adaptive_avg_pool1d", "adaptive_avg_pool2d"}
# what these give stays on the grid of what they are given
SAME_GRID = set(
    """max_pool1d max_pool2d flatten view reshape permute transpose squeeze unsqueeze dropout
    clone contiguous alias select slice""".split()
)


def quantize_weight(weight: Tensor, bits: int = 8) -> Tensor:
    """Weights rounded to symmetric integers, one scale per output channel, each kernel's sum kept.

    The scale is s = max|w| / (2^(bits − 1) − 1), for int8 max|w| / 127. Rounded to the nearest
    step, the errors of a kernel's taps add up to some number, and an input with a mean turns that
    number into a shift of the whole map: log-mel pictures lie nepers below zero, so this shift does
    most of the damage. Here all taps are rounded down, and then those with the largest remainders
    up, as many as keep the kernel's sum to half a step. A kernel of one tap, as in a dense layer,
    is rounded to the nearest.

    Args: weight (out, in, …); bits, 2 to 8. Returns: the same shape, s · integer in float.
    """
    scale = (weight.abs().flatten(1).amax(1) / (2 ** (bits - 1) - 1)).view(-1, 1, 1)
    scale = scale.clamp_min(torch.finfo(weight.dtype).tiny)  # a channel of zeros stays zero
    steps = weight.flatten(2) if weight.dim() > 2 else weight.unsqueeze(2)
    steps = steps / scale  # (out, in, taps)
    remainder = steps - steps.floor()
    rank = remainder.argsort(2, descending=True).argsort(2)
    raised = rank < remainder.sum(2, keepdim=True).round()
    return ((steps.floor() + raised) * scale).view(weight.shape)


def quantize_activation(x: Tensor) -> Tensor:
    """Activations rounded to asymmetric int8, one range per clip: s = (max − min) / 255.

    The range always includes 0, so that zero padding stays exact.

    Args: x (batch, …). Returns: the same shape, s · (round(x / s) clipped to int8) in float.
    """
    low, high = (bound.view(-1, *[1] * (x.dim() - 1)) for bound in x.flatten(1).aminmax(dim=1))
    low, high = low.clamp_max(0), high.clamp_min(0)
    scale = ((high - low) / 255).clamp_min(torch.finfo(x.dtype).tiny)
    zero = (-128 - low / scale).round()
    return ((x / scale + zero).round().clamp(-128, 127) - zero) * scale


def simulate(
    net: nn.Module,
    kind: Kind = "dynamic_range",
    calibration: Calibration | None = None,
    input_shape: tuple[int, ...] = (1, 140, 8),
) -> nn.Module:
    """A copy of the network that computes as its file would, in torch, on any device.

    For full_int8 it is the network's graph, with every activation rounded in its calibrated range;
    else the network itself, with rounded weights, and for dynamic_range with inputs rounded
    before each convolution and dense layer.

    Args: net, left as it is; kind, one of KINDS; calibration, for full_int8; input_shape of one
        clip, for full_int8.
    Returns: the copy, in evaluation mode; not meant for training.
    Raises: ValueError for an unknown kind, a missing calibration, a network without convolution
        or dense layer, and for full_int8 one with an operation that is not known here.
    """
    _check(kind, calibration)
    if kind == "full_int8" and calibration is not None:  # which `_check` has asked for
        return FullInteger(_graph(net, kind, input_shape), calibration)
    simulated = copy.deepcopy(net).eval()
    layers = _weighted(simulated)
    if not layers:
        raise ValueError(f"{type(net).__name__} has no convolution or dense layer to quantise")
    for layer in layers:
        layer.weight.data = _rounded(layer.weight.data, kind)
        if kind == "dynamic_range":
            layer.register_forward_pre_hook(_quantize_input)
    return simulated


def correct_biases(net: nn.Module, clips: Tensor) -> nn.Module:
    """A copy whose biases take back what the rounding of its weights adds on average.

    Kernels that keep their sums still move the mean of a channel a little, and what the layers add
    up to is a shift of every clip's logits. Layer after layer, the shift seen on some clips is
    taken off the bias, the layers before being corrected already (Nagel et al. 2019, arXiv
    1906.04721, section 4.2, with clips in place of an assumed distribution).

    Args: net, left as it is; clips (n, …) of the training split, some hundreds.
    Returns: the copy, in evaluation mode, its weights not yet rounded: for `simulate` and `export`.
        A layer without a bias gets one, which a file folds into the normalisation after it.
    """
    corrected = copy.deepcopy(net).eval()
    exact, rounded = copy.deepcopy(corrected), simulate(net, "weight_only")
    for ours, true, coarse in zip(*map(_weighted, (corrected, exact, rounded)), strict=True):
        shift = _channel_means(rounded, coarse, clips) - _channel_means(exact, true, clips)
        for layer in (ours, coarse):
            layer.bias = nn.Parameter(-shift if layer.bias is None else layer.bias.detach() - shift)
    return corrected


def _weighted(net: nn.Module) -> list[nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear]:
    return [layer for layer in net.modules() if isinstance(layer, WEIGHTED)]


def _channel_means(net: nn.Module, layer: nn.Module, clips: Tensor) -> Tensor:
    """The mean of each output channel of one layer, over clips and places."""
    heard, where = [], next(net.parameters()).device
    hook = layer.register_forward_hook(lambda layer, inputs, output: heard.append(output))
    with hook, torch.no_grad():
        for batch in clips.split(256):
            net(batch.to(where))
    channels = -1 if isinstance(layer, nn.Linear) else 1
    return torch.cat(heard).movedim(channels, 0).flatten(1).mean(1)


def _check(kind: Kind, calibration: Calibration | None) -> None:
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}; there is {', '.join(map(repr, KINDS))}")
    if kind == "full_int8" and calibration is None:
        raise ValueError("full_int8 fixes ranges in advance: give calibration=Calibration(clips)")


def _rounded(weight: Tensor, kind: Kind) -> Tensor:
    return weight.half().to(weight.dtype) if kind == "float16" else quantize_weight(weight)


def _quantize_input(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (quantize_activation(inputs[0]), *inputs[1:])


def _graph(
    net: nn.Module, kind: Kind, input_shape: tuple[int, ...], static: bool = False
) -> fx.GraphModule:
    """The network as a graph, its weights rounded."""
    depthwise = kind == "full_int8"
    return _round_weights(inference_graph(net, input_shape, depthwise, static), kind)


def _round_weights(graph: fx.GraphModule, kind: Kind) -> fx.GraphModule:
    """Round the weights of every convolution and dense layer, in place."""
    for target in kernels_of(graph):
        weight = operator.attrgetter(target)(graph)
        weight.data = _rounded(weight.data, kind)
    return graph


class FullInteger(nn.Module):
    """A graph whose activations are rounded to int8 in fixed ranges: (batch, …) -> logits."""

    def __init__(self, graph: fx.GraphModule, calibration: Calibration):
        super().__init__()
        self.graph = graph
        self.ranges = calibrated_ranges(graph, calibration)
        for target in constants_of(graph):
            value = operator.attrgetter(target)(graph)
            value.data = round_between(value.data, *min_max(value.data))

    def forward(self, x: Tensor) -> Tensor:
        return Walk(self.graph, lambda name, x: round_between(x, *self.ranges[name])).run(x)


def calibrated_ranges(
    graph: fx.GraphModule, calibration: Calibration
) -> dict[str, tuple[float, float]]:
    """The range of every activation that the full int8 file rounds, by its node's name.

    The graph's weights are rounded already; its activations are not, while it is calibrated.
    """
    seen: dict[str, list[Tensor]] = {}

    def collect(name: str, x: Tensor) -> Tensor:
        seen.setdefault(name, []).append(x.cpu())
        return x

    where = next(graph.parameters()).device
    with torch.no_grad(), one_thread():  # else the last bits are those of the number of cores
        for clip in calibration.clips:  # one at a time, as the file is calibrated
            Walk(graph, collect).run(clip[None].to(where))
    take = RANGES[calibration.method]
    return {name: take(torch.stack(values).flatten(1)) for name, values in seen.items()}


def kernels_of(graph: fx.GraphModule) -> list[str]:
    """The weights of every convolution and dense layer, by their names in the graph."""
    nodes = [node for node in graph.graph.nodes if operation_of(node) in WEIGHTED_OPERATIONS]
    if not nodes:
        raise ValueError("the network has no convolution or dense layer to quantise")
    return list(dict.fromkeys(n.args[1].target for n in nodes if n.args[1].op == "get_attr"))


def constants_of(graph: fx.GraphModule) -> list[str]:
    """What is added, subtracted or multiplied and is no activation, by its name in the graph."""
    operands = [x for n in graph.graph.nodes if operation_of(n) in ELEMENTWISE for x in n.args]
    named = [str(x.target) for x in operands if isinstance(x, fx.Node) and x.op == "get_attr"]
    return list(dict.fromkeys(named))


def round_between(x: Tensor, low: float, high: float) -> Tensor:
    """Asymmetric int8 in a fixed range, which is stretched to hold 0; what lies outside is clipped.

    In training the gradient passes as if nothing were rounded, except where x is clipped.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / 255, torch.finfo(x.dtype).tiny)
    zero = round(-128 - low / scale)
    inside = x.clamp((-128 - zero) * scale, (127 - zero) * scale)
    rounded = ((inside / scale + zero).round().clamp(-128, 127) - zero) * scale
    return inside + (rounded - inside).detach()


class Walk(fx.Interpreter):
    """Runs a graph and hands every activation that the full int8 file rounds to `at(name, x)`."""

    def __init__(self, graph: fx.GraphModule, at: Callable[[str, Tensor], Tensor]):
        super().__init__(graph)
        self.at = at

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        return self.at(n.name, value) if _is_rounded(n) else value


def _is_rounded(node: fx.Node) -> bool:
    operation = operation_of(node)
    if node.op != "call_function" or not isinstance(node.meta.get("val", Tensor()), Tensor):
        return node.op == "placeholder"  # the network's input
    if operation in SAME_GRID:
        return False
    if operation in WEIGHTED_OPERATIONS | ELEMENTWISE:
        following = [operation_of(user) for user in node.users]
        return not (len(following) == 1 and following[0] in ACTIVATIONS)
    if operation in ACTIVATIONS | AVERAGES:
        return True
    raise ValueError(
        f"the full int8 simulation does not know the operation {operation or node.target} "
        f"({node.name}); export the network and ask LiteRT"
    )


def export(
    net: nn.Module,
    path: str | Path,
    kind: Kind = "dynamic_range",
    input_shape: tuple[int, ...] = (1, 140, 8),
    calibration: Calibration | None = None,
) -> Path:
    """Write the network as a quantised .tflite file, tensor names and metadata stripped.

    A (channel, mel, time) input becomes (mel, time, channel) in the file, as devices expect;
    `LiteRT` knows. The conversion runs in a process of its own, about ten seconds: the converter
    is slow to import and prints to both streams. The file is loaded and run once before it is
    given back.

    Args: net; path of the file, replaced if it exists; kind, one of KINDS; input_shape of one
        clip, without the batch; calibration, for full_int8.
    Returns: the path.
    Raises: ValueError for an unknown kind, a missing calibration, or a network that does not take
        this input; RuntimeError with the converter's message when the conversion fails.
    """
    _check(kind, calibration)
    graph = _graph(net, kind, input_shape, static=True)
    clip = torch.zeros(1, *input_shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(graph, (clip,))
    path = Path(path)
    given = (calibration.clips, calibration.method) if calibration else None
    convert.convert(program, path, kind, given)
    answer, expected = LiteRT(path)(clip), graph(clip)
    if answer.shape != tuple(expected.shape) or not np.isfinite(answer).all():
        raise RuntimeError(f"{path} answers {answer.shape} numbers, not all finite as the network")
    return path


def exported(
    net: nn.Module,
    kind: Kind = "dynamic_range",
    calibration: Calibration | None = None,
    input_shape: tuple[int, ...] = (1, 140, 8),
) -> Path:
    """The .tflite file of a network, converted once and found again in the store: see `export`.

    Networks are known by their form and their weights. A form is what `repr` shows of a network and
    its layers; where `forward` changes, so must a `version` of the network's own (`asclib.keys`).
    """
    settings = {"kind": kind, "net": net, "ranges": calibration, "input_shape": input_shape}
    folder = artefact(
        "tflite",
        settings,
        lambda into: export(net, into / "net.tflite", kind, input_shape, calibration),
        version=VERSION,
        libraries=keys.CONVERTERS,
    )
    return folder / "net.tflite"


def agreement(a: Tensor | np.ndarray, b: Tensor | np.ndarray) -> float:
    """Share of clips on which two systems' logits (clips, n) have the same largest entry."""
    a, b = (v.detach().cpu().numpy() if isinstance(v, Tensor) else np.asarray(v) for v in (a, b))
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"two (clips, n) arrays of one shape are needed, not {a.shape}, {b.shape}")
    return float((a.argmax(1) == b.argmax(1)).mean())
