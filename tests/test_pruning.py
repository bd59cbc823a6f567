from __future__ import annotations

import copy
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
    some_clips,
    widths,
    widths_for,
    zero_share,
)
from asclib.compression.surgery import trimmed
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


@pytest.mark.parametrize("criterion", ["heard", "folded", "l1", "bn"])
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


def test_pruned_networks_are_really_smaller(net):
    kept = (10, 13, 13, 8)
    macs = (
        140 * 8 * 10 * 35
        + 140 * 8 * 13 * 21 * 10
        + 140 * 4 * 13 * 21 * 13
        + 70 * 2 * 8 * 35 * 13
        + 8 * 256
        + 256 * 10
    )
    small = prune_filters(net, kept)
    assert complexity(small).macs == macs
    assert complexity(small).parameters == count_parameters(small) < 51_986 / 3
    assert complexity(small).macs == complexity(TMSIC(widths=kept)).macs


@pytest.mark.parametrize("share", [1.0, 0.5, 0.25, 0.1])
def test_widths_for_a_share_of_the_macs_are_alike_and_multiples_of_four(share):
    narrow = widths_for(share)
    whole = complexity(TMSIC()).macs
    assert 0.6 * share < complexity(trimmed(TMSIC(widths=narrow))).macs / whole <= share
    assert all(width % 4 == 0 for width in narrow)
    # no layer has so much more than another that a step could be moved between them
    pairs = list(zip(narrow, FULL, strict=True))
    least = min((width + 4) / full for width, full in pairs)
    assert all((width - 4) / full < least for width, full in pairs)


def test_one_more_step_of_the_narrowest_layer_would_be_too_much():
    narrow = list(widths_for(0.25))
    first = min(range(4), key=lambda layer: narrow[layer] / FULL[layer])
    narrow[first] += 4
    assert complexity(trimmed(TMSIC(widths=narrow))).macs > 0.25 * complexity(TMSIC()).macs


def test_scores_follow_their_definitions(net):
    found = [filter_scores(net, criterion) for criterion in ("folded", "l1", "bn")]
    for layer, folded, l1, bn in zip((1, 2, 3, 4), *found, strict=True):
        weight, norm = (net.get_submodule(f"{kind}{layer}") for kind in ("conv", "norm"))
        weight = weight.weight
        expected = [sum(abs(w) for w in kernel.flatten().tolist()) for kernel in weight]
        np.testing.assert_allclose(l1, expected, rtol=1e-4)
        np.testing.assert_allclose(bn, norm.weight.abs().detach())
        factor = norm.weight.abs().detach() / (norm.running_var + 1e-3).sqrt()
        np.testing.assert_allclose(folded, expected * factor.numpy(), rtol=1e-4)


def test_what_is_heard_is_the_deviation_times_the_weights_it_is_read_with(net):
    readers = [net.conv2, net.conv3, net.conv4, net.dense]
    for layer, (heard, reader) in enumerate(zip(filter_scores(net), readers, strict=True), 1):
        norm = net.get_submodule(f"norm{layer}")
        deviation = (norm.running_var / (norm.running_var + 1e-3)).sqrt() * norm.weight.abs()
        weight, factor = reader.weight.detach().abs(), torch.ones(len(reader.weight))
        if layer < 4:
            after = net.get_submodule(f"norm{layer + 1}")
            v = after.running_var
            factor = after.weight.abs().detach() / (v + 1e-3).sqrt() * v / (v + 1e-3)
        read = [
            sum(float(factor[o] * weight[o, k].sum()) for o in range(len(weight)))
            for k in range(len(heard))
        ]
        np.testing.assert_allclose(heard, deviation.detach() * torch.tensor(read), rtol=1e-4)


def test_a_filter_that_never_opens_is_not_heard_and_has_a_high_folded_norm(net):
    with torch.no_grad():
        net.conv2.bias[5] = -1e4
        net.norm2.running_mean[5] = net.norm2.running_var[5] = 0
    scores = {name: filter_scores(net, name)[1] for name in ("heard", "folded")}
    assert scores["heard"].argmin() == 5 and scores["heard"][5] == 0
    assert scores["folded"].argmax() == 5


def test_two_networks_that_answer_alike_are_cut_alike_but_by_the_plain_norm(net):
    """A kernel times ten, its normalisation told: nothing is heard of it, before a ReLU or not."""
    other = copy.deepcopy(net)
    with torch.no_grad():
        for layer in (1, 2, 3, 4):
            conv, norm = other.get_submodule(f"conv{layer}"), other.get_submodule(f"norm{layer}")
            factor = torch.ones(conv.out_channels)
            factor[filter_scores(net, "l1")[layer - 1].argmin()] = 10
            conv.weight.mul_(factor.view(-1, 1, 1, 1))
            conv.bias.mul_(factor)
            norm.running_mean.mul_(factor)
            before = (norm.running_var + norm.eps).sqrt()
            norm.running_var.mul_(factor**2)
            norm.weight.mul_((norm.running_var + norm.eps).sqrt() / (factor * before))
        torch.testing.assert_close(other(X), net(X), rtol=1e-3, atol=1e-4)
        for criterion, alike in (("heard", True), ("folded", True), ("l1", False)):
            narrow = (10, 14, 14, 8)
            answers = [prune_filters(one, narrow, criterion)(X) for one in (net, other)]
            assert torch.allclose(*answers, rtol=1e-3, atol=1e-4) == alike


