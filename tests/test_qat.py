"""A fake-quantised network answers as its file, and its gradient ignores the rounding."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from asclib import qat, training
from asclib.experiment import Experiment
from asclib.networks import TMSIC
from asclib.qat import FakeQuantised
from asclib.quantization import (
    Calibration,
    LiteRT,
    agreement,
    export,
    quantize_weight,
    round_between,
    simulate,
)
from asclib.settings import Training
from asclib.training import Clips, train


def _clips(number: int, seed: int) -> Clips:
    """Log-mel-like clips of ten classes, each a spectrum of its own in noise."""
    spectra = torch.randn(10, 1, 140, 1, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(10, (number,), generator=generator)
    x = 2 * spectra[labels] + 2 * torch.randn(number, 1, 140, 8, generator=generator) - 6
    return Clips(x, labels, np.array([f"clip-{i}" for i in range(number)]))


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    torch.manual_seed(0)
    plan = Training(4, 3e-3, batch_size=16, statistics_momentum=0.3, monitor="last")
    net = TMSIC()
    train(net, _clips(240, 1), _clips(40, 2), plan, seed=0)
    return net


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return Calibration(_clips(30, 3).x)


@pytest.fixture(scope="module")
def tuned(trained, calibration) -> SimpleNamespace:
    """Two networks after the same short fine-tuning, with weights of eight and of three bits."""
    made = SimpleNamespace()
    for name, bits in (("eight", 8), ("three", 3)):
        net = FakeQuantised(trained, calibration, bits)
        plan = Training(2, 3e-4, batch_size=16, monitor="last")
        train(net, _clips(240, 1), _clips(40, 2), plan, seed=0)
        setattr(made, name, net)
    return made


def test_before_training_it_is_the_simulation_of_the_file(trained, calibration):
    x = _clips(50, 4).x
    aware, simulated = FakeQuantised(trained, calibration), simulate(trained, "full_int8",
                                                                     calibration)  # fmt: skip
    with torch.no_grad():
        torch.testing.assert_close(aware(x), simulated(x), rtol=0, atol=0)
        assert not torch.equal(aware(x), trained(x))


def test_after_training_file_simulation_and_network_say_the_same(tuned, calibration, tmp_path):
    x, net = _clips(200, 5).x, tuned.eight
    path = export(net.graph, tmp_path / "net.tflite", "full_int8", calibration=calibration)
    with torch.no_grad():
        ours, simulated = net(x), simulate(net.graph, "full_int8", calibration)(x)
    assert len(set(ours.argmax(1).tolist())) >= 5  # else agreement would be cheap
    assert (ours - simulated).abs().mean() < 1e-3  # sums of another memory layout
    lite = LiteRT(path)(x)
    assert np.abs(ours.numpy() - lite).mean() < 0.05
    assert agreement(ours, lite) >= 0.98


def test_ranges_and_weights_are_those_of_the_clips_and_the_moment(tuned, calibration):
    net = tuned.eight
    first = net.graph.get_parameter("batch_norm_weight")
    x = calibration.clips
    assert net.ranges[0].tolist() == [float(x.min()), float(x.max())]
    with torch.no_grad():
        map1 = F.conv2d(x, quantize_weight(first.detach()), net.graph.batch_norm_bias,
                        padding="same").relu()  # fmt: skip
    torch.testing.assert_close(net.ranges[1].float(), torch.stack(map1.aminmax()))


def test_in_training_ranges_follow_the_batches_as_moving_averages(trained, calibration):
    net = FakeQuantised(trained, calibration).train()
    expected = net.ranges[0].clone()
    for seed in (6, 7):
        x = 2 * _clips(16, seed).x
        net(x)
        expected = 0.95 * expected + 0.05 * torch.tensor([float(x.min()), float(x.max())])
    torch.testing.assert_close(net.ranges[0], expected.double())
    before = net.ranges.clone()
    net.eval()
    assert not torch.equal(net.ranges, before)  # of the calibration clips again
    net(2 * x)
    assert net.ranges[0].tolist() == [float(calibration.clips.min()),
                                      float(calibration.clips.max())]  # fmt: skip


@pytest.mark.parametrize("bits", [8, 4])
def test_the_gradient_of_a_kernel_is_that_at_its_rounded_value(bits):
    """Straight through: d loss / d w is taken at q(w), and the rounding itself has slope one."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(3 * 6 * 6, 2))
    x = torch.randn(5, 1, 8, 8)
    aware = FakeQuantised(net, Calibration(x), bits, input_shape=(1, 8, 8))
    aware(x).square().sum().backward()
    plain = copy.deepcopy(net)
    for layer in (plain[0], plain[2]):
        layer.weight.data = quantize_weight(layer.weight.data, bits)
    (low, high), (low1, high1), (low2, high2) = aware.ranges.tolist()

    def rounded(v, low, high):  # the value is rounded; the slope is one, or none where clipped
        scale = (max(high, 0) - min(low, 0)) / 255
        zero = round(-128 - min(low, 0) / scale)
        level = v.detach() / scale + zero
        passed = v * ((level >= -128) & (level <= 127))
        return passed + ((level.round().clamp(-128, 127) - zero) * scale - passed).detach()

    middle = rounded(plain[0](rounded(x, low, high)), low1, high1)
    rounded(plain[2](middle.flatten(1)), low2, high2).square().sum().backward()
    for name, index in (("0", 0), ("2", 2)):
        ours = aware.graph.get_submodule(name)
        assert plain[index].weight.grad.abs().max() > 0
        for grad, expected in ((ours.weight.grad, plain[index].weight.grad),
                               (ours.bias.grad, plain[index].bias.grad)):  # fmt: skip
            torch.testing.assert_close(grad, expected, rtol=1e-3, atol=1e-4)


