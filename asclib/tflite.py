"""The .tflite file: made from a graph, stripped, and run in LiteRT.

`asclib.quantization.export` is the way in. The converter and the quantiser are slow to import and
print to both streams, so they run in a process of their own, `python -m asclib.tflite`.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from asclib.store import write_atomic

RECIPES = {  # our kinds -> recipes of ai-edge-quantizer
    "dynamic_range": "dynamic_wi8_afp32",
    "weight_only": "weight_only_wi8_afp32",
    "full_int8": "static_wi8_ai8",
    "float16": None,  # has no name there; `_recipe` says it
}


def convert(program, path: Path, kind: str, calibration: tuple[Tensor, str] | None = None) -> None:
    """Write an exported program (torch.export) as a stripped .tflite file.

    Args: program, of one clip; path, replaced if it exists; kind, a key of RECIPES; calibration,
        clips (n, …) and the method of `asclib.quantization.RANGES`, for full_int8.
    Raises: RuntimeError with the converter's message when it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        graph, clips = Path(folder, "graph.pt2"), Path(folder, "clips.npy")
        tflite = Path(folder, "quantised.tflite")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of weights that share memory, all on the CPU here
            torch.export.save(program, graph)
        command = [sys.executable, "-m", "asclib.tflite", str(graph), str(tflite), kind]
        if calibration:
            np.save(clips, calibration[0].detach().cpu().numpy())
            command += [str(clips), calibration[1]]
        # -m from the folder that holds asclib, whatever the caller's working directory
        environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", JAX_PLATFORMS="cpu")
        environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
        run = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if run.returncode or not tflite.exists():
            lines = run.stderr.strip().splitlines() or [f"exit status {run.returncode}"]
            raise RuntimeError(
                f"the network could not be converted to .tflite: {lines[-1]}\n"
                + "\n".join(lines[-15:])
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, tflite.read_bytes())


def _main(graph: str, tflite: str, kind: str, clips: str = "", method: str = "") -> None:
    """Graph -> float .tflite -> quantised -> stripped. Run in the process `convert` starts."""
    program = torch.export.load(graph)
    (example,), _ = program.example_inputs
    # imported here: slower to import than all the rest of this module, and noisy
    import litert_torch
    from ai_edge_quantizer import quantizer

    net = program.module()
    if example.dim() == 4:
        net = litert_torch.to_channel_last_io(net, args=[0])
        example = _channel_last(example)
    floating = Path(tflite).with_suffix(".float.tflite")
    litert_torch.convert(net, (example,)).export(str(floating))
    work = quantizer.Quantizer(str(floating))
    work.load_quantization_recipe(_recipe(kind))
    ranges = _ranges(floating, _channel_last(np.load(clips)), method) if clips else None
    Path(tflite).write_bytes(_strip(bytes(work.quantize(ranges).quantized_model)))


def _recipe(kind: str) -> list:
    from ai_edge_quantizer import algorithm_manager, qtyping, recipe, recipe_manager

    if RECIPES[kind]:
        return getattr(recipe, RECIPES[kind])()
    manager = recipe_manager.RecipeManager()
    number = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
    manager.add_quantization_config(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=number,
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
        algorithm_key=algorithm_manager.AlgorithmName.FLOAT_CASTING,
    )
    return manager.get_quantization_recipe()


def _ranges(floating: Path, clips: np.ndarray, method: str) -> dict[str, dict[str, np.ndarray]]:
    """The calibrated range of every activation in a float file, by its name."""
    from ai_edge_litert.interpreter import Interpreter

    from asclib.quantization import RANGES  # not above: that module imports this one

    interpreter = Interpreter(
        str(floating), num_threads=1, experimental_preserve_all_tensors=True
    )
    interpreter.allocate_tensors()
    graph = read(floating).subgraphs[0]
    made = [*graph.inputs, *(tensor for made in graph.operators for tensor in made.outputs)]
    values = {tensor: [] for tensor in made}
    for clip in clips:
        interpreter.set_tensor(graph.inputs[0], np.ascontiguousarray(clip[None]))
        interpreter.invoke()
        for tensor, collected in values.items():
            collected.append(interpreter.get_tensor(tensor).ravel())
    ranges = {}
    for tensor, collected in values.items():
        low, high = RANGES[method](torch.from_numpy(np.stack(collected)))
        name = graph.tensors[tensor].name.decode()
        ranges[name] = {"min": np.float32([low]), "max": np.float32([high])}
    return ranges


def read(path: str | Path):
    """The content of a .tflite file as objects: `subgraphs`, `operatorCodes`, `buffers`.

    Raises: FileNotFoundError; ValueError when it is no .tflite.
    """
    content = Path(path).read_bytes()
    if content[4:8] != b"TFL3":
        raise ValueError(f"{path}: not a .tflite file, whose bytes 4 to 7 are TFL3")
    return _model(content)


def _model(content: bytes):
    """A .tflite as objects, with the constants that a large one keeps behind its table put back."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    for buffer in model.buffers:
        if buffer.offset > 1:  # 0 and 1 say that there is nothing behind
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def _channel_last(x):
    """(batch, channel, mel, time) -> (batch, mel, time, channel); other shapes stay."""
    if x.ndim != 4:
        return x
    if isinstance(x, Tensor):
        return x.permute(0, 2, 3, 1).contiguous()
    return x.transpose(0, 2, 3, 1)


def _strip(content: bytes) -> bytes:
    """A .tflite without tensor names, signatures and metadata: 15 to 85 kB that no device reads."""
    import flatbuffers

    model = _model(content)
    for entry in model.metadata or []:
        model.buffers[entry.buffer].data = None
    model.metadata = model.signatureDefs = model.description = model.metadataBuffer = None
    for graph in model.subgraphs:
        graph.name = None
        for tensor in graph.tensors:
            tensor.name = None
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class LiteRT:
    """A .tflite file as a function: (batch, 1, 140, 8) tensor or array -> (batch, n) logits.

    Clips go through one at a time, as on a device, in LiteRT itself on one thread. Where the file
    takes and gives int8, numbers are rounded to its scale and zero point, clipped to what int8
    holds, and read back.
    Raises: FileNotFoundError; ValueError when the file is no .tflite with float or int8 input, or
        the clips do not fit it.
    """

    def __init__(self, path: str | Path):
        from ai_edge_litert.interpreter import Interpreter

        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"{path}: no such file; asclib.quantization.export writes one")
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
        x = _channel_last(np.asarray(x, np.float32))  # the file's layout
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


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    _main(*sys.argv[1:])
