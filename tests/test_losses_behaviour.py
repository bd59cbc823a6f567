"""What each loss does: where it is lowest, where descent leads, and its value in plain numpy."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from scipy import integrate

from asclib.distillation import losses
from asclib.distillation.losses.answers import chance

CLIPS, CLASSES = 20, 5
LABELS = np.arange(CLIPS) % CLASSES


def rows(seed, clips=CLIPS, size=CLASSES):
    """Logits or embeddings, (clips, size); each clip's mean is its own."""
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(clips, size, generator=generator, dtype=torch.float64)


def maps(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(CLIPS, 3, 4, 2, generator=generator, dtype=torch.float64)


# ---- the losses written out in numpy -----------------------------------------------------------


def softmax(x, temperature=1.0):
    e = np.exp(x / temperature)
    return e / e.sum(1, keepdims=True)


def divergence(p, q):
    return (p * np.log(p / q)).sum(1).mean()


def response(s, t, temperature=3.0):
    return temperature**2 * divergence(softmax(t, temperature), softmax(s, temperature))


def response_double_softmax(s, t):
    return divergence(softmax(softmax(t), 3.0), softmax(softmax(s), 3.0))


def standard(x):
    return (x - x.mean(1, keepdims=True)) / x.std(1, ddof=1, keepdims=True)


def standardised(s, t):
    return response(standard(s), standard(t), 2.0)


def decoupled(s, t):
    q, p = softmax(s, 4.0), softmax(t, 4.0)
    true = np.eye(CLASSES, dtype=bool)[LABELS]

    def pair(x):
        return np.stack([x[true], 1 - x[true]], axis=1)

    def rest(x):
        others = x[~true].reshape(len(x), -1)
        return others / others.sum(1, keepdims=True)

    return 16 * (divergence(pair(p), pair(q)) + 8 * divergence(rest(p), rest(q)))


def correlations(a, b):
    """Of every row of a with every row of b."""
    return np.corrcoef(a, b)[: len(a), len(a) :]


def dist(s, t):
    s, t = softmax(s), softmax(t)
    inter, intra = correlations(s, t), correlations(s.T, t.T)
    return 2 - np.diag(inter).mean() - np.diag(intra).mean()


def huber(difference):
    d = np.abs(difference)
    return np.where(d < 1, 0.5 * d**2, d - 0.5)


def distances(x):
    d = np.linalg.norm(x[:, None] - x[None], axis=2)
    return d / (d.sum() / (len(x) * (len(x) - 1)))


def relational_distance(s, t):
    return huber(distances(s) - distances(t)).sum() / (len(s) * (len(s) - 1))


def relational_angle(s, t):
    def angles(x):
        edges = x[None] - x[:, None]
        with np.errstate(invalid="ignore"):
            edges = edges / np.linalg.norm(edges, axis=2, keepdims=True)
        return np.einsum("jid,jkd->jik", edges, edges)  # nan where i or k is j

    difference = huber(angles(s) - angles(t))
    i, k = np.indices((len(s), len(s)))
    return np.nanmean(difference[:, i != k])


def centred(x):
    return x - x.mean(1, keepdims=True)


def relational(s, t):
    s, t = centred(s), centred(t)
    return relational_distance(s, t) + relational_angle(s, t)


def relational_on_probabilities(s, t):
    s, t = (p / np.linalg.norm(p, axis=1, keepdims=True) for p in (softmax(s), softmax(t)))
    n = len(s)  # over all entries, zeros included
    return (1 - 1 / n) * relational_distance(s, t) + (1 - 1 / n) * (1 - 2 / n) * relational_angle(
        s, t
    )


def relational_embedding(s, t):
    return 25 * relational_distance(s, t) + 50 * relational_angle(s, t)


def relational_and_response(s, t):
    return 20 * relational(s, t) + response(s, t)


def unit(x):
    x = x.reshape(len(x), -1)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def hint(s, t):
    return ((s - t) ** 2).mean()


def attention(s, t):
    return ((unit((s**2).mean(1)) - unit((t**2).mean(1))) ** 2).mean()


def similarities(x):
    x = x.reshape(len(x), -1)
    return unit(x @ x.T)


def similarity(s, t):
    return ((similarities(s) - similarities(t)) ** 2).sum() / len(s) ** 2


def margin(s, t):
    target = np.maximum(t, -0.5)
    asked = (s > target) | (target > 0)
    return ((s - target) ** 2 * asked).sum() / len(s)


def mean_by_chance(size, temperature):
    """E[e^{c/T}] over the cosine c of two random directions, of density (1 − c²)^((d−3)/2)."""

    def density(c):
        return (1 - c**2) ** ((size - 3) / 2)

    top = integrate.quad(lambda c: np.exp(c / temperature) * density(c), -1, 1)[0]
    return top / integrate.quad(density, -1, 1)[0]


def contrastive(s, t):
    scores = np.exp(unit(s) @ unit(t).T / 0.1) / mean_by_chance(s.shape[1], 0.1)
    total = 0.0
    for i in range(len(s)):
        others = np.flatnonzero(LABELS[i] != LABELS)
        for own in (scores[i], scores[:, i]):
            critic = own / (own + len(others))
            total -= np.log(critic[i]) + np.log(1 - critic[others]).sum()
    return total / len(s)


# ---- how close the answers of two networks are, every clip with every other -------------------


def apart(of, s, t):
    """Minus the distances of `of(s)` and `of(t)`."""
    s, t = (of(x).reshape(len(x), -1) for x in (s, t))
    return -np.linalg.norm(s[:, None] - t[None], axis=2)


def turned(of, s, t):
    """The same after the rotation, reflection and scale that fit the clouds best."""
    s, t = (of(x) - of(x).mean(0) for x in (s, t))
    s, t = s / np.linalg.norm(s), t / np.linalg.norm(t)
    u, sizes, v = np.linalg.svd(s.T @ t)
    return apart(np.asarray, s @ u @ v * sizes.sum(), t)


def alike(s, t):
    """How the clips look from each one: rows of inner products, correlated without the clip."""
    s, t = (similarities(x) for x in (s, t))
    found = np.empty((len(s), len(s)))
    for i in range(len(s)):
        for j in range(len(s)):
            rest = [k for k in range(len(s)) if k not in (i, j)]
            found[i, j] = np.corrcoef(s[i, rest], t[j, rest])[0, 1]
    return found


@dataclass(frozen=True)
class Case:
    """One loss: in numpy, on what it is drawn, and by what two clips are close for it."""

    plain: Callable
    closeness: Callable
    draw: Callable = rows
    reads_logits: bool = False
    blind_to_sign: bool = False  # relations, squares: a mirror image is as good as a copy
    arguments: tuple = ()

    def __call__(self, student, teacher):
        return getattr(losses, self.plain.__name__)(student, teacher, *self.arguments)


def identity(x):
    return x


def unit_probabilities(x):
    return unit(softmax(x))


def excited(x):
    return np.maximum(x, 0)


def attended(x):
    return unit((x**2).mean(1))


TRUE = torch.from_numpy(LABELS)
CASES = [
    Case(response, partial(apart, centred), reads_logits=True),
    Case(response_double_softmax, partial(apart, softmax), reads_logits=True),
    Case(standardised, correlations, reads_logits=True),
    Case(decoupled, partial(apart, centred), reads_logits=True, arguments=(TRUE,)),
    Case(dist, lambda s, t: correlations(softmax(s), softmax(t)), reads_logits=True),
    Case(relational_distance, partial(turned, identity), blind_to_sign=True),
    Case(relational_angle, partial(turned, identity), blind_to_sign=True),
    Case(relational, partial(turned, centred), reads_logits=True, blind_to_sign=True),
    Case(relational_embedding, partial(turned, identity), blind_to_sign=True),
    Case(relational_on_probabilities, partial(turned, unit_probabilities), reads_logits=True),
    Case(relational_and_response, partial(apart, centred), reads_logits=True),
    Case(contrastive, lambda s, t: unit(s) @ unit(t).T, arguments=(TRUE,)),
    Case(similarity, alike, blind_to_sign=True),
    Case(hint, partial(apart, identity), maps),
    Case(attention, partial(apart, attended), maps, blind_to_sign=True),
    Case(margin, partial(apart, excited), maps, arguments=(-0.5,)),
]
every = pytest.mark.parametrize("case", CASES, ids=[case.plain.__name__ for case in CASES])


@every
def test_the_value_is_that_of_plain_numpy(case):
    student, teacher = case.draw(1), case.draw(2)
    expected = case.plain(student.numpy(), teacher.numpy())
    assert case(student, teacher).item() == pytest.approx(expected, rel=1e-9)


@every
@pytest.mark.parametrize("seed", range(3))
def test_a_copy_of_the_teacher_is_better_than_its_negative_and_than_a_stranger(case, seed):
    teacher, stranger = case.draw(10 + seed), case.draw(20 + seed)
    copy, negative = case(teacher, teacher).item(), case(-teacher, teacher).item()
    assert copy < 0.5 * case(stranger, teacher).item()
    if case.blind_to_sign:
        assert negative == pytest.approx(copy, abs=1e-9)
    else:
        assert copy < 0.5 * negative


@every
def test_descent_from_a_random_start_brings_each_clip_to_its_own_answer(case):
    teacher, student = case.draw(3), case.draw(4).requires_grad_()
    before = own_is_nearest(case, student, teacher)
    optimizer = torch.optim.Adam([student], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        case(student, teacher).backward()
        optimizer.step()
    after = case.closeness(student.detach().numpy(), teacher.numpy())
    same, other = np.diag(after).mean(), after[~np.eye(CLIPS, dtype=bool)].mean()
    assert same > other
    assert before < 0.5 and own_is_nearest(case, student, teacher) >= 0.9


def own_is_nearest(case, student, teacher):
    """The share of clips that are closer to their own answer than to any other."""
    closeness = case.closeness(student.detach().numpy(), teacher.numpy())
    return (closeness.argmax(1) == np.arange(CLIPS)).mean()


@pytest.mark.parametrize(
    "case",
    [c for c in CASES if c.reads_logits],
    ids=[c.plain.__name__ for c in CASES if c.reads_logits],
)
def test_what_a_softmax_cannot_see_costs_nothing(case):
    student, teacher = rows(5).requires_grad_(), rows(6)
    shifts = 10 * rows(7, size=1)
    value = case(student, teacher)
    torch.testing.assert_close(case(student + shifts, teacher), value)
    torch.testing.assert_close(case(student, teacher - shifts), value)
    value.backward()
    along = student.grad.sum(1).abs().max()  # of the gradient, along such a shift
    assert along < 1e-9 * student.grad.abs().max()


def test_distances_of_raw_outputs_do_see_a_shift_of_each_clip():
    """Why `relational` centres: without it a shift that changes no answer costs this much."""
    teacher = rows(8)
    moved = teacher + 2 * rows(9, size=1)
    assert losses.relational_distance(moved, teacher) > 0.02
    assert losses.relational(moved, teacher) < 1e-12


@pytest.mark.parametrize("temperature", [0.07, 0.1, 0.5])
@pytest.mark.parametrize("size", [4, 16, 128])
def test_the_constant_of_the_critic_is_the_mean_for_random_directions(size, temperature):
    expected = np.log(mean_by_chance(size, temperature))
    assert chance(size, temperature) == pytest.approx(expected, rel=1e-6)


def test_descent_on_the_contrastive_loss_ends_with_high_cosines():
    """At the sizes of a training: 32 clips, 128 numbers, ten scenes."""
    labels = torch.arange(32) % 10
    teacher, student = rows(11, 32, 128), rows(12, 32, 128).requires_grad_()
    optimizer = torch.optim.Adam([student], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        losses.contrastive(student, teacher, labels).backward()
        optimizer.step()
    cosines = unit(student.detach().numpy()) @ unit(teacher.numpy()).T
    different = (labels[:, None] != labels[None, :]).numpy()
    assert np.diag(cosines).min() > 0.4 and cosines[different].mean() < 0.0


@pytest.mark.parametrize("loss", [losses.standardised, losses.relational_embedding])
@pytest.mark.parametrize("kind", ["saturated", "collapsed"])
def test_value_and_gradient_of_the_new_losses_stay_finite(loss, kind):
    teacher = rows(13).float()
    student = {"saturated": 1e4 * teacher, "collapsed": torch.ones_like(teacher)}[kind]
    student.requires_grad_()
    value = loss(student, teacher)
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(student.grad).all()
    assert torch.autograd.gradcheck(lambda s: loss(s, rows(14)), rows(15).requires_grad_())
