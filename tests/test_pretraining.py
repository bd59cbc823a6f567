"""Pre-training looks at no label, keeps the body alone, and is a run like any other."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from asclib import keys
from asclib.augmentation import Gain, TimeRoll
from asclib.challenge import SCENES
from asclib.compression import qat
from asclib.corpus.tables import SUBSETS
from asclib.distillation import TECHNIQUES
from asclib.networks import TMSIC
from asclib.pretraining import METHODS, SelfSupervised, losses, pretrain, two_views
from asclib.runs import Data, Experiment, Lesson, Run, build
from asclib.training import Batch
from tests.data import FIT, PLAN, SHORT, TINY, same_weights, student

CONSTANT = replace(SHORT, epochs=2, schedule="constant")


def pretrained(plan=CONSTANT, method="barlow_twins", fit=FIT, **options):
    net = student()
    return net, pretrain(net, fit, METHODS[method], plan, seed=3, **options)


# ---- the trainer ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_the_body_moves_and_the_head_stays(method):
    before = student().state_dict()
    net, history = pretrained(method=method)
    assert list(history) == ["epoch", "loss"] and len(history) == 2
    assert np.isfinite(history["loss"]).all()
    after = net.state_dict()
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert {"conv1.weight", "conv4.weight", "dense.weight", "norm1.running_mean"} <= moved
    assert not moved & {"head.weight", "head.bias"}
    assert not net.training and set(after) == set(before)


def test_labels_are_not_looked_at():
    other = FIT._replace(labels=FIT.labels.flip(0))
    assert same_weights(pretrained()[0], pretrained(fit=other)[0])
    assert not same_weights(pretrained()[0], pretrained(method="simclr")[0])


def test_what_was_cut_off_goes_on_to_the_same_weights(tmp_path):
    pretrained(replace(CONSTANT, epochs=1), folder=tmp_path)
    again, history = pretrained(folder=tmp_path)
    assert len(history) == 2
    assert same_weights(again, pretrained()[0])


def test_the_loss_falls():
    _, history = pretrained(replace(SHORT, epochs=6))
    assert history["loss"].iloc[-1] < 0.8 * history["loss"].iloc[0]


def test_views_are_two_pictures_of_each_clip():
    batch = Batch(FIT.x[:8], FIT.labels[:8], None, 4)
    torch.manual_seed(0)
    one, other = two_views(batch, METHODS["vicreg"].views).chunk(2)
    assert one.shape == other.shape == batch.x.shape
    for view in (one, other):
        assert all(not torch.equal(view[k], batch.x[k]) for k in range(8))
    assert not torch.equal(one, other)
    torch.manual_seed(0)
    assert torch.equal(two_views(batch, METHODS["vicreg"].views).chunk(2)[1], other)
    plain = two_views(batch, ())
    assert torch.equal(plain, torch.cat([batch.x, batch.x]))


def test_a_network_without_an_embedding_is_refused():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(1120, 4))
    with pytest.raises(ValueError, match="has no output 'embedding'"):
        pretrain(flat, FIT, METHODS["simclr"], SHORT, seed=0)


@pytest.mark.parametrize(
    "wrong, problem",
    [
        ({"loss": "vicreg"}, "loss is 'vicreg': give a function"),
        ({"views": TimeRoll(1)}, "views is TimeRoll"),
        ({"views": (TimeRoll,)}, "views holds a type"),
        ({"predictor": 1}, "predictor is 1"),
        ({"width": 2}, "width is 2"),
    ],
)
def test_what_is_no_lesson_is_refused(wrong, problem):
    with pytest.raises(ValueError, match=problem):
        SelfSupervised(**({"loss": losses.vicreg} | wrong))


# ---- as a run ------------------------------------------------------------------------------------

FEW = 50  # per cent: the tiny corpus has nobody to validate on with less


@pytest.fixture(scope="module")
def first(tiny_store):
    """One that was trained, on half of the labels."""
    return Experiment(TINY, subset=FEW)


def test_a_student_goes_on_from_the_body_with_few_labels(first):
    body = first.pretrained("vicreg")
    run = replace(first.student(), start=body)
    assert run.needs() == (body,) and body.needs() == ()
    build([run], workers=1)
    head = body.net().head.weight
    torch.manual_seed(body.seed)
    assert torch.equal(head, TMSIC().head.weight) and not torch.equal(head, run.net().head.weight)
    assert run.history()["validation_loss"].isna().tolist() == [True, False]
    assert run.seconds() >= body.seconds()


def test_the_body_hears_every_clip_and_the_student_its_share(first):
    body = first.pretrained()
    whole, few = (len(run.data.clips("fit").labels) for run in (body, first.student()))
    assert whole == len(Experiment(TINY).clips("fit").labels) and few < whole


def test_a_teacher_can_teach_a_student_that_has_a_body(first):
    by = Experiment(TINY, seed=1, subset=FEW).student()
    body = first.pretrained("simsiam")
    both = replace(first.student(), lesson=Lesson(TECHNIQUES["response"], by), start=body)
    assert set(both.needs()) == {by, body}
    build([both], workers=1)
    assert both.history()["stage"].tolist()[1:] == [1]
    assert len(both.lesson.teacher.answers().identifiers) == len(first.table("fit"))


def test_runs_differ_by_their_lesson_and_travel(first):
    runs = [first.pretrained(method) for method in METHODS]
    changed = replace(METHODS["simclr"], views=(Gain(),))
    runs += [first.student(), replace(runs[0], lesson=changed)]
    assert len({run.store_key for run in runs}) == len(runs)
    for run in runs:
        assert pickle.loads(pickle.dumps(run)) == run
    assert runs[0] == first.pretrained("barlow_twins")


def test_what_cannot_be_pretrained_is_refused_before_it_is_trained(first):
    flat = partial(nn.Linear, 8, 10)
    with pytest.raises(ValueError, match="has no output 'embedding'"):
        build([replace(first.pretrained(), network=flat)])
    with pytest.raises(ValueError, match="method is 'byol': choose one of"):
        first.pretrained("byol")
    with pytest.raises(ValueError, match="shown no label yet"):
        qat.aware(first.pretrained())


# ---- subsets of the labels -----------------------------------------------------------------------


def test_subsets_are_nested_and_leave_the_test_alone(tiny_store):
    whole = Experiment(TINY)
    before: set[str] = set()
    for percent in SUBSETS:
        few = Experiment(TINY, subset=percent)
        names = {split: set(few.table(split)["identifier"]) for split in ("fit", "validation")}
        assert not names["fit"] & names["validation"]
        assert names["fit"] | names["validation"] == set(few.table("train")["identifier"])
        assert before <= names["fit"]
        pd.testing.assert_frame_equal(few.table("test"), whole.table("test"))
        before = names["fit"]
    assert before == set(whole.table("fit")["identifier"])


def test_a_subset_shows_its_own_clips(tiny_store):
    few, whole = (Experiment(TINY, subset=percent).clips("fit") for percent in (FEW, None))
    place = {name: row for row, name in enumerate(whole.identifiers)}
    rows = [place[name] for name in few.identifiers]
    assert torch.equal(few.x, whole.x[rows]) and torch.equal(few.labels, whole.labels[rows])
    assert (
        few.identifiers.tolist() == Experiment(TINY, subset=FEW).table("fit")["identifier"].tolist()
    )


def test_another_subset_is_another_data_and_none_is_the_key_of_before(tiny_store):
    data = Data(TINY.corpus)
    assert data.store_key == keys.digest([data.inputs_key, None, None, SCENES])
    assert len({replace(data, subset=one).store_key for one in (None, *SUBSETS)}) == 6
    few = replace(data, subset=5)
    assert pickle.loads(pickle.dumps(few)).subset == 5 and few.against("bus").subset == 5


@pytest.mark.parametrize("subset", [0, 7, 5.0, "5", True])
def test_a_subset_that_there_is_not_is_refused(subset):
    with pytest.raises(ValueError, match="choose one of None, 5, 10, 25, 50, 100"):
        Data(TINY.corpus, subset=subset)


def test_tensors_have_no_subsets(tiny_store):
    x, labels = torch.zeros(4, 3), torch.arange(4) % 2
    data = Data.of(x, labels, x, labels, classes=("dog", "siren"))
    with pytest.raises(ValueError, match="subsets are of a corpus"):
        replace(data, subset=5)


def test_a_run_of_before_has_the_fields_it_had():
    run = Run(TMSIC, Data(TINY.corpus), PLAN)
    assert run.store_key == keys.digest([TMSIC, Data(TINY.corpus), PLAN, 0, None, None, 1])
