"""Decoupled, DIST and the losses on feature maps against plain loops, and at the extremes."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from asclib.distillation import losses
from tests.data import assert_finite, outputs

LABELS = torch.tensor([0, 3, 1, 1, 4, 2])


def maps(channels=3, mels=8, frames=4, seed=0, batch=6):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, mels, frames, generator=generator, dtype=torch.float64)


def divergence(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def test_decoupled_equals_its_two_divergences_written_out():
    student, teacher, t = outputs(seed=1), outputs(seed=2), 4.0
    expected = 0.0
    for s, z, label in zip(student, teacher, LABELS.tolist(), strict=True):
        q, p = (s / t).softmax(0).tolist(), (z / t).softmax(0).tolist()
        target = divergence([p[label], 1 - p[label]], [q[label], 1 - q[label]])
        p, q = ([v / (1 - x[label]) for k, v in enumerate(x) if k != label] for x in (p, q))
        expected += t * t * (2.0 * target + 5.0 * divergence(p, q)) / 6
    value = losses.decoupled(student, teacher, LABELS, alpha=2.0, beta=5.0, temperature=t)
    assert value.item() == pytest.approx(expected, rel=1e-9)


def test_decoupled_with_the_teachers_own_weights_is_the_response():
    """Zhao et al. 2022, eq. 6: KL = target part + (1 − p_target) · the rest, clip by clip."""
    for k in range(6):
        s, t, label = outputs(seed=3)[k : k + 1], outputs(seed=4)[k : k + 1], LABELS[k : k + 1]
        rest = 1 - (t / 3).softmax(1)[0, label].item()
        value = losses.decoupled(s, t, label, alpha=1.0, beta=rest, temperature=3.0)
        torch.testing.assert_close(value, losses.response(s, t, 3.0))


def test_decoupled_has_nothing_to_say_of_the_rest_of_two_classes():
    s, t, label = outputs(6, 2, seed=5), outputs(6, 2, seed=6), LABELS % 2
    value = losses.decoupled(s, t, label, alpha=0.0, beta=8.0)
    assert value.item() == pytest.approx(0, abs=1e-12)


def test_dist_equals_scipys_correlations():
    student, teacher, tau = outputs(seed=7), outputs(seed=8), 2.0
    s, t = ((x / tau).softmax(1).numpy() for x in (student, teacher))
    inter = 1 - np.mean([stats.pearsonr(a, b)[0] for a, b in zip(s, t, strict=True)])
    intra = 1 - np.mean([stats.pearsonr(a, b)[0] for a, b in zip(s.T, t.T, strict=True)])
    value = losses.dist(student, teacher, beta=2.0, gamma=3.0, temperature=tau)
    assert value.item() == pytest.approx(tau**2 * (2 * inter + 3 * intra), rel=1e-9)


def test_attention_equals_a_plain_loop_after_pooling_to_the_teachers_size():
    student, teacher = maps(3, 8, 4, seed=9), maps(5, 4, 2, seed=10)
    total, count = 0.0, 0
    for s, t in zip(student.numpy(), teacher.numpy(), strict=True):
        pooled = s.reshape(3, 4, 2, 2, 2).mean((2, 4))
        a, b = ((x**2).mean(0).ravel() for x in (pooled, t))
        total += ((a / np.linalg.norm(a) - b / np.linalg.norm(b)) ** 2).sum()
        count += a.size
    assert losses.attention(student, teacher).item() == pytest.approx(total / count, rel=1e-9)


def test_similarity_equals_a_plain_loop():
    student, teacher = maps(seed=11), maps(5, 2, 2, seed=12)

    def similarities(x):
        rows = x.reshape(6, -1).numpy()
        inner = np.array([[a @ b for b in rows] for a in rows])
        return inner / np.sqrt((inner**2).sum(1, keepdims=True))

    expected = ((similarities(student) - similarities(teacher)) ** 2).sum() / 36
    assert losses.similarity(student, teacher).item() == pytest.approx(expected, rel=1e-9)


def test_hint_is_the_mean_square():
    student, teacher = maps(seed=13), maps(seed=14)
    expected = ((student - teacher) ** 2).mean()
    torch.testing.assert_close(losses.hint(student, teacher), expected)


def test_margin_equals_its_three_cases_written_out():
    student, teacher = maps(2, 2, 2, seed=15), maps(2, 2, 2, seed=16)
    low = torch.tensor([-0.5, -0.1], dtype=torch.float64).view(2, 1, 1)
    expected = 0.0
    for place, s in np.ndenumerate(student.numpy()):
        target = max(teacher[place].item(), low[place[1]].item())
        if not (s <= target <= 0):
            expected += (s - target) ** 2 / 6
    assert losses.margin(student, teacher, low).item() == pytest.approx(expected, rel=1e-9)


def test_margin_asks_nothing_of_a_student_that_is_negative_enough():
    teacher = -maps(seed=17).abs() - 0.1
    assert losses.margin(teacher - 1, teacher, -0.05).item() == 0
    assert losses.margin(teacher + 1, teacher, -0.05).item() > 0


def test_the_margin_is_the_mean_of_the_negative_values_of_each_channel():
    teacher = maps(3, seed=26)
    teacher[:, 1] = teacher[:, 1].abs()
    expected = [x[x < 0].mean().item() for x in (teacher[:, 0], teacher[:, 2])]
    low = losses.negative_mean(teacher)
    assert low.shape == (3, 1, 1) and low[1].item() == 0
    assert low[[0, 2]].flatten().tolist() == pytest.approx(expected, rel=1e-6)


def decoupled(student, teacher):
    return losses.decoupled(student, teacher, LABELS % student.shape[1])


def contrastive(student, teacher):
    return losses.contrastive(student, teacher, LABELS)


ON_ROWS = [decoupled, losses.dist, losses.similarity, contrastive]
ON_MAPS = [losses.hint, losses.attention, losses.similarity, losses.margin]


@pytest.mark.parametrize(
    ("loss", "draw"), [(loss, outputs) for loss in ON_ROWS] + [(loss, maps) for loss in ON_MAPS]
)
def test_gradients_are_those_of_the_value_and_order_does_not_matter(loss, draw):
    student, teacher = draw(seed=20).requires_grad_(), draw(seed=21)
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher), student)
    order = torch.tensor([0, 1, 3, 2, 4, 5])  # rows 2 and 3 share a label
    torch.testing.assert_close(loss(student, teacher), loss(student[order], teacher[order]))
    assert loss(student, teacher).item() > 1e-4


@pytest.mark.parametrize(
    ("loss", "draw"),
    [(loss, outputs) for loss in ON_ROWS[:3]] + [(loss, maps) for loss in ON_MAPS],
)
def test_zero_at_equality(loss, draw):
    x = draw(seed=22).abs()
    assert loss(x, x).item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("loss", ON_ROWS)
@pytest.mark.parametrize("kind", ["saturated", "duplicates", "collapsed"])
def test_value_and_gradient_stay_finite(loss, kind):
    assert_finite(loss, kind)


def test_a_silent_map_has_no_attention_and_finite_gradients():
    student = torch.zeros(6, 3, 8, 4, requires_grad=True)
    value = losses.attention(student, maps(seed=25).float())
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(student.grad).all()


@pytest.mark.parametrize("loss", [losses.hint, losses.margin])
def test_maps_of_different_shapes_are_refused_with_the_remedy(loss):
    with pytest.raises(ValueError, match="1x1 convolution"):
        loss(maps(3), maps(5))
