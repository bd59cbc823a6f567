"""The losses of pre-training against their equations in numpy, and what descent makes of them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from asclib.pretraining import losses
from asclib.training import one_thread
from tests.data import outputs

CLIPS, DIMS = 32, 16


@pytest.fixture(autouse=True)
def alone():
    """Sums this small are slower in two threads, by far on a machine that is busy."""
    with one_thread():
        yield


def views(clips: int = CLIPS, dims: int = DIMS, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings of two views that have nothing to do with each other."""
    return outputs(clips, dims, seed), outputs(clips, dims, seed + 1)


# ---- written out in numpy ------------------------------------------------------------------------


def barlow_twins(one: np.ndarray, other: np.ndarray, redundancy: float) -> float:
    (clips, dims), total = one.shape, 0.0
    a, b = ((x - x.mean(0)) / np.sqrt(x.var(0) + 1e-4) for x in (one, other))
    for i in range(dims):
        for j in range(dims):
            c = sum(a[k, i] * b[k, j] for k in range(clips)) / clips
            total += (1 - c) ** 2 if i == j else redundancy * c**2
    return total


def vicreg(one: np.ndarray, other: np.ndarray, s: float, v: float, c: float) -> float:
    clips, dims = one.shape
    total = s * sum((a - b) ** 2 for a, b in zip(one.ravel(), other.ravel(), strict=True))
    total /= clips * dims
    for x in (one, other):
        covariance = np.cov(x.T)
        for i in range(dims):
            total += v * max(0.0, 1 - np.sqrt(covariance[i, i] + 1e-4)) / dims / 2
            total += c * sum(covariance[i, j] ** 2 for j in range(dims) if j != i) / dims
    return total


def simclr(one: np.ndarray, other: np.ndarray, temperature: float) -> float:
    z = np.concatenate([one, other])
    z /= np.sqrt((z**2).sum(1, keepdims=True))
    total, clips = 0.0, len(one)
    for i in range(2 * clips):
        partner = i + clips if i < clips else i - clips
        powers = [np.exp(z[i] @ z[k] / temperature) for k in range(2 * clips)]
        total -= np.log(powers[partner] / (sum(powers) - powers[i]))
    return total / (2 * clips)


def simsiam(one: np.ndarray, other: np.ndarray, weight: np.ndarray) -> float:
    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return a @ b / np.sqrt((a @ a) * (b @ b))

    pairs = list(zip(one, other, strict=True))
    forth = [-cosine(weight @ a, b) for a, b in pairs]
    back = [-cosine(weight @ b, a) for a, b in pairs]
    return (np.mean(forth) + np.mean(back)) / 2


@pytest.mark.parametrize("redundancy", [0.005, 1.0])
def test_barlow_twins_equals_its_equation(redundancy):
    one, other = views(7, 4)
    value = losses.barlow_twins(one, other, redundancy)
    assert value.item() == pytest.approx(barlow_twins(one.numpy(), other.numpy(), redundancy))


@pytest.mark.parametrize("weights", [(25.0, 25.0, 1.0), (1.0, 2.0, 3.0)])
def test_vicreg_equals_its_equations(weights):
    one, other = views(7, 4)
    one, other = one / 2, other * 2  # below the deviation it asks for, and above
    value = losses.vicreg(one, other, *weights)
    assert value.item() == pytest.approx(vicreg(one.numpy(), other.numpy(), *weights))


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_simclr_equals_its_equation(temperature):
    one, other = views(7, 4)
    value = losses.simclr(one, other, temperature)
    assert value.item() == pytest.approx(simclr(one.numpy(), other.numpy(), temperature))


def test_simsiam_equals_its_equation():
    one, other = views(7, 4)
    weight = outputs(4, 4, seed=9)
    value = losses.simsiam(one, other, lambda z: z @ weight.T)
    assert value.item() == pytest.approx(simsiam(one.numpy(), other.numpy(), weight.numpy()))


# ---- what they do --------------------------------------------------------------------------------

LOSSES = {
    "barlow_twins": losses.barlow_twins,
    "vicreg": losses.vicreg,
    "simclr": losses.simclr,
    "simsiam": partial(losses.simsiam, predictor=nn.Identity()),
}


def found_again(one: torch.Tensor, other: torch.Tensor) -> float:
    """The share of clips whose view is nearest to their own other view, by cosine."""
    one, other = (nn.functional.normalize(x, dim=1) for x in (one, other))
    return float((one @ other.T).argmax(1).eq(torch.arange(len(one))).double().mean())


