"""Audio in, scene out: the front end joined to a model's firmware, run on a host and on a chip.

The host has the front end that equals LogMel, the chip the cheap one, unless told otherwise.

Chapter: book/compression/chip.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from asclib.challenge import SCENES
from asclib.deploy import frontend
from asclib.deploy.build import run_program
from asclib.deploy.frontend import CHEAP, EXACT, RATES, LowPass
from asclib.deploy.read import read_model
from asclib.deploy.tensors import Model
from asclib.features import LogMel

FILES = "scene.h scene.c sound_host.c sound_chip.c".split()
FRAMES = 8  # of a second
FRONT_ENDS = {"exact": EXACT, "cheap": CHEAP}


@dataclass(frozen=True)
class Heard:
    """What a program makes of some seconds, each a row of all three.

    Args: pictures (seconds, bands, 8) int8, the model's input; logits (seconds, classes) int8;
        text, the table that the program prints; counts of an emulated chip's first second, where it
        was one: instructions of the front end, the most of them in 2 ms of sound, those of the
        model with softmax, and bytes of stack.
    """

    pictures: np.ndarray
    logits: np.ndarray
    text: str
    counts: tuple[int, int, int, int] | None = None


def bands_of(model: Model) -> int | None:
    """How many bands of 8 frames the front end must make; None where a model takes no picture."""
    bands = model.input.size // FRAMES
    return bands if model.input.shape in ((1, bands, FRAMES, 1), (1, 1, bands, FRAMES)) else None


def default_classes(outputs: int) -> list[str]:
    """What outputs are called where nobody has named them: the challenge's scenes, if ten."""
    return list(SCENES) if outputs == len(SCENES) else [f"class {i}" for i in range(outputs)]


def write_listener(
    model: str | Path,
    folder: str | Path,
    chip: LowPass = CHEAP,
    host: LowPass = EXACT,
    rate: int = 48_000,
    classes: Sequence[str] | None = None,
) -> Path:
    """Add the front end and programs that hear to the folder of `write_firmware`.

    Args: model, the .tflite file; chip and host, the filters of either program; rate in hertz of
        the chip's samples, while the host's program knows all RATES; classes, the names of the
        model's outputs, those of SCENES when None and there are ten.
    Returns: the folder.
    Raises: FileNotFoundError; ValueError when the model takes another input than log-mel pictures,
        or the number of classes is not that of its outputs.
    """
    read, folder = read_model(model), Path(folder)
    bands = bands_of(read)
    if bands is None:
        raise ValueError(
            f"{model} takes {read.input.shape}, not bands x {FRAMES} frames: "
            "leave the front end out"
        )
    names = _names(read, classes)
    log_mel = LogMel(n_mels=bands)
    frontend.write(folder / "host", host, RATES, log_mel)
    frontend.write(folder / "chip", chip, [rate], log_mel)
    for name in ("frontend.c", "frontend.h"):  # the same for both
        (folder / "host" / name).replace(folder / name)
        (folder / "chip" / name).unlink()
    for name in FILES:
        (folder / name).write_text((resources.files("asclib.deploy") / "c" / name).read_text())
    listed = ", ".join(json.dumps(name) for name in names)
    (folder / "listening.h").write_text(
        "/* Written by asclib.deploy.sound. */\n"
        f"#define LISTENING_RATE {rate} /* samples a second on the chip */\n"
        f"static const char *const CLASSES[] = {{{listed}}};\n"
    )
    return folder


def _names(model: Model, classes: Sequence[str] | None) -> list[str]:
    """What the classes are called, without what a table or a C string would stumble over."""
    outputs = model.output.size
    classes = default_classes(outputs) if classes is None else classes
    if len(classes) != outputs:
        raise ValueError(f"{len(classes)} names of classes for {outputs} outputs")
    for name in classes:
        if not 0 < len(name) <= 31 or not name.isascii() or not name.isprintable() or "," in name:
            raise ValueError(f"{name!r} is no name of a class: 1 to 31 plain characters, no comma")
    return list(classes)


def hear_on_host(
    folder: str | Path, samples: np.ndarray, rate: int, extra: str = "", compiler: str = "cc"
) -> Heard:
    """Compile the program for this machine and play it samples.

    Args: folder of `write_listener`; samples (n,) int16; rate in hertz; extra, compiler flags.
    Raises: RuntimeError with the compiler's or the program's words.
    """
    folder = Path(folder)
    run_program(["make", "-s", "-B", "listen", f"CC={compiler}", f"EXTRA={extra}"], folder)
    command = ["./listen.out", "-r", str(rate), "-b", "answers.bin"]
    text = run_program(command, folder, _bytes(samples)).decode()
    return _heard(folder, text)


def hear_on_chip(folder: str | Path, samples: np.ndarray, extra: str = "") -> Heard:
    """Compile the program for a Cortex-M4 and play samples to QEMU's, which counts instructions.

    Args: samples (n,) int16 at the rate that the folder was written for. Raises: see above.
    """
    folder = Path(folder)
    (folder / "sound.bin").write_bytes(_bytes(samples))
    run_program(["make", "-s", "-B", "ears", f"EXTRA={extra}"], folder)
    text = run_program(["make", "-s", "hear"], folder).decode()
    front, most, model, stack = map(int, (folder / "counts.txt").read_text().split())
    return _heard(folder, text, (front, most, model, stack))


def _heard(folder: Path, text: str, counts: tuple[int, int, int, int] | None = None) -> Heard:
    outputs = text.splitlines()[0].count(",") - 1
    rows = np.frombuffer((folder / "answers.bin").read_bytes(), np.int8)
    seconds = len(text.splitlines()) - 1
    rows = rows.reshape(seconds, -1) if seconds else np.empty((0, FRAMES + outputs), np.int8)
    pictures = rows[:, :-outputs].reshape(seconds, -1, FRAMES)
    return Heard(pictures, rows[:, -outputs:], text, counts)


def _bytes(samples: np.ndarray) -> bytes:
    if samples.dtype != np.int16 or samples.ndim != 1:
        raise ValueError(f"samples are {samples.dtype} {samples.shape}, not a row of int16")
    return samples.astype("<i2").tobytes()
