"""A fake-quantised network answers as its file, and its gradient ignores the rounding."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from asclib.augmentation import SixFold
from asclib.compression import Calibration, agreement, export, simulate
from asclib.compression.qat import Aware, FakeQuantised, aware, fine_tuning, range_calibration
from asclib.compression.rounding import quantize_weight, round_between
from asclib.distillation import TECHNIQUES
from asclib.litert import LiteRT
from asclib.networks import TMSIC
from asclib.runs import Experiment, Lesson, build
from asclib.training import Clips, Training, train
from tests.data import PLAN, TINY, same_weights


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
    aware, simulated = (
        FakeQuantised(trained, calibration),
        simulate(trained, "full_int8", calibration),
    )
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
        map1 = F.conv2d(
            x, quantize_weight(first.detach()), net.graph.batch_norm_bias, padding="same"
        ).relu()
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
    assert net.ranges[0].tolist() == [
        float(calibration.clips.min()),
        float(calibration.clips.max()),
    ]


@pytest.mark.parametrize("rounding", ["sum_kept", "nearest"])
def test_what_is_stored_is_what_was_trained_whichever_way_it_was_rounded(
    trained, calibration, tmp_path, rounding
):
    net = FakeQuantised(trained, calibration, rounding=rounding)
    plan = Training(1, 3e-4, batch_size=16, monitor="last")
    train(net, _clips(64, 1), _clips(40, 2), plan, seed=0)
    stored, x = net.stored(), _clips(200, 5).x
    for target in ("conv2.weight", "conv3.weight", "head.weight"):
        weight, exact = stored.get_parameter(target), net.graph.get_parameter(target)
        scale = exact.abs().flatten(1).amax(1).view(-1, *[1] * (exact.dim() - 1)) / 127
        steps = (weight / scale).detach()
        torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-3)
        if rounding == "nearest":
            torch.testing.assert_close(steps, (exact / scale).round().detach(), rtol=0, atol=1e-3)
        # the export rounds once more, in its own way, and finds nothing to do
        torch.testing.assert_close(quantize_weight(weight), weight, rtol=1e-5, atol=1e-7)
    path = export(stored, tmp_path / "net.tflite", "full_int8", calibration=calibration)
    with torch.no_grad():
        assert agreement(net(x), LiteRT(path)(x)) >= 0.98


def test_the_two_ways_to_round_are_two(trained, calibration):
    x = _clips(50, 4).x
    kept, nearest = (
        FakeQuantised(trained, calibration, 4, rounding=rounding)
        for rounding in ("sum_kept", "nearest")
    )
    with torch.no_grad():
        assert not torch.allclose(kept(x), nearest(x))
    weight = trained.conv2.weight.detach()
    sums = [
        quantize_weight(weight, 4, 0, rounding).sum((2, 3)) for rounding in ("sum_kept", "nearest")
    ]
    scale = weight.abs().flatten(1).amax(1, keepdim=True) / 7
    errors = [((one - weight.sum((2, 3))) / scale).abs().max() for one in sums]
    assert errors[0] <= 0.501 < errors[1]
    for round_up in (
        lambda: FakeQuantised(trained, calibration, rounding="up"),
        lambda: quantize_weight(weight, rounding="up"),
    ):
        with pytest.raises(ValueError, match="rounding is 'up': choose one of 'sum_kept', 'near"):
            round_up()


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
        for grad, expected in (
            (ours.weight.grad, plain[index].weight.grad),
            (ours.bias.grad, plain[index].bias.grad),
        ):
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
    trained, calibration, tmp_path
):
    plan, fit, validation = Training(2, 3e-4, batch_size=16), _clips(48, 1), _clips(20, 2)
    whole, again, resumed = (FakeQuantised(trained, calibration) for _ in range(3))
    for net in (whole, again):
        train(net, fit, validation, plan, seed=3)
    calls = []

    def killed(net, inputs, outputs):
        calls.append(net.training)
        if sum(calls) == 5:  # the second batch of the second epoch
            raise KeyboardInterrupt

    resumed.register_forward_hook(killed)
    with pytest.raises(KeyboardInterrupt):
        train(resumed, fit, validation, plan, seed=3, folder=tmp_path)
    resumed = FakeQuantised(trained, calibration)
    train(resumed, fit, validation, plan, seed=3, folder=tmp_path)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_the_schedule_is_cp_mobiles_in_proportion():
    plan = Experiment("tau").profile.student
    made = fine_tuning(plan)
    assert made.epochs == round(200 * 20 / 150)
    assert made.learning_rate == pytest.approx(1e-3 * 5e-5 / 9e-4)
    own = {"epochs": 200, "learning_rate": 1e-3, "schedule": "constant", "patience": 20}
    assert replace(made, **own) == plan
    # the authors' rate is constant; one at which rounded weights come to rest falls to zero
    assert (made.schedule, made.patience) == ("one_cycle", None)
    assert fine_tuning(Experiment("quick").profile.student).epochs == 2


# ---- as runs ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fast(tiny_store) -> Experiment:
    """A teacher without members' effort: what it says does not matter here."""
    experiment = Experiment(TINY)
    return replace(experiment, taught_by=experiment.student())


