from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import prune
from torch.utils.flop_counter import FlopCounterMode

from asclib.challenge import LIMITS
from asclib.complexity import Complexity, complexity
from asclib.complexity.__main__ import main
from asclib.networks import TMSIC, OneVsAllTeacher, count_parameters


def test_student_has_the_published_parameters_and_macs():
    counted = complexity(TMSIC())
    assert counted.parameters == count_parameters(TMSIC()) == 51_986
    by_hand = {
        "conv1": 20 * 140 * 8 * (7 * 5 * 1),
        "conv2": 28 * 140 * 8 * (7 * 3 * 20),
        "conv3": 28 * 140 * 4 * (3 * 7 * 28),
        "conv4": 16 * 70 * 2 * (7 * 5 * 28),
        "dense": 16 * 256,
        "head": 256 * 10,
    }
    layers = counted.layers.set_index("name")
    assert layers.loc[list(by_hand), "macs"].to_dict() == by_hand
    assert counted.macs == sum(by_hand.values()) == 25_376_896


def test_member_and_teacher_have_the_published_parameters():
    assert complexity(TMSIC(n_classes=2)).parameters == 49_930
    teacher = complexity(OneVsAllTeacher([TMSIC(n_classes=2) for _ in range(10)]))
    assert teacher.parameters == 519_770
    assert teacher.macs == 10 * (25_376_896 - 2_560) + 2_560 * 10


def test_layers_add_up_to_the_totals():
    counted = complexity(TMSIC())
    layers = counted.layers
    assert layers["parameters"].sum() == counted.parameters
    assert layers["macs"].sum() == counted.macs
    assert layers["activation_bytes"].max() == counted.peak_activation
    named = layers[layers["kind"].isin(["Conv2d", "BatchNorm2d", "Linear"])]
    assert list(named["name"]) == [
        "conv1",
        "norm1",
        "conv2",
        "norm2",
        "conv3",
        "norm3",
        "conv4",
        "norm4",
        "dense",
        "head",
    ]
    assert layers.set_index("name").loc["conv2", "output_shape"] == (28, 140, 8)


def test_peak_activation_of_the_student_is_input_and_output_of_its_second_convolution():
    assert complexity(TMSIC()).peak_activation == 20 * 140 * 8 + 28 * 140 * 8
    assert complexity(TMSIC(), activation_bits=32).peak_activation == 4 * 48 * 140 * 8


class Residual(nn.Module):
    """The skip connection keeps the first map alive through the branch."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.depthwise = nn.Conv2d(4, 8, 3, padding=1, groups=4)
        self.back = nn.Conv2d(8, 4, 1)

    def forward(self, x):
        x = self.first(x)
        return x + self.back(self.depthwise(x))


def test_a_skip_connection_is_held_while_its_branch_runs():
    layers = complexity(Residual(), (1, 10, 10)).layers.set_index("name")["activation_bytes"]
    assert layers["first"] == (1 + 4) * 100
    assert layers["depthwise"] == (4 + 8) * 100
    assert layers["back"] == (4 + 8 + 4) * 100
    assert layers["add"] == (4 + 4) * 100  # the sum is written over the branch


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(140, 64, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(128, 10)

    def forward(self, x):  # (batch, 1, 140, 8)
        return self.head(self.lstm(x[:, 0].transpose(1, 2))[0].mean(1))


def test_recurrent_layers_count_every_gate_and_frame():
    # four gates of 64 units, eight frames, two directions, two layers
    first, second = 4 * 64 * (140 + 64), 4 * 64 * (128 + 64)
    assert complexity(Recurrent()).macs == 8 * 2 * (first + second) + 128 * 10


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(140, 4, 64, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(140, 10)

    def forward(self, x):
        return self.head(self.encoder(x[:, 0].transpose(1, 2)).mean(1))


def test_attention_counts_projections_and_products():
    projections = 8 * 140 * (3 * 140 + 140 + 2 * 64)
    products = 2 * 8 * 8 * 140
    assert complexity(Attention()).macs == 2 * (projections + products) + 140 * 10


class Assorted(nn.Module):
    """Functional calls, a layer used twice, dilation, stride, transposition, einsum."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.twice = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=2)
        self.up = nn.ConvTranspose2d(8, 4, 4, 2, 1)
        self.weight = nn.Parameter(torch.randn(6, 4))

    def forward(self, x):
        x = self.twice(F.gelu(self.twice(self.stem(x))))
        x = F.interpolate(self.up(x), scale_factor=0.5)
        return F.linear(torch.einsum("bcft,kc->bkft", x, self.weight).mean((2, 3)), torch.eye(6))


def test_any_network_agrees_with_torchs_own_counter():
    net = Assorted().eval()
    with FlopCounterMode(display=False) as oracle, torch.no_grad():
        net(torch.zeros(1, 1, 140, 8))
    assert complexity(net).macs == oracle.get_total_flops() / 2
    assert complexity(net).parameters == sum(p.numel() for p in net.parameters())


def test_a_dense_layer_written_with_broadcasting_is_not_free():
    class Broadcast(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(1120, 10))

        def forward(self, x):
            return (x.flatten(1).unsqueeze(-1) * self.weight).sum(1)

    assert complexity(Broadcast()).macs == 1120 * 10


