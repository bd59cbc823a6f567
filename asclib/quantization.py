"""From a trained network to the .tflite file a device runs, and a simulation of it in torch.

Dynamic range: weights are int8, one scale per output channel; activations stay float between the
layers and are quantised to int8 clip by clip just before each convolution and dense layer
(Jacob et al. 2018, arXiv 1712.05877, for the affine scheme; LiteRT's "hybrid" kernels).
Weights are rounded here, so that kernels keep their sums; LiteRT finds them on its grid already.
"""

from __future__ import annotations

import contextlib
import copy
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from asclib.store import write_atomic

KINDS = {"dynamic_range": "dynamic_wi8_afp32"}  # ours -> recipe of ai-edge-quantizer
WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def quantize_weight(weight: Tensor) -> Tensor:
    """Weights rounded to symmetric int8, one scale per output channel, each kernel's sum kept.

    The scale is s = max|w| / 127. Rounded to the nearest step, the errors of a kernel's taps add up
    to some number, and an input with a mean turns that number into a shift of the whole map:
    log-mel pictures lie nepers below zero, so this shift does most of the damage. Here all taps are
    rounded down, and then those with the largest remainders up, as many as keep the kernel's sum to
    half a step. A kernel of one tap, as in a dense layer, is rounded to the nearest.

    Args: weight (out, in, …). Returns: the same shape, s · integer in float.
    """
    scale = (weight.abs().flatten(1).amax(1) / 127).view(-1, 1, 1)
    scale = scale.clamp_min(torch.finfo(weight.dtype).tiny)  # a channel of zeros stays zero
    steps = weight.flatten(2) if weight.dim() > 2 else weight.unsqueeze(2)
    steps = steps / scale  # (out, in, taps)
    remainder = steps - steps.floor()
    rank = remainder.argsort(2, descending=True).argsort(2)
    raised = rank < remainder.sum(2, keepdim=True).round()
    return ((steps.floor() + raised) * scale).view(weight.shape)


def quantize_activation(x: Tensor) -> Tensor:
    """Activations rounded to asymmetric int8, one range per clip: s = (max − min) / 255.

    The range always includes 0, so that zero padding stays exact.

    Args: x (batch, …). Returns: the same shape, s · (round(x / s) clipped to int8) in float.
    """
    low, high = (bound.view(-1, *[1] * (x.dim() - 1)) for bound in x.flatten(1).aminmax(dim=1))
    low, high = low.clamp_max(0), high.clamp_min(0)
    scale = ((high - low) / 255).clamp_min(torch.finfo(x.dtype).tiny)
    zero = (-128 - low / scale).round()
    return ((x / scale + zero).round().clamp(-128, 127) - zero) * scale


def simulate(net: nn.Module) -> nn.Module:
    """A copy of the network that computes as its dynamic-range file would, in torch, on any device.

    Every convolution and dense layer gets rounded weights and rounds its input; all else stays
    float. Agrees with LiteRT to a few thousandths of a logit.

    Args: net, left as it is. Returns: the copy, in evaluation mode; not meant for training.
    Raises: ValueError when the network has no convolution or dense layer.
    """
    simulated = copy.deepcopy(net).eval()
    layers = _round_weights(simulated)
    if not layers:
        raise ValueError(f"{type(net).__name__} has no convolution or dense layer to quantise")
    for layer in layers:
        layer.register_forward_pre_hook(_quantize_input)
    return simulated


def _round_weights(net: nn.Module) -> list[nn.Module]:
    """Quantise the weights of every convolution and dense layer in place; returns these layers."""
    layers = [layer for layer in net.modules() if isinstance(layer, WEIGHTED)]
    for layer in layers:
        layer.weight.data = quantize_weight(layer.weight.data)
    return layers


