"""The peers are the published networks: their counts, layer by layer where these are known."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from asclib import complexity
from asclib.challenge import LIMITS
from asclib.complexity import complexity_of_file
from asclib.compression import Calibration, export, simulate
from asclib.features import LogMel
from asclib.litert import LiteRT
from asclib.networks import CNNGRU, Baseline2022, CPMobile
from asclib.networks.rivals import InvertedResidual
from asclib.runs import Data, Run
from tests.data import PLAN, TINY

FRONT_ENDS = {
    Baseline2022: LogMel.dcase_baseline,
    CPMobile: LogMel.cp_mobile,
    CNNGRU: LogMel.cnn_gru,
}
SHAPES = {Baseline2022: (1, 40, 51), CPMobile: (1, 256, 65), CNNGRU: (1, 256, 33)}
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")  # of a file
PEERS = pytest.mark.parametrize("peer", SHAPES)


def lively(peer: type[nn.Module]) -> nn.Module:
    """A peer whose normalisations and biases are not those of a network before its first step."""
    torch.manual_seed(0)
    net = peer()
    for layer in net.modules():
        for name in ("bias", "running_mean"):
            if isinstance(value := getattr(layer, name, None), torch.Tensor):
                nn.init.normal_(value, std=0.1)
    return net.eval()


def pictures(peer: type[nn.Module], number: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(number, *SHAPES[peer], generator=generator)


# ---- counts --------------------------------------------------------------------------------------


@PEERS
def test_a_peer_takes_what_its_front_end_gives_and_keeps_within_every_years_limits(peer):
    assert FRONT_ENDS[peer]().shape() == SHAPES[peer]
    count = complexity(peer(), SHAPES[peer])
    assert all(count.within(limits, bits=8) for limits in LIMITS.values())
    assert peer(n_classes=3)(pictures(peer, 2)).shape == (2, 3)


def test_counts_are_those_of_the_docstrings():
    counts = {peer.__name__: complexity(peer(), shape) for peer, shape in SHAPES.items()}
    assert {name: (one.parameters, one.macs) for name, one in counts.items()} == {
        "Baseline2022": (46_246, 29_203_560),
        "CPMobile": (63_856, 29_416_448),
        "CNNGRU": (59_513, 10_889_944),
    }
    for peer in SHAPES:
        for number in counts[peer.__name__].parameters, counts[peer.__name__].macs:
            assert f"{number:,}" in peer.__doc__


def learnt(net: nn.Module, kind: type[nn.Module] = nn.Module, name: str = "") -> int:
    """How many numbers the layers of a kind learn, of all or of one name."""
    layers = [layer for layer in net.modules() if isinstance(layer, kind)]
    return sum(
        value.numel()
        for layer in layers
        for own, value in layer.named_parameters(recurse=False)
        if name in own
    )


def test_published_counts_of_torch_follow_from_their_rule():
    """Weights without running statistics; each scale, shift and dense bias is a MAC as well."""
    mobile, gru = CPMobile(), CNNGRU()
    assert learnt(mobile) == 61_148 and learnt(gru) == 58_171
    macs = complexity(mobile, SHAPES[CPMobile]).macs
    assert macs + learnt(mobile, nn.BatchNorm2d) == 29_419_156
    more = learnt(gru, nn.BatchNorm2d) + learnt(gru, nn.Linear, "bias")
    more += 28 * learnt(gru, nn.GRU, "bias")  # in each of its steps
    assert complexity(gru, SHAPES[CNNGRU]).macs + more == 10_902_300


def test_each_layer_of_cp_mobile_costs_what_the_baselines_table_says():
    published = [  # parameters and MACs of each convolution with its normalisation
        *[(88, 304_144), (2_368, 2_506_816)],
        *[(2_176, 2_228_352), (704, 626_816), (2_112, 2_228_288)] * 2,
        *[(2_176, 2_228_352), (704, 331_904), (2_112, 1_179_712)],
        *[(2_176, 1_179_776), (704, 166_016), (3_696, 1_032_304)],
        *[(6_960, 1_935_600), (1_320, 311_280), (6_832, 1_935_472)],
        *[(6_960, 1_935_600), (1_320, 311_280), (12_688, 3_594_448)],
        (1_040 + 20, 299_520 + 20),
    ]
    layers = complexity(CPMobile(), SHAPES[CPMobile]).layers
    convolutions = layers[layers["kind"] == "Conv2d"].reset_index()
    norms = layers[layers["kind"] == "BatchNorm2d"].reset_index()["parameters"] // 2
    found = zip(convolutions["parameters"] + norms, convolutions["macs"] + norms, strict=True)
    assert list(found) == published


def test_the_published_counts_of_2022_are_read_in_the_int8_file(tmp_path):
    x = pictures(Baseline2022, 4)
    path = export(
        lively(Baseline2022), tmp_path / "net.tflite", "full_int8", x.shape[1:], Calibration(x)
    )
    count = complexity_of_file(path)
    weighted = count.layers[count.layers["kind"].isin(WEIGHTED)]
    assert weighted["stored"].sum() == 46_512  # the rest are shapes
    dense = weighted.iloc[3]
    assert (dense["kind"], dense["macs"]) == ("FULLY_CONNECTED", 6_400)
    assert count.analyser_macs - dense["macs"] // 2 == 29_234_920


# ---- what they compute ---------------------------------------------------------------------------


@PEERS
def test_every_weight_of_a_peer_is_read_and_learns(peer):
    torch.manual_seed(0)
    net = peer().train()
    net(pictures(peer, 8)).square().sum().backward()
    assert [name for name, value in net.named_parameters() if not value.grad.abs().sum()] == []


@PEERS
def test_answers_do_not_depend_on_the_batch(peer):
    net, x = lively(peer), pictures(peer, 3)
    with torch.no_grad():
        torch.testing.assert_close(net(x)[1:2], net(x[1:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("outputs", "stride", "size"),
    [(4, (1, 1), (6, 5)), (4, (1, 2), (6, 3)), (5, (1, 1), (6, 5)), (5, (2, 1), (3, 5))],
)
def test_a_block_adds_its_input_where_it_keeps_the_channels(outputs, stride, size):
    block = InvertedResidual(4, 8, outputs, stride).eval()
    nn.init.zeros_(block.narrow[1].weight)
    nn.init.zeros_(block.narrow[1].bias)  # the block's own part is nothing
    x = torch.arange(120.0).reshape(1, 4, 6, 5)
    y = block(x)
    assert y.shape == (1, outputs, *size)
    if outputs != 4:
        assert not y.any()
    elif stride == (1, 1):
        torch.testing.assert_close(y, x)
    else:  # of the nine neighbours of each other frame
        torch.testing.assert_close(y[..., 2, 1], x[..., 1:4, 1:4].mean((2, 3)))


def test_the_recurrence_goes_from_channel_to_channel_and_its_share_is_learnt():
    net, x, steps = lively(CNNGRU), pictures(CNNGRU, 2), []
    net.gru.register_forward_pre_hook(lambda layer, given: steps.append(given[0]))
    with torch.no_grad():
        before = net(x)
        assert steps[0].shape == (2, 28, 16)
        net.gru.weight_hh_l0.mul_(2)
        assert not torch.allclose(net(x), before)
        net.shares[3] = 1  # all of the mean over mel
        alone = net(x)
        net.gru.weight_hh_l0.mul_(2)
        assert torch.equal(net(x), alone)


def test_channels_are_shuffled_and_pooled_both_ways_before_they_are_mixed():
    net, x, heard = lively(CNNGRU), pictures(CNNGRU, 2), {}
    for name in ("stem", "along_mel", "loud", "even", "mix", "fold"):
        net.get_submodule(name).register_forward_hook(
            lambda layer, given, answer, name=name: heard.update({name: (given[0], answer)})
        )
    with torch.no_grad():
        net(x)
        assert torch.equal(heard["along_mel"][0][:, 6:], heard["stem"][1][:, 1::2])
        mixed, folded = heard["mix"][0] + heard["mix"][1], heard["fold"][0]
        assert torch.equal(folded[:, :36], mixed[:, 0::2])
        loud, even = heard["loud"][0], heard["even"][0]
        assert (loud >= even).all() and (loud > even).any()
        net.shares[0] = net.shares[2] = 1  # the mean of the even branch alone
        net(x)
        expected = nn.functional.avg_pool2d(heard["even"][1], 2)
        torch.testing.assert_close(heard["mix"][0], expected)
        net.shares[2], net.shares[1] = 0, 1  # the largest of the loud one
        net(x)
        expected = nn.functional.max_pool2d(heard["loud"][1], 2)
        torch.testing.assert_close(heard["mix"][0], expected)


# ---- trained, exported, rounded ------------------------------------------------------------------


@PEERS
def test_a_peer_trains_as_any_run_does(tiny_store, peer):
    torch.manual_seed(0)
    fresh = peer().state_dict()
    data = Data(TINY.corpus, front_end=FRONT_ENDS[peer]())
    run = Run(peer, data, PLAN)
    trained = run.net().state_dict()
    assert run.history()["loss"].notna().all() and len(run.history()) == PLAN.epochs
    moved = [name for name in fresh if not torch.equal(fresh[name], trained[name])]
    assert len(moved) == len(fresh)
    again = Run(peer, Data(TINY.corpus, front_end=FRONT_ENDS[peer]()), PLAN)
    assert again == run != Run(partial(peer, n_classes=11), data, PLAN)
    assert again.found() == run.folder()


@pytest.mark.parametrize(
    ("peer", "skipped"),
    [(CPMobile, 0), (CNNGRU, 3 * 64 * 64)],  # the state before the first step is zero
)
def test_a_rounded_peer_answers_as_its_file_does(tmp_path, peer, skipped):
    net, x = lively(peer), pictures(peer, 4)
    path = export(net, tmp_path / "net.tflite", "dynamic_range", SHAPES[peer])
    assert complexity_of_file(path).macs == complexity(net, SHAPES[peer]).macs - skipped
    with torch.no_grad():
        exact, rounded = net(x), simulate(net)(x)
    lite = torch.from_numpy(LiteRT(path)(x))
    assert (rounded - exact).norm() > 4 * (lite - rounded).norm()


def test_what_the_full_int8_simulation_does_not_know_is_named():
    for peer, operation in ((CPMobile, "avg_pool2d"), (CNNGRU, "channel_shuffle")):
        with pytest.raises(ValueError, match=f"does not know the operation {operation}"):
            simulate(lively(peer), "full_int8", Calibration(pictures(peer, 2)), SHAPES[peer])
