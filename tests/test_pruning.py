from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from asclib.complexity import complexity
from asclib.compression.pruning import (
    Narrowed,
    Thinned,
    filter_scores,
    fix_zeros,
    healed,
    healing,
    prune_filters,
    prune_weights,
    widths,
    widths_for,
    zero_share,
)
from asclib.distillation import TECHNIQUES
from asclib.networks import TMSIC, count_parameters
from asclib.runs import Data, Run, build
from asclib.training import Clips, Training, train
from tests.data import same_weights

FULL = (20, 28, 28, 16)
X = torch.randn(3, 1, 140, 8, generator=torch.Generator().manual_seed(0)) - 6


@pytest.fixture
def net() -> TMSIC:
    """A TMSIC whose normalisations and biases are not those it started with."""
    torch.manual_seed(0)
    net = TMSIC()
    for norm in (net.norm1, net.norm2, net.norm3, net.norm4):
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 2)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
    for layer in (net.conv1, net.conv2, net.conv3, net.conv4, net.dense):
        nn.init.uniform_(layer.bias, -0.5, 0.5)
    return net.eval()


def _clips(number: int, seed: int = 0) -> Clips:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(number) % 10
    x = torch.randn(number, 1, 140, 8, generator=generator) + labels.view(-1, 1, 1, 1)
    return Clips(x, labels, np.array([f"clip-{i}" for i in range(number)]))


def test_a_network_of_full_width_is_tmsic(net):
    same = prune_filters(net, FULL)
    assert widths(same) == widths(net) == FULL
    assert count_parameters(same) == 51_986
    with torch.no_grad():
        torch.testing.assert_close(same(X), net(X), rtol=0, atol=0)


@pytest.mark.parametrize("criterion", ["l1", "bn"])
def test_filters_that_give_nothing_can_go_without_any_change(net, criterion):
    narrow = (15, 20, 25, 11)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for layer, keep in zip((1, 2, 3, 4), narrow, strict=True):
            conv, norm = net.get_submodule(f"conv{layer}"), net.get_submodule(f"norm{layer}")
            gone = torch.randperm(conv.out_channels, generator=generator)[keep:]
            conv.weight[gone] = 0
            norm.weight[gone] = 0
            norm.bias[gone] = 0  # so their maps are zero after the ReLU
        small = prune_filters(net, narrow, criterion)
        torch.testing.assert_close(small(X), net(X), rtol=1e-4, atol=1e-4)
    assert widths(small) == narrow and widths(net) == FULL
    assert small.norm3.eps == net.norm3.eps and small.norm3.momentum == net.norm3.momentum


def test_pruned_networks_are_really_smaller():
    kept = (10, 13, 13, 8)
    macs = (
        140 * 8 * 10 * 35
        + 140 * 8 * 13 * 21 * 10
        + 140 * 4 * 13 * 21 * 13
        + 70 * 2 * 8 * 35 * 13
        + 8 * 256
        + 256 * 10
    )
    small = prune_filters(TMSIC(n_classes=10), kept)
    assert complexity(small).macs == macs
    assert complexity(small).parameters == count_parameters(small) < 51_986 / 3


@pytest.mark.parametrize("share", [1.0, 0.5, 0.25, 0.1])
def test_widths_for_a_share_of_the_macs_use_most_of_it(share):
    cost = complexity(TMSIC(widths=widths_for(share))).macs / complexity(TMSIC()).macs
    assert 0.8 * share < cost <= share


def test_scores_follow_their_definitions(net):
    for layer, l1, bn in zip(
        (1, 2, 3, 4), filter_scores(net), filter_scores(net, "bn"), strict=True
    ):
        weight = net.get_submodule(f"conv{layer}").weight
        expected = [sum(abs(float(w)) for w in kernel.flatten()) for kernel in weight]
        np.testing.assert_allclose(l1, expected, rtol=1e-4)
        np.testing.assert_allclose(bn, net.get_submodule(f"norm{layer}").weight.abs().detach())


def test_errors_say_what_is_wrong(net):
    with pytest.raises(ValueError, match="unknown criterion 'taylor'; there is 'l1', 'bn'"):
        prune_filters(net, FULL, "taylor")
    with pytest.raises(ValueError, match="conv2 has 28 filters, 29 asked for"):
        prune_filters(net, (20, 29, 28, 16))
    with pytest.raises(ValueError, match="give four numbers of filters"):
        TMSIC(widths=(20, 28, 0, 16))
    with pytest.raises(ValueError, match="give a larger share"):
        widths_for(0.0001)


def test_zeros_stay_zero_while_healing_and_still_count(net):
    prune_weights(net, 0.8)
    fit, validation = _clips(40), _clips(20, seed=1)
    before = {name: weight.clone() for name, weight in net.named_parameters()}
    train(net, fit, validation, Training(2, batch_size=20), seed=0)
    fix_zeros(net)
    assert zero_share(net) == pytest.approx(0.8, abs=0.001)
    assert not torch.equal(net.conv1.bias, before["conv1.bias"])  # it was trained
    assert not any(name.endswith(("_orig", "_mask")) for name in net.state_dict())
    loaded = TMSIC()
    loaded.load_state_dict(net.state_dict())
    assert complexity(loaded).parameters == 51_986
    assert complexity(loaded).macs == complexity(TMSIC()).macs


