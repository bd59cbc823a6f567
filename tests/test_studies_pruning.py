"""What the pruning study compares: the same epochs for every way, recorded network by network."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from asclib.challenge import SCENES
from asclib.complexity import complexity
from asclib.compression.pruning import Narrowed, healing, some_clips, widths_for
from asclib.compression.surgery import trimmed
from asclib.networks import TMSIC
from asclib.runs import PROFILES
from asclib.training import macro_accuracy, predict
from studies.pruning import PAIRS, SHARES, arms, as_int8, pruning
from studies.record import Record
from studies.shrinking import Made, chosen, of_steps, plan
from studies.sitting import Sitting
from tests.data import PLAN, TINY

STUDY = Sitting(PROFILES["study"], None, (), "control")
SIZE = {"epochs": 24, "steps": 500, "clips": 4_800}
SOME = ("cut-0.25-labels", "scratch-0.25-labels", "whole", "cut-0.25-both", "unhealed-0.25")


def test_every_way_has_as_many_epochs_in_all():
    named = {arm.name: arm for arm in arms(STUDY, 0, **SIZE)}
    start = named["cut-0.25-labels"].made.network.of
    assert start.plan.epochs == 24
    assert named["cut-0.25-labels"].made.plan == healing(start.plan)
    assert healing(start.plan).epochs * (4_800 // 32) >= 500
    for name, arm in named.items():
        if isinstance(arm.made, Made):
            assert arm.epochs == 24 and arm.run == start, name
            continue
        epochs, run = 0, arm.made
        while run is not None:
            epochs, run = epochs + run.plan.epochs, getattr(run.network, "of", None)
        assert epochs == arm.epochs == 36, name
    assert named["scratch-0.1-labels"].made.network().conv1.out_channels == widths_for(0.1)[0]
    assert {arm.is_taught for arm in named.values() if arm.of["healed"] == "labels"} == {False}
    assert {arm.is_taught for arm in named.values() if arm.of["healed"] == "both"} == {True}


def test_the_primary_pair_is_that_with_the_small_network_from_scratch():
    names = [arm.name for arm in arms(STUDY, 0, **SIZE)]
    assert PAIRS[0] == ("cut-0.25-labels", "scratch-0.25-labels")
    assert {name for pair in PAIRS for name in pair} <= set(names)
    assert len(set(names)) == len(names) and len(set(PAIRS)) == len(PAIRS)


def test_a_teacher_alone_shows_no_label():
    named = {arm.name: arm for arm in arms(STUDY, 0, **SIZE)}
    alone, both = (named[f"cut-0.5-{by}"].made.lesson.stages for by in ("teacher", "both"))
    assert alone[0].hard == 0 < both[0].hard and alone[0].weight == both[0].weight


def test_short_plans_are_given_enough_steps():
    assert of_steps(PLAN, 100, 500).epochs == 84  # of six steps each
    assert of_steps(replace(PLAN, epochs=90), 100, 500).epochs == 90


def test_the_plan_counts_what_is_trained_once_and_renders_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("ASCLIB_STORE", str(tmp_path))
    text = "\n".join(plan(STUDY, arms(STUDY, 0, **SIZE), 5, speed=480.0))
    assert "26 of them trained for 444 epochs" in text
    assert "6.2 core-hours" in text  # 5 x 444 epochs of 4,800 clips at 480 a second
    assert not list(tmp_path.glob("corpus*"))


def test_an_arm_that_there_is_not_is_named():
    found = arms(STUDY, 0, **SIZE)
    with pytest.raises(ValueError, match="no arm cut-0.3: choose of cut-0.25-labels"):
        chosen(found, ["cut-0.3"])
    assert [arm.name for arm in chosen(found, ["whole"])] == ["whole"]


@pytest.fixture(scope="module")
def recorded(tiny_store, tmp_path_factory):
    """Two seeds of a few arms, the second added in a sitting of its own."""
    path = tmp_path_factory.mktemp("results") / "pruning.json"
    sitting = Sitting(TINY, None, (), "control", further=())
    for seed in (0, 1):
        pruning(
            sitting, [seed], path, epochs=1, steps=1, only=SOME, in_int8=lambda *_: {"bytes": 1}
        )
    return sitting, path


def test_rows_are_of_the_networks_they_name(recorded):
    sitting, path = recorded
    found, test = json.loads(path.read_text()), sitting.first.clips("test")
    assert [(row["seed"], row["arm"]) for row in found["runs"]] == [
        (seed, arm.name) for seed in (0, 1) for arm in chosen(arms(sitting, 0, 1, 1, 96), SOME)
    ]
    clips = len(sitting.first.table("fit"))
    for row in found["runs"]:
        (arm,) = chosen(arms(sitting, row["seed"], 1, 1, clips), [row["arm"]])
        net = trimmed(arm.made.net())
        truth = [SCENES.index(scene) for scene in sitting.first.table("test")["scene"]]
        assert test.labels.tolist() == truth
        assert row["accuracy"] == pytest.approx(
            macro_accuracy(predict(net, test.x), test.labels), abs=1e-2
        )
        assert row["macs"] == complexity(net).macs <= row["share"] * complexity(TMSIC()).macs
        assert row["parameters"] == row["bytes"] == complexity(net).parameters
        assert ("int8" in row) == (arm.name not in ("whole", "unhealed-0.25"))
    assert found["widths"] == {str(share): list(widths_for(share)) for share in SHARES}


def test_differences_are_paired_by_seed_and_the_primary_is_marked(recorded):
    _, path = recorded
    found = json.loads(path.read_text())
    rows = {(row["system"], row["base"], row["measure"]): row for row in found["differences"]}
    assert set(rows) == {
        (*pair, measure)
        for pair in PAIRS
        if set(pair) <= set(SOME)
        for measure in ("accuracy", "log_loss")
    }
    scores = {
        name: [row["accuracy"] for row in found["runs"] if row["arm"] == name] for name in SOME
    }
    row = rows[(*PAIRS[0], "accuracy")]
    expected = np.mean(scores[PAIRS[0][0]]) - np.mean(scores[PAIRS[0][1]])
    assert row["difference"] == pytest.approx(expected, abs=2e-5)
    assert row["primary"] and row["verdict"] in ("yes", "no", "open") and row["seeds"] == 2
    assert [row["primary"] for row in found["differences"]].count(True) == 1


def test_what_is_there_is_not_made_again_and_what_was_made_otherwise_is_refused(recorded):
    sitting, path = recorded
    before = path.read_text()
    pruning(sitting, [0, 1], path, epochs=1, steps=1, only=SOME, in_int8=_never)
    assert path.read_text() == before
    record = Record(path)
    record.rows[0]["made"] = "another"
    record.write()
    with pytest.raises(ValueError, match="has other made: take its row out"):
        pruning(sitting, [0], path, epochs=1, steps=1, only=SOME, in_int8=_never)
    path.write_text(before)


def test_a_file_of_another_form_is_left_alone(recorded, tmp_path):
    sitting, _ = recorded
    old = tmp_path / "pruning.json"
    old.write_text('{"runs": []}')
    with pytest.raises(ValueError, match="has no answers in .*: .* move it away"):
        pruning(sitting, [0], old, epochs=1, steps=1)
    assert old.read_text() == '{"runs": []}'


def test_a_network_without_training_is_made_once_for_all_that_is_asked_of_it(
    recorded, tmp_path, monkeypatch
):
    sitting, _ = recorded
    made, make = [], Narrowed.__call__
    monkeypatch.setattr(Narrowed, "__call__", lambda self: made.append(self) or make(self))
    path, only = tmp_path / "pruning.json", ["unhealed-0.25-l1"]
    pruning(sitting, [0], path, epochs=1, steps=1, only=only, in_int8=_never)
    assert [row["arm"] for row in Record(path).rows] == only and len(made) == 1


def _never(*_):
    raise AssertionError("a row was made again")


def test_the_int8_file_is_that_of_the_network(recorded):
    sitting, _ = recorded
    test = sitting.first.clips("test")
    narrow = Narrowed(arms(sitting, 0, 1, 1, 96)[0].made.network.of, (8, 8, 8, 8))()
    found = as_int8(narrow, test, sitting)
    weights = complexity(narrow).parameters
    assert weights < found["file_bytes"] < weights + 15_000 and found["as_float"] > 0.8
    assert found["float_accuracy"] == pytest.approx(
        macro_accuracy(predict(narrow, test.x), test.labels), abs=1e-5
    )
    assert len(some_clips(sitting.first.data, 7)) == 7