def test_what_a_range_clips_has_no_gradient():
    x = torch.tensor([-3.0, -0.5, 0.26, 0.9, 7.0], requires_grad=True)
    round_between(x, -1.0, 1.0).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


def test_few_bits_are_learnt_to_be_lived_with(trained, tuned, calibration):
    """At three bits a fine-tuned network is nearer to the labels than one that was only rounded."""
    test = _clips(300, 8)

    def loss(net):
        with torch.no_grad():
            return float(F.cross_entropy(net(test.x), test.labels))

    assert loss(tuned.three) < loss(FakeQuantised(trained, calibration, 3)) - 0.02
    for target in ("conv2", "conv3", "conv4", "dense", "head"):
        weight = tuned.three.graph.get_submodule(target).weight.detach()
        levels = [len(set(kernel.flatten().tolist())) for kernel in quantize_weight(weight, 3)]
        assert max(levels) <= 7  # -3 to 3


def test_the_control_rounds_nothing_and_leaves_the_network_as_it_was(trained, calibration):
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    x, control = _clips(20, 9).x, FakeQuantised(trained, calibration, None)
    with torch.no_grad():
        torch.testing.assert_close(control(x), trained(x), rtol=1e-3, atol=1e-3)
    control.train()(x).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())


def test_the_same_seed_gives_the_same_weights_and_a_killed_run_goes_on(
    trained, calibration, tmp_path, monkeypatch
):
    plan, fit, validation = Training(2, 3e-4, batch_size=16), _clips(48, 1), _clips(20, 2)
    whole, again, resumed = (FakeQuantised(trained, calibration) for _ in range(3))
    for net in (whole, again):
        train(net, fit, validation, plan, seed=3)
    real, epochs = training._epoch, []

    def killed(*arguments):
        if epochs:
            raise KeyboardInterrupt
        epochs.append(1)
        return real(*arguments)

    monkeypatch.setattr(training, "_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        train(resumed, fit, validation, plan, seed=3, folder=tmp_path)
    monkeypatch.setattr(training, "_epoch", real)
    resumed = FakeQuantised(trained, calibration)
    train(resumed, fit, validation, plan, seed=3, folder=tmp_path)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_the_schedule_is_cp_mobiles_in_proportion():
    made = qat.plan(Experiment("tau"))
    assert made.epochs == round(200 * 20 / 150)
    assert made.learning_rate == pytest.approx(1e-3 * 5e-5 / 9e-4)
    assert qat.plan(Experiment("quick")).epochs == 2
