"""A checkpoint knows which training it is of, and the trainer which things belong together."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from asclib.augmentation import Mixup, TimeRoll
from asclib.distillation import Answers, Stage, distill, losses
from asclib.training import Clips, Training, train
from tests.data import same_weights

PLAN = Training(epochs=3, batch_size=8, learning_rate=1e-2)


def clips(count: int, seed: int, split: str) -> Clips:
    x = torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))
    return Clips(x, torch.arange(count) % 3, np.array([f"{split}{i}" for i in range(count)]))


FIT, VALIDATION = clips(24, 0, "fit"), clips(9, 1, "validation")
SAID = torch.randn(24, 3, generator=torch.Generator().manual_seed(2))


def network(seed: int = 0, hidden: int = 5, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, hidden), nn.Dropout(dropout), nn.Linear(hidden, 3))


def towards(temperature: float):
    """An objective of a reader's own."""

    def objective(net, batch):
        return losses.response(net(batch.x), batch.answers, temperature)

    return objective


def run(folder: str | Path | None, net: nn.Module | None = None, **changes) -> nn.Module:
    """A network trained on FIT, but for what is changed."""
    net = network() if net is None else net
    own = {"fit": FIT, "validation": VALIDATION, "plan": PLAN, "seed": 0} | changes
    train(net, folder=folder, **own)
    return net


# ---- where it lies -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, Path])
def test_the_folder_may_be_text_and_need_not_be_there(tmp_path, kind) -> None:
    folder = tmp_path / "deep" / "er"
    assert same_weights(run(kind(folder)), run(None))
    assert (folder / "checkpoint.pt").is_file()
    assert same_weights(run(kind(folder)), run(None))


def test_distillation_makes_its_folders_too(tmp_path) -> None:
    stages = 2 * (Stage(losses.response, weight=1.0, hard=0.1),)
    said = Answers(FIT.identifiers, SAID.numpy())
    distill(network(), said, FIT, VALIDATION, stages, PLAN, seed=0, folder=str(tmp_path / "a/b"))
    assert len(list(tmp_path.rglob("checkpoint.pt"))) == 2


@pytest.mark.parametrize("named", ["file", "file/inside"])
def test_a_file_is_no_folder_and_is_refused_before_anything_is_trained(tmp_path, named) -> None:
    (tmp_path / "file").write_text("")
    net = network()
    with pytest.raises(NotADirectoryError, match=f"{named} is a file"):
        run(tmp_path / named, net)
    assert same_weights(net, network())


# ---- what it belongs to ------------------------------------------------------------------------

MENDED = FIT._replace(x=FIT.x.clone().index_fill_(0, torch.tensor([23]), 0.5))
OTHERS = {
    "learning_rate was 0.01 and is 0.02": {"plan": replace(PLAN, learning_rate=0.02)},
    "batch_size was 8 and is 4": {"plan": replace(PLAN, batch_size=4)},
    "epochs was 3 and is 2": {"plan": replace(PLAN, epochs=2)},
    "epochs was 3 and is 6": {"plan": replace(PLAN, epochs=6)},
    'schedule was "one_cycle" and is "constant"': {"plan": replace(PLAN, schedule="constant")},
    "patience was null and is 1": {"plan": replace(PLAN, patience=1)},
    "statistics_momentum was null": {"plan": replace(PLAN, statistics_momentum=0.1)},
    "another batch": {"plan": replace(PLAN, batch=(Mixup(),))},
    "seed was 0 and is 1": {"seed": 1},
    "other clips to fit": {"fit": MENDED},
    "(other clips to fit)": {"fit": FIT._replace(labels=FIT.labels.flip(0))},
    "other clips to validate on": {"validation": VALIDATION.take(np.arange(8))},
    "other objective": {"objective": towards(2.0), "answers": SAID},
    "other teacher's answers": {"answers": SAID},
}


@pytest.mark.parametrize("said", OTHERS)
def test_a_checkpoint_of_another_training_is_refused_by_what_differs(tmp_path, said: str) -> None:
    run(tmp_path)
    with pytest.raises(ValueError, match="belongs to another training") as error:
        run(tmp_path, **OTHERS[said])
    assert said in str(error.value)
    assert str(tmp_path / "checkpoint.pt") in str(error.value)
    assert "a folder of its own, or delete" in str(error.value)


