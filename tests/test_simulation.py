"""A simulation rounds what its file rounds: operations, whoever calls them."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from asclib.compression import KINDS, export, simulate
from asclib.compression.quantization import correct_biases, quantize_activation, quantize_weight
from asclib.litert import LiteRT

FLOATING = [kind for kind in KINDS if kind != "full_int8"]


def by_hand(kind: str, weight: Tensor, groups: int = 0) -> Tensor:
    if kind == "float16":
        return weight.half().float()
    return quantize_weight(weight, groups=groups)


def heard(kind: str, x: Tensor) -> Tensor:
    return quantize_activation(x) if kind == "dynamic_range" else x


def rows(kind: str, x: Tensor) -> Tensor:
    return heard(kind, x.reshape(-1, x.shape[-1])).view(x.shape)


class Written(nn.Module):
    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part if isinstance(part, nn.Module) else nn.Parameter(part))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


class Standardised(nn.Conv2d):
    def kernels(self) -> Tensor:
        spread, mean = torch.std_mean(self.weight, (1, 2, 3), keepdim=True)
        return (self.weight - mean) / spread

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.kernels(), self.bias)


def masked() -> nn.Conv2d:
    layer = nn.Conv2d(4, 6, 3)
    prune.l1_unstructured(layer, "weight", 0.5)
    return layer


R = torch.randn
PICTURE, FRAMES, STACK = (4, 8, 8), (6, 8), (4, 6, 8)
# a network, the shape of its clip, and what it should answer: (network, kind, x) -> answers
CASES = {
    "mask": (
        masked(),
        PICTURE,
        lambda n, k, x: F.conv2d(heard(k, x), by_hand(k, n.weight), n.bias),
    ),
    "weight norm": (
        parametrizations.weight_norm(nn.Conv2d(4, 6, 3, groups=2)),
        PICTURE,
        lambda n, k, x: F.conv2d(heard(k, x), by_hand(k, n.weight), n.bias, groups=2),
    ),
    "standardised": (
        Standardised(4, 6, 3),
        PICTURE,
        lambda n, k, x: F.conv2d(heard(k, x), by_hand(k, n.kernels()), n.bias),
    ),
    "functional": (
        Written(lambda n, x: F.conv1d(x, n.w, n.b), w=R(5, 6, 3), b=R(5)),
        FRAMES,
        lambda n, k, x: F.conv1d(heard(k, x), by_hand(k, n.w), n.b),
    ),
    "transposed": (
        nn.ConvTranspose2d(4, 6, 3, 2, groups=2),
        PICTURE,
        lambda n, k, x: F.conv_transpose2d(
            heard(k, x), by_hand(k, n.weight, 2), n.bias, 2, groups=2
        ),
    ),
    "frames": (
        nn.Linear(8, 5),
        FRAMES,
        lambda n, k, x: F.linear(rows(k, x), by_hand(k, n.weight), n.bias),
    ),
    "matrix": (
        Written(lambda n, x: x @ n.w, w=R(8, 5)),
        FRAMES,
        lambda n, k, x: rows(k, x) @ by_hand(k, n.w.T).T,
    ),
    "matrix on the left": (
        Written(lambda n, x: n.w @ x, w=R(5, 6)),
        FRAMES,
        lambda n, k, x: by_hand(k, n.w) @ rows(k, x.mT).mT,
    ),
    "einsum": (
        Written(lambda n, x: torch.einsum("bct,kc->bkt", x, n.w), w=R(5, 6)),
        FRAMES,
        lambda n, k, x: by_hand(k, n.w) @ rows(k, x.mT).mT,
    ),
    "stack": (  # a column has one scale in all its matrices; in float16, files leave them
        Written(lambda n, x: x @ n.w, w=R(4, 8, 5)),
        STACK,
        lambda n, k, x: (
            x @ n.w
            if k == "float16"
            else rows(k, x)
            @ by_hand(k, n.w.permute(2, 0, 1).flatten(1)).view(5, 4, 8).permute(1, 2, 0)
        ),
    ),
    "of low rank": (
        Written(lambda n, x: F.linear(x, n.a @ n.b), a=R(5, 2), b=R(2, 8)),
        FRAMES,
        lambda n, k, x: rows(k, x) @ by_hand(k, n.a @ n.b).T,
    ),
    "tied": (  # what else its weights are for sees them as they are
        Written(lambda n, x: n.layer(x) * n.layer.weight[0], layer=nn.Linear(8, 8)),
        FRAMES,
        lambda n, k, x: (
            F.linear(rows(k, x), by_hand(k, n.layer.weight), n.layer.bias) * n.layer.weight[0]
        ),
    ),
    "cell": (
        Written(lambda n, x: n.layer(x), layer=nn.RNNCell(8, 5)),
        (8,),
        lambda n, k, x: (
            F.linear(rows(k, x), by_hand(k, n.layer.weight_ih), n.layer.bias_ih) + n.layer.bias_hh
        ).tanh(),
    ),
}


@pytest.mark.parametrize("kind", FLOATING)
@pytest.mark.parametrize("case", CASES)
def test_operations_are_rounded_wherever_their_weights_come_from(case, kind):
    net, shape, expected = CASES[case]
    net, x = net.eval(), torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    x = x * torch.tensor([0.1, 1, 10]).view(-1, *[1] * len(shape))
    simulated = simulate(net, kind)
    with torch.no_grad():
        answer, floating = simulated(x), net(x)
        torch.testing.assert_close(answer, expected(net, kind, x), rtol=1e-4, atol=1e-4)
        if (case, kind) != ("stack", "float16"):
            assert not torch.allclose(answer, floating, rtol=1e-6, atol=1e-6)
    with torch.inference_mode():
        torch.testing.assert_close(simulated(x), answer)
        torch.testing.assert_close(copy.deepcopy(simulated)(x), answer)


class Everything(nn.Module):
    """Masked, weight-normed and functional convolutions, attention, a recurrent layer, a matrix."""

    def __init__(self):
        super().__init__()
        self.masked = masked()
        self.normed = parametrizations.weight_norm(nn.Conv2d(6, 4, 3))
        self.kernels = nn.Parameter(torch.randn(8, 4, 3, 1) / 3)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.recurrent = nn.GRU(8, 5, batch_first=True, bidirectional=True)
        self.matrix = nn.Parameter(torch.randn(10, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.normed(F.relu(self.masked(x))))
        x = F.conv2d(x, self.kernels).mean(3).transpose(1, 2)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return self.recurrent(x)[0].mean(1) @ self.matrix


def test_the_file_of_all_this_says_what_its_simulation_says(tmp_path):
    torch.manual_seed(0)
    net, x = Everything().eval(), torch.randn(20, 4, 12, 12)
    lite = LiteRT(export(net, tmp_path / "net.tflite", input_shape=(4, 12, 12)))(x)
    with torch.no_grad():
        floating, simulated = net(x).numpy(), simulate(net)(x).numpy()
    far = np.abs(floating - lite).mean()
    assert far > 1e-4  # else it would be easy
    assert np.abs(simulated - lite).mean() < far / 20


def test_attention_rounds_its_projections():
    torch.manual_seed(0)
    net, x = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval(), torch.randn(3, 6, 8)
    rounded = copy.deepcopy(net)
    with torch.no_grad():
        for parameter in rounded.parameters():
            if parameter.dim() > 1:
                parameter.copy_(quantize_weight(parameter))
        torch.testing.assert_close(
            simulate(net, "weight_only")(x), rounded(x), rtol=1e-4, atol=1e-5
        )


def test_a_layer_that_is_called_by_itself_is_rounded():
    net = nn.Sequential(masked(), nn.ReLU())
    x = torch.randn(2, 4, 8, 8)
    expected = F.conv2d(quantize_activation(x), quantize_weight(net[0].weight), net[0].bias)
    torch.testing.assert_close(simulate(net)[0](x), expected, rtol=1e-4, atol=1e-4)


def test_what_is_not_known_and_what_is_not_rounded_is_an_error_not_a_silence():
    bilinear = Written(lambda n, x: n.layer(x, x), layer=nn.Bilinear(8, 8, 3))
    with pytest.raises(ValueError, match="rounds the weights of _trilinear; export"):
        simulate(bilinear)(torch.zeros(2, 8))
    scales = simulate(Written(lambda n, x: x * n.w, w=torch.ones(6, 8)))
    for _ in range(2):  # the first refusal leaves nothing behind
        with pytest.raises(ValueError, match="no convolution or dense layer to quantise"):
            scales(torch.zeros(2, 6, 8))


def test_an_error_in_a_simulation_leaves_torch_as_it_was():
    net = nn.Sequential(nn.Conv2d(4, 6, 3), nn.Linear(99, 2))
    x = torch.randn(1, 4, 8, 8)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        simulate(net)(x)
    assert torch.equal(net[0](x), F.conv2d(x, net[0].weight, net[0].bias))


def test_biases_are_corrected_where_layers_are_masked_or_used_twice():
    torch.manual_seed(0)
    twice = nn.Linear(6, 6)
    net = nn.Sequential(masked(), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), twice, twice)
    x = torch.randn(50, 4, 8, 8)
    corrected = correct_biases(net, x)
    with torch.no_grad():
        wanted, mended, plain = (
            made(x).mean(0)
            for made in (net, simulate(corrected, "weight_only"), simulate(net, "weight_only"))
        )
    assert (mended - wanted).abs().max() < (plain - wanted).abs().max()
