"""ResNet-18 is the network of the paper, a width wide, and can be all that TMSIC can be here."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from asclib import complexity
from asclib.challenge import LIMITS
from asclib.distillation import TECHNIQUES, Answers, distill
from asclib.features import LogMel
from asclib.networks import INPUT_SHAPE, TMSIC, ResNet18, look
from asclib.networks.resnet import STAGES, STEM, WIDTH, BasicBlock
from asclib.pretraining import METHODS, pretrain
from asclib.training import Training, macro_accuracy, predict, train
from tests.data import FIT, SHORT, VALIDATION, same_weights, student

PUBLISHED = 11_689_512  # learnt by the paper's network of 1,000 classes, as torchvision has it
SMALL = partial(ResNet18, n_classes=4, width=4)


def seeded(network=ResNet18, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return network()


def halved(size: int, stride: int) -> int:
    return math.ceil(size / stride)  # of a kernel of three, padded by one


def by_hand(width: int, classes: int, taps: int = 9) -> tuple[int, int, int]:
    """Learnt numbers, running statistics and MACs, layer by layer. Args: taps of the stem."""
    mels, frames = (halved(n, k) for n, k in zip(INPUT_SHAPE[1:], STEM, strict=True))
    weights, channels = taps * width, width
    macs, before = weights * mels * frames, width
    for number, (down, along) in enumerate(STAGES):
        wide = width * 2**number
        mels, frames = halved(mels, down), halved(frames, along)
        own = 9 * wide * before + 3 * 9 * wide * wide
        norms = 4 * wide
        if wide != before:
            own += wide * before
            norms += wide
        weights, macs = weights + own, macs + own * mels * frames
        channels, before = channels + norms, wide
    head = before * classes
    return weights + 2 * channels + head + classes, 2 * channels, macs + head


# ---- counts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 8, WIDTH, 64])
def test_parameters_and_macs_follow_from_the_width(width):
    count = complexity(ResNet18(width=width))
    learnt, statistics, macs = by_hand(width, classes=10)
    assert (count.parameters, count.macs) == (learnt + statistics, macs)


def test_counts_are_those_of_the_docstring():
    for width in (8, WIDTH, 64):
        count = complexity(ResNet18(width=width))
        assert f"{count.parameters:,}" in ResNet18.__doc__
        assert f"{count.macs:,}" in ResNet18.__doc__
    count, tmsic = complexity(ResNet18()), complexity(TMSIC())
    assert f"{count.parameters / tmsic.parameters:.1f} times the parameters" in ResNet18.__doc__
    assert f"{100 - 100 * count.macs / tmsic.macs:.0f} % fewer MACs" in ResNet18.__doc__
    assert not any(count.within(limits, bits=8) for limits in LIMITS.values())


def test_it_is_the_paper_s_network_but_for_the_stem():
    net = ResNet18(n_classes=1_000, width=64)
    learnt = sum(value.numel() for value in net.parameters())
    assert by_hand(64, 1_000, taps=3 * 49)[0] == PUBLISHED
    assert learnt == PUBLISHED - 64 * (3 * 49 - 9)
    assert f"{learnt:,}" in net.__doc__ and f"{PUBLISHED:,}" in net.__doc__
    layers = [one for one in net.modules() if isinstance(one, (nn.Conv2d, nn.Linear))]
    shortcuts = [one for one in layers if getattr(one, "kernel_size", None) == (1, 1)]
    assert len(layers) - len(shortcuts) == 18 and len(shortcuts) == 3


@pytest.mark.parametrize("width", [0, -4])
def test_a_network_without_filters_is_refused(width):
    with pytest.raises(ValueError, match=f"width {width}: give a number of filters above 0"):
        ResNet18(width=width)


# ---- what it computes ----------------------------------------------------------------------------


def test_maps_are_of_the_sizes_it_says():
    net, x, sizes = seeded().eval(), torch.randn(2, *INPUT_SHAPE), []
    hooks = [
        one.register_forward_hook(lambda *said: sizes.append(said[2].shape)) for one in stages(net)
    ]
    net(x)
    assert len(hooks) == 4
    assert [tuple(size[1:]) for size in sizes] == [
        (16, 70, 8),
        (32, 35, 4),
        (64, 18, 2),
        (128, 9, 2),
    ]


def stages(net: nn.Module) -> list[nn.Module]:
    """The last block of each stage."""
    return list(net.stages)[1::2]


@pytest.mark.parametrize("shape", [INPUT_SHAPE, LogMel.cp_mobile().shape(), (1, 40, 51)])
def test_it_takes_any_picture_of_one_channel(shape):
    net = seeded(partial(ResNet18, n_classes=3, width=4)).eval()
    assert net(torch.randn(2, *shape)).shape == (2, 3)


def test_its_embedding_is_the_mean_of_the_last_map():
    net, x = seeded().eval(), torch.randn(3, *INPUT_SHAPE)
    logits, embedding = look(net, x, "embedding")
    assert embedding.shape == (3, 8 * WIDTH) and (embedding >= 0).all()
    torch.testing.assert_close(embedding, net.embed(x), rtol=0, atol=0)
    torch.testing.assert_close(logits, net.head(embedding))
    said = []
    net.stages.register_forward_hook(lambda *given: said.append(given[2]))
    net(x)
    torch.testing.assert_close(embedding, said[0].mean((2, 3)))
    with pytest.raises(
        ValueError, match="ResNet18 has no output 'conv4'.*it has logits, embedding"
    ):
        look(net, x, "conv4")


def test_a_block_adds_its_input():
    torch.manual_seed(0)
    x = torch.randn(2, 4, 6, 5)
    for outputs, stride in ((4, (1, 1)), (8, (2, 1))):
        block = BasicBlock(4, outputs, stride).eval()
        nn.init.zeros_(block.second[1].weight)  # its own part is nothing
        torch.testing.assert_close(block(x), block.shortcut(x).relu())
    assert block(x).shape == (2, 8, 3, 5)


def test_answers_do_not_depend_on_the_batch():
    net, x = seeded().eval(), torch.randn(3, *INPUT_SHAPE)
    with torch.no_grad():
        torch.testing.assert_close(net(x)[1:2], net(x[1:2]), rtol=1e-4, atol=1e-5)


# ---- what it learns ------------------------------------------------------------------------------


def test_every_weight_is_read_and_learns():
    net = seeded().train()
    net(torch.randn(8, *INPUT_SHAPE)).square().sum().backward()
    assert [name for name, value in net.named_parameters() if not value.grad.abs().sum()] == []


def test_it_learns_a_handful_of_clips_by_heart():
    few, net = FIT.take(np.arange(16)), seeded(SMALL)
    history = train(
        net, few, few, Training(12, 3e-3, batch_size=8, statistics_momentum=0.1), seed=0
    )
    assert macro_accuracy(predict(net, few.x), few.labels) == 1.0
    assert history["loss"].iloc[-1] < 0.3 * history["loss"].iloc[0]


def test_it_is_pre_trained_and_teaches_as_any_network():
    net, before = seeded(SMALL), seeded(SMALL)
    pretrain(net, FIT, METHODS["barlow_twins"], SHORT, seed=0)
    after, untouched = net.state_dict(), before.state_dict()
    moved = {name for name in after if not torch.equal(after[name], untouched[name])}
    assert {"stem.0.weight", "stages.7.second.0.weight"} <= moved
    assert not moved & {"head.weight", "head.bias"}
    said = Answers(FIT.identifiers, predict(net, FIT.x).numpy())
    pupils = [student(), student()]
    for pupil, answers in zip(pupils, (said, replace(said, logits=-said.logits)), strict=True):
        distill(pupil, answers, FIT, VALIDATION, TECHNIQUES["response"], SHORT, seed=0)
    assert not same_weights(*pupils)