@pytest.mark.parametrize(
    "said, other",
    [
        ("weights to start from", partial(network, seed=1)),
        ("network", partial(network, hidden=4)),
        ("network", partial(network, dropout=0.2)),
        ("network", lambda: nn.Sequential(*network()[:1], nn.ReLU(), *network()[2:])),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(tmp_path, said: str, other) -> None:
    run(tmp_path)
    with pytest.raises(ValueError, match=f"another training .*other {said}"):
        run(tmp_path, other())


def test_a_constant_rate_goes_on_for_more_epochs_as_if_never_stopped(tmp_path) -> None:
    short = replace(PLAN, schedule="constant", epochs=2)
    run(tmp_path, plan=short)
    nets = network(), network()
    for net, folder in zip(nets, (tmp_path, tmp_path / "whole"), strict=True):
        run(folder, net, plan=replace(short, epochs=4))
    assert same_weights(*nets)
    with pytest.raises(ValueError, match="epochs was 4 and is 3"):
        run(tmp_path, plan=replace(short, epochs=3))


def test_other_constants_of_an_objective_and_other_answers_are_seen(tmp_path) -> None:
    given = {"objective": towards(2.0), "answers": SAID}
    first = run(tmp_path, **given)
    assert same_weights(run(tmp_path, **given), first)
    assert same_weights(run(tmp_path, objective=towards(2.0), answers=SAID.clone()), first)
    with pytest.raises(ValueError, match="other objective"):
        run(tmp_path, objective=towards(3.0), answers=SAID)
    with pytest.raises(ValueError, match="other teacher's answers"):
        run(tmp_path, objective=towards(2.0), answers=SAID + 1)


def test_other_stages_are_not_taken_for_those_of_a_checkpoint(tmp_path) -> None:
    def teach(stage, said=SAID):
        net, answers = network(), Answers(FIT.identifiers, said.numpy())
        distill(net, answers, FIT, VALIDATION, (stage,), PLAN, seed=0, folder=tmp_path)
        return net

    stage = Stage(losses.response, weight=1.0, hard=0.1)
    assert same_weights(teach(stage), teach(replace(stage)))
    for other in (
        replace(stage, hard=0.2),
        replace(stage, arguments={"temperature": 2.0}),
        replace(stage, loss=losses.dist),
    ):
        with pytest.raises(ValueError, match="other objective"):
            teach(other)
    with pytest.raises(ValueError, match="other teacher's answers"):
        teach(stage, SAID.roll(1, 0))


def test_an_equal_training_is_recognised_however_it_was_written(tmp_path) -> None:
    first = run(tmp_path, plan=replace(PLAN, batch=(TimeRoll(),)))
    same = {"plan": replace(PLAN, batch=[TimeRoll(1)], epochs=np.int64(3)), "seed": np.int64(0)}
    assert same_weights(run(tmp_path, fit=FIT._replace(x=FIT.x.clone()), **same), first)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", "other"])
def test_a_file_of_that_name_that_is_no_checkpoint_is_refused_and_kept(tmp_path, content) -> None:
    file = tmp_path / "checkpoint.pt"
    if content == "other":
        torch.save({"state_dict": {}}, file)
    else:
        file.write_bytes(content)
    before = file.read_bytes()
    with pytest.raises(ValueError, match=r"checkpoint.pt .*(no|as a) checkpoint"):
        run(tmp_path)
    assert file.read_bytes() == before


def test_a_checkpoint_that_does_not_say_what_it_belongs_to_counts_for_nothing(tmp_path) -> None:
    """One of an older asclib."""
    run(tmp_path, seed=1)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    del state["training"]
    torch.save(state, tmp_path / "checkpoint.pt")
    assert same_weights(run(tmp_path), run(None))


# ---- what belongs together ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"fit": FIT._replace(labels=FIT.labels[:20])}, "24 inputs, 20 labels, 24 identifiers"),
        ({"fit": FIT._replace(identifiers=FIT.identifiers[:3])}, "24 labels, 3 identifiers"),
        ({"fit": FIT._replace(labels=FIT.labels[:, None])}, r"fit: labels are .*\(24, 1\)"),
        ({"fit": FIT._replace(labels=FIT.labels.float())}, "fit: labels are torch.float32"),
        ({"fit": FIT._replace(labels=FIT.labels + 1)}, "labels from 1 to 3 .* 3 classes"),
        ({"fit": FIT._replace(labels=FIT.labels - 1)}, "labels from -1 to 1 .* give 0 to 2"),
        (
            {"validation": VALIDATION._replace(labels=VALIDATION.labels[:, None])},
            r"validation: labels are .*\(9, 1\)",
        ),
        ({"fit": FIT._replace(labels=torch.ones(24, 4) / 4)}, "4 classes, and a network of 3"),
        ({"net": nn.Sequential(network(), nn.Unflatten(1, (3, 1)))}, r"two clips .*\(2, 3, 1\)"),
        ({"net": nn.Sequential(network(), nn.Flatten(0))}, r"two clips .*\(6,\)"),
    ],
)
def test_what_does_not_belong_together_is_refused(changes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        run(None, **changes)


def test_soft_labels_may_be_given() -> None:
    hard = run(None)
    soft = run(None, fit=FIT._replace(labels=F.one_hot(FIT.labels, 3).float()))
    for one, other in zip(hard.parameters(), soft.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_named_and_not_the_learning_rate(value: float) -> None:
    broken = FIT.x.clone()
    broken[17, 2] = value
    with pytest.raises(ValueError, match=r"fit: the inputs of fit17 \(row 17\) hold NaN"):
        run(None, fit=FIT._replace(x=broken))
    said = SAID.clone()
    said[5, 0] = value
    with pytest.raises(ValueError, match=r"teacher's answers for fit5 \(row 5\) hold NaN"):
        run(None, objective=towards(1.0), answers=said)
    stage = Stage(losses.response, weight=1.0, hard=0.1)
    shuffled = Answers(FIT.identifiers[::-1], said.numpy()[::-1])
    with pytest.raises(ValueError, match="answers for fit5"):
        distill(network(), shuffled, FIT, VALIDATION, (stage,), PLAN, seed=0)


def spoilt(batch, generator):
    return batch._replace(x=batch.x / 0)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"plan": replace(PLAN, batch=(spoilt,))}, "transform of the plan's batch makes inputs"),
        ({"objective": lambda net, batch: net(batch.x).sum() / 0}, "the objective is not finite"),
        ({"plan": replace(PLAN, learning_rate=1e30)}, "lower the learning rate"),
    ],
)
def test_a_loss_that_is_not_finite_says_where_that_began(changes, words: str) -> None:
    with pytest.raises(FloatingPointError, match=words):
        run(None, **changes)


