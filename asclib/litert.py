"""A .tflite file, read and run: its content as objects, and LiteRT as a function.

Chapter: book/compression/quantization.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from asclib.extras import needs
from asclib.progress import quiet

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


def content_of(model: Any) -> bytes:
    """The bytes of a .tflite of such objects."""
    with needs("deploy"):
        import flatbuffers

    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def rounded(x: np.ndarray, scale: float, zero: int) -> np.ndarray:
    """Numbers as the int8 that a file takes for them: to the nearest step, clipped."""
    return np.clip(np.rint(x / np.float32(scale) + zero), -128, 127).astype(np.int8)


def channel_last(x: Pictures) -> Pictures:
    """(batch, channel, mel, time) -> (batch, mel, time, channel); other shapes stay."""
    if x.ndim != 4:
        return x
    if isinstance(x, Tensor):
        return x.permute(0, 2, 3, 1).contiguous()
    return x.transpose(0, 2, 3, 1)


class LiteRT:
    """A .tflite file as a function: (batch, 1, 140, 8) tensor or array -> (batch, n) logits.

    Clips go through one at a time, as on a device, in LiteRT itself on one thread; in a file made
    for several at once, as many, the last ones filled up with zeros. Where the file takes and gives
    int8, numbers are rounded to its scale and zero point, clipped to what int8 holds, and read
    back. A file of several inputs takes as many arguments, in the file's order; one of several
    outputs answers a tuple of arrays. An output that does not begin with the batch of the file is
    stacked: (batch, …) of all it holds.
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
            with quiet():
                self._interpreter = Interpreter(str(path), num_threads=1)
                self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{path}: LiteRT cannot load it: {error}") from error
        self._inputs = self._interpreter.get_input_details()
        self._outputs = self._interpreter.get_output_details()
        for end in (*self._inputs, *self._outputs):
            if end["dtype"] not in (np.float32, np.int8):
                raise ValueError(
                    f"{path} takes or gives {end['dtype'].__name__}, not float32 or int8; export "
                    "it with one of these"
                )
        batches = {tuple(end["shape"][:1]) for end in self._inputs}
        if len(batches) != 1 or batches == {()}:
            shapes = ", ".join(str(tuple(map(int, end["shape"]))) for end in self._inputs)
            raise ValueError(
                f"{path} takes {shapes}, without a batch in common; export it with one"
            )
        self.batch = int(self._inputs[0]["shape"][0])

    def __call__(self, *clips: Tensor | np.ndarray) -> Any:
        if len(clips) != len(self._inputs):
            raise ValueError(f"{self.path} takes {len(self._inputs)} inputs, not {len(clips)}")
        given = [self._taken(x, end) for x, end in zip(clips, self._inputs, strict=True)]
        number = len(given[0])
        if any(len(x) != number for x in given):
            raise ValueError(
                f"{self.path}: inputs of {[len(x) for x in given]} clips; as many each"
            )
        answers = [np.empty((number, *self._shape_of(end)), end["dtype"]) for end in self._outputs]
        for first in range(0, number, self.batch):
            for x, end in zip(given, self._inputs, strict=True):
                chunk = np.zeros(end["shape"], x.dtype)
                part = x[first : first + self.batch]
                chunk[: len(part)] = part
                self._interpreter.set_tensor(end["index"], chunk)
            self._interpreter.invoke()
            for answer, end in zip(answers, self._outputs, strict=True):
                rows = answer[first : first + self.batch]
                value = self._interpreter.get_tensor(end["index"])
                rows[:] = value[: len(rows)] if self._begins_with_batch(end) else value
        read = [_read_back(answer, end) for answer, end in zip(answers, self._outputs, strict=True)]
        return read[0] if len(read) == 1 else tuple(read)

    def _taken(self, x: Tensor | np.ndarray, end: dict[str, Any]) -> np.ndarray:
        """Clips in the file's layout and type."""
        if isinstance(x, Tensor):
            x = x.detach().cpu().numpy()
        x = channel_last(np.asarray(x, np.float32))  # the file's layout
        shape = tuple(end["shape"][1:])
        if x.shape[1:] != shape:
            clip = (shape[-1], *shape[:-1]) if len(shape) == 3 else shape
            given = (x.shape[0], x.shape[-1], *x.shape[1:-1]) if x.ndim == 4 else x.shape
            raise ValueError(
                f"{self.path} takes clips (batch, {', '.join(map(str, clip))}), not {given}"
            )
        if end["dtype"] is not np.int8:
            return x
        return rounded(x, *end["quantization"])

    def _begins_with_batch(self, end: dict[str, Any]) -> bool:
        return tuple(end["shape"][:1]) == (self.batch,)

    def _shape_of(self, end: dict[str, Any]) -> tuple[int, ...]:
        """The shape of an output for one clip."""
        return tuple(end["shape"][1:]) if self._begins_with_batch(end) else tuple(end["shape"])


def _read_back(answer: np.ndarray, end: dict[str, Any]) -> np.ndarray:
    """Numbers of the file's type as float32."""
    if end["dtype"] is not np.int8:
        return answer
    scale, zero = end["quantization"]
    return np.float32(scale) * (answer.astype(np.float32) - zero)
