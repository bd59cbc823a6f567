"""The authors' own trained networks, read from their Keras files into our TMSIC.

The files are Keras 2 HDF5 as published in ipleiria-robotics/DCASE. Keras keeps images as
(mel, time, channel) and kernels as (mel, time, in, out); torch wants (out, in, mel, time).

Chapter: book/networks/student.
"""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from asclib.networks.tmsic import TMSIC

CONVOLUTIONS = {"conv1": "Conv-1", "conv2": "Conv-2", "conv3": "Conv-3", "conv4": "Conv-3_0"}
NORMALISATIONS = ("norm1", "norm2", "norm3", "norm4")
NORMALISATION_WEIGHTS = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def load_keras(path: str | Path) -> TMSIC:
    """A TMSIC with the weights of a published Keras 2 file, in evaluation mode.

    Args: path: HDF5 written by `model.save` or `model.save_weights`.
    Returns: TMSIC with as many classes as the file's last layer has units (2 for a member of the
        teacher, order [class, others]). Its logits, softmaxed, are the Keras network's answer.
    Raises: FileNotFoundError when there is no such file; ValueError, naming what is missing or
        of the wrong shape, when the file does not hold this network.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give a Keras 2 .h5 file of a TMSIC")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path}: not a readable HDF5 file ({error})") from error
    with file:
        # model.save keeps the layers in a group of their own, model.save_weights at the root
        layers = file.get("model_weights", file)
        state = _read_state(layers, path)

    net = TMSIC(n_classes=len(state["head.bias"]))
    expected = net.state_dict()
    for name, value in state.items():
        if value.shape != expected[name].shape:
            raise ValueError(
                f"{path}: {name} has shape {tuple(value.shape)}, a TMSIC needs "
                f"{tuple(expected[name].shape)}; this is another network"
            )
    # num_batches_tracked has no Keras counterpart and plays no part with a fixed momentum
    net.load_state_dict({**expected, **state})
    return net.eval()


def _read_state(layers: h5py.Group, path: Path) -> dict[str, Tensor]:
    """The torch state of the Keras layers; ValueError names every layer or weight not there."""
    sources = dict(CONVOLUTIONS, dense="lastLayer")
    missing = [keras for keras in sources.values() if keras not in layers]

    norms = _numbered(layers, "batch_normalization")
    if len(norms) == len(NORMALISATIONS):
        sources.update(zip(NORMALISATIONS, norms, strict=True))
    else:
        missing.append(f"{len(NORMALISATIONS)} layers batch_normalization[_n] (found {len(norms)})")

    heads = _numbered(layers, "dense")
    if len(heads) == 1:
        sources["head"] = heads[0]
    else:
        missing.append(f"one layer dense[_n] (found {len(heads)})")

    if missing:
        raise ValueError(f"{path}: not a published TMSIC; missing: {', '.join(missing)}")
    return {
        f"{ours}.{weight}": value
        for ours, keras in sources.items()
        for weight, value in _read_layer(layers[keras], ours, path).items()
    }


def _numbered(layers: h5py.Group, stem: str) -> list[str]:
    """Layers `stem`, `stem_1`, … that hold weights, in the order of their numbers."""
    # the suffix counts layers made in the session: _9 comes before _10, no suffix is 0
    matches = (re.fullmatch(rf"{stem}(?:_(\d+))?", name) for name in layers)
    found = [(int(match[1] or 0), match[0]) for match in matches if match]
    return [name for _, name in sorted(found)]


def _read_layer(layer: h5py.Group, ours: str, path: Path) -> dict[str, Tensor]:
    """One layer's weights under their torch names, axes in torch order."""
    weights: dict[str, np.ndarray] = {}

    def collect(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            weights[name.rsplit("/", 1)[-1].split(":")[0]] = item[()]

    layer.visititems(collect)
    names = (
        NORMALISATION_WEIGHTS if ours in NORMALISATIONS else {"weight": "kernel", "bias": "bias"}
    )
    absent = [keras for keras in names.values() if keras not in weights]
    if absent:
        raise ValueError(f"{path}: layer {layer.name} lacks {', '.join(absent)}")

    arrays = {torch_name: weights[keras] for torch_name, keras in names.items()}
    if ours not in NORMALISATIONS:
        kernel = arrays["weight"]
        rank = 4 if ours in CONVOLUTIONS else 2
        if kernel.ndim != rank:
            raise ValueError(f"{path}: {layer.name}: kernel {kernel.shape} should have {rank} axes")
        # (mel, time, in, out) -> (out, in, mel, time); (in, out) -> (out, in)
        arrays["weight"] = kernel.transpose((3, 2, 0, 1) if rank == 4 else (1, 0))
    return {
        name: torch.from_numpy(np.ascontiguousarray(a, np.float32)) for name, a in arrays.items()
    }
