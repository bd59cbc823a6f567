"""The graph at inference says what the network says, whatever its convolutions are."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from asclib.compression import Calibration, export, graph, simulate
from asclib.compression.graph import by_output, copied, inference_graph, operation_of
from asclib.compression.quantization import kernels_of, quantize_weight
from asclib.litert import LiteRT


def normed(net: nn.Module) -> nn.Module:
    """The network with normalisations that have seen something, and turn some channels round."""
    torch.manual_seed(0)
    for layer in net.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.3, 3)
    return net.eval()


class Standardised(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        spread, mean = torch.std_mean(self.weight, (1, 2, 3), keepdim=True)
        return self._conv_forward(x, (self.weight - mean) / spread, self.bias)


def masked(layer: nn.Module) -> nn.Module:
    prune.l1_unstructured(layer, "weight", 0.5)
    return layer


def weight_normed_before(layer: nn.Module) -> nn.Module:
    """In the older way, after a forward pass: its weight has a history then."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        layer = weight_norm(layer)
    layer(torch.zeros(1, 4, 8, 8))
    return layer


CONVOLUTIONS = {
    "transposed": (nn.ConvTranspose2d(4, 6, 3), nn.BatchNorm2d(6), (4, 8, 8)),
    "narrowing": (nn.ConvTranspose2d(8, 4, 3, 2), nn.BatchNorm2d(4), (8, 8, 8)),
    "in groups": (
        nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2, bias=False, dilation=2),
        nn.BatchNorm2d(6),
        (4, 8, 8),
    ),
    "transposed, 1d": (nn.ConvTranspose1d(4, 6, 3), nn.BatchNorm1d(6), (4, 12)),
    "transposed, 3d": (nn.ConvTranspose3d(4, 6, 3, groups=2), nn.BatchNorm3d(6), (4, 5, 5, 5)),
    "grouped, 1d": (nn.Conv1d(4, 6, 3, groups=2), nn.BatchNorm1d(6), (4, 12)),
    "3d": (nn.Conv3d(4, 6, 3), nn.BatchNorm3d(6), (4, 6, 6, 6)),
    "masked": (masked(nn.Conv2d(4, 6, 3)), nn.BatchNorm2d(6), (4, 8, 8)),
    "weight norm": (
        parametrizations.weight_norm(nn.ConvTranspose2d(4, 6, 3)),
        nn.BatchNorm2d(6),
        (4, 8, 8),
    ),
    "older weight norm": (weight_normed_before(nn.Conv2d(4, 6, 3)), nn.BatchNorm2d(6), (4, 8, 8)),
    "spectral norm": (
        parametrizations.spectral_norm(nn.Conv2d(4, 6, 3)),
        nn.BatchNorm2d(6),
        (4, 8, 8),
    ),
    "older spectral norm": (spectral_norm(nn.Conv2d(4, 6, 3)), nn.BatchNorm2d(6), (4, 8, 8)),
    "standardised": (Standardised(4, 6, 3), nn.BatchNorm2d(6), (4, 8, 8)),
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_a_normalisation_is_folded_into_every_kind_of_convolution(kind):
    layer, norm, shape = CONVOLUTIONS[kind]
    net = normed(nn.Sequential(layer, norm))
    x = torch.randn(3, *shape)
    folded = inference_graph(net, shape)
    with torch.no_grad():
        torch.testing.assert_close(folded(x), net(x), rtol=1e-4, atol=1e-4)
    (only,) = [operation_of(n) for n in folded.graph.nodes if n.op == "call_function"]
    assert only.startswith("conv")
    assert len(kernels_of(folded)) == 1


class Tied(nn.Module):
    """A decoder with the encoder's kernels, and their size as a feature."""

    def __init__(self):
        super().__init__()
        self.encode, self.norm = nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.encode.weight
        return self.norm(F.conv_transpose2d(F.relu(self.encode(x)), weight)) * weight[0, 0, 0, 0]