def test_the_smallest_weights_go_first_in_whatever_layer(net):
    layers = [m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    before = torch.cat([layer.weight.detach().abs().flatten() for layer in layers])
    prune_weights(net, 0.5)
    fix_zeros(net)
    after = torch.cat([layer.weight.detach().abs().flatten() for layer in layers])
    assert before[after == 0].max() <= before[after != 0].min()


# ---- as runs ---------------------------------------------------------------------------------

PLAN = Training(2, 3e-3, batch_size=20, statistics_momentum=0.3, monitor="last")
NARROW = (4, 5, 6, 3)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Iterator[Run]:
    """A TMSIC trained on noise, in a store of this file's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASCLIB_STORE", str(tmp_path_factory.mktemp("store")))
        fit, validation = _clips(40), _clips(20, seed=1)
        classes = tuple(f"class {k}" for k in range(10))
        data = Data.of(fit.x, fit.labels, validation.x, validation.labels, classes=classes)
        yield Run(TMSIC, data, PLAN)


@pytest.fixture(scope="module")
def opposite(run) -> Run:
    """A teacher that says the opposite of the labels: only response KD can learn it."""
    fit, validation = _clips(40), _clips(20, seed=1)
    data = Data.of(
        fit.x,
        (fit.labels + 5) % 10,
        validation.x,
        (validation.labels + 5) % 10,
        classes=run.data.classes,
    )
    return replace(run, data=data, plan=replace(PLAN, epochs=12, learning_rate=1e-2))


def test_a_healed_network_is_what_pruning_and_training_by_hand_give(run):
    pruned = healed(Narrowed(run, NARROW))
    assert pruned.needs() == (run,) and pruned.plan == healing(PLAN)
    by_hand = prune_filters(run.net(), NARROW)
    fit, validation = run.data.clips("fit"), run.data.clips("validation")
    train(by_hand, fit, validation, healing(PLAN), seed=0)
    assert widths(pruned.net()) == NARROW and same_weights(pruned.net(), by_hand)


def test_pruned_runs_are_found_again_and_equal_by_value(run):
    for make in (lambda: Narrowed(run, NARROW), lambda: Thinned(run, 0.9)):
        one, same = healed(make()), healed(make())
        assert one == same and one is not same
        build([one])
        assert same.found() == one.folder()
    narrowed = Narrowed(run, NARROW)
    runs = [
        healed(narrowed),
        healed(Narrowed(run, NARROW, "bn")),
        healed(Narrowed(run, FULL)),
        healed(Thinned(run, 0.9)),
        healed(Thinned(run, 0.5)),
        healed(Thinned(replace(run, seed=1), 0.5)),
        healed(narrowed, run),
        healed(narrowed, plan=PLAN),
    ]
    assert len(set(runs)) == len(runs)


def test_a_thinned_network_keeps_its_zeros_and_its_masks(run):
    net = healed(Thinned(run, 0.9)).net()
    assert zero_share(net) == pytest.approx(0.9, abs=0.001)
    assert any(name.endswith("_mask") for name in net.state_dict())
    fix_zeros(net)
    TMSIC().load_state_dict(net.state_dict())
    assert zero_share(net) == pytest.approx(0.9, abs=0.001)
    trained = run.net()
    assert not torch.equal(net.head.bias, trained.head.bias)  # it was trained


def test_pruning_step_by_step_is_a_chain(run):
    first = healed(Narrowed(run, (10, 14, 14, 8)))
    second = healed(Narrowed(first, NARROW))
    assert second.needs() == (first,) and first.needs() == (run,)
    assert widths(second.net()) == NARROW
    assert not same_weights(second.net(), healed(Narrowed(run, NARROW)).net())


def test_the_teacher_heals_when_it_answers(run, opposite):
    plan = replace(PLAN, epochs=12, learning_rate=1e-2)
    narrow = partial(TMSIC, widths=NARROW)
    pruned = Narrowed(replace(run, network=narrow), NARROW)
    by_labels, by_teacher = healed(pruned, plan=plan), healed(pruned, opposite, plan)
    assert by_teacher.lesson.stages == TECHNIQUES["response"]
    assert set(by_teacher.needs()) == {pruned.of, opposite}
    build([by_labels, by_teacher])
    ends = [one.history()["validation_accuracy"].iloc[-1] for one in (by_labels, by_teacher)]
    assert ends[0] > ends[1] + 0.1


def test_healing_is_part_of_half_the_epochs_at_a_third_of_the_rate():
    plan = Training(12, 3e-3)
    assert healing(plan) == replace(plan, epochs=6, learning_rate=1e-3)
    assert healing(plan, 0.5).epochs == 3
    assert healing(Training(1)).epochs == 1
