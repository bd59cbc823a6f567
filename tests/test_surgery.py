"""Filters taken out of other people's networks: they work, or the layer is named that does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asclib.complexity import complexity
from asclib.compression import Calibration, export
from asclib.compression.pruning import filter_scores, prune_filters, prune_weights, widths
from asclib.compression.surgery import channels_of, cut, trimmed
from asclib.litert import LiteRT
from asclib.networks import TMSIC
from asclib.networks.rivals import CNNGRU, Baseline2022, CPMobile

SHAPE = (1, 24, 8)
X = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(3))


class Residual(nn.Module):
    """Two convolutions around which their input is added, hard-swish everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12)
        self.one, self.norm1 = nn.Conv2d(12, 12, 3, padding=1), nn.BatchNorm2d(12)
        self.two, self.norm2 = nn.Conv2d(12, 12, 3, padding=1), nn.BatchNorm2d(12)
        self.head = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.norm(self.stem(x)))
        y = self.norm2(self.two(F.hardswish(self.norm1(self.one(x)))))
        return self.head(F.hardswish(x + y).mean((2, 3)))


class Inverted(nn.Module):
    """As in CP-Mobile: a narrow map widened, filtered channel by channel, narrowed and added."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8))
        self.expand = nn.Sequential(nn.Conv2d(8, 24, 1, bias=False), nn.BatchNorm2d(24))
        self.depthwise = nn.Sequential(
            nn.Conv2d(24, 24, 3, 1, 1, groups=24, bias=False), nn.BatchNorm2d(24)
        )
        self.project = nn.Sequential(nn.Conv2d(24, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.head = nn.Conv2d(8, 10, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = F.relu(x + self.project(F.relu(self.depthwise(F.relu(self.expand(x))))))
        return self.head(x).mean((2, 3))


class Recurrent(nn.Module):
    """A convolution whose maps a GRU reads frame by frame."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.gru, self.head = nn.GRU(8 * 24, 16, batch_first=True), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(x))).permute(0, 3, 1, 2).flatten(2)
        return self.head(self.gru(x)[0][:, -1])