class OddlyNamed(nn.Module):
    """Has parameters of the names that folding would give."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(4, 4, 3)
        self.batch_norm_weight, self.batch_norm_bias = (nn.Parameter(torch.rand(4)) for _ in "ab")
        self.register_buffer("mean", torch.randn(4))
        self.register_buffer("variance", torch.rand(4) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        gain, shift = self.batch_norm_weight, self.batch_norm_bias
        x = F.batch_norm(self.layer(x), self.mean, self.variance, gain, shift)
        return x * gain.view(1, -1, 1, 1)


class Generated(nn.Module):
    """Makes its kernels from the clip: nothing to fold."""

    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(F.conv2d(x, self.layer.weight * x.mean()))


class Crossed(nn.Module):
    """A dense layer over the last axis, normalised along another one."""

    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Linear(8, 8), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.layer(x)
        return self.norm(y), y


@pytest.mark.parametrize("kind", [Tied, OddlyNamed, Generated, Crossed])
@pytest.mark.parametrize("depthwise", [False, True])
def test_what_cannot_be_folded_or_is_used_elsewhere_stays_right(kind, depthwise):
    net, x = normed(kind()), torch.randn(1, 4, 8, 8)
    simple = inference_graph(net, (4, 8, 8), depthwise, static=True)
    with torch.no_grad():
        torch.testing.assert_close(simple(x), net(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("forced", [False, True])
def test_statistics_of_the_batch_are_refused_with_the_layers_name(forced):
    class Forced(nn.BatchNorm2d):
        def forward(self, x):
            return F.batch_norm(x, self.running_mean, self.running_var, training=True)

    norm = Forced(6) if forced else nn.BatchNorm2d(6, track_running_stats=False)
    net = nn.Sequential()
    net.add_module("first", nn.Conv2d(4, 6, 3))
    net.add_module("norm", norm)
    with pytest.raises(
        ValueError, match="norm normalises by the statistics of the batch.*track_run"
    ):
        inference_graph(net, (4, 8, 8))


def test_a_graph_that_says_something_else_is_never_given_back(monkeypatch):
    net = normed(nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6)))
    inference_graph(net, (4, 8, 8))
    monkeypatch.setattr(graph, "by_output", lambda weight, groups: weight.flip(0))
    with pytest.raises(RuntimeError, match="otherwise than the network, whose largest answer is"):
        inference_graph(net, (4, 8, 8))


def test_copies_of_networks_with_a_history_hold_the_same(tmp_path):
    net = weight_normed_before(nn.Conv2d(4, 6, 3))
    net(torch.ones(1, 4, 8, 8)).sum().backward()
    made = copied(net)
    assert torch.equal(made.weight_v, net.weight_v) and made.weight_v is not net.weight_v


def test_outputs_come_first_and_go_back():
    weight = torch.arange(4 * 3 * 2.0).view(4, 3, 2)  # (in, out of a group, taps), two groups
    turned = by_output(weight, 2)
    for out in range(6):
        group, own = divmod(out, 3)
        assert torch.equal(turned[out], weight[2 * group : 2 * group + 2, own])
    assert torch.equal(by_output(turned, 2), weight)
    rounded = by_output(quantize_weight(weight, groups=2), 2)
    assert torch.equal(rounded, quantize_weight(turned))


@pytest.fixture(scope="module")
def decoder() -> nn.Module:
    """Two transposed convolutions, the second with computed kernels and in two groups."""
    torch.manual_seed(0)
    second = parametrizations.weight_norm(nn.ConvTranspose2d(6, 4, 3, groups=2))
    parts = (nn.ConvTranspose2d(4, 6, 3, 2), nn.BatchNorm2d(6), nn.ReLU(), second)
    return normed(nn.Sequential(*parts, nn.BatchNorm2d(4)))


@pytest.mark.parametrize("kind", ["dynamic_range", "full_int8"])
def test_a_file_of_transposed_convolutions_says_what_network_and_simulation_say(
    decoder, kind, tmp_path
):
    x = torch.randn(6, 4, 8, 8)
    given = Calibration(x) if kind == "full_int8" else None
    lite = LiteRT(export(decoder, tmp_path / "net.tflite", kind, (4, 8, 8), given))(x)
    with torch.no_grad():
        floating = decoder(x).numpy()
        simulated = simulate(decoder, kind, given, (4, 8, 8))(x).numpy()
    size = np.abs(floating).max()
    assert np.abs(lite - floating).max() < 0.03 * size
    assert np.abs(lite - simulated).mean() < 0.003 * size
    assert not np.array_equal(simulated, floating)


def test_a_file_that_says_something_else_is_taken_away_again(decoder, tmp_path, monkeypatch):
    monkeypatch.setattr("asclib.compression.quantization.GROSS_ERROR", 1e-6)
    path = tmp_path / "net.tflite"
    with pytest.raises(RuntimeError, match="taken away again: as dynamic_range it answers"):
        export(decoder, path, input_shape=(4, 8, 8))
    assert not path.exists()