def test_an_aware_student_is_what_fine_tuning_by_hand_gives(fast):
    student = fast.student()
    run = aware(student)
    assert run.needs() == (student,) and run.plan == fine_tuning(PLAN)
    assert isinstance(run.net(), FakeQuantised) and run.net().bits == 8
    by_hand = FakeQuantised(student.net(), range_calibration(fast.data))
    train(by_hand, fast.clips("fit"), fast.clips("validation"), fine_tuning(PLAN), seed=0)
    assert same_weights(run.net(), by_hand)
    assert len(run.history()) == 1  # its own epochs: the student's are the network's before it


def test_aware_runs_are_found_again_and_equal_by_value(fast):
    student = fast.student()
    one, same = aware(student), aware(fast.student())
    assert one == same and one is not same
    build([one])
    assert same.found() == one.folder()
    runs = [
        one,
        aware(student, 4),
        aware(student, None),
        aware(student, plan=PLAN),
        aware(replace(student, seed=1)),
        aware(fast.taught("response")),
        aware(student, rounding="nearest"),
        replace(one, network=Aware(student, clips=7)),
    ]
    assert len(set(runs)) == len(runs)


def test_a_taught_student_is_fine_tuned_by_its_last_lesson_alone(fast):
    student = fast.taught("rrs")
    run = aware(student, 4)
    assert run.lesson == Lesson(TECHNIQUES["rrs"][1:], fast.teacher()) and run.start is None
    assert run.network == Aware(student, 4)
    assert set(run.needs()) == {student, fast.teacher()}
    assert run.history()["stage"].tolist() == [0]
    both = replace(student, lesson=Lesson(TECHNIQUES["rrs"], fast.teacher()), start=None)
    assert aware(both).lesson == run.lesson


def test_a_student_whose_last_stage_compares_maps_is_refused(fast):
    with pytest.raises(ValueError, match="last stage compares conv4, .* compares logits"):
        aware(fast.taught("attention"))
    assert aware(fast.taught("fitnets")).lesson.stages == TECHNIQUES["response"]


def test_ranges_are_those_of_clips_as_they_are(fast):
    """Of all devices, and without the views that a student learns from."""
    table, clips = fast.table("fit"), fast.clips("fit")
    chosen = range_calibration(fast.data, 12).clips
    rows = [int((clips.x == one).flatten(1).all(1).nonzero()[0, 0]) for one in chosen]
    assert len(set(rows)) == 12
    assert len(set(table["device"].iloc[rows])) == table["device"].nunique()
    viewed = replace(fast.data, views=SixFold())
    assert torch.equal(range_calibration(viewed, 12).clips, chosen)
    assert len(range_calibration(fast.data, 10**6).clips) == len(table)
