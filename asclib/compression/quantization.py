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

import functools
import operator
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from asclib import keys
from asclib.compression import convert
from asclib.compression.calibration import RANGES, Calibration, min_max
from asclib.compression.convert import Kind
from asclib.compression.graph import (
    CONVOLUTIONS,
    TRANSPOSED,
    arguments_of,
    copied,
    groups_of,
    inference_graph,
    is_constant,
    operation_of,
    random_clips,
)
from asclib.compression.rounding import quantize_activation, quantize_weight, round_between
from asclib.compression.simulation import Simulated
from asclib.litert import LiteRT
from asclib.store import artefact
from asclib.training import one_thread

VERSION = 1  # raised when a file comes out another: tests/code_versions.json
KINDS: tuple[Kind, ...] = get_args(Kind)
WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)

# Operations of a graph, by their names in torch's ATen library, as the full int8 file does them.
WEIGHTED_OPERATIONS = CONVOLUTIONS | TRANSPOSED | {"linear"}
# products whose weights the quantiser rounds by itself, to the nearest
PRODUCTS = set("matmul mm bmm addmm baddbmm mv einsum gru lstm rnn_tanh rnn_relu".split())
# root of the mean squared difference of a file and its network, as a share of the network's
# answers: what a coarse file may reach, and one of another network does not keep within
ERROR: dict[str, float] = {"float16": 0.05}
GROSS_ERROR = 0.5
ELEMENTWISE = {"add", "sub", "mul"}
ACTIVATIONS = {"relu", "relu_"}  # done in the operation before, at no rounding of its own
AVERAGES = {"mean", "adaptive_avg_pool1d", "adaptive_avg_pool2d"}
# what these give stays on the grid of what they are given
SAME_GRID = set(
    """max_pool1d max_pool2d flatten view reshape permute transpose squeeze unsqueeze dropout
    clone contiguous alias select slice""".split()
)


def simulate(
    net: nn.Module,
    kind: Kind = "dynamic_range",
    calibration: Calibration | None = None,
    input_shape: tuple[int, ...] = (1, 140, 8),
) -> nn.Module:
    """A copy of the network that computes as its file would, in torch, on any device.

    For full_int8 it is the network's graph, with every activation rounded in its calibrated range;
    else the network itself, whose operations round their weights, and for dynamic_range their
    inputs, as `asclib.compression.simulation` says: of layers, functions and recurrent layers
    alike, in `forward` or in a layer that is called by itself.

    Args: net, left as it is; kind, one of KINDS; calibration, for full_int8; input_shape of one
        clip, for full_int8.
    Returns: the copy, in evaluation mode; not meant for training.
    Raises: ValueError for an unknown kind, a missing calibration, a network without convolution
        or dense layer (when it is asked, at the latest), and one with an operation of which it is
        not known here how a file rounds it.
    """
    _check(kind, calibration)
    if kind == "full_int8" and calibration is not None:  # which `_check` has asked for
        return FullInteger(_graph(net, kind, input_shape), calibration)
    simulated = copied(net).eval()
    if not any(t.dim() > 1 for t in (*simulated.parameters(), *simulated.buffers())):
        raise ValueError(f"{type(net).__name__} has no convolution or dense layer to quantise")
    rounding = functools.partial(_rounded, kind)
    stacks = kind != "float16"  # which leaves them as they are
    activation = quantize_activation if kind == "dynamic_range" else None
    Simulated(simulated, _weighted(simulated), rounding, activation, stacks)
    return simulated


def correct_biases(net: nn.Module, clips: Tensor, bits: int = 8) -> nn.Module:
    """A copy whose biases take back what the rounding of its weights adds on average.

    Kernels that keep their sums still move the mean of a channel a little, and what the layers add
    up to is a shift of every clip's logits. Layer after layer, the shift seen on some clips is
    taken off the bias, the layers before being corrected already (Nagel et al. 2019, arXiv
    1906.04721, section 4.2, with clips in place of an assumed distribution).

    Args: net, left as it is; clips (n, …) of the training split, some hundreds; bits of a weight.
    Returns: the copy, in evaluation mode, its weights not yet rounded: for `simulate` and `export`.
        A layer without a bias gets one, which a file folds into the normalisation after it.
    """
    corrected = copied(net).eval()
    exact, rounded = copied(corrected), copied(corrected)
    rounding = functools.partial(_in_bits, bits)
    Simulated(rounded, _weighted(rounded), rounding, activation=None, stacks=True)
    for ours, true, coarse in zip(*map(_weighted, (corrected, exact, rounded)), strict=True):
        means = [channel_means(*of, clips) for of in ((rounded, coarse), (exact, true))]
        if len(means[0]) == 0:
            continue
        shift = means[0] - means[1]
        for layer in (ours, coarse):
            layer.bias = nn.Parameter(-shift if layer.bias is None else layer.bias.detach() - shift)
    return corrected


def _weighted(net: nn.Module) -> list[nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear]:
    return [layer for layer in net.modules() if isinstance(layer, WEIGHTED)]


def channel_means(net: nn.Module, layer: nn.Module, clips: Tensor) -> Tensor:
    """The mean of each output channel of one layer, over clips and places."""
    heard, where = [], next(net.parameters()).device
    hook = layer.register_forward_hook(lambda layer, inputs, output: heard.append(output))
    with hook, torch.no_grad():
        for batch in clips.split(256):
            net(batch.to(where))
    channels = -1 if isinstance(layer, nn.Linear) else 1
    shapes = dict.fromkeys(output.shape[1:] for output in heard)  # of a layer used twice, two
    alike = [torch.cat([output for output in heard if output.shape[1:] == s]) for s in shapes]
    rows = [outputs.movedim(channels, 0).flatten(1) for outputs in alike]
    if not rows:  # a layer that does not run itself, such as the last of an attention
        return torch.empty(0)
    return (rows[0] if len(rows) == 1 else torch.cat(rows, 1)).mean(1)