class ChannelsLast(nn.Module):
    """A dense layer that reads channel after channel at every place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(8 * 24 * 8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.conv(x)).permute(0, 2, 3, 1).flatten(1))


def made(kind: type[nn.Module]) -> nn.Module:
    """A network whose normalisations are not those it started with."""
    torch.manual_seed(0)
    net = kind()
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.uniform_(-1, 1)
            norm.running_var.uniform_(0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -0.5, 0.5)
    return net.eval()


@pytest.mark.parametrize(
    "kind, groups",
    [
        (Residual, {"stem": ["stem", "two"], "one": ["one"]}),
        (
            Inverted,
            {"stem.0": ["stem.0", "project.0"], "expand.0": ["expand.0", "depthwise.0"]},
        ),
    ],
)
def test_channels_that_are_added_or_filtered_singly_go_together(kind, groups):
    found = channels_of(made(kind), SHAPE)
    assert {g.name: [maker.convolution for maker in g.makers] for g in found} == groups
    readers = {g.name: {reader.layer for reader in g.readers} for g in found}
    assert readers[found[0].name] == ({"one", "head"} if kind is Residual else {"expand.0", "head"})
    for group in found:
        for maker in group.makers:
            assert maker.normalisation is not None


def test_a_residual_network_is_that_whose_other_channels_are_silent():
    """hard-swish(0) = 0: a channel whose normalisation gives zero is not there."""
    net = made(Residual)
    outer, inner = torch.arange(0, 12, 3), torch.tensor([0, 1, 5, 6, 7, 11])
    small = cut(net, {"stem": outer, "one": inner}, SHAPE)
    with torch.no_grad():
        for norm, kept in ((net.norm, outer), (net.norm1, inner), (net.norm2, outer)):
            silent = torch.ones(12, dtype=torch.bool)
            silent[kept] = False
            norm.weight[silent] = 0
            norm.bias[silent] = 0
        torch.testing.assert_close(small(X), net(X), rtol=1e-4, atol=1e-5)
    assert (small.one.in_channels, small.one.out_channels, small.head.in_features) == (4, 6, 4)


def test_a_depthwise_network_is_that_whose_other_channels_are_silent():
    net = made(Inverted)
    outer, inner = torch.tensor([1, 2, 5, 7]), torch.arange(3, 15)
    small = cut(net, {"stem.0": outer, "expand.0": inner}, SHAPE)
    with torch.no_grad():
        for part, kept in (("stem", outer), ("depthwise", inner), ("project", outer)):
            norm = net.get_submodule(part)[1]
            silent = torch.ones(len(norm.weight), dtype=torch.bool)
            silent[kept] = False
            norm.weight[silent] = 0
            norm.bias[silent] = 0
        torch.testing.assert_close(small(X), net(X), rtol=1e-4, atol=1e-5)
    assert small.depthwise[0].groups == 12
    assert complexity(small, SHAPE).macs < complexity(net, SHAPE).macs / 2


def test_the_students_of_others_are_cut_or_refused_by_layer():
    half = [width // 2 for width in widths(CPMobile())]
    small = prune_filters(CPMobile(), tuple(half))
    assert complexity(small).macs < complexity(CPMobile()).macs / 2
    baseline = Baseline2022()
    assert widths(baseline, (1, 40, 51)) == (16, 16, 32)
    prune_filters(baseline, (8, 12, 16), input_shape=(1, 40, 51))
    with pytest.raises(ValueError, match=r"\(CNNGRU\): shares are not the weights of a conv"):
        widths(CNNGRU())


@pytest.mark.parametrize("kind", [Residual, Inverted])
def test_they_are_pruned_by_the_sum_of_what_makes_a_channel(kind):
    net = made(kind)
    narrow = tuple(width // 2 for width in widths(net, SHAPE))
    small = prune_filters(net, narrow, clips=X, input_shape=SHAPE)
    assert widths(small, SHAPE) == narrow and small(X).shape == (4, 10)
    if kind is Residual:
        scores = filter_scores(net, "l1", SHAPE)[0]
        parts = [layer.weight.detach().abs().sum((1, 2, 3)) for layer in (net.stem, net.two)]
        torch.testing.assert_close(scores, parts[0] + parts[1])


def test_what_is_not_known_is_refused_by_the_name_of_its_layer():
    with pytest.raises(ValueError, match=r"gru \(GRU\): weight_ih_l0, .* are not the weights of"):
        prune_filters(made(Recurrent), (4,), input_shape=SHAPE)
    with pytest.raises(ValueError, match=r"conv \(Conv2d\): .*; what comes after it mixes or re"):
        prune_filters(made(ChannelsLast), (4,), input_shape=SHAPE)
    grouped = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3, groups=2), nn.Conv2d(8, 4, 1))
    with pytest.raises(ValueError, match=r"1 \(Conv2d\): 2 groups of channels"):
        channels_of(grouped, SHAPE)
    masked = TMSIC()
    prune_weights(masked, 0.5)
    with pytest.raises(ValueError, match=r"conv1 \(Conv2d\): its weight is computed from others"):
        channels_of(masked, (1, 140, 8))
    with pytest.raises(ValueError, match="cannot be followed for an input of shape"):
        channels_of(made(Residual), (3, 24, 8))


def test_a_softmax_over_channels_is_seen():
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x).softmax(1)).mean((2, 3))

    with pytest.raises(ValueError, match=r"first \(Conv2d\): .* answers otherwise"):
        prune_filters(made(Mixed), (4,), input_shape=SHAPE)


def test_the_network_itself_is_left_as_it_was():
    net = made(Residual)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    prune_filters(net, (4, 4), clips=X, input_shape=SHAPE)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(parameter.requires_grad for parameter in net.parameters())


# ---- taps that only meet padding -------------------------------------------------------------


def test_tmsic_loses_6272_weights_and_says_the_same():
    torch.manual_seed(0)
    net, x = TMSIC().eval(), torch.randn(8, 1, 140, 8) - 6
    small = trimmed(net)
    assert complexity(net).parameters - complexity(small).parameters == 6_272
    assert complexity(net).macs - complexity(small).macs == 70 * 2 * 6_272
    assert small.conv4.kernel_size == (7, 3) and small.conv3.kernel_size == (3, 7)
    with torch.no_grad():
        torch.testing.assert_close(small(x), net(x), rtol=1e-5, atol=1e-6)
    # in training the two take the very same sums, forwards and backwards
    answers, slopes = [], []
    for one in (net, small):
        one.train()
        torch.manual_seed(1)
        answers.append(one(x))
        answers[-1].square().sum().backward()
        slopes.append(one.conv2.weight.grad)
    assert torch.equal(*answers) and torch.equal(*slopes)


def test_the_file_of_a_trimmed_student_is_smaller_by_what_was_taken(tmp_path):
    torch.manual_seed(0)
    net, clips = TMSIC().eval(), Calibration(torch.randn(8, 1, 140, 8) - 6)
    files = [
        export(one, tmp_path / f"{number}.tflite", "full_int8", calibration=clips)
        for number, one in enumerate((net, trimmed(net)))
    ]
    sizes = [file.stat().st_size for file in files]
    assert 6_200 <= sizes[0] - sizes[1] <= 6_400
    whole, small = (LiteRT(file)(clips.clips) for file in files)
    step = np.ptp(whole) / 255
    assert np.abs(whole - small).max() < 5 * step


@pytest.mark.parametrize(
    "layer, shape, taps",
    [
        (nn.Conv2d(1, 2, 7, stride=2, padding=3), (1, 3, 9), (5, 7)),
        (nn.Conv2d(1, 2, (9, 5), dilation=2, padding=(8, 4)), (1, 3, 3), (3, 3)),
        (nn.Conv1d(1, 2, 5, dilation=3, padding=9), (1, 2), (3,)),
        (nn.Conv1d(1, 2, 5, padding="same"), (1, 1), (1,)),
        (nn.Conv2d(1, 2, 5, padding=2, padding_mode="circular"), (1, 3, 3), (5, 5)),
        (nn.Conv2d(1, 2, 3, padding="valid"), (1, 3, 3), (3, 3)),
    ],
)
def test_any_convolution_loses_the_taps_that_only_meet_padding(layer, shape, taps):
    small, x = trimmed(layer, shape), torch.randn(3, *shape)
    assert small.kernel_size == taps
    with torch.no_grad():
        torch.testing.assert_close(small(x), layer(x), rtol=1e-5, atol=1e-6)


def test_a_layer_that_hears_two_sizes_keeps_what_either_needs():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(1, 1, 7, padding=3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.conv(x)[..., :2]).flatten(1)

    small = trimmed(Twice(), (1, 3))
    assert small.conv.kernel_size == (5,)
