"""Answers from which the single clip was taken away: means of classes, and exchanged answers."""

import numpy as np
import pytest
import torch

from asclib.distillation import Answers, class_means, losses, permuted

LABELS = np.array([0, 2, 1, 0, 0, 1, 2, 2, 0, 1] * 4)
IDENTIFIERS = np.array([f"clip{i}" for i in range(len(LABELS))])
DRAWN = np.random.default_rng(0)
LOGITS = (3 * DRAWN.standard_normal((len(LABELS), 3))).astype(np.float32)
MAPS = DRAWN.standard_normal((len(LABELS), 2, 4, 2)).astype(np.float16)
ANSWERS = Answers(IDENTIFIERS, LOGITS, {"conv4": MAPS})


def softmax(x):
    e = np.exp(x)
    return e / e.sum(1, keepdims=True)


def test_the_mean_of_a_class_is_that_of_its_soft_targets():
    found = class_means(ANSWERS, torch.from_numpy(LABELS))
    assert found.logits.dtype == np.float32 and not found.others
    for label in range(3):
        own = label == LABELS
        expected = np.tile(softmax(LOGITS[own]).mean(0), (own.sum(), 1))
        np.testing.assert_allclose(np.exp(found.logits[own]), expected, rtol=1e-5)
    assert (found.identifiers == IDENTIFIERS).all()
    soft = torch.from_numpy(np.exp(found.logits))
    assert losses.response(soft.log(), torch.from_numpy(found.logits), 1.0).abs() < 1e-6


def test_a_mean_stays_finite_where_the_teacher_is_sure():
    sure = Answers(IDENTIFIERS, np.eye(3, dtype=np.float32)[LABELS] * 500)
    found = class_means(sure, LABELS).logits
    assert np.isfinite(found).all() and (found.argmax(1) == LABELS).all()


def test_exchanged_answers_stay_in_their_class_and_maps_go_with_logits():
    found = permuted(ANSWERS, LABELS, seed=1)
    logits = found.joined(IDENTIFIERS).numpy()
    maps = found.joined(IDENTIFIERS, "conv4").numpy()
    moved = [next(j for j in range(len(LABELS)) if (LOGITS[j] == row).all()) for row in logits]
    assert sorted(moved) == list(range(len(LABELS)))
    assert (LABELS[moved] == LABELS).all() and (maps == MAPS[moved]).all()
    assert np.mean(np.array(moved) == np.arange(len(LABELS))) < 0.3


def test_the_same_seed_exchanges_the_same_answers_and_another_seed_others():
    first, again, other = (permuted(ANSWERS, LABELS, seed=seed).identifiers for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()
    assert (ANSWERS.identifiers == IDENTIFIERS).all()  # the given ones are as they were


def test_a_label_for_each_answer_is_asked_for():
    for control in (class_means, lambda a, b: permuted(a, b, seed=0)):
        with pytest.raises(ValueError, match=r"\(39,\) for 40 answers"):
            control(ANSWERS, LABELS[:-1])
