"""The folder of a firmware: written, compiled, and run on the host or on an emulated Cortex-M4.

Chapter: book/compression/chip.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from asclib.deploy.generate import sources
from asclib.deploy.read import read_model

FILES = (
    "arithmetic.h convolution.h elementwise.h host.c start.c emulated.c semihosting.h chip.ld "
    "Makefile"
).split()


@dataclass(frozen=True)
class Counted:
    """What an emulated chip says: answers (clips, n), instructions of each layer and of a clip.

    Instructions are those of the first clip, to within 40; `stack` is the deepest, in bytes.
    """

    answers: np.ndarray
    layers: tuple[int, ...]
    instructions: int
    stack: int


def write_firmware(model: str | Path, folder: str | Path) -> Path:
    """Write the C of a full-int8 .tflite, its kernels, start-up, linker script and Makefile.

    Args: model, the file; folder, made where it is missing, its files of these names replaced.
    Returns: the folder.
    Raises: FileNotFoundError; ValueError, in one line, when it cannot become firmware.
    """
    read = read_model(model)
    try:
        texts = sources(read)
    except ValueError as error:
        raise ValueError(f"{model}: {error}") from error
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        texts[name] = (resources.files("asclib.deploy") / "c" / name).read_text()
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder


def run_on_host(
    folder: str | Path, clips: np.ndarray, extra: str = "", compiler: str = "cc"
) -> np.ndarray:
    """Compile for this machine and answer clips.

    Args: folder of `write_firmware`; clips (n, …) int8; extra, flags for the compiler.
    Returns: (n, outputs) int8.
    Raises: RuntimeError with the compiler's or the program's words.
    """
    run_program(["make", "-s", "-B", "host", f"CC={compiler}", f"EXTRA={extra}"], folder)
    answers = run_program(["./host.out"], folder, _bytes(clips))
    return np.frombuffer(answers, np.int8).reshape(len(clips), -1)


def run_on_chip(folder: str | Path, clips: np.ndarray, extra: str = "") -> Counted:
    """Compile for a Cortex-M4 and answer clips on QEMU's, which counts instructions.

    Args and Raises: see `run_on_host`.
    """
    folder = Path(folder)
    (folder / "clips.bin").write_bytes(_bytes(clips))
    run_program(["make", "-s", "-B", "chip", f"EXTRA={extra}"], folder)
    run_program(["make", "-s", "emulate"], folder)
    answers = np.frombuffer((folder / "answers.bin").read_bytes(), np.int8)
    *layers, clip, stack = map(int, (folder / "counts.txt").read_text().split())
    return Counted(answers.reshape(len(clips), -1), tuple(layers), clip, stack)


def sizes(folder: str | Path, program: str = "firmware.elf") -> tuple[int, int]:
    """Bytes of flash and of RAM, without its stack, of a compiled program."""
    said = run_program(["arm-none-eabi-size", "-A", program], folder).decode()
    rows = [line.split() for line in said.splitlines() if line.startswith(".")]
    of = {name: int(size) for name, size, _ in rows}
    data = of.get(".data", 0)
    return of[".text"] + of.get(".ARM.exidx", 0) + data, data + of.get(".bss", 0)


def _bytes(clips: np.ndarray) -> bytes:
    if clips.dtype != np.int8:
        raise ValueError(f"clips are {clips.dtype}; round them to int8 with the model's scale")
    return np.ascontiguousarray(clips).tobytes()


def run_program(command: Sequence[str], folder: str | Path, given: bytes = b"") -> bytes:
    """What a program in a folder writes. Raises: RuntimeError with its last words."""
    done = subprocess.run(command, cwd=folder, input=given, capture_output=True)
    if done.returncode:
        words = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise RuntimeError(f"{' '.join(command)} in {folder} failed:\n{words[-2000:]}")
    return done.stdout
