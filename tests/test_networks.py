"""TMSIC and the teacher have the published shapes and counts."""

import pytest
import torch

from asclib.networks import (
    INPUT_SHAPE,
    TMSIC,
    Conv2d,
    OneVsAllTeacher,
    count_parameters,
    one_vs_all,
    unfused_logits,
)
from asclib.networks.tmsic import as_tmsic


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(0)
    return OneVsAllTeacher([TMSIC(n_classes=2) for _ in range(10)])


def test_published_parameter_counts(teacher):
    assert count_parameters(TMSIC()) == 51_986
    assert sum(p.numel() for p in TMSIC().parameters()) == 51_802
    assert count_parameters(TMSIC(n_classes=2)) == 49_930
    assert count_parameters(teacher) == 519_770
    assert sum(p.numel() for p in teacher.parameters()) == 517_930


def test_batch_normalisation_follows_keras():
    norms = [m for m in TMSIC().modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert [(norm.eps, norm.momentum) for norm in norms] == [(1e-3, 0.01)] * 4


def test_map_shapes_and_embedding():
    net, x = TMSIC().eval(), torch.randn(3, *INPUT_SHAPE)
    shapes = {name: tuple(value.shape[1:]) for name, value in net.maps(x).items()}
    assert shapes == {
        "conv1": (20, 140, 8),
        "conv2": (28, 140, 8),
        "conv3": (28, 140, 4),
        "conv4": (16, 70, 2),
    }
    assert net.embed(x).shape == (3, 256)
    torch.testing.assert_close(net(x), net.head(net.embed(x)))


def test_answers_do_not_depend_on_the_batch(teacher):
    x = torch.randn(5, *INPUT_SHAPE)
    for net in (TMSIC().eval(), teacher.eval()):
        torch.testing.assert_close(net(x)[2:3], net(x[2:3]), rtol=1e-4, atol=1e-5)


def test_a_member_keeps_its_own_answer_inside_the_teacher():
    torch.manual_seed(1)
    members = [TMSIC(n_classes=2).eval() for _ in range(10)]
    x = torch.randn(4, *INPUT_SHAPE)
    alone = torch.stack([member(x) for member in members], dim=1)
    torch.testing.assert_close(OneVsAllTeacher(members).eval().member_logits(x), alone)


def test_fusion_starts_from_what_the_members_say_alone():
    torch.manual_seed(3)
    teacher = OneVsAllTeacher([TMSIC(n_classes=2) for _ in range(10)]).eval()
    x = torch.randn(4, *INPUT_SHAPE)
    alone = unfused_logits(teacher.member_logits(x))
    torch.testing.assert_close(teacher(x), alone, rtol=1e-4, atol=1e-5)


def test_members_stay_in_inference_mode_but_their_weights_move(teacher):
    teacher.train()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    optimizer = torch.optim.SGD(teacher.parameters(), lr=0.1)
    x, labels = torch.randn(8, *INPUT_SHAPE), torch.arange(8)
    torch.nn.functional.cross_entropy(teacher(x), labels).backward()
    optimizer.step()
    after = teacher.state_dict()
    frozen = [name for name in before if "running" in name or name.startswith("member_")]
    assert len(frozen) == 10 * 4 * 2 + 2
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert not torch.equal(before["members.3.conv2.weight"], after["members.3.conv2.weight"])


def test_a_member_with_ten_outputs_is_refused():
    with pytest.raises(ValueError, match="two-way head"):
        OneVsAllTeacher([TMSIC()])


def test_one_vs_all_labels_put_the_scene_first():
    assert one_vs_all(torch.tensor([0, 3, 3, 9]), 3).tolist() == [1, 0, 0, 1]


def test_unfused_softmax_is_the_normalised_odds():
    torch.manual_seed(2)
    answers = torch.randn(6, 10, 2, dtype=torch.float64)
    p = answers.softmax(2)[..., 0]
    odds = p / (1 - p)
    expected = odds / odds.sum(1, keepdim=True)
    torch.testing.assert_close(unfused_logits(answers).softmax(1), expected)


@pytest.mark.parametrize(
    ("kernel", "frames"), [((3, 7), 4), ((7, 5), 2), ((7, 5), 3), ((7, 3), 8), ((7, 5), 1)]
)
def test_a_folded_convolution_is_torchs_own_in_value_and_gradient(kernel, frames):
    torch.manual_seed(0)
    ours = Conv2d(5, 6, kernel, padding="same").double().train()
    plain = torch.nn.Conv2d(5, 6, kernel, padding="same").double()
    plain.load_state_dict(ours.state_dict())
    results = []
    for layer in (ours, plain):
        x = torch.linspace(-1, 1, 2 * 5 * 9 * frames).double().reshape(2, 5, 9, frames).cos()
        x.requires_grad_()
        y = layer(x)
        y.sin().sum().backward()
        results.append((y, x.grad, layer.weight.grad, layer.bias.grad))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_taps_that_meet_only_padding_never_learn():
    torch.manual_seed(0)
    net = TMSIC().train()
    net(torch.randn(4, *INPUT_SHAPE)).square().sum().backward()
    idle = net.conv4.weight.grad.abs().sum((0, 1, 2)) == 0  # two frames: taps 0 and 4 see nothing
    assert idle.tolist() == [True, False, False, False, True]
    assert (net.conv3.weight.grad != 0).any((0, 1, 2)).all()


def test_another_network_is_not_taken_for_a_tmsic():
    with pytest.raises(TypeError, match="this network is a Linear"):
        as_tmsic(torch.nn.Linear(1, 1))
