"""Claims about the comparison of augmentations, on a corpus of a few clips."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from asclib.augmentation import FreqMixStyle, Mixup
from asclib.augmentation.clip import VERSIONS
from asclib.challenge import SEEN_DEVICES
from asclib.training import macro_accuracy, predict
from studies.__main__ import main
from studies.augmentation import RECIPES, listed, repeated, responses, runs_of


@pytest.fixture(scope="module")
def results(experiment, tmp_path_factory):
    output = tmp_path_factory.mktemp("results") / "augmentation.json"
    main(["augmentation", "--seeds", "0", "1", "--output", str(output)], experiment.profile)
    return json.loads(output.read_text())


def others(experiment) -> np.ndarray:
    return experiment.table("fit")["device"].to_numpy() != "a"


@pytest.mark.parametrize("items, total", [(3, 9), (3, 10), (5, 3), (1, 4)])
def test_repeating_takes_every_item_as_often_as_any_other_or_once_more(items, total):
    counts = np.bincount(repeated(items, total), minlength=items)
    assert counts.sum() == total and counts.max() - counts.min() <= 1


@pytest.mark.parametrize("name", RECIPES)
def test_what_a_recipe_lists_keeps_clip_label_and_picture_together(experiment, name):
    fit, clips = experiment.clips("fit"), listed(experiment, RECIPES[name])
    assert len(clips.x) == len(clips.labels) == len(clips.identifiers)
    rows = pd.Index(fit.identifiers).get_indexer(origins(clips))
    assert (rows >= 0).all() and torch.equal(clips.labels, fit.labels[rows])
    # a changed clip still resembles its origin more than most other clips
    own = (clips.x - fit.x[rows]).abs().mean((1, 2, 3))
    another = (clips.x - fit.x[np.roll(rows, 7)]).abs().mean((1, 2, 3))
    assert (own < another).float().mean() > 0.8


def origins(clips) -> list[str]:
    """The clips that pictures are of; the views of a clip carry its name and a number."""
    return [name.partition("#")[0] for name in clips.identifiers]


def test_recipes_that_draw_anew_list_each_clip_once_a_pass_and_differ_between_passes(experiment):
    n, fit = len(experiment.table("fit")), experiment.clips("fit")
    for name in ("time roll", "frequency mask", "impulse responses"):
        clips = listed(experiment, RECIPES[name])
        assert origins(clips) == [*fit.identifiers, *fit.identifiers]
        changed = (clips.x[:n] != clips.x[n:]).flatten(1).any(1)
        assert changed.sum() > n / 3, name


def test_impulse_responses_change_device_a_alone_and_come_from_seen_devices(experiment):
    n, fit = len(experiment.table("fit")), experiment.clips("fit")
    clips = listed(experiment, RECIPES["impulse responses"])
    changed = ((clips.x[:n] - fit.x).abs().amax((1, 2, 3)) > 1e-3).numpy()
    assert not changed[others(experiment)].any()
    assert 0.3 < changed[~others(experiment)].mean() < 0.9
    assert len(responses()) == len(SEEN_DEVICES) - 1


def test_six_fold_and_its_control_list_the_same_clips_equally_often(experiment):
    expected = len(others(experiment)) + (len(VERSIONS) - 1) * others(experiment).sum()
    six, copies = (listed(experiment, RECIPES[name]) for name in ("six-fold", "copies"))
    assert len(six.labels) == len(copies.labels) == expected
    assert origins(six) == origins(copies)
    assert (six.x != copies.x).any()


def test_every_recipe_is_one_pass_over_a_list_of_one_length_in_one_order(experiment):
    length = 2 * len(experiment.table("fit"))
    plain = runs_of(experiment, RECIPES["none"], [0])[0].data.clips("fit")
    for name, recipe in RECIPES.items():
        first, second = runs_of(experiment, recipe, [0, 1])
        assert first.data == second.data and (first.seed, second.seed) == (0, 1)
        assert (first.plan.epochs, first.plan.monitor) == (1, "last")
        clips = first.data.clips("fit")
        assert len(clips.labels) == length
        if name not in ("six-fold", "copies"):
            assert torch.equal(clips.labels, plain.labels)
    assert RECIPES["mixup"].batch == (Mixup(0.3),)
    assert RECIPES["Freq-MixStyle"].batch == (FreqMixStyle(0.4),)


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
    assert scores["overall"]["clips"] == len(experiment.table("test"))
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


def test_what_is_remembered_is_measured_on_the_unchanged_clips(experiment, results):
    (run,) = runs_of(experiment, RECIPES["time roll"], [1])
    assert run.found() is not None
    fit = experiment.clips("fit")
    (row,) = (one for one in results["runs"] if (one["recipe"], one["seed"]) == ("time roll", 1))
    known = macro_accuracy(predict(run.net(), fit.x), fit.labels)
    assert row["fit_accuracy"] == pytest.approx(known, abs=1e-5)
