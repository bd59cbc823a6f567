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
import torch.nn.functional as F
from torch import nn

from asclib.augmentation import FreqMixStyle, Mixup, freq_mixstyle
from asclib.networks import TMSIC
from asclib.store import PROJECT
from asclib.training import Batch, Clips, Training, macro_accuracy, predict, stream, train
from tests.data import FIT, SHORT, VALIDATION, same_weights, student, trained


def test_same_seed_same_weights_bit_for_bit_and_another_seed_differs():
    first, again, other = trained()[0], trained()[0], trained(seed=1)[0]
    assert same_weights(first, again)
    assert not same_weights(first, other)


def test_transforms_are_drawn_from_the_seed_and_change_what_is_learnt():
    mixed = replace(SHORT, batch=(FreqMixStyle(1.0),))
    assert same_weights(trained(mixed)[0], trained(mixed)[0])
    assert not same_weights(trained(mixed)[0], trained()[0])


def seen(plan, answers=None, **options):
    """The batches that an objective is given while a network without dropout is trained."""
    net, batches = nn.Sequential(nn.Flatten(), nn.Linear(140 * 8, 4)), []

    def objective(net, batch):
        batches.append(batch)
        return F.cross_entropy(net(batch.x), batch.targets)

    train(net, FIT, VALIDATION, plan, seed=2, objective=objective, answers=answers, **options)
    return batches


def test_an_epoch_shows_each_clip_once_with_its_label_and_its_answer():
    answers = torch.arange(64.0)[:, None]
    batches = seen(replace(SHORT, epochs=1), answers)
    rows = torch.cat([batch.answers for batch in batches])[:, 0].long()
    assert sorted(rows.tolist()) == list(range(64)) and rows.tolist() != list(range(64))
    assert torch.equal(torch.cat([batch.x for batch in batches]), FIT.x[rows])
    assert torch.equal(torch.cat([batch.targets for batch in batches]), FIT.labels[rows])
    assert {batch.classes for batch in batches} == {4}
    assert {batch.answers for batch in seen(replace(SHORT, epochs=1))} == {None}


def test_the_draws_of_mixstyle_are_those_of_a_plain_loop():
    """The order of the epoch first, then each batch: committed figures rest on it."""
    torch.manual_seed(stream(2, 0))
    generator = torch.default_generator
    expected = [
        freq_mixstyle(FIT.x[rows], 0.4, 0.3, generator=generator)
        for rows in torch.randperm(64).split(16)
    ]
    found = [batch.x for batch in seen(replace(SHORT, epochs=1, batch=(FreqMixStyle(0.4),)))]
    assert all(map(torch.equal, found, expected))
    plain = [batch.x for batch in seen(replace(SHORT, epochs=1))]
    assert not all(map(torch.equal, found, plain))  # at 0.4 some batch is changed


def test_transforms_follow_each_other_in_their_order():
    def doubled(batch, generator):
        return batch._replace(x=2 * batch.x)

    def raised(batch, generator):
        return batch._replace(x=batch.x + 1)

    once = replace(SHORT, epochs=1)
    plain = torch.cat([batch.x for batch in seen(once)])
    for transforms, expected in (
        ((doubled, raised), 2 * plain + 1),
        ((raised, doubled), 2 * (plain + 1)),
    ):
        found = torch.cat([batch.x for batch in seen(replace(once, batch=transforms))])
        assert torch.equal(found, expected)


def test_answers_of_another_number_are_refused():
    with pytest.raises(ValueError, match="63 answers for 64 clips to fit: one for each"):
        seen(SHORT, torch.zeros(63, 4))


def test_the_classes_are_those_of_the_network_whatever_the_clips_hold():
    two = FIT.take(FIT.labels < 2)
    net, plan = student(), replace(SHORT, epochs=1, batch=(Mixup(),))
    assert np.isfinite(train(net, two, VALIDATION, plan, seed=0)["loss"]).all()


def test_soft_targets_are_the_classes_or_what_is_soft_already():
    classes = Batch(torch.zeros(3, 5), torch.tensor([2, 0, 1]), None, 4)
    expected = torch.tensor([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0]])
    assert torch.equal(classes.soft_targets(), expected)
    soft = classes._replace(targets=torch.full((3, 4), 0.25))
    assert soft.soft_targets() is soft.targets
    double = classes._replace(x=torch.zeros(3, 5, dtype=torch.float64))
    assert double.soft_targets().dtype == torch.float64


def test_the_callers_thread_count_and_generator_do_not_matter():
    reference = trained()[0]
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        net = student()
        torch.rand(17)
        state = torch.get_rng_state()
        train(net, FIT, VALIDATION, SHORT, seed=0)
        assert torch.equal(state, torch.get_rng_state())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert same_weights(reference, net)


