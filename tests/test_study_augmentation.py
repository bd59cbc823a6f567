"""Claims about the comparison of augmentations, on a corpus of a few clips."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from asclib import study_augmentation
from asclib.augmentation import VERSIONS, mixup, soft_labels
from asclib.experiment import Experiment
from asclib.settings import SEEN_DEVICES
from asclib.store import root
from asclib.study import main
from asclib.study_augmentation import RECIPES, listed, mixup_cross_entropy, repeated


@pytest.fixture(scope="module")
def results(experiment, tmp_path_factory):
    output = tmp_path_factory.mktemp("results") / "augmentation.json"
    main(["augmentation", "--profile", "tiny", "--seeds", "0", "1", "--output", str(output)])
    return json.loads(output.read_text())


def others(experiment) -> np.ndarray:
    return experiment.table("fit")["device"].to_numpy() != "a"


@pytest.mark.parametrize("items, total", [(3, 9), (3, 10), (5, 3), (1, 4)])
def test_repeating_takes_every_item_as_often_as_any_other_or_once_more(items, total):
    counts = np.bincount(repeated(items, total), minlength=items)
    assert counts.sum() == total and counts.max() - counts.min() <= 1


@pytest.mark.parametrize("name", RECIPES)
def test_what_a_recipe_lists_keeps_clip_label_and_picture_together(experiment, name):
    fit, clips = experiment.clips("fit"), listed(experiment, name)
    assert len(clips.x) == len(clips.labels) == len(clips.identifiers)
    rows = pd.Index(fit.identifiers).get_indexer(clips.identifiers)
    assert (rows >= 0).all() and torch.equal(clips.labels, fit.labels[rows])
    # a changed clip still resembles its origin more than most other clips
    own = (clips.x - fit.x[rows]).abs().mean((1, 2, 3))
    another = (clips.x - fit.x[np.roll(rows, 7)]).abs().mean((1, 2, 3))
    assert (own < another).float().mean() > 0.8


def test_recipes_that_draw_anew_list_each_clip_once_a_pass_and_differ_between_passes(experiment):
    n, fit = len(experiment.table("fit")), experiment.clips("fit")
    for name in ("time roll", "frequency mask", "impulse responses"):
        clips = listed(experiment, name)
        assert clips.identifiers.tolist() == [*fit.identifiers, *fit.identifiers]
        changed = (clips.x[:n] != clips.x[n:]).flatten(1).any(1)
        assert changed.sum() > n / 3, name


def test_impulse_responses_change_device_a_alone_and_come_from_seen_devices(experiment):
    n, fit = len(experiment.table("fit")), experiment.clips("fit")
    clips = listed(experiment, "impulse responses")
    changed = ((clips.x[:n] - fit.x).abs().amax((1, 2, 3)) > 1e-3).numpy()
    assert not changed[others(experiment)].any()
    assert 0.3 < changed[~others(experiment)].mean() < 0.9
    assert len(study_augmentation._responses()) == len(SEEN_DEVICES) - 1


def test_six_fold_and_its_control_list_the_same_clips_equally_often(experiment):
    expected = len(others(experiment)) + (len(VERSIONS) - 1) * others(experiment).sum()
    six, copies = listed(experiment, "six-fold"), listed(experiment, "copies")
    assert len(six.labels) == len(copies.labels) == expected
    assert six.identifiers.tolist() == copies.identifiers.tolist()
    assert (six.x != copies.x).any()


def test_the_mixup_objective_is_the_cross_entropy_of_both_labels_by_weight():
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 10))
    x, labels = torch.randn(6, 1, 4, 3), torch.tensor([0, 3, 9, 3, 1, 7])
    torch.manual_seed(5)
    loss = mixup_cross_entropy(net, torch.arange(6), x, labels)
    torch.manual_seed(5)
    mixed = mixup(x, labels, generator=torch.default_generator)
    total = 0.0
    for answer, own, other, weight in zip(net(mixed.x).log_softmax(1), *mixed[1:], strict=True):
        total -= weight * answer[own] + (1 - weight) * answer[other]
    torch.testing.assert_close(loss, total / 6)
    assert soft_labels(mixed, 10).sum(1).tolist() == pytest.approx([1] * 6)


def test_the_study_scores_every_recipe_and_seed_with_as_many_steps(experiment, results):
    n = len(experiment.table("fit"))
    assert results["steps"] == 2 * n // 16
    assert {(row["recipe"], row["seed"]) for row in results["runs"]} == {
        (name, seed) for name in RECIPES for seed in (0, 1)
    }
    for row in results["runs"]:
        assert 0 <= row["unseen_accuracy"] <= 1 and row["log_loss"] > 0
    assert results["listed"]["none"] == n and results["listed"]["time roll"] == 2 * n
    scores = {row["group"]: row for row in results["pooled"]["mixup"]}
    assert scores["overall"]["clips"] == 2 * len(experiment.table("test"))
    different = {tuple(row[key] for key in ("accuracy", "log_loss")) for row in results["runs"]}
    assert len(different) == len(results["runs"])  # no recipe and no seed is another one


def test_differences_are_those_of_the_runs(results):
    runs = pd.DataFrame(results["runs"]).set_index(["recipe", "seed"])
    columns = {"all": "accuracy", "seen": "seen_accuracy", "unseen": "unseen_accuracy"}
    pairs = {(row["recipe"], row["base"]) for row in results["differences"]}
    assert pairs == {(name, "none") for name in [*RECIPES][1:]} | {("six-fold", "copies")}
    assert len(results["differences"]) == 3 * len(pairs)
    for row in results["differences"]:
        column = runs[columns[row["devices"]]]
        expected = column[row["recipe"]] - column[row["base"]]
        assert row["accuracy_per_seed"] == pytest.approx(expected.to_list(), abs=2e-5)
        assert row["seeds_low"] <= np.mean(row["accuracy_per_seed"]) <= row["seeds_high"]
        if row["devices"] == "all":
            loss = runs["log_loss"][row["recipe"]] - runs["log_loss"][row["base"]]
            assert row["log_loss_per_seed"] == pytest.approx(loss.to_list(), abs=2e-5)
            assert row["log_loss_seeds_low"] <= row["log_loss"] <= row["log_loss_seeds_high"]


def test_a_study_that_goes_on_after_a_kill_trains_only_what_is_missing(
    experiment, results, tmp_path, monkeypatch
):
    def refuse(*arguments, **options):
        raise AssertionError("trained again")

    lost = study_augmentation._trained(Experiment(experiment.profile, seed=1), "mixup")
    before = np.load(lost / "logits.npy")
    lost.rename(tmp_path / "lost")
    again = study_augmentation._trained(Experiment(experiment.profile, seed=1), "mixup")
    assert again == lost and np.array_equal(np.load(again / "logits.npy"), before)
    monkeypatch.setattr(study_augmentation, "predict", refuse)
    study_augmentation._trained(Experiment(experiment.profile, seed=0), "mixup")


def test_a_killed_drawing_goes_on_with_the_pass_it_was_in(experiment):
    folder = study_augmentation._drawn(experiment, "time roll")
    partial = root() / f"{folder.name}.partial"
    lost = np.load(folder / "001.npz")["x"]
    folder.rename(partial)
    (partial / "001.npz").unlink()
    untouched = (partial / "000.npz").stat().st_mtime_ns
    assert study_augmentation._drawn(experiment, "time roll") == folder
    assert (folder / "000.npz").stat().st_mtime_ns == untouched
    assert np.array_equal(np.load(folder / "001.npz")["x"], lost)
