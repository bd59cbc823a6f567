"""A product counts where it is added up, however it is written; and only there, and once."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import activation

from asclib.challenge import LIMITS
from asclib.complexity import complexity
from asclib.networks import TMSIC

R = torch.randn
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


class Written(nn.Module):
    """A function of the module and its input, with parameters or layers by name."""

    def __init__(self, function: Callable[[Written, Tensor], Tensor], **parts: Tensor | nn.Module):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part if isinstance(part, nn.Module) else nn.Parameter(part))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def taps(net: Written, x: Tensor) -> Tensor:
    """A depthwise convolution of five taps, shift by shift, on top of its bias."""
    y = net.bias
    for k in range(5):
        y = y + x[..., k : k + 16] * net.w[k]
    return y


def accumulated(net: Written, x: Tensor) -> Tensor:
    y = torch.zeros(1, 3, 16)
    for k in range(5):
        y = torch.addcmul(y, x[..., k : k + 16], net.w[k])
    return y


def filled(net: Written, x: Tensor) -> Tensor:
    """Products written into their places, then summed."""
    slots = torch.zeros(1, 5, 3)
    for k in range(5):
        slots[:, k] = x[:, k] * net.w[k]
    return slots.sum(1)


def attention(net: Written, x: Tensor) -> Tensor:
    scores = (x.unsqueeze(1) * x.unsqueeze(2)).sum(-1).softmax(-1)
    return (scores.unsqueeze(-1) * x.unsqueeze(1)).sum(2)


SUMMED = {
    "dense": (
        lambda s, x: (x.unsqueeze(-1).expand(-1, -1, 10) * s.w).sum(1),
        (30,),
        300,
        R(30, 10),
    ),
    "mean": (lambda s, x: (x.unsqueeze(-1) * s.w).mean(1), (30,), 300, R(30, 10)),
    "rows": (lambda s, x: torch.stack([(x * w).sum(-1) for w in s.w], -1), (5,), 35, R(7, 5)),
    "in turn": (lambda s, x: (x * s.w).sum(-1).sum(-1), (5, 3), 15, R(5, 1)),
    "unfolded": (lambda s, x: (x.unfold(2, 5, 1) * s.w).sum(-1), (3, 20), 3 * 16 * 5, R(5)),
    "patches": (
        lambda s, x: (F.unfold(x, 3).unsqueeze(1) * s.w).sum(2),
        (4, 8, 8),
        6 * 36 * 36,
        R(6, 36, 1),
    ),
    "moved": (
        lambda s, x: (x.unsqueeze(-1) * s.w).permute(0, 2, 1).contiguous().view(1, 10, 30).sum(-1),
        (30,),
        300,
        R(30, 10),
    ),
    "scaled": (lambda s, x: (-(x * s.w) / 3 + 1).sum(-1), (3, 20), 60, R(20)),
    "masked": (lambda s, x: (x * s.w).masked_fill(x > 0, 0).sum(-1), (3, 20), 60, R(20)),
    "in place": (lambda s, x: x.clone().mul_(s.w).sum(-1), (3, 20), 60, R(20)),
    "twice": (lambda s, x: torch.stack([(p := x * s.w).sum(-1), p.mean(-1)]), (3, 20), 60, R(20)),
    "halves": (
        lambda s, x: (p := x * s.w)[..., :9].sum(-1) + p[..., 9:].sum(-1),
        (3, 20),
        60,
        R(20),
    ),
    "of three": (lambda s, x: (x * s.w * x).sum(-1), (3, 20), 60, R(20)),
    "divided": (lambda s, x: (x / s.w).sum(-1), (3, 20), 60, R(20)),
    "pooled": (lambda s, x: F.avg_pool1d(x * s.w, 5), (3, 20), 60, R(20)),
    "cumulated": (lambda s, x: (x * s.w).cumsum(-1), (3, 20), 60, R(20)),
    "accumulated": (accumulated, (3, 20), 5 * 3 * 16, R(5)),
    "filled": (filled, (5, 3), 15, R(5, 3)),
    "weighted": (lambda s, x: s.w[0] * x[:, 0] + s.w[1] * x[:, 1], (2, 20), 40, R(2)),
    "cosine": (
        lambda s, x: F.cosine_similarity(x.unsqueeze(1), s.w, dim=-1),
        (30,),
        300,
        R(10, 30),
    ),
    "squares": (lambda s, x: ((x.unsqueeze(1) - s.w) ** 2).sum(-1), (30,), 300, R(10, 30)),
    "distance": (lambda s, x: (x.unsqueeze(1) - s.w).norm(dim=-1), (30,), 300, R(10, 30)),
    "pairs": (lambda s, x: F.pairwise_distance(x, s.w), (30,), 30, R(1, 30)),
    "cdist": (lambda s, x: torch.cdist(x.unsqueeze(1), s.w[None]), (30,), 300, R(10, 30)),
    "attention": (attention, (6, 8), 2 * 6 * 6 * 8, R(1)),
    "einsum": (lambda s, x: torch.einsum("bct,kc->bkt", x, s.w), (3, 20), 240, R(4, 3)),
    "sdpa": (lambda s, x: F.scaled_dot_product_attention(x, x, x), (2, 6, 8), 1152, R(1)),
    "tbc": (
        lambda s, x: torch.conv_tbc(x.permute(2, 0, 1), s.w, torch.zeros(6)),
        (4, 10),
        8 * 3 * 4 * 6,
        R(3, 4, 6),
    ),
    "complex": (  # four products for each of two complex numbers
        lambda s, x: torch.view_as_real(torch.complex(x, x) @ s.w),
        (5,),
        4 * 35,
        torch.randn(5, 7, dtype=torch.complex64),
    ),
    "spectrum": (
        lambda s, x: torch.view_as_real(torch.complex(x, x) * s.w),
        (5,),
        4 * 5,
        torch.randn(5, dtype=torch.complex64),
    ),
}


@pytest.mark.parametrize("way", SUMMED)
def test_sums_of_products_count_however_they_are_written(way):
    function, shape, macs, weight = SUMMED[way]
    counted = complexity(Written(function, w=weight), shape)
    assert counted.macs == counted.layers["macs"].sum() == macs


def test_taps_added_to_a_bias_are_a_convolution():
    assert complexity(Written(taps, w=R(5, 3, 1), bias=R(3, 1)), (3, 20)).macs == 5 * 3 * 16


def test_a_dense_layer_by_hand_too_large_is_not_within_the_limits():
    net = Written(lambda s, x: (x.flatten(1).unsqueeze(-1) * s.w).sum(1), w=R(1120, 30_000))
    assert not complexity(net).within(LIMITS[2024])


def test_a_bilinear_layer_has_a_product_for_each_weight():
    net = Written(lambda s, x: s.layer(x, x[..., :4]), layer=nn.Bilinear(5, 4, 7))
    assert complexity(net, (6, 5)).macs == 6 * 5 * 4 * 7


def gate(x: Tensor, layer: nn.Module) -> Tensor:
    return layer(x.mean((2, 3))).sigmoid()[..., None, None]


def dynamic_relu(net: Written, x: Tensor) -> Tensor:
    slopes = net.layer(x.mean((2, 3))).view(-1, 2, 4, 1, 1)
    return torch.maximum(x * slopes[:, 0], x * slopes[:, 1])


def layer_scale(net: Written, x: Tensor) -> Tensor:
    for _ in range(3):
        x = x + net.scale * net.layer(x)
    return x.mean(1)


def normalised(net: Written, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    variance = (centred**2).mean(-1, keepdim=True)
    return net.layer(centred / (variance + 1e-5).sqrt() * net.scale + net.shift)


FREE = {
    "dynamic relu": (dynamic_relu, (4, 5, 5), 4 * 8, 8),
    "squeeze": (lambda s, x: (x * gate(x, s.layer)).mean((2, 3)), (4, 5, 5), 4 * 4, 4),
    "squeeze, residual": (
        lambda s, x: torch.cat([x + x * gate(x, s.layer), x], 1).mean((2, 3)),
        (4, 5, 5),
        4 * 4,
        4,
    ),
    "place gate": (
        lambda s, x: (x * x.mean(1, keepdim=True).sigmoid()).mean((2, 3)),
        (4, 5, 5),
        0,
        1,
    ),
    "swish": (lambda s, x: (x * torch.sigmoid(x)).mean((2, 3)), (4, 5, 5), 0, 1),
    "mish": (lambda s, x: (x * F.softplus(x).tanh()).mean((2, 3)), (4, 5, 5), 0, 1),
    "affine": (lambda s, x: (x * s.scale[:, None] + 1).relu().mean((1, 2)), (4, 5), 0, 1),
    "layer scale": (layer_scale, (6, 4), 3 * 6 * 16, 4),
    "normalised": (normalised, (4,), 4 * 8, 8),
    "rms": (lambda s, x: x * x.pow(2).mean(-1, keepdim=True).rsqrt(), (8,), 0, 1),
    "norm": (lambda s, x: F.normalize(x), (8,), 0, 1),
    "softmax": (lambda s, x: (x.exp() / x.exp().sum(-1, keepdim=True)).mean(-1), (8,), 0, 1),
    "places": (lambda s, x: (x + s.shift).mean(1), (6, 4), 0, 4),
    "local response": (lambda s, x: F.local_response_norm(x, 3), (4, 5, 5), 0, 1),
}


@pytest.mark.parametrize("way", FREE)
def test_gates_scales_and_normalisations_by_hand_cost_what_their_layers_cost(way):
    function, shape, macs, width = FREE[way]
    parts = {"layer": nn.Linear(4, width), "scale": R(4), "shift": R(4)}
    counted = complexity(Written(function, **parts), shape)
    assert (counted.macs, counted.unknown) == (macs, ())


LAYERS = {
    "gru": (lambda s, x: s.a(x)[0].mean(1), nn.GRU(8, 4, batch_first=True), 6 * 12 * 12),
    "lstm": (lambda s, x: s.a(x)[0].mean(1), nn.LSTM(8, 4, batch_first=True), 6 * 16 * 12),
    "projected": (
        lambda s, x: s.a(x)[0],
        nn.LSTM(8, 4, proj_size=3, batch_first=True),
        6 * (16 * 11 + 12),
    ),
    "cell": (lambda s, x: s.a(x[:, 0]), nn.GRUCell(8, 4), 12 * 12),
    "decoder": (
        lambda s, x: s.a(x, x),
        nn.TransformerDecoderLayer(8, 2, 16, batch_first=True),
        2 * (6 * 8 * 32 + 2 * 6 * 6 * 8) + 6 * 8 * 16 * 2,
    ),
    "gated": (lambda s, x: F.glu(s.a(x), 1).mean(2), nn.Conv1d(6, 4, 3), 4 * 6 * 6 * 3),
    "transposed": (lambda s, x: s.a(x), nn.ConvTranspose1d(6, 4, 3, groups=2), 6 * 8 * 2 * 3),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_gates_inside_layers_stay_free(kind):
    function, layer, macs = LAYERS[kind]
    assert complexity(Written(function, a=layer), (6, 8)).macs == macs


NO_ACTIVATIONS = (nn.Module, nn.MultiheadAttention)
ACTIVATIONS = [
    kind
    for kind in vars(activation).values()
    if inspect.isclass(kind) and issubclass(kind, nn.Module) and kind not in NO_ACTIVATIONS
    if kind.__module__ == activation.__name__
]


@pytest.mark.parametrize("kind", ACTIVATIONS, ids=lambda kind: kind.__name__)
def test_all_of_torchs_activations_are_known_in_place_and_not(kind):
    given = {"threshold": 0.1, "value": 2.0} if kind is nn.Threshold else {}
    made = [kind(**given)]
    if "inplace" in inspect.signature(kind).parameters:
        made.append(kind(**given, inplace=True))
    for layer in made:
        counted = complexity(nn.Sequential(nn.Conv2d(1, 4, 3), layer), (1, 10, 10))
        assert counted.macs == 64 * 4 * 9


def test_a_network_is_counted_in_inference_mode_and_made_in_it():
    with torch.inference_mode():
        made = TMSIC()
        inside = complexity(made)
    for counted in (inside, complexity(made)):
        assert (counted.macs, counted.parameters) == (25_376_896, 51_986)


def frozen(net: nn.Module) -> nn.Module:
    return torch.jit.freeze(torch.jit.script(net.eval()))


def traced(net: nn.Module) -> nn.Module:
    return torch.jit.trace(net.eval(), torch.zeros(1, 1, 10, 10))


@pytest.mark.parametrize("made", [frozen, traced, torch.jit.script, torch.compile, nn.Sequential])
def test_modules_of_other_making_count_as_the_network_they_were_made_of(made):
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Hardswish(inplace=True), nn.Conv2d(4, 4, 3))
    expected = complexity(net, (1, 10, 10))
    for counted in (
        complexity(made(net), (1, 10, 10)),
        complexity(nn.Sequential(made(net), nn.ReLU()), (1, 10, 10)),
    ):
        assert (counted.macs, counted.parameters) == (expected.macs, expected.parameters)


def test_one_traced_layer_and_an_exported_network_are_counted():
    layer = traced(nn.Conv2d(1, 4, 3))
    assert complexity(layer, (1, 10, 10)).macs == 64 * 4 * 9
    exported = torch.export.export(nn.Conv2d(1, 4, 3), (torch.zeros(1, 1, 10, 10),)).module()
    assert complexity(exported, (1, 10, 10)).macs == 64 * 4 * 9
    behind = nn.Sequential(exported, nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4)).requires_grad_()
    behind[2].train()  # one number a channel: in training mode it would refuse
    assert complexity(behind, (1, 10, 10)).macs == 64 * 4 * 9
    assert behind[2].training


def test_counting_leaves_buffers_as_it_found_them():
    class Stream(nn.Module):
        """Changes one buffer in place and puts another one in the place of a second."""

        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))
            self.register_buffer("heard", torch.arange(5.0))

        def forward(self, x):
            self.calls += 1
            self.heard = 0.5 * self.heard + x[0]
            return x * self.heard

    net = Stream()
    heard, before = net.heard, net.heard.clone()
    complexity(net, (5,))
    assert net.calls == 0 and net.heard is heard and torch.equal(heard, before)
