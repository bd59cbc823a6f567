"""What a loss can compare: the logits of two networks, their embeddings, or a map on the way.

Names are those of TMSIC: "logits"; "embedding", the penultimate activations; "conv1" to "conv4",
the maps after their last ReLU; "norm1" to "norm4", the same maps before it. The teacher's output is
that of its ten members, side by side along the channels.

Chapter: book/distillation/feature_maps.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asclib.networks.teacher import OneVsAllTeacher

MAPS = tuple(f"{kind}{number}" for kind in ("conv", "norm") for number in (1, 2, 3, 4))
OUTPUTS = ("logits", "embedding", *MAPS)
GRID = (70, 2)  # mel bands and frames of the last map


def look(net: nn.Module, x: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """The logits (batch, classes) and one other output of a network, in a single pass.

    Args, returns and raises as `look_at`, for one name and its output.
    """
    logits, (output,) = look_at(net, x, (name,))
    return logits, output


def look_at(net: nn.Module, x: Tensor, names: tuple[str, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The logits (batch, classes) and several other outputs of a network, in a single pass.

    Args: net, a TMSIC or the teacher; x (batch, 1, 140, 8); names, of OUTPUTS.
    Returns: logits, and for each name (batch, d) or (batch, channels, 70, 2): a larger map is
    averaged over that grid, so that the ten members' maps of a clip fill kilobytes, not megabytes.
    Raises: ValueError naming the outputs there are, of any network or of this one.
    """
    check_outputs(net, names)
    bodies = _bodies(net)
    layers = {name: _layer(name) for name in names if name != "logits"}
    with _listening(bodies, set(layers.values())) as heard:
        logits = net(x)
    for name, layer in layers.items():
        _check_heard(net, name, layer, heard[layer], len(bodies))
    return logits, tuple(
        _output(name, heard[layers[name]]) if name in layers else logits for name in names
    )


def check_outputs(net: nn.Module, names: Iterable[str]) -> None:
    """Raises: ValueError for a name that is no output, or none of this network, naming its own."""
    asked = [name for name in names if name != "logits"]  # which every network has
    bodies = _bodies(net) if asked else []
    inside = [{layer for layer, _ in body.named_modules()} for body in bodies]
    for name in asked:
        if name not in OUTPUTS:
            raise ValueError(f"no output {name!r} to compare: choose one of {', '.join(OUTPUTS)}")
        if any(_layer(name) not in layers for layers in inside):
            maps = [one for one in OUTPUTS if one != "logits"]
            own = [one for one in maps if all(_layer(one) in layers for layers in inside)]
            raise ValueError(
                f"{type(net).__name__} has no output {name!r}, for it has no layer "
                f"{_layer(name)!r}; it has {', '.join(['logits', *own])}: compare one of these, or "
                "name its layers as TMSIC does (norm1 to norm4, dense)"
            )


def _bodies(net: nn.Module) -> list[nn.Module]:
    return list(net.members) if isinstance(net, OneVsAllTeacher) else [net]


def _check_heard(net: nn.Module, name: str, layer: str, heard: list[Tensor], bodies: int) -> None:
    """Raises: ValueError where a layer was not asked once, or its answer is not what `name` is."""
    if len(heard) != bodies:
        raise ValueError(
            f"{type(net).__name__} asks its layer {layer!r} {len(heard)} times for one answer, and "
            f"{name!r} is what it says once: compare another output"
        )
    axes = 4 if name in MAPS else 2
    if any(answer.ndim != axes for answer in heard):
        wanted = "(batch, channels, mels, frames)" if axes == 4 else "(batch, d)"
        raise ValueError(
            f"the layer {layer!r} of {type(net).__name__} answers with a tensor "
            f"{tuple(heard[0].shape)}, and {name!r} is {wanted}: compare another output"
        )


def _output(name: str, heard: list[Tensor]) -> Tensor:
    """What a layer of each body said, side by side, as the output of that name."""
    output = torch.cat(heard, dim=1)
    if not name.startswith("norm"):
        output = F.relu(output)
    if name in MAPS and output.shape[-2:] != GRID:  # of the last map this would be a slow copy
        output = F.adaptive_avg_pool2d(output, GRID)
    return output


def _layer(name: str) -> str:
    """The layer of TMSIC whose answer, once rectified, is the output."""
    return "dense" if name == "embedding" else name.replace("conv", "norm")


@contextlib.contextmanager
def _listening(bodies: list[nn.Module], layers: set[str]) -> Iterator[dict[str, list[Tensor]]]:
    """What each layer answers inside the block, body after body."""
    heard: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    hooks = [
        body.get_submodule(layer).register_forward_hook(
            lambda module, inputs, answer, layer=layer: heard[layer].append(answer)
        )
        for body in bodies
        for layer in layers
    ]
    try:
        yield heard
    finally:
        for hook in hooks:
            hook.remove()
