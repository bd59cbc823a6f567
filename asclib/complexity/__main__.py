"""The cost of a network or a .tflite file, printed with the verdict of each year.

    python -m asclib count asclib.networks:TMSIC --input 1,140,8
    python -m asclib count student.tflite

Chapter: book/compression/complexity.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import Any

from torch import nn

from asclib.challenge.limits import LIMITS
from asclib.complexity.count import BITS, Complexity, complexity


def main(arguments: list[str] | None = None) -> None:
    """Print the table and the verdicts for a network named on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m asclib count",
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
        net = network(options.network)
        counted = complexity(net, shape, activation_bits=options.bits, on_unknown="report")
    except ValueError as error:
        parser.error(str(error))
    bits = options.bits
    _show(
        counted,
        bits,
        [
            ("parameters", counted.parameters, ""),
            ("bytes", counted.bytes(bits), f"at {bits} bits each"),
            ("MACs", counted.macs, ""),
            ("peak activation", counted.peak_activation, f"bytes at {bits} bits each"),
        ],
    )


def _show_file(parser: argparse.ArgumentParser, path: str) -> None:
    from asclib.complexity.file import complexity_of_file  # not above: it imports this module

    try:
        counted = complexity_of_file(path)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    _show(
        counted,
        counted.bits,
        [
            ("parameters", counted.parameters, ""),
            ("bytes", counted.stored, "as stored, without scales and graph"),
            ("MACs", counted.macs, "of convolutions and dense layers"),
            ("MACs", counted.analyser_macs, "with poolings, means and sums"),
            ("peak activation", counted.peak_activation, "bytes, nothing done in place"),
            ("arena", counted.arena, "bytes, placed largest first"),
        ],
    )


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


def network(spec: str) -> nn.Module:
    """The network that `module:factory` makes; ValueError says what to do when it makes none."""
    net = made(spec)
    if not isinstance(net, nn.Module):
        raise ValueError(
            f"{spec} gives a {type(net).__name__}, not a torch.nn.Module; "
            "write a function without arguments that returns your network"
        )
    return net


def made(spec: str) -> Any:
    """What `module:factory` makes, or holds. Raises: ValueError saying what to name."""
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
    if isinstance(factory, nn.Module) or not callable(factory):
        return factory
    try:
        return factory()
    except TypeError as error:
        raise ValueError(
            f"{spec} cannot be called without arguments: {error}; "
            "write a function without arguments that returns your network"
        ) from error


if __name__ == "__main__":
    main()
