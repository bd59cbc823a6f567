"""The trainer: same seed, same weights; a killed run resumes; the best epoch is kept."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from asclib.networks import TMSIC
from asclib.settings import Training
from asclib.training import Clips, macro_accuracy, predict, train

PLAN = Training(epochs=3, learning_rate=3e-3, batch_size=16)


def clips(count, seed):
    """Clips that can be learnt: each class has ripples of its own period along mel."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    x = torch.randn(count, 1, 140, 8, generator=generator)
    periods = torch.tensor([3.0, 5.0, 9.0, 17.0])[labels]
    x += 2 * torch.cos(2 * torch.pi * torch.arange(140)[:, None] / periods[:, None, None, None])
    return Clips(x, labels, np.array([f"clip{i}" for i in range(count)]))


FIT, VALIDATION = clips(64, 0), clips(24, 1)


def trained(plan=PLAN, seed=0, folder=None):
    torch.manual_seed(seed)
    net = TMSIC(n_classes=4)
    history = train(net, FIT, VALIDATION, plan, seed=seed, folder=folder)
    return net, history


def same_weights(one, other):
    return all(torch.equal(one.state_dict()[k], v) for k, v in other.state_dict().items())


def test_same_seed_same_weights_bit_for_bit_and_another_seed_differs():
    first, again, other = trained()[0], trained()[0], trained(seed=1)[0]
    assert same_weights(first, again)
    assert not same_weights(first, other)


def test_mixstyle_is_drawn_from_the_seed_and_changes_what_is_learnt():
    mixed = replace(PLAN, mixstyle=1.0)
    assert same_weights(trained(mixed)[0], trained(mixed)[0])
    assert not same_weights(trained(mixed)[0], trained()[0])


def test_the_callers_thread_count_and_generator_do_not_matter():
    reference = trained()[0]
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        torch.manual_seed(0)
        net = TMSIC(n_classes=4)
        torch.rand(17)
        state = torch.get_rng_state()
        train(net, FIT, VALIDATION, PLAN, seed=0)
        assert torch.equal(state, torch.get_rng_state())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert same_weights(reference, net)


def test_it_learns():
    # BN's running statistics move by 1 % a step: inference needs a few hundred steps to catch up
    net, history = trained(replace(PLAN, epochs=30, batch_size=8))
    assert history["loss"].iloc[-1] < 0.5 * history["loss"].iloc[0]
    assert macro_accuracy(predict(net, VALIDATION.x), VALIDATION.labels) > 0.6


def test_the_weights_kept_are_those_of_the_best_epoch():
    net, history = trained(replace(PLAN, epochs=6, monitor="loss", learning_rate=0.02))
    logits = predict(net, VALIDATION.x)
    loss = torch.nn.functional.cross_entropy(logits, VALIDATION.labels).item()
    assert loss == pytest.approx(history["validation_loss"].min(), rel=1e-6)


def test_patience_ends_a_run_that_no_longer_improves():
    _, history = trained(Training(epochs=40, learning_rate=0.0, batch_size=16, patience=2))
    assert len(history) <= 5  # nothing moves but BN's statistics
    best = history["validation_accuracy"].to_numpy().argmax()
    assert len(history) - 1 - best >= 2


def test_a_resumed_run_after_early_stopping_adds_nothing(tmp_path):
    plan = Training(epochs=40, learning_rate=0.0, batch_size=16, patience=2)
    _, first = trained(plan, folder=tmp_path)
    _, again = trained(plan, folder=tmp_path)
    assert first.equals(again)


KILLED = textwrap.dedent(
    """
    import pathlib, sys
    sys.path.insert(0, sys.argv[1])
    from test_training import PLAN, trained
    from dataclasses import replace
    trained(replace(PLAN, epochs=6), folder=pathlib.Path(sys.argv[2]))
    """
)


def test_a_killed_run_resumes_to_the_result_of_an_unbroken_one(tmp_path):
    plan = replace(PLAN, epochs=6)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, os.path.dirname(__file__), str(tmp_path)],
        env=os.environ | {"ASCLIB_PROGRESS": os.devnull},
    )
    checkpoint, deadline = tmp_path / "checkpoint.pt", time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    epochs_done = len(torch.load(checkpoint, weights_only=True)["history"])
    assert 1 <= epochs_done <= 6
    resumed, history = trained(plan, folder=tmp_path)
    unbroken, expected = trained(plan)
    assert same_weights(resumed, unbroken)
    assert history.equals(expected)


def test_macro_accuracy_is_the_mean_of_recalls():
    labels = torch.tensor([0, 0, 0, 1])
    logits = torch.tensor([[1.0, 0], [1, 0], [0, 1], [1, 0]])
    assert macro_accuracy(logits, labels) == pytest.approx((2 / 3 + 0) / 2)


def test_nothing_to_learn_from_is_said():
    empty = Clips(FIT.x[:0], FIT.labels[:0], FIT.identifiers[:0])
    with pytest.raises(ValueError, match="0 clips to fit"):
        train(TMSIC(), empty, VALIDATION, PLAN, seed=0)
    with pytest.raises(ValueError, match="two locations"):
        train(TMSIC(), FIT, empty, PLAN, seed=0)


def test_an_exploding_loss_is_an_error_that_names_the_remedy():
    broken = FIT._replace(x=FIT.x * float("inf"))
    with pytest.raises(FloatingPointError, match="learning rate"):
        train(TMSIC(n_classes=4), broken, VALIDATION, PLAN, seed=0)


def test_an_unknown_schedule_names_the_known_ones():
    with pytest.raises(ValueError, match="one_cycle"):
        trained(replace(PLAN, schedule="warm"))
