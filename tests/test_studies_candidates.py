"""Who may teach: candidates that need no training are values, and one rule chooses among all."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from asclib.augmentation import FreqMixStyle
from asclib.networks import unfused_logits
from asclib.runs import Experiment, Run
from asclib.training import predict
from studies.candidates import (
    CANDIDATES,
    FORM,
    candidates,
    chosen,
    chosen_batch,
    gains,
    kept_teacher,
    systems,
    trained_with,
)
from studies.ready import MEMBERS, Averaged, Together
from studies.recipe import INVENTED, RECIPES
from tests.data import TINY

BATCH = (FreqMixStyle(0.4),)


@pytest.fixture(scope="module")
def found(tiny_store, tmp_path_factory):
    """The results of all candidates but the wide one, one seed of each."""
    path = tmp_path_factory.mktemp("study") / "candidates.json"
    names = [name for name in CANDIDATES if name != "single"]
    candidates(TINY, None, [0], BATCH, path, names, path.parent / "teachers")
    return json.loads(path.read_text()) | {"path": path}


@pytest.fixture(scope="module")
def experiment(found):
    return Experiment(trained_with(TINY, BATCH))


def test_each_candidate_is_heard_on_own_clips_and_through_invented_devices(found, experiment):
    rows = {row["candidate"]: row for row in found["runs"]}
    assert set(rows) == set(CANDIDATES) - {"single"} and len(found["runs"]) == len(rows)
    table = experiment.table("validation")
    own, invented = len(table), len(INVENTED) * (table["device"] == "a").sum()
    for row in rows.values():
        mean = own * row["own_log_loss"] + invented * row["invented_log_loss"]
        assert mean / (own + invented) == pytest.approx(row["all_log_loss"], abs=2e-5)
        assert 0 <= row["own_accuracy"] <= 1 and row["seconds"] > 0
    net = experiment.control().net()
    clips = experiment.clips("validation")
    right = pd.Series((predict(net, clips.x).argmax(1) == clips.labels).numpy())
    recall = right.groupby(clips.labels.numpy()).mean()
    assert rows["control"]["own_accuracy"] == pytest.approx(recall.mean(), abs=1e-5)


def test_one_training_of_each_chooses_nobody(found):
    assert {row["verdict"] for row in found["gains"]} == {"open"} and found["chosen"] is None


def test_everybody_has_a_members_effort_and_the_same_augmentation():
    experiment = Experiment(trained_with(TINY, BATCH))
    teachers = {name: make(experiment) for name, make in CANDIDATES.items()}
    assert all(teachers[name].plan.batch == BATCH for name in ("control", "single", "fused"))
    for name, smoothing in (("fused", 0.1), ("fused_plain", 0.0)):
        runs = teachers[name].network.members
        assert len(runs) == 10
        assert {run.plan.label_smoothing for run in runs} == {smoothing}
        assert {(run.plan.epochs, run.plan.batch) for run in runs} == {(1, BATCH)}
        unfused = teachers[name.replace("fused", "unfused")]
        assert unfused.network.members == runs
    assert teachers["control"].plan.epochs == TINY.member.epochs
    seeds = [
        [run.seed for run in CANDIDATES["mean"](Experiment(TINY, seed=s)).needs()] for s in (0, 1)
    ]
    assert len({*seeds[0], *seeds[1]}) == 2 * MEMBERS


def test_a_mean_says_the_mean_of_the_probabilities(experiment):
    mean = CANDIDATES["mean"](experiment)
    x = experiment.clips("validation").x
    each = torch.stack([predict(run.net(), x).softmax(1) for run in mean.needs()])
    assert len(each) == MEMBERS and each.std(0).max() > 1e-3
    torch.testing.assert_close(predict(mean.net(), x).exp(), each.mean(0), rtol=1e-4, atol=1e-6)


def test_an_unfused_teacher_says_the_odds_of_its_members(experiment):
    unfused = CANDIDATES["unfused"](experiment)
    x = experiment.clips("validation").x
    members = torch.stack([predict(run.net(), x) for run in unfused.needs()], dim=1)
    torch.testing.assert_close(
        predict(unfused.net(), x), unfused_logits(members), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(("name", "technique"), [("mean", "response"), ("unfused", "attention")])
def test_what_needs_no_training_teaches_like_a_run(experiment, name, technique):
    teacher = CANDIDATES[name](experiment)
    run = experiment.taught(technique, teacher)
    assert set(run.needs()) == set(teacher.needs())
    assert len(run.history()) == 1 and isinstance(run, Run)
    other = Together(Averaged(teacher.needs()[:2]))
    assert experiment.taught(technique, other) != run
    assert (teacher.folder() / "weights.safetensors").is_file()
    seconds = sum(member.seconds() for member in teacher.needs())
    assert teacher.seconds() == pytest.approx(seconds)  # a set is summed in any order


def test_the_best_of_those_that_beat_the_control_is_chosen():
    generator = np.random.default_rng(0)
    place = np.arange(1_200) // 4
    table = pd.DataFrame(
        {
            "scene": [f"scene{k % 10}" for k in place],
            "city": "city",
            "location": place.astype(str),
            "heard": np.where(place % 2, "own", "invented"),
        }
    )
    chances = {"control": 0.6, "same": 0.6, "better": 0.7, "best": 0.8, "worse": 0.4}
    right = {
        f"{name} {seed}": (generator.random(1_200) < p) * 1.0
        for name, p in chances.items()
        for seed in range(3 if name == "same" else 4)  # the seeds that both have are compared
    }
    found = gains(systems(right), table)
    assert {row["seeds"] for row in found if row["candidate"] == "same"} == {3}
    rows = {(row["candidate"], row["heard"]): row for row in found}
    wheres = ("own", "invented", "all")
    assert set(rows) == {(n, w) for n in chances if n != "control" for w in wheres}
    assert rows["worse", "all"]["verdict"] == "yes" and rows["worse", "all"]["gain"] < 0
    assert chosen(found) == "best"
    assert chosen([row for row in found if row["candidate"] in ("same", "worse")]) is None


def test_the_control_decides_and_is_asked_for(tmp_path):
    with pytest.raises(ValueError, match="the control decides who may teach"):
        candidates(TINY, None, [0], BATCH, tmp_path / "candidates.json", ["single"])


def test_what_is_there_is_not_trained_again_and_what_is_missing_comes_beside_it(found, tmp_path):
    for path in found["path"].parent.glob("candidates.*"):
        shutil.copy(path, tmp_path)
    path, names = tmp_path / "candidates.json", ["control", "mean"]
    before = path.read_bytes()
    candidates(TINY, None, [0], BATCH, path, names)
    assert path.read_bytes() == before
    candidates(TINY, None, [1], BATCH, path, ["control"])
    rows = json.loads(path.read_text())["runs"]
    assert rows[:-1] == found["runs"]
    assert (rows[-1]["candidate"], rows[-1]["seed"]) == ("control", 1)
    with pytest.raises(ValueError, match=r"was made with other settings \(profile\): move it away"):
        candidates(TINY, None, [0], (), path, names)
    assert len(json.loads(path.read_text())["runs"]) == len(rows)


def test_those_who_may_teach_are_kept_and_teach_from_their_file(found, experiment):
    folder = found["path"].parent / "teachers"
    assert len(list(folder.iterdir())) == len(set(FORM) - {"single"})
    x = experiment.clips("validation").x
    for name in set(FORM) - {"single"}:
        kept = kept_teacher(folder, experiment.profile, None, name, 0)
        trained = CANDIDATES[name](experiment)
        assert kept.seconds() == trained.seconds()
        apart = predict(kept.net(), x) - predict(trained.net(), x)
        assert 0 < apart.abs().max() < 0.05  # of halves
    assert kept_teacher(folder, experiment.profile, None, "mean", 1) is None
    run = experiment.taught("response", kept)
    assert len(run.history()) == 1 and not run.needs()
    other = trained_with(TINY, ())
    with pytest.raises(ValueError, match=r"was made with other settings \(profile\): move it away"):
        kept_teacher(folder, other, None, "mean", 0)


def test_the_augmentation_is_the_recipes_choice(tmp_path):
    path = tmp_path / "recipe.json"
    assert chosen_batch(None, path) == BATCH
    path.write_text(json.dumps({"chosen": "mixup"}))
    assert chosen_batch(None, path) == RECIPES["mixup"]
    assert chosen_batch("none", path) == ()
    with pytest.raises(ValueError, match="no recipe 'noise': choose one of none"):
        chosen_batch("noise", path)
