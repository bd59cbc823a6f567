"""What a network costs, counted the way the challenge counts it.

The counter watches the tensor operations of one forward pass on one clip, so it sees what the
network does rather than what its layers are called: functional calls, layers used twice, other
people's modules. Multiply-accumulates (MACs) follow the equations in `asclib.tracing`; an
operation that is not known there is named, never taken for free.

    python -m asclib.complexity asclib.networks:TMSIC --input 1,140,8
    python -m asclib.complexity student.tflite
"""

from __future__ import annotations

import argparse
import importlib
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import pandas as pd
import torch
from torch import Tensor, nn

from asclib.tracing import Trace, held_values, storage_of

BITS = 8  # of a weight and of an activation, unless told otherwise
COLUMNS = ["name", "kind", "output_shape", "parameters", "macs", "activation_bytes"]


@dataclass(frozen=True)
class Limits:
    """One year's ceiling. None means that the year does not limit this quantity."""

    year: int
    macs: int  # per inference of one second of audio
    parameters: int | None = None  # zeros included
    bytes: int | None = None  # of all parameters, at the precision they are stored in
    bits: int | None = None  # the widest number allowed


# Task 1 of the DCASE Challenge. "128 K" is read as 128,000, "128 kB" as 128,000 bytes: the
# stricter reading of each (the looser is 131,072).
LIMITS = {
    # 2022, Low-Complexity ASC: at most 128 K parameters, zeros included, int8; 30 MMAC
    2022: Limits(2022, macs=30_000_000, parameters=128_000, bits=8),
    # 2023, Low-Complexity ASC: at most 128 kB of weights; 30 MMAC
    2023: Limits(2023, macs=30_000_000, bytes=128_000),
    # 2024, Data-Efficient Low-Complexity ASC: 128 kB = parameters x bytes of each; 30 MMAC
    2024: Limits(2024, macs=30_000_000, bytes=128_000),
    # 2025, Low-Complexity ASC with Device Information: the same, for each device's model
    2025: Limits(2025, macs=30_000_000, bytes=128_000),
}


@dataclass(frozen=True)
class Verdict:
    """True when a network keeps within a year's limits; else `reasons` says what exceeds what."""

    year: int
    reasons: tuple[str, ...]

    def __bool__(self) -> bool:
        return not self.reasons

    def __str__(self) -> str:
        return f"{self.year}: " + ("within the limits" if self else "; ".join(self.reasons))


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
    on_unknown: str = "raise",
) -> Complexity:
    """Count parameters, MACs and activation memory of any network for one clip.

    The network runs once, in evaluation mode, on zeros; it is left as it was. Give it without its
    front end: the challenge does not count the computation of features.

    Args: net; input_shape of one clip, without the batch; activation_bits per activation value;
        on_unknown: "raise", or "report" to get the count with the gaps named in `unknown`.
    Raises: ValueError when the network does not take this input, or naming each layer whose
        operations or weights are not known.
    """
    if on_unknown not in ("raise", "report"):
        raise ValueError(f"on_unknown = {on_unknown!r}; choose 'raise' or 'report'")
    if any(nn.parameter.is_lazy(parameter) for parameter in net.parameters()):
        raise ValueError(f"{type(net).__name__} has lazy layers; run it once on a clip, then count")
    shape = (1, *input_shape)
    modes = {module: module.training for module in net.modules()}
    floating = [p for p in net.parameters() if p.is_floating_point()]
    like = floating[0] if floating else torch.zeros(())
    try:
        net.eval()
        trace = Trace(net)
        output = trace.run(torch.zeros(shape, dtype=like.dtype, device=like.device))
    except Exception as error:
        raise ValueError(
            f"{type(net).__name__} does not take an input of shape {shape}: {error}; "
            "give the shape of one clip, without the batch, as input_shape (--input)"
        ) from error
    finally:
        for module, mode in modes.items():
            module.training = mode
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
    blank = {"output_shape": (), "parameters": 0, "macs": 0, "activation_bytes": 0}
    rows = [{"name": name, "kind": kind, **blank} for _, name, kind in trace.calls]
    for operation, held in zip(trace.operations, held_bytes, strict=True):
        row = rows[operation.call]
        row["output_shape"] = operation.shape
        row["macs"] += operation.macs
        row["activation_bytes"] = max(row["activation_bytes"], held)
    first_call: dict[nn.Module, int] = {}
    for i, (module, _, _) in enumerate(trace.calls):
        first_call.setdefault(module, i)
    counted: set[tuple[int, int, int]] = set()
    for module, name in trace.names.items():
        # a tied weight is one weight; the weights of an LSTM may lie in one storage
        own = {
            (storage_of(t), t.storage_offset(), t.numel()): t
            for t in _weights(module, trace.state_read)
        }
        number = sum(t.numel() for key, t in own.items() if key not in counted)
        counted |= set(own)
        if module in first_call:
            rows[first_call[module]]["parameters"] = number
        elif number:
            kind = type(module).__name__
            rows.append({"name": name or kind, "kind": kind, **blank, "parameters": number})
    return pd.DataFrame(rows, columns=COLUMNS)