def test_zeros_pruned_weights_and_unused_layers_count_in_full():
    net = Residual()
    before = complexity(net, (1, 10, 10))
    prune.random_unstructured(net.first, "weight", 0.5)
    net.unused = nn.Linear(3, 5)
    after = complexity(net, (1, 10, 10))
    assert after.parameters == before.parameters + 3 * 5 + 5
    assert after.macs == before.macs
    assert after.layers.set_index("name").loc["unused", "parameters"] == 20


def test_tied_weights_count_once_in_parameters_and_twice_in_macs():
    first, second = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
    second.weight = first.weight
    counted = complexity(nn.Sequential(first, second), (8,))
    assert (counted.parameters, counted.macs) == (64, 128)


def test_unknown_arithmetic_is_named_with_its_layer():
    class Spectrum(nn.Module):
        def forward(self, x):
            return torch.fft.rfft(x).abs()

    net = nn.Sequential()
    net.add_module("spectrum", Spectrum())
    with pytest.raises(ValueError, match="spectrum: operation aten::_fft_r2c"):
        complexity(net)
    counted = complexity(net, on_unknown="report")
    assert counted.unknown == ("spectrum: operation aten::_fft_r2c",)
    assert not counted.within(LIMITS[2024])


def test_weights_hidden_from_torch_are_named():
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.kernel = torch.randn(4, 1, 3, 3)  # neither parameter nor buffer

        def forward(self, x):
            return F.conv2d(x, self.kernel)

    with pytest.raises(ValueError, match=r"Hidden: a \(4, 1, 3, 3\) tensor"):
        complexity(Hidden())


def test_a_network_left_channels_last_by_its_training_counts_the_same():
    trained = TMSIC().to(memory_format=torch.channels_last)
    assert complexity(trained, (1, 140, 8)).macs == complexity(TMSIC(), (1, 140, 8)).macs


@pytest.mark.parametrize("activation", [nn.Hardswish, nn.PReLU, nn.ReLU6, nn.SiLU, nn.GELU])
def test_activations_of_other_networks_are_known_and_cost_no_macs(activation):
    net = nn.Sequential(nn.Conv2d(1, 4, 3), activation())
    assert complexity(net, (1, 10, 10)).macs == complexity(net[:1], (1, 10, 10)).macs


def test_counting_leaves_the_network_as_it_was():
    net = TMSIC().train()
    net.norm2.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    complexity(net)
    assert net.training and net.norm1.training and not net.norm2.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def _cost(parameters: int, macs: int = 1) -> Complexity:
    layers = complexity(nn.Linear(1, 1), (1,)).layers
    return Complexity(parameters, macs, 0, layers)


@pytest.mark.parametrize("year", LIMITS)
def test_student_is_within_every_years_limits_and_the_teacher_is_not(year):
    assert complexity(TMSIC()).within(LIMITS[year])
    teacher = complexity(OneVsAllTeacher([TMSIC(n_classes=2) for _ in range(10)]))
    assert not teacher.within(LIMITS[year])


def test_limits_are_inclusive_and_reasons_say_what_exceeds_them():
    assert _cost(128_000, 30_000_000).within(LIMITS[2022])
    over = _cost(128_001, 30_000_001).within(LIMITS[2022])
    assert over.reasons == (
        "128,001 parameters, 128,000 allowed",
        "30,000,001 MACs, 30,000,000 allowed",
    )
    assert not over and "128,001 parameters" in str(over)


def test_precision_decides_what_fits():
    assert _cost(64_000).bytes() == 64_000
    assert _cost(64_000).bytes(bits=16) == 128_000
    assert _cost(64_000).within(LIMITS[2024], bits=16)
    assert not _cost(64_000).within(LIMITS[2024], bits=32)
    # 2022 limits the number of parameters, and asks for int8
    assert _cost(64_000).within(LIMITS[2022], bits=16).reasons == (
        "16 bits per parameter, 8 allowed",
    )


def test_wrong_input_shape_says_what_to_give():
    with pytest.raises(ValueError, match="shape of one clip, without the batch"):
        complexity(TMSIC(), (3, 140, 8))


def test_command_line_prints_layers_and_verdicts():
    run = subprocess.run(
        [sys.executable, "-m", "asclib.complexity", "asclib.networks:TMSIC", "--input", "1,140,8"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    for expected in ("conv2", "13171200", "51,986", "25,376,896", "2022: within the limits"):
        assert expected in run.stdout


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["asclib.networks"], "give module:factory"),
        (["asclib.no_such_module:TMSIC"], "run from the folder that holds it"),
        (["asclib.networks:NoSuchName"], "check the name after the colon"),
        (["asclib.networks.teacher:OneVsAllTeacher"], "function without arguments"),
        (["asclib.challenge:SCENES"], "function without arguments"),
        (["builtins:dict"], "not a torch.nn.Module"),
        (["asclib.networks:TMSIC", "--input", "1,x"], "such as --input 1,140,8"),
        (["asclib.networks:TMSIC", "--input", "3,140,8"], "--input"),
    ],
)
def test_bad_command_lines_say_what_to_do(arguments, remedy, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert remedy in capsys.readouterr().err


def test_a_network_without_values_is_counted_by_its_shapes():
    """As the searches count candidates: on torch's meta device nothing is computed."""
    with torch.device("meta"):
        net = TMSIC()
    assert complexity(net).macs == complexity(TMSIC()).macs
