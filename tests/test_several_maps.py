"""A stage that compares several maps: the sum over layers, each with its own learnt map."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from asclib.distillation import TECHNIQUES, Answers, Stage, distill, losses, objective, stages_of
from asclib.distillation.answers import SideBySide
from asclib.distillation.stages import _connected
from asclib.networks import TMSIC, OneVsAllTeacher, look
from asclib.networks.outputs import look_at
from asclib.training import Batch, Clips, Training, train

LAYERS = ("norm2", "conv3", "conv4")
GENERATOR = torch.Generator().manual_seed(0)
FIT = Clips(
    torch.randn(16, 1, 140, 8, generator=GENERATOR),
    torch.arange(16) % 4,
    np.array([f"clip{i}" for i in range(16)]),
)
BATCH = Batch(FIT.x[:6], FIT.labels[:6], None, 4)
PLAN = Training(epochs=2, batch_size=8, schedule="constant")


def student():
    torch.manual_seed(0)
    return TMSIC(n_classes=4)


def teacher():
    torch.manual_seed(1)
    return OneVsAllTeacher([TMSIC(n_classes=2) for _ in range(4)]).eval()


@torch.no_grad()
def answers(*outputs):
    net = teacher()
    values = {name: look(net, FIT.x, name)[1].numpy().astype(np.float16) for name in outputs}
    return Answers(FIT.identifiers, net(FIT.x).numpy(), values)


def test_several_outputs_in_one_pass_are_those_of_one_at_a_time():
    for net in (student().eval(), teacher()):
        names = ("conv2", "norm2", "embedding", "logits", "conv4")  # two of the same layer
        logits, outputs = look_at(net, BATCH.x, names)
        for name, output in zip(names, outputs, strict=True):
            alone = look(net, BATCH.x, name)
            torch.testing.assert_close(alone, (logits, output), rtol=0, atol=0)
    assert not any(module._forward_hooks for module in net.modules())


def test_maps_side_by_side_are_joined_for_the_rows_asked_for():
    whole = answers(*LAYERS)
    order = np.random.default_rng(0).permutation(16)
    found = whole.joined(FIT.identifiers[order], LAYERS)
    rows = torch.tensor([3, 0, 9])
    expected = [torch.from_numpy(whole.others[name][order[rows]]) for name in LAYERS]
    assert isinstance(found, SideBySide) and len(found) == 16
    torch.testing.assert_close(found[rows], torch.cat(expected, dim=1), rtol=0, atol=0)
    for part, one in zip(found[rows].split(found.channels, dim=1), expected, strict=True):
        assert torch.equal(part, one)


def test_the_loss_is_the_sum_over_the_layers():
    stage = Stage(losses.attention, weight=0.7, hard=0.2, on=LAYERS)
    said, net = answers(*LAYERS).joined(FIT.identifiers, LAYERS), student().eval()
    rows = torch.tensor([4, 1, 7, 2])
    batch = Batch(FIT.x[rows], FIT.labels[rows], said[rows], 4)
    expected = 0.2 * F.cross_entropy(net(batch.x), batch.targets)
    for part, name in zip(said.parts, LAYERS, strict=True):
        expected += 0.7 * losses.attention(look(net, batch.x, name)[1], part[rows].float())
    torch.testing.assert_close(objective(stage, said)(net, batch), expected)


def test_each_layer_has_its_own_learnt_map_and_its_own_margin():
    layers = ("norm2", "norm4")
    stage = Stage(
        losses.margin, weight=1.0, hard=0.0, on=layers, connect="teacher", needs=("margin",)
    )
    said = answers(*layers).joined(FIT.identifiers, layers)
    net = _connected(student(), stage, said, FIT.x[:1], seed=0).eval()
    shapes = [tuple(linear.weight.shape[:2]) for linear in net.ours]
    assert shapes == [(4 * 28, 28), (4 * 16, 16)]
    expected = 0.0
    for linear, part, name in zip(net.ours, said.parts, layers, strict=True):
        low = losses.negative_mean(part)
        own = linear(look(net.student, BATCH.x, name)[1])
        expected = expected + losses.margin(own, part[:6].float(), low)
    value = objective(stage, said)(net, BATCH._replace(answers=said[torch.arange(6)]))
    torch.testing.assert_close(value, expected)


def test_one_layer_in_a_tuple_trains_as_its_name_does():
    found = []
    for on in ("conv4", ("conv4",)):
        net = student()
        stage = Stage(losses.attention, weight=10.0, hard=1.0, on=on)
        distill(net, answers("conv4"), FIT, FIT, (stage,), PLAN, seed=0)
        found.append(net.state_dict())
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


@pytest.mark.parametrize(
    "name",
    [
        "fitnets_layers",
        "attention_layers",
        "ofd_response",
        "relational_embedding",
        "standardised",
        "contrastive",
    ],
)
def test_a_technique_trains_from_stored_answers(name):
    stages = stages_of(name)
    outputs = {output for stage in stages for output in stage.outputs} - {"logits"}
    net = student()
    keys = list(net.state_dict())
    history = distill(net, answers(*outputs), FIT, FIT, stages, PLAN, seed=0)
    assert history["stage"].tolist() == [k for k in range(len(stages)) for _ in range(2)]
    assert np.isfinite(history["loss"]).all() and list(net.state_dict()) == keys


def test_a_hint_of_the_published_weight_is_learnt():
    """1e-4 is divided out by Adam; its epsilon must not stop the student."""
    (stage, _) = TECHNIQUES["fitnets"]
    said = answers("conv2").joined(FIT.identifiers, "conv2")
    ends = []
    for weight in (stage.weight, 1.0):
        net = _connected(student(), stage, said, FIT.x[:1], seed=0)
        goal = objective(replace(stage, weight=weight), said)
        plan = replace(PLAN, epochs=15, monitor="last", learning_rate=3e-3)
        losses_of = train(net, FIT, FIT, plan, seed=0, objective=goal, answers=said)["loss"]
        ends.append(losses_of.iloc[-1] / losses_of.iloc[0])
    assert ends[0] < 0.5 and ends[0] == pytest.approx(ends[1], abs=0.1)


def test_several_outputs_must_be_maps():
    for on in (("conv2", "embedding"), ()):
        with pytest.raises(ValueError, match="must all be maps, conv1"):
            Stage(losses.attention, weight=1.0, hard=1.0, on=on)


def test_layers_are_plain_json():
    (stage,) = TECHNIQUES["attention_layers"]
    settings = json.loads(json.dumps(stage.settings()))
    assert settings["on"] == ["conv1", "conv2", "conv3", "conv4"]
