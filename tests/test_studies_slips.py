"""Claims about the four slips: what is trained on what, and which clips nothing has seen."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from asclib.corpus import places
from asclib.networks import TMSIC
from asclib.training import macro_accuracy, predict, train
from studies import slips
from studies.__main__ import main
from studies.slips import ARMS, COMPARED, Heard, halves, parts, plan, trained


@pytest.fixture(scope="module")
def results(experiment, tmp_path_factory):
    output = tmp_path_factory.mktemp("results") / "slips.json"
    main(["slips", "--seeds", "0", "1", "--output", str(output)], experiment.profile)
    return json.loads(output.read_text())


# ---- what is trained on what -------------------------------------------------------------------


def test_the_halves_of_the_test_share_no_location_and_hold_every_scene(experiment):
    clips = experiment.table("test")
    half = halves(clips)
    first, second = clips[half == 0], clips[half == 1]
    assert not set(places(first)) & set(places(second))
    assert set(first["scene"]) == set(second["scene"]) == set(clips["scene"])
    assert 0.4 < len(first) / len(clips) < 0.6


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_learns_from_and_holds_out_what_it_says(experiment, name):
    fit, held_out = (set(clips.identifiers) for clips in parts(experiment, ARMS[name]))
    usual = [set(experiment.table(split)["identifier"]) for split in ("fit", "validation")]
    test = experiment.table("test")
    train = experiment.table("train").set_index("identifier")
    if "held out" in name:
        assert sorted([*fit, *held_out]) == sorted(train.index)
        key = train["recording"] if "clip" in name else places(train)
        shared = set(key[list(fit)]) & set(key[list(held_out)])
        assert bool(shared) == ("clip" in name)
    elif "half" in name:
        added = set(test["identifier"][halves(test) == ARMS[name].half])
        assert (fit, held_out) == (usual[0] | added, usual[1] | added)
    else:
        assert [fit, held_out] == usual
        assert not (fit | held_out) & set(test["identifier"])


def test_every_epoch_is_recorded_and_the_choice_is_the_trainers(experiment, results):
    fit, validation, test = (experiment.clips(name) for name in ("fit", "validation", "test"))
    run = slips.heard(experiment, "labels")
    assert run.test.shape == (2, len(test.labels), 10)
    chosen = slips.best_epoch(run.held_out, run.held_out_labels)
    for monitor, epoch in (("last", 1), ("accuracy", chosen)):
        torch.manual_seed(experiment.seed)
        net, usual = TMSIC(), replace(plan(experiment, ARMS["labels"]), monitor=monitor)
        train(net, fit, validation, usual, seed=experiment.seed)
        torch.testing.assert_close(predict(net, test.x), run.test[epoch], rtol=1e-4, atol=1e-4)


# ---- promise and truth -------------------------------------------------------------------------


def one_hot(guesses: list[list[int]]) -> torch.Tensor:
    """(epochs, clips, 10) logits of a network that guesses so after every epoch."""
    return 9 * torch.eye(10)[torch.tensor(guesses)]


LABELS = torch.tensor([0, 1, 2, 3])
HALF = np.array([0, 0, 1, 1])


def test_a_clip_of_the_test_is_answered_by_the_network_that_has_not_learnt_from_it():
    knows = [[0, 1, 9, 9], [9, 9, 2, 3]]  # network k names the clips of half k alone
    runs = [Heard(one_hot([[0]]), torch.tensor([0]), one_hot([each]), LABELS) for each in knows]
    told = slips.trained_on_test(runs, HALF)
    assert told.promise == 1 and (told.answer.argmax(1) == 9).all()


def test_an_epoch_chosen_on_one_half_is_judged_on_the_other():
    # the first epoch is right about half 0 alone, the second about half 1
    test = one_hot([[0, 1, 9, 9], [9, 9, 2, 3]])
    run = Heard(one_hot([[0], [0]]), torch.tensor([0]), test, LABELS)
    told = slips.chosen_on_test(run, HALF)
    assert told.epochs == (0, 1) and told.promise == 1
    assert (told.answer.argmax(1) == 9).all()


def test_validation_chooses_among_the_epochs_it_is_given_and_promises_what_it_saw():
    held_out = one_hot([[9, 9, 2, 3], [0, 1, 2, 9], [0, 1, 2, 3]])
    test = one_hot([[0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2]])
    run = Heard(held_out, LABELS, test, LABELS)
    for epochs, last, epoch, promise in (
        (None, False, 2, 1.0),
        (2, False, 1, 0.75),
        (1, True, 0, 0.5),
        (2, True, 1, 0.75),
    ):
        told = slips.validated(run, epochs, last)
        assert (told.epochs, told.promise) == ((epoch,), promise)
        assert (told.answer.argmax(1) == epoch).all()
    assert slips.tested(run).promise == 0.25


# ---- the figures -------------------------------------------------------------------------------


def test_every_system_has_a_promise_and_a_truth_for_every_seed(experiment, results):
    runs = pd.DataFrame(results["runs"])
    names = {name for _, *pair in COMPARED for name in pair}
    assert names <= set(runs["system"]) and (runs.groupby("system").size() == 2).all()
    assert runs[["promise", "truth"]].stack().between(0, 1).all()
    test = experiment.clips("test").labels
    answer = slips.systems(experiment)["held out by clip"].answer
    row = runs[(runs["system"] == "held out by clip") & (runs["seed"] == 0)].iloc[0]
    assert row["truth"] == pytest.approx(macro_accuracy(torch.from_numpy(answer), test), abs=1e-5)


def test_differences_are_those_of_the_runs(experiment, results):
    n_places = places(experiment.table("test")).nunique()
    runs = pd.DataFrame(results["runs"]).set_index(["system", "seed"])
    assert len(results["differences"]) == len(COMPARED)
    for row in results["differences"]:
        ours, base = runs.loc[row["system"]], runs.loc[row["base"]]
        promise, truth = ours["promise"] - base["promise"], ours["truth"] - base["truth"]
        assert row["truth"]["accuracy_per_seed"] == pytest.approx(truth.to_list(), abs=3e-5)
        # over locations and seeds, and named so: the chapter heads its column by it
        middle = (row["truth"]["accuracy_low"] + row["truth"]["accuracy_high"]) / 2
        assert middle == pytest.approx(row["truth"]["accuracy"])
        assert row["truth"]["locations"] == n_places and "recordings" not in row["truth"]
        for name, values in (("promise", promise), ("flattery", promise - truth)):
            half = stats.t.ppf(0.975, 1) * values.std() / 2**0.5
            expected = (values.mean(), values.mean() - half, values.mean() + half)
            found = tuple(row[name][key] for key in ("mean", "low", "high"))
            assert found == pytest.approx(expected, abs=1e-4)


def test_a_study_that_goes_on_after_a_kill_trains_only_what_is_missing(
    experiment, tmp_path, monkeypatch
):
    names = ("labels", "held out by clip")
    lost, _ = (trained(experiment, name) for name in names)
    before = np.load(lost / "logits.npy")
    lost.rename(tmp_path / "lost")
    saved, save = [], np.save
    monkeypatch.setattr(np, "save", lambda path, x: saved.append(path.name) or save(path, x))
    for name in names:
        trained(experiment, name)
    assert saved == ["logits.npy"]
    assert np.array_equal(np.load(trained(experiment, "labels") / "logits.npy"), before)
