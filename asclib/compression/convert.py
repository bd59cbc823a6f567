"""The .tflite file: made from a graph, stripped, and run in LiteRT.

`asclib.compression.export` is the way in. The converter and the quantiser are slow to import and
print to both streams, so they run in a process of their own: this module, as a program.

Chapter: book/compression/quantization.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from asclib.compression.calibration import RANGES, Method
from asclib.compression.graph import random_clips
from asclib.extras import needs
from asclib.litert import LiteRT, channel_last, content_of, objects, read
from asclib.store import write_atomic

Kind = Literal["dynamic_range", "weight_only", "full_int8", "float16"]
RECIPES: dict[str, str | None] = {  # our kinds -> recipes of ai-edge-quantizer
    "dynamic_range": "dynamic_wi8_afp32",
    "weight_only": "weight_only_wi8_afp32",
    "full_int8": "static_wi8_ai8",
    "float16": None,  # has no name there; `_recipe` says it
}
TOLERANCE = 1e-2  # of the largest answer: some files approximate an activation function


def convert(
    program: torch.export.ExportedProgram,
    path: Path,
    kind: Kind,
    calibration: tuple[Tensor, Method] | None = None,
) -> None:
    """Write an exported program (torch.export) as a stripped .tflite file.

    Args: program, of one clip; path, replaced if it exists; kind, a key of RECIPES; calibration,
        clips (n, …) and the method of `asclib.compression.calibration.RANGES`, for full_int8.
    Raises: RuntimeError with the converter's message when it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        graph, clips = Path(folder, "graph.pt2"), Path(folder, "clips.npy")
        tflite = Path(folder, "quantised.tflite")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of weights that share memory, all on the CPU here
            torch.export.save(program, graph)
        command = [sys.executable, "-m", __spec__.name, str(graph), str(tflite), kind]
        if calibration:
            np.save(clips, calibration[0].detach().cpu().numpy())
            command += [str(clips), calibration[1]]
        # -m from the folder that holds asclib, whatever the caller's working directory
        environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", JAX_PLATFORMS="cpu")
        environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
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
    with needs("deploy"):
        import litert_torch
        from ai_edge_quantizer import quantizer

    net = program.module()
    if example.dim() == 4:
        net = litert_torch.to_channel_last_io(net, args=[0])
        example = channel_last(example)
    floating = Path(tflite).with_suffix(".float.tflite")
    litert_torch.convert(net, (example,)).export(str(floating))
    _compare(program, floating)
    work = quantizer.Quantizer(str(floating))
    work.load_quantization_recipe(_recipe(kind))
    ranges = _ranges(floating, channel_last(np.load(clips)), method) if clips else None
    Path(tflite).write_bytes(_strip(bytes(work.quantize(ranges).quantized_model)))


def _compare(program: torch.export.ExportedProgram, floating: Path) -> None:
    """Ask the graph and the float file about a random clip. Raises: RuntimeError if they differ."""
    (example,), _ = program.example_inputs
    clip = random_clips(1, tuple(example.shape[1:]))
    with torch.no_grad():
        expected = tree_leaves(program.module()(clip))
    answers = LiteRT(floating)(clip)
    for answer, true in zip(tree_leaves(answers), expected, strict=True):
        largest = float(true.nan_to_num().abs().max())
        if not np.allclose(answer, true, 0, TOLERANCE * largest + 1e-6, equal_nan=True):
            raise RuntimeError(
                f"the converted file answers {np.abs(answer - true.numpy()).max():.3g} otherwise "
                f"than the network, whose largest answer is {largest:.3g}"
            )


def _recipe(kind: str) -> list[dict[str, Any]]:
    from ai_edge_quantizer import algorithm_manager, qtyping, recipe, recipe_manager

    if name := RECIPES[kind]:
        return getattr(recipe, name)()
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

    interpreter = Interpreter(str(floating), num_threads=1, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    graph = read(floating).subgraphs[0]
    made = [*graph.inputs, *(tensor for made in graph.operators for tensor in made.outputs)]
    values: dict[int, list[np.ndarray]] = {tensor: [] for tensor in made}
    for clip in clips:
        interpreter.set_tensor(graph.inputs[0], np.ascontiguousarray(clip[None]))
        interpreter.invoke()
        for tensor, collected in values.items():
            collected.append(interpreter.get_tensor(tensor).ravel())
    ranges = {}
    for tensor, collected in values.items():
        low, high = RANGES[method](torch.from_numpy(np.stack(collected)))
        name = graph.tensors[tensor].name.decode()
        ranges[name] = {"min": np.array([low], np.float32), "max": np.array([high], np.float32)}
    return ranges


def _strip(content: bytes) -> bytes:
    """A .tflite without tensor names, signatures and metadata: 15 to 85 kB that no device reads."""

    model = objects(content)
    for entry in model.metadata or []:
        model.buffers[entry.buffer].data = None
    model.metadata = model.signatureDefs = model.description = model.metadataBuffer = None
    for graph in model.subgraphs:
        graph.name = None
        for tensor in graph.tensors:
            tensor.name = None
    return content_of(model)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    _main(*sys.argv[1:])