def test_a_network_that_answers_with_nan_is_to_blame_itself() -> None:
    net = network()
    with torch.no_grad():
        net[0].bias[0] = float("nan")
    with pytest.raises(FloatingPointError, match="the network answers with NaN"):
        run(None, net)


# ---- what the trainer leaves as it was ---------------------------------------------------------


class Pictures(nn.Module):
    """A network of a reader's own, on pictures or on pieces of space, that flattens by a view."""

    def __init__(self, axes: int, momentum: float | None = 0.3, viewed: bool = True):
        super().__init__()
        convolution = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[axes]
        norm = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[axes]
        self.shape = {1: (1, 6), 2: (1, 2, 3), 3: (1, 1, 2, 3)}[axes]
        self.convolution, self.norm = convolution(1, 4, 3, padding=1), norm(4, momentum=momentum)
        self.head, self.viewed = nn.Linear(24, 3), viewed

    def forward(self, x):
        x = self.norm(self.convolution(x.reshape(len(x), *self.shape)))
        return self.head(x.view(len(x), -1) if self.viewed else x.flatten(1))


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("momentum", [0.3, None])
def test_a_readers_network_keeps_its_momentum_and_its_layout(axes: int, momentum) -> None:
    torch.manual_seed(0)
    net = Pictures(axes, momentum)
    for plan in (PLAN, replace(PLAN, statistics_momentum=0.01)):
        strides = [value.stride() for value in net.state_dict().values()]
        run(None, net, plan=plan)
        assert net.norm.momentum == momentum
        assert [value.stride() for value in net.state_dict().values()] == strides


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_a_plan_s_momentum_is_that_of_every_kind_of_normalisation(axes: int) -> None:
    """After one step the running mean is the momentum's share of the batch's mean."""
    means = {}
    for momentum in (None, 0.3, 0.01):
        torch.manual_seed(0)
        net = Pictures(axes)
        plan = replace(PLAN, epochs=1, batch_size=24, statistics_momentum=momentum)
        run(None, net, plan=plan)
        means[momentum] = net.norm.running_mean
    assert torch.equal(means[None], means[0.3])
    torch.testing.assert_close(means[0.01] * 30, means[0.3])


def test_momentum_comes_back_after_a_failure_too() -> None:
    net = Pictures(2)
    with pytest.raises(FloatingPointError):
        run(None, net, plan=replace(PLAN, statistics_momentum=0.01, learning_rate=1e30))
    assert net.norm.momentum == 0.3


def test_a_view_and_a_flattening_learn_the_same() -> None:
    found = []
    for viewed in (True, False):
        torch.manual_seed(0)
        history = train(Pictures(2, viewed=viewed), FIT, VALIDATION, PLAN, seed=0)
        found.append(history["loss"].to_numpy())
    assert np.allclose(*found, rtol=1e-3)
