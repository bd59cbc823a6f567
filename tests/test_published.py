from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from asclib.complexity import complexity
from asclib.networks.published import load_keras

CONVOLUTIONS = {
    "Conv-1": (7, 5, 1, 20),
    "Conv-2": (7, 3, 20, 28),
    "Conv-3": (3, 7, 28, 28),
    "Conv-3_0": (7, 5, 28, 16),
}


def _write(path: Path, first_norm: int = 8, head: str = "dense_11", classes: int = 10) -> dict:
    """A Keras file of random weights; four BNs, numbered from `first_norm`."""
    generator = np.random.default_rng(0)
    weights = {}
    for name, shape in CONVOLUTIONS.items():
        weights[name] = {
            "kernel": generator.normal(0, 0.1, shape),
            "bias": generator.normal(size=shape[-1]),
        }
    for k, channels in enumerate((20, 28, 28, 16)):
        number = first_norm + k
        weights["batch_normalization" + (f"_{number}" if number else "")] = {
            "gamma": generator.uniform(0.5, 2, channels),
            "beta": generator.normal(size=channels),
            "moving_mean": generator.normal(size=channels),
            "moving_variance": generator.uniform(0.5, 2, channels),
        }
    for name, shape in {"lastLayer": (16, 256), head: (256, classes)}.items():
        weights[name] = {
            "kernel": generator.normal(0, 0.3, shape),
            "bias": generator.normal(size=shape[-1]),
        }
    with h5py.File(path, "w") as file:
        for name, values in weights.items():
            for key, value in values.items():
                file[f"model_weights/{name}/{name}/{key}:0"] = value.astype(np.float32)
        file.create_group("model_weights/dropout_3")
    return weights


def _keras_forward(weights: dict, x: torch.Tensor, first_norm: int) -> torch.Tensor:
    """The Keras network written out: x (batch, 140, 8, 1), kernels (mel, time, in, out)."""
    value = {
        name: {key: torch.from_numpy(w).float() for key, w in layer.items()}
        for name, layer in weights.items()
    }
    x = x.permute(0, 3, 1, 2)
    for k, name in enumerate(CONVOLUTIONS):
        kernel = value[name]["kernel"].permute(3, 2, 0, 1)
        x = F.conv2d(x, kernel, value[name]["bias"], padding="same")
        if k > 0:
            x = x.relu()
        number = first_norm + k
        norm = value["batch_normalization" + (f"_{number}" if number else "")]
        mean, variance, gamma, beta = (
            norm[key].view(-1, 1, 1) for key in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        x = ((x - mean) / (variance + 1e-3).sqrt() * gamma + beta).relu()
        if k in (1, 2):
            x = F.max_pool2d(x, (1, 2) if k == 1 else (2, 2))
    x = x.mean((2, 3))
    x = (x @ value["lastLayer"]["kernel"] + value["lastLayer"]["bias"]).relu()
    head = next(name for name in value if name.startswith("dense"))
    return x @ value[head]["kernel"] + value[head]["bias"]


# 8 puts _9 and _10 in one file: as text, _10 and _11 come first
@pytest.mark.parametrize(("first_norm", "head", "classes"), [(8, "dense_11", 10), (0, "dense", 2)])
def test_layers_are_ordered_by_number_and_axes_turned(tmp_path, first_norm, head, classes):
    weights = _write(tmp_path / "net.h5", first_norm, head, classes)
    net = load_keras(tmp_path / "net.h5")
    x = torch.randn(4, 140, 8, 1, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = net(x.permute(0, 3, 1, 2))
    assert not net.training
    assert logits.shape == (4, classes)
    torch.testing.assert_close(logits, _keras_forward(weights, x, first_norm), rtol=1e-5, atol=1e-4)


def test_weights_saved_without_the_model_load_too(tmp_path):
    _write(tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5") as model, h5py.File(tmp_path / "w.h5", "w") as file:
        for name in model["model_weights"]:
            model.copy(f"model_weights/{name}", file)
    expected = load_keras(tmp_path / "model.h5").state_dict()
    for name, value in load_keras(tmp_path / "w.h5").state_dict().items():
        assert torch.equal(value, expected[name]), name


def _delete(name: str):
    def change(layers: h5py.Group) -> None:
        del layers[name]

    return change


def _replace_head(layers: h5py.Group) -> None:
    del layers["dense_11/dense_11/kernel:0"]
    layers["dense_11/dense_11/kernel:0"] = np.zeros((128, 10), np.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_delete("Conv-3"), "Conv-3"),
        (_delete("batch_normalization_9"), r"4 layers batch_normalization\[_n\] \(found 3\)"),
        (_delete("dense_11"), r"one layer dense\[_n\] \(found 0\)"),
        (_delete("Conv-2/Conv-2/kernel:0"), "layer /model_weights/Conv-2 lacks kernel"),
        (_replace_head, r"head.weight has shape \(10, 128\), a TMSIC needs \(10, 256\)"),
    ],
)
def test_a_file_of_another_network_is_refused_by_what_it_lacks(tmp_path, change, message):
    path = tmp_path / "net.h5"
    _write(path)
    with h5py.File(path, "r+") as file:
        change(file["model_weights"])
    with pytest.raises(ValueError, match=message):
        load_keras(path)


def test_a_file_that_is_no_hdf5_is_refused(tmp_path):
    (tmp_path / "net.h5").write_text("no weights")
    with pytest.raises(ValueError, match="not a readable HDF5 file"):
        load_keras(tmp_path / "net.h5")
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_keras(tmp_path / "missing.h5")


@pytest.mark.parametrize("member", [0, 4])
def test_published_networks_answer_as_keras_did(member):
    folder = os.environ.get("ASCLIB_PUBLISHED")
    if not folder:
        pytest.skip("set ASCLIB_PUBLISHED to the folder of keras_model_*.h5 and expected.npz")
    expected = np.load(Path(folder, "expected.npz"))
    net = load_keras(Path(folder, f"keras_model_{member}.h5"))
    with torch.no_grad():
        logits = net(torch.from_numpy(expected["features"]).permute(0, 3, 1, 2))
    difference = np.abs(logits.softmax(1).numpy() - expected[f"probabilities_{member}"])
    assert difference.max() < 1e-5
    assert complexity(net).parameters == 49_930
