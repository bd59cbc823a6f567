"""The distillation losses against plain loops, by their invariances, and at the extremes."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from asclib.distillation import losses
from tests.data import assert_finite, outputs


def huber(a, b):
    difference = abs(a - b)
    return 0.5 * difference**2 if difference < 1 else difference - 0.5


def loop_distance(student, teacher, diagonal=False):
    def relative(x):
        d = [[math.dist(a, b) for b in x.tolist()] for a in x.tolist()]
        pairs = [d[i][j] for i in range(len(d)) for j in range(len(d)) if i != j]
        return [[value / (sum(pairs) / len(pairs)) for value in row] for row in d]

    s, t, n = relative(student), relative(teacher), len(student)
    total = sum(huber(s[i][j], t[i][j]) for i in range(n) for j in range(n) if i != j)
    return total / (n * n if diagonal else n * (n - 1))


def loop_angle(student, teacher, diagonal=False):
    def cosine(x, i, j, k):
        one, two = x[i] - x[j], x[k] - x[j]
        return float(one @ two / (one.norm() * two.norm()))

    n, total = len(student), 0.0
    for i in range(n):
        for j in range(n):
            for k in range(n):
                if len({i, j, k}) == 3:
                    total += huber(cosine(student, i, j, k), cosine(teacher, i, j, k))
    return total / (n**3 if diagonal else n * (n - 1) * (n - 2))


@pytest.mark.parametrize("diagonal", [False, True])
def test_relational_losses_equal_a_plain_loop(diagonal):
    student, teacher = outputs(7, 5, seed=1), outputs(7, 9, seed=2)
    distance = losses.relational_distance(student, teacher, diagonal=diagonal)
    angle = losses.relational_angle(student, teacher, diagonal=diagonal)
    assert distance.item() == pytest.approx(loop_distance(student, teacher, diagonal), rel=1e-9)
    assert angle.item() == pytest.approx(loop_angle(student, teacher, diagonal), rel=1e-9)
    both = losses.relational(student, teacher, diagonal=diagonal)
    s, t = (x - x.mean(1, keepdim=True) for x in (student, teacher))
    expected = loop_distance(s, t, diagonal) + loop_angle(s, t, diagonal)
    assert both.item() == pytest.approx(expected, rel=1e-9)


def test_response_equals_the_divergence_written_out():
    student, teacher, t = outputs(seed=3), outputs(seed=4), 3.0
    expected = 0.0
    for s, z in zip(student, teacher, strict=True):
        p = [math.exp(v / t) for v in z.tolist()]
        q = [math.exp(v / t) for v in s.tolist()]
        p, q = [v / sum(p) for v in p], [v / sum(q) for v in q]
        divergence = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        expected += t * t * divergence / len(student)
    assert losses.response(student, teacher, t).item() == pytest.approx(expected, rel=1e-9)


def test_double_softmax_makes_a_sure_teacher_nearly_uniform():
    sure = torch.full((1, 10), -1e4).index_fill(1, torch.tensor([2]), 0.0)
    targets = (sure.softmax(1) / 3).softmax(1)[0]
    assert targets[2].item() == pytest.approx(0.134, abs=5e-4)
    assert targets[0].item() == pytest.approx(0.096, abs=5e-4)
    flat = torch.zeros(1, 10)
    expected = (targets * (targets * 10).log()).sum()
    torch.testing.assert_close(losses.response_double_softmax(flat, sure, 3.0), expected)


ALL = [
    losses.response,
    losses.response_double_softmax,
    losses.relational_distance,
    losses.relational_angle,
    losses.relational,
    losses.relational_on_probabilities,
]


@pytest.mark.parametrize("loss", ALL)
def test_gradients_are_those_of_the_value(loss):
    student = outputs(5, 4, seed=5).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(s, outputs(5, 4, seed=6)), student)


@pytest.mark.parametrize("loss", ALL)
def test_zero_at_equality_and_unmoved_by_a_permutation(loss):
    student, teacher = outputs(8, seed=7), outputs(8, seed=8)
    assert abs(loss(student, student).item()) < 1e-9
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loss(student, teacher), loss(student[order], teacher[order]))
    assert loss(student, teacher).item() > 1e-4


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize("kind", ["saturated", "duplicates", "collapsed"])
def test_value_and_gradient_stay_finite(loss, kind):
    assert_finite(loss, kind)


values = st.floats(-20, 20, width=64)
matrices = hnp.arrays(np.float64, (6, 4), elements=values).filter(
    lambda x: np.ptp(x, axis=0).min() > 1e-2 and len(np.unique(x.round(2), axis=0)) == 6
)


@settings(max_examples=50, deadline=None)
@given(matrices, st.floats(0.1, 10), st.floats(-50, 50))
def test_relations_ignore_shift_scale_and_rotation(x, scale, shift):
    student, teacher = torch.from_numpy(x), outputs(6, 4, seed=11)
    rotation = torch.linalg.qr(outputs(4, 4, seed=12))[0]
    moved = student @ rotation * scale + shift
    for loss in (losses.relational_distance, losses.relational_angle):
        torch.testing.assert_close(
            loss(moved, teacher), loss(student, teacher), rtol=1e-4, atol=1e-6
        )


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.float64, (4, 5), elements=values), st.floats(-30, 30))
def test_response_ignores_a_shift_of_the_logits_and_is_never_negative(x, shift):
    student, teacher = torch.from_numpy(x), outputs(4, 5, seed=13)
    value = losses.response(student, teacher)
    torch.testing.assert_close(value, losses.response(student + shift, teacher - shift))
    assert value.item() >= -1e-12


def test_temperature_squared_keeps_the_size_of_the_gradient():
    def size(temperature):
        student = outputs(64, 10, seed=14).requires_grad_()
        losses.response(student, 2 * outputs(64, 10, seed=15), temperature).backward()
        return student.grad.norm().item()

    assert 0.5 < size(8) / size(1) < 2


def test_an_offset_does_not_spoil_distances_in_single_precision():
    student, teacher = outputs(16, 8, seed=16), outputs(16, 8, seed=17)
    exact = losses.relational_distance(student, teacher).item()
    offset = losses.relational_distance((student + 1_000).float(), teacher.float()).item()
    assert offset == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize(
    ("loss", "rows"), [(losses.relational_distance, 1), (losses.relational_angle, 2)]
)
def test_too_few_rows_are_refused(loss, rows):
    with pytest.raises(ValueError, match="at the least"):
        loss(outputs(rows), outputs(rows))
    with pytest.raises(ValueError, match="same clips"):
        loss(outputs(4), outputs(5))


def test_relational_on_probabilities_looks_at_unit_softmax_outputs():
    student, teacher = outputs(6, seed=18), outputs(6, seed=19)
    s, t = (F.normalize(x.softmax(1), dim=1) for x in (student, teacher))
    expected = loop_distance(s, t, diagonal=True) + loop_angle(s, t, diagonal=True)
    value = losses.relational_on_probabilities(student, teacher).item()
    assert value == pytest.approx(expected, rel=1e-9)
