"""What a network costs, counted the way the challenge counts it.

The counter watches the tensor operations of one forward pass on one clip, so it sees what the
network does rather than what its layers are called: functional calls, layers used twice, other
people's modules. Multiply-accumulates (MACs) follow the equations in `asclib.complexity.tracing`;
an operation that is not known there is named, never taken for free.

    python -m asclib count asclib.networks:TMSIC --input 1,140,8
    python -m asclib count student.tflite

Chapter: book/compression/complexity.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import pandas as pd
import torch
from torch import Tensor, nn

from asclib.challenge.limits import Limits, Verdict
from asclib.complexity.products import storage_of
from asclib.complexity.tracing import Trace, held_values

OnUnknown = Literal["raise", "report"]
BITS = 8  # of a weight and of an activation, unless told otherwise
COLUMNS = ["name", "kind", "output_shape", "parameters", "macs", "activation_bytes"]


@dataclass(frozen=True)
class Complexity:
    """The cost of one inference on one clip.

    `parameters` are counted as Keras counts them: every weight, zeros included, and every buffer
    the answer depends on (running statistics of batch normalisation), each once however often it
    is used. `macs` are those of convolutions and dense products, without biases.
    `peak_activation` in bytes is the largest sum of what must be held at once while the layers run
    in order. `layers` has a row per layer call: name, kind, output shape (without the batch),
    parameters, MACs, activation bytes held while it runs. `unknown` names what was not counted.
    """

    parameters: int
    macs: int
    peak_activation: int
    layers: pd.DataFrame = field(repr=False)
    unknown: tuple[str, ...] = ()

    def bytes(self, bits: int = BITS) -> int:
        """Bytes of the parameters when each is stored in so many bits: 8, 16, 32, …"""
        return math.ceil(self.parameters * bits / 8)

    def within(self, limits: Limits, bits: int = BITS) -> Verdict:
        """Whether the network, its numbers stored in so many bits, keeps within the limits."""
        amounts = {
            "parameters": (self.parameters, limits.parameters),
            "bytes": (self.bytes(bits), limits.bytes),
            "MACs": (self.macs, limits.macs),
            "bits per parameter": (bits, limits.bits),
        }
        reasons = [
            f"{amount:,} {name}, {limit:,} allowed"
            for name, (amount, limit) in amounts.items()
            if limit is not None and amount > limit
        ]
        # an incomplete count is no evidence of keeping within anything
        reasons += [f"not counted: {name}" for name in self.unknown]
        return Verdict(limits.year, tuple(reasons))


def complexity(
    net: nn.Module,
    input_shape: tuple[int, ...] = (1, 140, 8),
    *,
    activation_bits: int = BITS,
    on_unknown: OnUnknown = "raise",
) -> Complexity:
    """Count parameters, MACs and activation memory of any network for one clip.

    The network runs once, in evaluation mode, on zeros; it is left as it was, buffers that it
    changes included. A compiled network is counted as what was compiled. Give it without its
    front end: the challenge does not count the computation of features.

    Args: net; input_shape of one clip, without the batch; activation_bits per activation value;
        on_unknown: "raise", or "report" to get the count with the gaps named in `unknown`.
    Raises: ValueError when the network does not take this input, or naming each layer whose
        operations or weights are not known.
    """
    if on_unknown not in get_args(OnUnknown):
        raise ValueError(f"on_unknown = {on_unknown!r}; choose 'raise' or 'report'")
    net = getattr(net, "_orig_mod", net)  # compiled
    if any(nn.parameter.is_lazy(parameter) for parameter in net.parameters()):
        raise ValueError(f"{type(net).__name__} has lazy layers; run it once on a clip, then count")
    shape = (1, *input_shape)
    # a frozen module has no mode
    modes = {m: m.training for m in net.modules() if hasattr(m, "training")}
    state = _state(net)
    floating = [p for p in net.parameters() if p.is_floating_point()]
    like = floating[0] if floating else torch.zeros(())
    try:
        for module in modes:  # not by eval(), which an exported network refuses
            module.training = False
        trace = Trace(net)
        output = trace.run(torch.zeros(shape, dtype=like.dtype, device=like.device))
    except Exception as error:
        raise ValueError(
            f"{type(net).__name__} does not take an input of shape {shape}: {error}; "
            "give the shape of one clip, without the batch, as input_shape (--input)"
        ) from error
    finally:
        for module, mode in modes.items():
            if module.training != mode:
                module.training = mode
        _restore(state)
    if trace.unknown and on_unknown == "raise":
        raise ValueError(
            f"{type(net).__name__} does what this counter does not know: "
            f"{'; '.join(trace.unknown)}; on_unknown='report' counts the rest"
        )
    held = held_values(trace.operations, trace.activations, output)
    layers = _layers(trace, [math.ceil(elements * activation_bits / 8) for elements in held])
    return Complexity(
        parameters=int(layers["parameters"].sum()),
        macs=int(layers["macs"].sum()),
        peak_activation=int(layers["activation_bytes"].max()) if len(layers) else 0,
        layers=layers,
        unknown=tuple(trace.unknown),
    )


def _layers(trace: Trace, held_bytes: list[int]) -> pd.DataFrame:
    """The table of layer calls; layers with weights that never ran come last."""
    blank: dict[str, Any] = {"output_shape": (), "parameters": 0, "macs": 0, "activation_bytes": 0}
    rows = [{"name": name, "kind": kind, **blank} for _, name, kind in trace.calls]
    for operation, held in zip(trace.operations, held_bytes, strict=True):
        row = rows[operation.call]
        row["output_shape"] = operation.shape
        row["macs"] += operation.macs
        row["activation_bytes"] = max(row["activation_bytes"], held)
    first_call: dict[nn.Module, int] = {}
    for i, (module, _, _) in enumerate(trace.calls):
        if module is not None:
            first_call.setdefault(module, i)
    counted: set[tuple[int, int, int]] = set()
    for module, name in trace.names.items():
        # a tied weight is one weight; the weights of an LSTM may lie in one storage
        own = {
            (storage_of(t), int(t.storage_offset()), t.numel()): t for t in _weights(module, trace)
        }
        number = sum(t.numel() for key, t in own.items() if key not in counted)
        counted |= set(own)
        if module in first_call:
            rows[first_call[module]]["parameters"] = number
        elif number:
            kind = type(module).__name__
            rows.append({"name": name or kind, "kind": kind, **blank, "parameters": number})
    return pd.DataFrame(rows, columns=COLUMNS)


def _weights(module: nn.Module, trace: Trace) -> Iterator[Tensor]:
    """The module's own parameters, used or not, and the buffers its answer depends on."""
    yield from module.parameters(recurse=False)
    yield from (t for t in trace.constants[module] if storage_of(t) in trace.state_read)
    for name, buffer in module.named_buffers(recurse=False):
        # a pruning mask is a tool of training: its zeros are in the weight, which counts in full
        mask = name.endswith("_mask") and hasattr(module, name.removesuffix("_mask") + "_orig")
        if storage_of(buffer) in trace.state_read and not mask:
            yield buffer


State = list[tuple[nn.Module, str, Tensor, Tensor]]


def _state(net: nn.Module) -> State:
    """Every parameter and buffer: its module, its name, the tensor and a copy of it."""
    named = (
        (module, name, tensor)
        for module in net.modules()
        for name, tensor in (
            *module.named_parameters(recurse=False),
            *module.named_buffers(recurse=False),
        )
    )
    return [(*one, one[2].detach().clone()) for one in named]


def _restore(state: State) -> None:
    for module, name, tensor, before in state:
        if getattr(module, name) is not tensor and not isinstance(module, torch.jit.ScriptModule):
            setattr(module, name, tensor)
        if not tensor.is_meta and not torch.equal(tensor, before):  # meta: there are no values
            # in the mode it was made in, the only one in which it may change
            with torch.no_grad(), torch.inference_mode(tensor.is_inference()):
                tensor.copy_(before)