def _quantize_input(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (quantize_activation(inputs[0]), *inputs[1:])


def export(
    net: nn.Module,
    path: str | Path,
    kind: str = "dynamic_range",
    input_shape: tuple[int, ...] = (1, 140, 8),
) -> Path:
    """Write the network as a quantised .tflite file, tensor names and metadata stripped.

    A (channel, mel, time) input becomes (mel, time, channel) in the file, as devices expect;
    `LiteRT` knows. The conversion runs in a process of its own, about ten seconds: the converter
    is slow to import and prints to both streams.

    Args: net; path of the file, replaced if it exists; kind, one of KINDS; input_shape of one
        clip, without the batch.
    Returns: the path.
    Raises: ValueError for an unknown kind or a network that does not take this input;
        RuntimeError with the converter's message when the conversion fails.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}; there is {', '.join(map(repr, KINDS))}")
    path = Path(path)
    with tempfile.TemporaryDirectory() as folder:
        graph, tflite = Path(folder, "graph.pt2"), Path(folder, "quantised.tflite")
        _save_graph(net, input_shape, graph)
        # -m from the folder that holds asclib, whatever the caller's working directory
        environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", JAX_PLATFORMS="cpu")
        environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
        run = subprocess.run(
            [sys.executable, "-m", "asclib.quantization", str(graph), str(tflite), kind],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if run.returncode or not tflite.exists():
            lines = run.stderr.strip().splitlines() or [f"exit status {run.returncode}"]
            raise RuntimeError(
                f"{type(net).__name__} could not be converted to .tflite: {lines[-1]}\n"
                + "\n".join(lines[-15:])
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, tflite.read_bytes())
    return path


def _save_graph(net: nn.Module, input_shape: tuple[int, ...], path: Path) -> None:
    """Save the network as a graph, so that a class defined in a notebook needs no importing."""
    net = copy.deepcopy(net).cpu().eval()
    try:
        with torch.no_grad():
            net(torch.zeros(1, *input_shape))
    except Exception as error:
        raise ValueError(
            f"{type(net).__name__} does not take an input of shape {(1, *input_shape)}: {error}; "
            "give the shape of one clip as input_shape"
        ) from error
    _round_weights(net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # exporting warns about its own internals
        program = torch.export.export(net, (torch.zeros(1, *input_shape),))
        torch.export.save(program, path)


def _convert(graph: Path, tflite: Path, kind: str) -> None:
    """Graph -> float .tflite -> quantised -> stripped. Run in the process `export` starts."""
    program = torch.export.load(graph)
    (example,), _ = program.example_inputs
    # imported here: slower to import than all the rest of this module, and noisy
    import litert_torch
    from ai_edge_quantizer import quantizer, recipe

    net = program.module()
    if example.dim() == 4:
        net = litert_torch.to_channel_last_io(net, args=[0])
        example = example.permute(0, 2, 3, 1).contiguous()
    floating = tflite.with_suffix(".float.tflite")
    litert_torch.convert(net, (example,)).export(str(floating))
    work = quantizer.Quantizer(str(floating))
    work.load_quantization_recipe(getattr(recipe, KINDS[kind])())
    tflite.write_bytes(_strip(bytes(work.quantize().quantized_model)))


def _strip(content: bytes) -> bytes:
    """A .tflite without tensor names, signatures and metadata: 15 to 85 kB that no device reads."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
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

    Clips go through one at a time, as on a device, in LiteRT itself on one thread.
    Raises: FileNotFoundError; ValueError when the file is no .tflite with float input, or the
        clips do not fit it.
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
        if self._input["dtype"] is not np.float32:
            raise ValueError(
                f"{path} takes {self._input['dtype'].__name__}, not float32: its scale and zero "
                "point would have to be applied first"
            )

    def __call__(self, x: Tensor | np.ndarray) -> np.ndarray:
        if isinstance(x, Tensor):
            x = x.detach().cpu().numpy()
        x = np.asarray(x, np.float32)
        if x.ndim == 4:
            x = x.transpose(0, 2, 3, 1)  # the file's layout is (mel, time, channel)
        shape = tuple(self._input["shape"][1:])
        if x.shape[1:] != shape:
            clip = (shape[-1], *shape[:-1]) if len(shape) == 3 else shape
            given = (x.shape[0], x.shape[-1], *x.shape[1:-1]) if x.ndim == 4 else x.shape
            raise ValueError(
                f"{self.path} takes clips (batch, {', '.join(map(str, clip))}), not {given}"
            )
        logits = np.empty((len(x), *self._output["shape"][1:]), np.float32)
        for i, clip in enumerate(x):
            self._interpreter.set_tensor(self._input["index"], np.ascontiguousarray(clip[None]))
            self._interpreter.invoke()
            logits[i] = self._interpreter.get_tensor(self._output["index"])[0]
        return logits


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


def agreement(a: Tensor | np.ndarray, b: Tensor | np.ndarray) -> float:
    """Share of clips on which two systems' logits (clips, n) have the same largest entry."""
    a, b = (v.detach().cpu().numpy() if isinstance(v, Tensor) else np.asarray(v) for v in (a, b))
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"two (clips, n) arrays of one shape are needed, not {a.shape}, {b.shape}")
    return float((a.argmax(1) == b.argmax(1)).mean())


if __name__ == "__main__":
    _convert(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
