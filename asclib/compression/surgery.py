"""Filters taken out of any network: which channels hang together, and the cut itself.

A filter that goes leaves gaps in other layers: its place in the normalisation and among the inputs
of whoever reads its map; where maps are added, as around a residual, the same channel must go from
all of them, and with it the filter of a depthwise convolution. Torch-Pruning follows these ties
through a network (Fang et al. 2023, arXiv 2301.12900) and does the surgery. What it would follow
wrongly is refused by the name of the layer, and after each cut the network is asked whether it
still says what the whole one says when nobody reads the channels that went.

Chapter: book/compression/pruning.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from asclib.compression.graph import TOLERANCE, copied, random_clips
from asclib.extras import needs

with needs("deploy"):
    import torch_pruning

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
KNOWN = (*CONVOLUTIONS, *NORMALISATIONS, nn.Linear)


@dataclass(frozen=True)
class Maker:
    """A convolution that gives channels of a group, and the normalisation after it, by name.

    rows: the filters, one for each channel of the group, in its order.
    """

    convolution: str
    normalisation: str | None
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Reader:
    """A layer that reads channels of a group, and the normalisation after it, by name.

    columns: among the inputs of its weight; channels, whose column each of them is.
    """

    layer: str
    normalisation: str | None
    columns: tuple[int, ...]
    channels: tuple[int, ...]


@dataclass(frozen=True)
class Channels:
    """Channels that are kept or go together; named after the first convolution that gives them."""

    name: str
    number: int
    makers: tuple[Maker, ...]
    readers: tuple[Reader, ...]


def channels_of(net: nn.Module, input_shape: tuple[int, ...]) -> list[Channels]:
    """The groups of channels that can be cut, in the order of the network's layers.

    What no convolution reads and no dense layer, such as the logits, is in none of them.
    Raises: ValueError as `cut`.
    """
    copy = copied(net)
    return _groups(copy, _followed(copy, input_shape))


@torch.no_grad()
def cut(
    net: nn.Module,
    kept: Mapping[str, Tensor],
    input_shape: tuple[int, ...],
    compare: bool = True,
) -> nn.Module:
    """A copy with these channels of some groups, in their old order.

    What the others gave to the next layer is lost.

    Args: net, left as it is; kept, the positions to keep by the name of the group; input_shape of
        one clip; compare, False to leave out the question after each cut, where only the size of
        what is left matters.
    Returns: the copy, in evaluation mode.
    Raises: ValueError naming a layer whose channels cannot be followed: one with weights of another
        kind than convolutions, dense layers and batch normalisations have, a convolution of groups
        that is not depthwise, a weight that is computed from others; or one whose channels are
        mixed with each other on their way, as by a softmax over them.
    """
    small = copied(net).eval()
    graph = _followed(small, input_shape)
    clips = random_clips(2, input_shape)
    for group in _groups(small, graph):
        if group.name not in kept:
            continue
        staying = set(kept[group.name].tolist())
        going = [i for i in range(group.number) if i not in staying]
        if not going:
            continue
        layer = small.get_submodule(group.name)
        pruner = graph.get_pruner_of_module(layer).prune_out_channels
        tied = graph.get_pruning_group(layer, pruner, going)
        expected = _said_without(small, graph, tied, clips) if compare else None
        tied.prune()
        if expected is not None:
            _compare(small, clips, expected, f"{group.name} ({type(layer).__name__})")
    return small


@torch.no_grad()
def trimmed(net: nn.Module, input_shape: tuple[int, ...] = (1, 140, 8)) -> nn.Module:
    """A copy without the taps that only ever meet padding: it answers as the network does.

    Where a map is narrower than a kernel reaches, the outermost taps stand beside it from every
    place. As many are taken from either end of an axis, and of the padding, so that all maps keep
    their size. In inference the answers are the same up to the order of sums.

    Args: net, left as it is; input_shape of the clips it will hear: on larger ones the taps that
        are gone would have met something.
    Returns: the copy, in evaluation mode.
    """
    small = copied(net).eval()
    heard: dict[Any, list[torch.Size]] = {}
    convolutions = [
        layer
        for layer in small.modules()
        if isinstance(layer, CONVOLUTIONS)
        and layer.padding_mode == "zeros"
        and "weight" in dict(layer.named_parameters(recurse=False))
    ]
    handles = [
        layer.register_forward_hook(
            lambda layer, inputs, output: heard.setdefault(layer, []).append(
                inputs[0].shape[2 - layer.weight.dim() :]
            )
        )
        for layer in convolutions
    ]
    small(random_clips(1, input_shape))
    for handle in handles:
        handle.remove()
    for layer, sizes in heard.items():
        for axis in range(layer.weight.dim() - 2):
            number = min(_deaf_taps(layer, axis, int(size[axis])) for size in sizes)
            if number:
                _take_taps(layer, axis, number)
    return small


def _deaf_taps(layer: Any, axis: int, size: int) -> int:
    """How many taps at either end of an axis meet nothing but padding, on maps of this size."""
    taps, step, spread = (
        int(getattr(layer, name)[axis]) for name in ("kernel_size", "stride", "dilation")
    )
    padding, reach = layer.padding, spread * (taps - 1)
    if padding == "valid":
        return 0
    before = reach // 2 if padding == "same" else int(padding[axis])
    after = reach - before if padding == "same" else before
    places = range(0, size + before + after - reach, step)
    hears = [
        any(0 <= place - before + spread * tap < size for place in places) for tap in range(taps)
    ]
    if not any(hears):
        return 0
    most = min(hears.index(True), hears[::-1].index(True))
    return most if padding == "same" else min(most, before // spread)


def _take_taps(layer: Any, axis: int, number: int) -> None:
    weight = layer.weight
    layer.weight = nn.Parameter(
        weight.narrow(axis + 2, number, weight.shape[axis + 2] - 2 * number).clone()
    )
    layer.kernel_size = tuple(layer.weight.shape[2:])
    if not isinstance(layer.padding, str):
        padding = list(layer.padding)
        padding[axis] -= number * layer.dilation[axis]
        layer.padding = tuple(padding)


def _said_without(net: nn.Module, graph: Any, tied: Any, clips: Tensor) -> Tensor:
    """What a network says when nobody reads the channels of a group."""
    names = {module: name for name, module in net.named_modules()}
    deaf = copied(net)
    for dependency, places in tied:
        if _reads(graph, dependency):
            reader: Any = deaf.get_submodule(names[dependency.target.module])
            reader.weight[:, places] = 0
    return deaf(clips)


def _compare(net: nn.Module, clips: Tensor, expected: Tensor, layer: str) -> None:
    """Raises: ValueError naming the layer after whose cut the network says something else."""
    remedy = (
        "what comes after it mixes or reorders channels in a way that is not followed here: "
        "leave this network whole"
    )
    try:
        answer = net(clips)
    except Exception as error:
        message = f"{layer}: without some of its channels the network does not run: {error}"
        raise ValueError(f"{message}; {remedy}") from error
    limit = TOLERANCE * float(expected.abs().max())
    if answer.shape != expected.shape or not torch.allclose(answer, expected, 0, limit):
        raise ValueError(
            f"{layer}: without some of its channels the network answers otherwise than the whole "
            f"one that does not read them; {remedy}"
        )


def _followed(net: nn.Module, input_shape: tuple[int, ...]) -> Any:
    """Torch-Pruning's graph of the network, which must be a copy: it is changed by being asked.

    Raises: ValueError naming what it would not follow rightly.
    """
    for name, layer in net.named_modules():
        called = f"{name or 'the network'} ({type(layer).__name__})"
        own = dict(layer.named_parameters(recurse=False))
        if own and not isinstance(layer, KNOWN):
            raise ValueError(
                f"{called}: {', '.join(own)} are not the weights of a convolution, a dense layer "
                "or a batch normalisation, and which channels they belong to is not known here: "
                "prune a network without this layer"
            )
        if isinstance(layer, (*CONVOLUTIONS, nn.Linear)) and "weight" not in own:
            raise ValueError(
                f"{called}: its weight is computed from others, as by a mask or a weight norm: "
                "make an ordinary one of it first, with fix_zeros or remove_parametrizations"
            )
        depthwise = isinstance(layer, CONVOLUTIONS) and (
            layer.groups == layer.in_channels == layer.out_channels
        )
        if isinstance(layer, CONVOLUTIONS) and layer.groups > 1 and not depthwise:
            raise ValueError(
                f"{called}: {layer.groups} groups of channels, which is neither an ordinary "
                "convolution nor a depthwise one: leave its network whole"
            )
    net.eval().requires_grad_(True)  # the graph is that of the gradients
    try:
        with torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch_pruning.DependencyGraph().build_dependency(
                net, example_inputs=random_clips(2, input_shape), verbose=False
            )
    except Exception as error:
        raise ValueError(
            f"the channels of {type(net).__name__} cannot be followed for an input of shape "
            f"{(1, *input_shape)}: {error}"
        ) from error


def _groups(net: nn.Module, graph: Any) -> list[Channels]:
    order = {module: place for place, module in enumerate(net.modules())}
    names = {module: name for name, module in net.named_modules()}
    found: list[tuple[int, Channels]] = []
    for tied in graph.get_all_groups(root_module_types=list(CONVOLUTIONS)):
        number, makers, readers = len(tied[0].idxs), {}, []
        for place in range(len(tied)):
            layer, rows = tied[place].dep.target.module, tuple(map(int, tied[place].idxs))
            norm = _normalised(graph, layer) if isinstance(layer, CONVOLUTIONS) else None
            after = None if norm is None else names[norm]
            if _reads(graph, tied[place].dep):
                of = tuple(map(int, tied[place].root_idxs))
                readers.append(Reader(names[layer], after, rows, of))
            elif isinstance(layer, CONVOLUTIONS) and len(rows) == number:
                makers[layer] = Maker(names[layer], after, rows)
        if not readers:  # the network's answer
            continue
        first = min(makers, key=order.__getitem__)
        ordered = tuple(makers[layer] for layer in sorted(makers, key=order.__getitem__))
        group = Channels(names[first], number, ordered, tuple(readers))
        found.append((order[first], group))
    return [group for _, group in sorted(found, key=lambda one: one[0])]


def _reads(graph: Any, dependency: Any) -> bool:
    """Whether a layer reads the channels of a group, rather than giving or passing them on."""
    layer = dependency.target.module
    depthwise = isinstance(layer, CONVOLUTIONS) and layer.groups > 1
    weighted = isinstance(layer, (*CONVOLUTIONS, nn.Linear)) and not depthwise
    return weighted and graph.is_in_channel_pruning_fn(dependency.handler)


def _normalised(graph: Any, convolution: nn.Module) -> nn.Module | None:
    """The batch normalisation after a convolution, with functions of one map between them."""
    node = graph.module2node[convolution]
    while len(node.outputs) == 1 and len(node.outputs[0].inputs) == 1:
        node = node.outputs[0]
        if isinstance(node.module, NORMALISATIONS):
            return node.module
        if isinstance(node.module, KNOWN):
            return None
    return None