def _check(kind: Kind, calibration: Calibration | None) -> None:
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}; there is {', '.join(map(repr, KINDS))}")
    if kind == "full_int8" and calibration is None:
        raise ValueError("full_int8 fixes ranges in advance: give calibration=Calibration(clips)")


def _rounded(kind: Kind, weight: Tensor, groups: int) -> Tensor:
    if kind == "float16":
        return weight.half().to(weight.dtype)
    return quantize_weight(weight, groups=groups)


def _in_bits(bits: int, weight: Tensor, groups: int) -> Tensor:
    return quantize_weight(weight, bits, groups)


def _graph(net: nn.Module, kind: Kind, input_shape: tuple[int, ...]) -> fx.GraphModule:
    """The network as a graph, its weights rounded."""
    graph = inference_graph(net, input_shape, kind == "full_int8")
    _round_weights(graph, kind)
    return graph


def _round_weights(graph: fx.GraphModule, kind: Kind) -> None:
    """Round the weights of every convolution and dense layer, in place."""
    for target, groups in kernels_of(graph).items():
        weight = operator.attrgetter(target)(graph)
        weight.data = _rounded(kind, weight.data, groups)


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


def kernels_of(graph: fx.GraphModule) -> dict[str, int]:
    """The weights of convolutions and dense layers by their names in the graph, with `groups_of`.

    Raises: ValueError for a network that multiplies nothing by weights.
    """
    nodes = [node for node in graph.graph.nodes if operation_of(node) in WEIGHTED_OPERATIONS]
    if not nodes and not any(operation_of(node) in PRODUCTS for node in graph.graph.nodes):
        raise ValueError("the network has no convolution or dense layer to quantise")
    weights = ((node, arguments_of(node)["weight"]) for node in nodes)
    return {str(w.target): groups_of(node) for node, w in weights if is_constant(w)}


def constants_of(graph: fx.GraphModule) -> list[str]:
    """What is added, subtracted or multiplied and is no activation, by its name in the graph."""
    operands = [x for n in graph.graph.nodes if operation_of(n) in ELEMENTWISE for x in n.args]
    named = [str(x.target) for x in operands if isinstance(x, fx.Node) and x.op == "get_attr"]
    floating = (n for n in named if operator.attrgetter(n)(graph).is_floating_point())
    return list(dict.fromkeys(floating))


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
    is slow to import and prints to both streams. Before the file is given back, it and the network
    are asked about one clip, of the calibration clips or a random one.

    Args: net; path of the file, replaced if it exists; kind, one of KINDS; input_shape of one
        clip, without the batch; calibration, for full_int8.
    Returns: the path.
    Raises: ValueError for an unknown kind, a missing calibration, or a network that does not take
        this input; RuntimeError with the converter's message when the conversion fails, or when
            the file answers otherwise than the network.
    """
    _check(kind, calibration)
    graph = inference_graph(net, input_shape, kind == "full_int8", static=True)
    clip = calibration.clips[:1].cpu() if calibration else random_clips(1, input_shape)
    with torch.no_grad():
        expected = _several(graph(clip))
    _round_weights(graph, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(graph, (torch.zeros(1, *input_shape),))
    path = Path(path)
    given = (calibration.clips, calibration.method) if calibration else None
    convert.convert(program, path, kind, given)
    try:
        answers = _several(LiteRT(path)(clip))
        complaint = _difference(answers, expected, ERROR.get(kind, GROSS_ERROR))
    except ValueError as error:
        complaint = f"does not run: {error}"
    if complaint:
        path.unlink()
        raise RuntimeError(
            f"{path}, taken away again: as {kind} it {complaint}; take another kind, "
            "or more calibration clips that are as large as those to come"
        )
    return path


def _several(answers: Any) -> list[np.ndarray]:
    """The answers of a network or a file as arrays, be it one or several."""
    return [np.asarray(one) for one in tree_leaves(answers) if one is not None]


def _difference(answers: list[np.ndarray], expected: list[np.ndarray], share: float) -> str:
    """What is wrong with a file's answers to a clip; empty when it says what the network says."""
    shapes = [[one.shape for one in given] for given in (answers, expected)]
    if shapes[0] != shapes[1]:
        return f"answers numbers of the shapes {shapes[0]}, the network {shapes[1]}"
    for answer, true in zip(answers, expected, strict=True):
        if not np.isfinite(answer).all() and np.isfinite(true).all():
            return "answers what is not finite, and the network does not"
        error, size = (float(np.sqrt(np.square(x).mean())) for x in (answer - true, true))
        if error > share * size + 1e-6:
            return f"answers {error:.3g} beside the network, whose answers are {size:.3g} large"
    return ""


def exported(
    net: nn.Module,
    kind: Kind = "dynamic_range",
    calibration: Calibration | None = None,
    input_shape: tuple[int, ...] = (1, 140, 8),
) -> Path:
    """The .tflite file of a network, converted once and found again in the store: see `export`.

    Networks are known by content: weights, attributes and, of a reader's own, the code
    (`asclib.keys`).
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
