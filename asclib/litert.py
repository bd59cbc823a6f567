"""A .tflite file, read and run: its content as objects, and LiteRT as a function.

Chapter: book/compression/quantization.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from asclib.extras import needs

Pictures = TypeVar("Pictures", Tensor, np.ndarray)


def read(path: str | Path) -> Any:
    """The content of a .tflite file as objects: `subgraphs`, `operatorCodes`, `buffers`.

    Raises: FileNotFoundError; ValueError when it is no .tflite.
    """
    content = Path(path).read_bytes()
    if content[4:8] != b"TFL3":
        raise ValueError(f"{path}: not a .tflite file, whose bytes 4 to 7 are TFL3")
    return objects(content)


def objects(content: bytes) -> Any:
    """A .tflite as objects, with the constants that a large one keeps behind its table put back."""
    with needs("deploy"):
        from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    for buffer in model.buffers:
        if buffer.offset > 1:  # 0 and 1 say that there is nothing behind
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def channel_last(x: Pictures) -> Pictures:
    """(batch, channel, mel, time) -> (batch, mel, time, channel); other shapes stay."""
    if x.ndim != 4:
        return x
    if isinstance(x, Tensor):
        return x.permute(0, 2, 3, 1).contiguous()
    return x.transpose(0, 2, 3, 1)


class LiteRT:
    """A .tflite file as a function: (batch, 1, 140, 8) tensor or array -> (batch, n) logits.

    Clips go through one at a time, as on a device, in LiteRT itself on one thread. Where the file
    takes and gives int8, numbers are rounded to its scale and zero point, clipped to what int8
    holds, and read back.
    Raises: FileNotFoundError; ValueError when the file is no .tflite with float or int8 input, or
        the clips do not fit it.
    """

    def __init__(self, path: str | Path):
        with needs("deploy"):
            from ai_edge_litert.interpreter import Interpreter

        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"{path}: no such file; asclib.compression.export writes one")
        try:
            with _quiet():
                self._interpreter = Interpreter(str(path), num_threads=1)
                self._interpreter.allocate_tensors()
        except ValueError as error:
            raise ValueError(f"{path}: LiteRT cannot load it: {error}") from error
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]
        for end in (self._input, self._output):
            if end["dtype"] not in (np.float32, np.int8):
                raise ValueError(
                    f"{path} takes or gives {end['dtype'].__name__}, not float32 or int8; export "
                    "it with one of these"
                )

    def __call__(self, x: Tensor | np.ndarray) -> np.ndarray:
        if isinstance(x, Tensor):
            x = x.detach().cpu().numpy()
        x = channel_last(np.asarray(x, np.float32))  # the file's layout
        shape = tuple(self._input["shape"][1:])
        if x.shape[1:] != shape:
            clip = (shape[-1], *shape[:-1]) if len(shape) == 3 else shape
            given = (x.shape[0], x.shape[-1], *x.shape[1:-1]) if x.ndim == 4 else x.shape
            raise ValueError(
                f"{self.path} takes clips (batch, {', '.join(map(str, clip))}), not {given}"
            )
        if self._input["dtype"] is np.int8:
            scale, zero = self._input["quantization"]
            x = np.clip(np.rint(x / np.float32(scale) + zero), -128, 127).astype(np.int8)
        answers = np.empty((len(x), *self._output["shape"][1:]), self._output["dtype"])
        for i, clip in enumerate(x):
            self._interpreter.set_tensor(self._input["index"], np.ascontiguousarray(clip[None]))
            self._interpreter.invoke()
            answers[i] = self._interpreter.get_tensor(self._output["index"])[0]
        if self._output["dtype"] is np.int8:
            scale, zero = self._output["quantization"]
            answers = np.float32(scale) * (answers.astype(np.float32) - zero)
        return answers


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence C++ code that writes to the process's standard error, past sys.stderr."""
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
