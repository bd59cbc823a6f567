"""Firmware from a full-int8 .tflite.

    python -m asclib firmware student.tflite DIR
    python -m asclib firmware student.tflite --page DIR     a page that listens with it

Chapter: book/compression/chip.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from asclib.deploy.browser import write_page
from asclib.deploy.build import write_firmware
from asclib.deploy.frontend import CHEAP, EXACT, RATES
from asclib.deploy.plan import plan
from asclib.deploy.read import read_model
from asclib.deploy.sound import FRONT_ENDS, bands_of, write_listener


def main(arguments: list[str] | None = None) -> int:
    """Write the folder and say what is in it; returns the exit status."""
    summary = "write C99 for a microcontroller, equal to TensorFlow Lite's kernels bit for bit"
    parser = argparse.ArgumentParser(prog="python -m asclib firmware", description=summary)
    parser.add_argument("model", metavar="MODEL", help="a .tflite file, full int8")
    parser.add_argument("folder", metavar="DIR", type=Path, nargs="?", help="where the files go")
    page_help = "write the listening page with this model there instead (needs clang and lld)"
    parser.add_argument("--page", metavar="DIR", type=Path, help=page_help)
    parser.add_argument(
        "--front-end",
        choices=[*FRONT_ENDS, "none"],
        help="from samples to the model's input: equal to LogMel, or with half the multiplications "
        "(default: exact on the host, cheap on the chip; none where the model takes another input)",
    )
    parser.add_argument(
        "--rate",
        type=int,
        choices=RATES,
        default=48_000,
        help="hertz of the chip's samples (default: 48000)",
    )
    parser.add_argument("--classes", nargs="+", help="names of the outputs (default: the scenes)")
    options = parser.parse_args(arguments)
    if (options.folder is None) == (options.page is None):
        parser.error("give a DIR for the C, or --page DIR for the listening page")
    if options.page and (options.front_end or options.classes):
        parser.error("--front-end and --classes are of the C: a page's classes are in MODEL.json")
    front_end = options.front_end
    try:
        if options.page:
            print(f"Open {write_page(options.model, options.page)} in a browser.")
            return 0
        folder = write_firmware(options.model, options.folder)
        read = read_model(options.model)
        if front_end is None and bands_of(read) is None:
            front_end = "none"
        if front_end != "none":
            chip, host = FRONT_ENDS.get(front_end, CHEAP), FRONT_ENDS.get(front_end, EXACT)
            write_listener(options.model, folder, chip, host, options.rate, options.classes)
    except (OSError, ValueError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    placed = plan(read)
    stored = sum(t.data.nbytes for t in read.tensors if t.data is not None)
    print(f"{len(read.operators)} layers, {stored:,} bytes of constants, all in flash")
    print(f"{placed.arena:,} bytes of arena; {max(placed.held):,} are needed by one layer alone")
    print(f"In {folder}: `make host`, `make chip` or `make emulate`; model.h has the interface.")
    if front_end != "none":
        print(
            "`make listen` is with the front end, a scene a second; `make hear` plays sound.bin,"
            " raw int16 samples, to the same on an emulated chip."
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