def test_errors_say_what_is_wrong(net):
    with pytest.raises(
        ValueError, match="unknown criterion 'taylor'; there is 'heard', 'folded', '"
    ):
        prune_filters(net, FULL, "taylor")
    with pytest.raises(ValueError, match="conv2 has 28 filters, 29 asked for"):
        prune_filters(net, (20, 29, 28, 16))
    with pytest.raises(ValueError, match="conv3 has 28 filters, 0 asked for"):
        prune_filters(net, (20, 28, 0, 16))
    with pytest.raises(ValueError, match="3 numbers of filters: give one each for conv1, conv2, c"):
        prune_filters(net, (20, 28, 28))
    with pytest.raises(ValueError, match="give four numbers of filters"):
        TMSIC(widths=(20, 28, 0, 16))
    with pytest.raises(ValueError, match="give a larger share"):
        widths_for(0.0001)
    bare = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 3))
    with pytest.raises(ValueError, match="0 has no normalisation: take 'heard' or 'l1'"):
        filter_scores(bare, "bn", (1, 9, 9))


# ---- what the cut has moved ------------------------------------------------------------------


def test_a_repaired_network_hears_the_same_means(net):
    """The mean of every channel that is left is again that of the whole network, layer by layer."""
    clips, narrow = _clips(60).x - 6, (12, 16, 16, 8)
    kept = [scores.topk(n).indices.sort().values for scores, n in _zipped(net, narrow)]
    with torch.no_grad():
        cut, repaired = (prune_filters(net, narrow, clips=given) for given in (None, clips))
        for layer, rows in enumerate(kept, start=1):
            true = _means(net, f"conv{layer}", clips)[rows]
            torch.testing.assert_close(
                _means(repaired, f"conv{layer}", clips), true, rtol=1e-3, atol=1e-3
            )
        assert not torch.allclose(_means(cut, "conv2", clips), _means(net, "conv2", clips)[kept[1]])
        error = [float((one(clips) - net(clips)).square().mean()) for one in (cut, repaired)]
    assert error[1] < error[0]


def test_normalisations_move_as_their_inputs_did(net):
    clips, narrow = _clips(60).x - 6, (12, 16, 16, 8)
    rows = [scores.topk(n).indices.sort().values for scores, n in _zipped(net, narrow)][1]
    repaired = prune_filters(net, narrow, clips=clips)
    with torch.no_grad():
        ours, true = (_heard(one, "norm2", clips) for one in (repaired, net))
    true = true[rows]
    moved = ours.mean(1) - true.mean(1)
    torch.testing.assert_close(
        repaired.norm2.running_mean, net.norm2.running_mean[rows] + moved, rtol=1e-3, atol=1e-3
    )
    varies = true.var(1) > 1e-3
    times = ours.var(1) / true.var(1)
    torch.testing.assert_close(
        repaired.norm2.running_var[varies],
        (net.norm2.running_var[rows] * times)[varies],
        rtol=1e-2,
        atol=1e-3,
    )


def test_where_nothing_was_cut_nothing_is_repaired(net):
    same = prune_filters(net, FULL, clips=_clips(30).x - 6)
    with torch.no_grad():
        torch.testing.assert_close(same(X), net(X), rtol=1e-4, atol=1e-4)
    assert same.norm3.momentum == net.norm3.momentum
    assert int(same.norm3.num_batches_tracked) == int(net.norm3.num_batches_tracked)


def _zipped(net, narrow):
    return zip(filter_scores(net), narrow, strict=True)


def _heard(net, name, clips) -> torch.Tensor:
    """(channels, n): what a normalisation is given, or a convolution gives."""
    found = []
    layer = net.get_submodule(name)
    of_input = isinstance(layer, nn.BatchNorm2d)
    hook = layer.register_forward_hook(
        lambda layer, given, made: found.append(given[0] if of_input else made)
    )
    net(clips)
    hook.remove()
    return found[0].movedim(1, 0).flatten(1)


def _means(net, name, clips) -> torch.Tensor:
    return _heard(net, name, clips).mean(1)


# ---- single weights --------------------------------------------------------------------------


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
    by_hand = prune_filters(trimmed(run.net()), NARROW)
    assert by_hand.conv4.kernel_size == (7, 3)  # deaf taps are gone
    fit, validation = run.data.clips("fit"), run.data.clips("validation")
    train(by_hand, fit, validation, healing(PLAN), seed=0)
    assert widths(pruned.net()) == NARROW and same_weights(pruned.net(), by_hand)
    repaired = Narrowed(run, NARROW, clips=7)()
    expected = prune_filters(trimmed(run.net()), NARROW, clips=some_clips(run.data, 7))
    assert same_weights(repaired, expected) and not same_weights(repaired, Narrowed(run, NARROW)())


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
        healed(Narrowed(run, NARROW, "l1")),
        healed(Narrowed(run, NARROW, clips=7)),
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


def test_who_teaches_may_be_told_to_teach_alone(run, opposite):
    alone = (replace(TECHNIQUES["response"][0], hard=0.0),)
    by_teacher = healed(Narrowed(run, NARROW), opposite, stages=alone)
    assert by_teacher.lesson.stages == alone
    assert by_teacher != healed(Narrowed(run, NARROW), opposite)


def test_healing_is_part_of_half_the_epochs_at_a_third_of_the_rate():
    plan = Training(12, 3e-3)
    assert healing(plan) == replace(plan, epochs=6, learning_rate=1e-3)
    assert healing(plan, 0.5).epochs == 3
    assert healing(Training(1)).epochs == 1
