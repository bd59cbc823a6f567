"""Losses count in 32 bits whatever they are given, and compare nothing with what it is not."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from asclib.distillation import Answers, Stage, distill, losses
from asclib.training import Training
from tests.data import FIT, VALIDATION
from tests.data import student as network

CLIPS, CLASSES = 12, 4
LABELS = torch.arange(CLIPS) % CLASSES
ON_LOGITS = {
    "response": losses.response,
    "response_double_softmax": losses.response_double_softmax,
    "standardised": losses.standardised,
    "dist": losses.dist,
    "relational": losses.relational,
    "relational_on_probabilities": losses.relational_on_probabilities,
    "relational_and_response": losses.relational_and_response,
    "decoupled": partial(losses.decoupled, labels=LABELS),
}
ON_EMBEDDINGS = {
    "relational_distance": losses.relational_distance,
    "relational_angle": losses.relational_angle,
    "relational_embedding": losses.relational_embedding,
    "contrastive": partial(losses.contrastive, labels=LABELS),
    "similarity": losses.similarity,
}
ON_MAPS = {
    "hint": losses.hint,
    "attention": losses.attention,
    "margin": partial(losses.margin, margin=torch.full((3, 1, 1), -0.2)),
}
EVERY = ON_LOGITS | ON_EMBEDDINGS | ON_MAPS
KINDS = ("usual", "collapsed", "duplicates", "large", "tiny")


def outputs(name: str, kind: str, seed: int) -> torch.Tensor:
    """What a network of half precision could say, as float16 numbers in 64 bits."""
    shape = (CLIPS, 3, 6, 2) if name in ON_MAPS else (CLIPS, CLASSES)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    if kind == "collapsed":
        x = torch.ones(shape, dtype=torch.float64)
    elif kind == "duplicates":
        x = x[torch.arange(CLIPS) // 2]
    elif kind in ("large", "tiny"):
        x *= 3_000 if kind == "large" else 1e-5
    return x.half().bfloat16().double()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", EVERY)
def test_half_precision_gives_the_value_of_single_precision(name, dtype, kind) -> None:
    student, teacher = outputs(name, kind, 0), outputs(name, "usual", 1)
    single = student.float().requires_grad_()
    expected = EVERY[name](single, teacher.float())
    expected.backward()
    half = student.to(dtype).requires_grad_()
    found = EVERY[name](half, teacher.to(dtype))
    found.backward()
    assert found.dtype == torch.float32 and torch.isfinite(found)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    if single.grad.abs().max() < 60_000:  # what float16 can hold of a gradient
        assert torch.isfinite(half.grad).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", EVERY)
def test_autocast_changes_nothing(name, dtype, kind) -> None:
    student, teacher = (outputs(name, k, s).float() for k, s in ((kind, 0), ("usual", 1)))
    values = []
    for enabled in (False, True):
        own = student.clone().requires_grad_()
        with torch.autocast("cpu", dtype, enabled=enabled):
            value = EVERY[name](own, teacher)
        value.backward()
        values.append((value.detach(), own.grad))
    for plain, cast in zip(*values, strict=True):
        assert torch.isfinite(cast).all()
        assert torch.equal(plain, cast)


@pytest.mark.parametrize("name", EVERY)
def test_a_teacher_of_other_precision_is_taken_as_it_is(name) -> None:
    student, teacher = outputs(name, "usual", 0), outputs(name, "usual", 1)
    expected = EVERY[name](student, teacher)
    assert expected.dtype == torch.float64
    torch.testing.assert_close(EVERY[name](student, teacher.half()), expected)
    torch.testing.assert_close(EVERY[name](student.half(), teacher), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_network_taught_under_autocast_learns_from_whole_numbers(dtype) -> None:
    said = Answers(FIT.identifiers, torch.randn(64, 4).numpy())
    plan = Training(epochs=1, batch_size=32)
    for loss in (losses.relational, losses.response, losses.dist):
        stage = Stage(loss, weight=1.0, hard=0.1)
        net = network()
        with torch.autocast("cpu", dtype):
            history = distill(net, said, FIT, VALIDATION, (stage,), plan, seed=0)
        assert history.notna().all(axis=None)
        assert all(torch.isfinite(weight).all() for weight in net.parameters())


# ---- shapes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(CLIPS, 1), (1, CLASSES), (CLIPS, 5), (5, CLASSES), (CLASSES,)])
@pytest.mark.parametrize("name", ON_LOGITS)
def test_a_row_or_column_of_logits_is_not_spread_over_the_others(name, shape) -> None:
    if shape == (CLIPS, 5) and name in ("relational", "relational_on_probabilities"):
        return  # relations between clips: the classes need not be the same
    student = torch.randn(CLIPS, CLASSES)
    for one, other in ((student, torch.randn(shape)), (torch.randn(shape), student)):
        with pytest.raises(ValueError, match=r"\(12, 4\)|rows"):
            ON_LOGITS[name](one, other)


@pytest.mark.parametrize("name", ON_LOGITS)
def test_logits_of_one_class_say_nothing(name) -> None:
    with pytest.raises(ValueError, match="two"):
        ON_LOGITS[name](torch.randn(CLIPS, 1), torch.randn(CLIPS, 1))


@pytest.mark.parametrize("name", ON_EMBEDDINGS | ON_MAPS)
def test_other_clips_are_never_compared(name) -> None:
    student = outputs(name, "usual", 0)
    for rows in (1, 5):
        with pytest.raises(ValueError, match="rows|differ|map"):
            EVERY[name](student, outputs(name, "usual", 1)[:rows])


@pytest.mark.parametrize("name", ["relational_distance", "relational_angle", "contrastive"])
def test_maps_are_no_vectors(name) -> None:
    with pytest.raises(ValueError, match=r"vectors, \(batch, d\)"):
        EVERY[name](torch.randn(CLIPS, 3, 2, 2), torch.randn(CLIPS, 3, 2, 2))


def test_embeddings_of_another_size_need_a_projection() -> None:
    with pytest.raises(ValueError, match=r"\(12, 4\).*\(12, 6\).*learnt projection"):
        losses.contrastive(torch.randn(CLIPS, 4), torch.randn(CLIPS, 6), LABELS)
    assert losses.relational_distance(torch.randn(CLIPS, 4), torch.randn(CLIPS, 6)) > 0


@pytest.mark.parametrize("labels", [LABELS[:, None], LABELS[:5], LABELS.float(), LABELS[:1]])
@pytest.mark.parametrize("loss", [losses.decoupled, losses.contrastive])
def test_labels_are_one_for_each_clip(loss, labels) -> None:
    with pytest.raises(ValueError, match="labels of shape .* for 12 clips"):
        loss(torch.randn(CLIPS, CLASSES), torch.randn(CLIPS, CLASSES), labels)


@pytest.mark.parametrize("margin", [torch.zeros(3), torch.zeros(2), torch.zeros(1, 1, 2)])
def test_a_margin_is_one_for_each_channel(margin) -> None:
    x = torch.randn(CLIPS, 3, 6, 2)
    with pytest.raises(ValueError, match="a margin of shape .* for 3 channels"):
        losses.margin(x, x, margin)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
@pytest.mark.parametrize("loss", [losses.response, losses.dist, losses.standardised])
def test_a_temperature_is_above_zero(loss, temperature) -> None:
    x = torch.randn(CLIPS, CLASSES)
    with pytest.raises(ValueError, match="temperature is"):
        loss(x, x, temperature=temperature)


@pytest.mark.parametrize("columns", [1, 3, 5])
def test_a_teacher_of_other_classes_is_refused_before_it_teaches(columns: int) -> None:
    """With one column a student used to learn half of it, without a word."""
    torch.manual_seed(0)
    said = Answers(FIT.identifiers, torch.randn(64, columns).numpy())
    stage = Stage(losses.response, weight=1.0, hard=0.1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(140 * 8, 4))
    with pytest.raises(ValueError, match=rf"student logits \(.*, 4\) and .* \(.*, {columns}\)"):
        distill(net, said, FIT, VALIDATION, (stage,), Training(epochs=1), seed=0)


def test_one_number_a_clip_is_no_answer() -> None:
    said = Answers(FIT.identifiers, FIT.labels.numpy())
    with pytest.raises(ValueError, match=r"logits of shape \(64,\): give the teacher's"):
        said.joined(FIT.identifiers)