def test_it_learns():
    # BN's running statistics move by 1 % a step: inference needs a few hundred steps to catch up
    net, history = trained(replace(SHORT, epochs=30, batch_size=8))
    assert history["loss"].iloc[-1] < 0.5 * history["loss"].iloc[0]
    assert macro_accuracy(predict(net, VALIDATION.x), VALIDATION.labels) > 0.6


def test_the_weights_kept_are_those_of_the_best_epoch():
    net, history = trained(replace(SHORT, epochs=6, monitor="loss", learning_rate=0.02))
    logits = predict(net, VALIDATION.x)
    loss = torch.nn.functional.cross_entropy(logits, VALIDATION.labels).item()
    assert loss == pytest.approx(history["validation_loss"].min(), rel=1e-6)


def test_patience_ends_a_run_that_no_longer_improves():
    _, history = trained(Training(epochs=40, learning_rate=0.0, batch_size=16, patience=2))
    assert len(history) <= 5  # nothing moves but BN's statistics
    best = history["validation_accuracy"].to_numpy().argmax()
    assert len(history) - 1 - best >= 2


class Scripted(nn.Module):
    """A network that learns nothing and is as good in each validation as a script says.

    Its figures are (accuracy of 24 clips, confidence in its answers); the higher the confidence,
    the lower the loss where it is right, and the higher where it is wrong.
    """

    def __init__(self, script):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.register_buffer("epoch", torch.tensor(-1))
        self.script = script

    def forward(self, x):
        if self.training or len(x) < 24:
            return torch.zeros(len(x), 4) + self.weight
        self.epoch += 1
        right, confidence = self.script[int(self.epoch)]
        said = torch.where(torch.arange(24) < right, VALIDATION.labels, (VALIDATION.labels + 1) % 4)
        return confidence * F.one_hot(said, 4).float()


def kept(script, **options):
    """(the epoch whose weights are kept, how many there were) for a plan of as many epochs."""
    net = Scripted(script)
    plan = replace(SHORT, epochs=len(script), learning_rate=0.0, **options)
    history = train(net, FIT, VALIDATION, plan, seed=0)
    return int(net.epoch), len(history)


def test_epochs_of_the_warm_up_are_kept_only_until_there_are_later_ones():
    script = [(24, 1), (12, 1), (18, 1), (6, 1)]
    assert kept(script) == (0, 4)
    assert kept(script, warm_up=1) == (2, 4)
    assert kept(script, warm_up=3) == (3, 4)
    assert kept(script, warm_up=9) == (3, 4)  # nothing but warm-up: the last of it
    assert kept(script, monitor="last") == (3, 4)


def test_patience_waits_for_another_figure_than_the_one_that_chooses():
    """The loss falls on for two epochs after the accuracy has been best."""
    script = [(12, 1), (18, 0.1), (17, 1), (17, 1.5), (17, 0.2), (17, 0.2), (17, 0.2), (17, 0.2)]
    assert kept(script, patience=2) == (1, 4)
    assert kept(script, patience=2, waits_for="loss") == (1, 6)
    assert kept(script, patience=2, waits_for="accuracy", monitor="loss") == (3, 4)


def test_patience_counts_epochs_of_the_warm_up_too():
    script = [(24, 1)] + 5 * [(6, 1)]
    assert kept(script, warm_up=2, patience=2) == (2, 3)


def test_a_resumed_run_after_early_stopping_adds_nothing(tmp_path):
    plan = Training(epochs=40, learning_rate=0.0, batch_size=16, patience=2)
    _, first = trained(plan, folder=tmp_path)
    _, again = trained(plan, folder=tmp_path)
    assert first.equals(again)


KILLED = textwrap.dedent(
    """
    import pathlib, sys
    sys.path.insert(0, sys.argv[1])
    from tests.data import SHORT, trained
    from dataclasses import replace
    trained(replace(SHORT, epochs=6), folder=pathlib.Path(sys.argv[2]))
    """
)


def test_a_killed_run_resumes_to_the_result_of_an_unbroken_one(tmp_path):
    plan = replace(SHORT, epochs=6)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(PROJECT), str(tmp_path)],
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
        train(TMSIC(), empty, VALIDATION, SHORT, seed=0)
    with pytest.raises(ValueError, match="two locations"):
        train(TMSIC(), FIT, empty, SHORT, seed=0)


def test_an_exploding_loss_is_an_error_that_names_the_remedy():
    with pytest.raises(FloatingPointError, match="epoch 0 is nan: lower the learning rate"):
        trained(replace(SHORT, learning_rate=1e30))


def test_an_unknown_schedule_names_the_known_ones():
    with pytest.raises(ValueError, match="one_cycle"):
        trained(replace(SHORT, schedule="warm"))