@pytest.mark.parametrize("name", LOSSES)
def test_descent_brings_the_views_of_each_clip_together(name):
    both = [x.requires_grad_() for x in views()]
    before, first = found_again(*both), LOSSES[name](*both).item()
    optimizer = torch.optim.Adam(both, lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        loss = LOSSES[name](*both)
        loss.backward()
        optimizer.step()
    assert before <= 0.15 and found_again(*both) >= 0.97
    assert loss.item() < first


@pytest.mark.parametrize("name", ["barlow_twins", "vicreg", "simclr"])
def test_a_collapsed_embedding_is_dear(name):
    spread = outputs(CLIPS, DIMS)
    collapsed = torch.ones_like(spread)
    assert LOSSES[name](spread, spread) < 0.8 * LOSSES[name](collapsed, collapsed)


def test_simclr_of_a_collapsed_embedding_is_chance():
    collapsed = torch.ones(CLIPS, DIMS)
    assert losses.simclr(collapsed, collapsed).item() == pytest.approx(np.log(2 * CLIPS - 1))


def test_simsiam_is_lowest_where_all_has_collapsed():
    """So its value says nothing of an embedding: only the stop-gradient keeps it from there."""
    collapsed = torch.ones(CLIPS, DIMS)
    assert LOSSES["simsiam"](collapsed, collapsed).item() == pytest.approx(-1)
    assert LOSSES["simsiam"](*views()).item() > -0.5


def test_simsiam_takes_the_other_view_as_given():
    one, other = (x.requires_grad_() for x in views())
    weight = outputs(DIMS, DIMS, seed=9)
    losses.simsiam(one, other, lambda z: z @ weight.T).backward()
    alone = one.detach().clone().requires_grad_()
    half = nn.functional.cosine_similarity(alone @ weight.T, other.detach(), dim=1).mean() / 2
    (-half).backward()
    torch.testing.assert_close(one.grad, alone.grad)


def trained_embedding(stop: bool) -> torch.Tensor:
    """Unit embeddings of 128 clips, of a small network trained by SimSiam, with sg or without."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, DIMS))
    predictor = nn.Sequential(nn.Linear(DIMS, 8), nn.ReLU(), nn.Linear(8, DIMS))
    clips = torch.randn(128, 8)
    optimizer = torch.optim.SGD([*encoder.parameters(), *predictor.parameters()], 0.1, 0.9)

    def unstopped(one, other, predictor):
        cosine = nn.functional.cosine_similarity
        return -(cosine(predictor(one), other) + cosine(predictor(other), one)).mean() / 2

    loss = losses.simsiam if stop else unstopped
    for _ in range(300):
        one, other = (encoder(clips + 0.3 * torch.randn_like(clips)) for _ in range(2))
        optimizer.zero_grad()
        loss(one, other, predictor).backward()
        optimizer.step()
    return nn.functional.normalize(encoder(clips), dim=1).detach()


def test_without_the_stop_gradient_simsiam_collapses():
    """The authors' measure (figure 2): the deviation of unit embeddings, 1/√dims if spread."""
    spread, collapsed = (
        trained_embedding(stop).std(0).mean() * DIMS**0.5 for stop in (True, False)
    )
    assert collapsed < 0.1 < 0.4 < spread


# ---- extremes, and what is refused -----------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("kind", ["collapsed", "saturated", "half precision"])
def test_values_and_gradients_stay_finite(name, kind):
    one, other = (x.float() for x in views(8, 4))
    made = {"collapsed": torch.ones(8, 4), "saturated": one * 1e4, "half precision": one.half()}
    one = made[kind].clone().requires_grad_()
    value = LOSSES[name](one, other)
    value.backward()
    assert value.dtype == torch.float32
    assert torch.isfinite(value) and torch.isfinite(one.grad).all()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    "shapes", [((4, 3), (4, 2)), ((4, 3), (5, 3)), ((1, 3), (1, 3)), ((4,), (4,))]
)
def test_what_is_no_two_views_of_the_same_clips_is_refused(name, shapes):
    one, other = (torch.ones(shape) for shape in shapes)
    with pytest.raises(ValueError, match="give those of two views of the same clips"):
        LOSSES[name](one, other)


def test_a_temperature_is_above_zero():
    with pytest.raises(ValueError, match="temperature is 0"):
        losses.simclr(*views(), temperature=0)