def _weights(module: nn.Module, read: set[int]) -> Iterator[Tensor]:
    """The module's own parameters, used or not, and the buffers its answer depends on."""
    yield from module.parameters(recurse=False)
    for name, buffer in module.named_buffers(recurse=False):
        # a pruning mask is a tool of training: its zeros are in the weight, which counts in full
        mask = name.endswith("_mask") and hasattr(module, name.removesuffix("_mask") + "_orig")
        if storage_of(buffer) in read and not mask:
            yield buffer


def main(arguments: list[str] | None = None) -> None:
    """Print the table and the verdicts for a network named on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m asclib.complexity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("network", help="module:factory or file.tflite")
    parser.add_argument("--input", default="1,140,8", help="shape of one clip: channel,mel,time")
    parser.add_argument("--bits", type=int, default=BITS, help="bits per parameter and activation")
    options = parser.parse_args(arguments)
    try:
        shape = tuple(int(size) for size in options.input.split(","))
        if min(shape) < 1:
            raise ValueError
    except ValueError:
        parser.error(f"--input {options.input!r}: give sizes above 0, such as --input 1,140,8")
    if options.bits < 1:
        parser.error(f"--bits {options.bits}: give the bits of one number, such as --bits 8")
    if options.network.endswith(".tflite"):
        _show_file(parser, options.network)
        return
    try:
        net = _network(options.network)
        counted = complexity(net, shape, activation_bits=options.bits, on_unknown="report")
    except ValueError as error:
        parser.error(str(error))
    bits = options.bits
    _show(counted, bits, [
        ("parameters", counted.parameters, ""),
        ("bytes", counted.bytes(bits), f"at {bits} bits each"),
        ("MACs", counted.macs, ""),
        ("peak activation", counted.peak_activation, f"bytes at {bits} bits each"),
    ])  # fmt: skip


def _show_file(parser: argparse.ArgumentParser, path: str) -> None:
    from asclib.complexity_tflite import complexity_of_file  # not above: it imports this module

    try:
        counted = complexity_of_file(path)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    _show(counted, counted.bits, [
        ("parameters", counted.parameters, ""),
        ("bytes", counted.stored, "as stored, without scales and graph"),
        ("MACs", counted.macs, "of convolutions and dense layers"),
        ("MACs", counted.analyser_macs, "with poolings, means and sums"),
        ("peak activation", counted.peak_activation, "bytes, nothing done in place"),
        ("arena", counted.arena, "bytes, placed largest first"),
    ])  # fmt: skip


def _show(counted: Complexity, bits: int, totals: list[tuple[str, int, str]]) -> None:
    """Print layers, totals and verdicts; an operation that is unknown makes the exit code 1."""
    print(counted.layers.to_string(index=False), end="\n\n")
    for name, value, unit in totals:
        print(f"{name:16} {value:>14,}  {unit}".rstrip())
    print()
    for limits in LIMITS.values():
        print(counted.within(limits, bits))
    if counted.unknown:
        sys.exit(1)


def _network(spec: str) -> nn.Module:
    """The network that `module:factory` makes; ValueError says what to do when it makes none."""
    module_name, _, factory_name = spec.partition(":")
    if not module_name or not factory_name:
        raise ValueError(f"{spec!r}: give module:factory, such as asclib.networks:TMSIC")
    try:
        factory = getattr(importlib.import_module(module_name), factory_name)
    except ImportError as error:
        raise ValueError(
            f"cannot import {module_name}: {error}; run from the folder that holds it"
        ) from error
    except AttributeError as error:
        raise ValueError(
            f"{module_name} has no {factory_name}; check the name after the colon"
        ) from error
    try:
        net = factory if isinstance(factory, nn.Module) else factory()
    except TypeError as error:
        raise ValueError(
            f"{spec} cannot be called without arguments: {error}; "
            "write a function without arguments that returns your network"
        ) from error
    if not isinstance(net, nn.Module):
        raise ValueError(f"{spec} gives a {type(net).__name__}, not a torch.nn.Module")
    return net


if __name__ == "__main__":
    main()
