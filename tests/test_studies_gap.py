"""The study of the gap: each factor changes what it names, and validation alone recommends."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from asclib.challenge import SAMPLE_RATE
from asclib.evaluation import best_temperature, score
from asclib.evaluation.statistics import difference
from asclib.evaluation.systems import Clips, System
from asclib.runs import Experiment
from asclib.training import macro_accuracy, predict, probabilities
from studies import gap, renderings
from studies.__main__ import main
from studies.record import NOBODY, Record, key_of
from studies.sitting import Sitting
from studies.verdicts import sentence
from tests.data import TINY

FEW = ("none", "roll", "responses", "bandwidth", "published", "soup", *gap.MULTIPLIED)

TWO = [(name,) for name in gap.MULTIPLIED]


def study(where, *options):
    shared = ("--candidate", "control", "--recipe", "none", "--clips-per-second", "500")
    output = ("--epochs", "2", "--output", str(where / "gap.json"), "--renderings")
    main(["gap", *shared, *options, *output], TINY)


def sitting():
    return Sitting(TINY, None, (), "control", further=())


@pytest.fixture(scope="module")
def folder(tiny_store, tmp_path_factory):
    """A few arms of two seeds, the second in a run of its own."""
    where = tmp_path_factory.mktemp("gap")
    for seed in "01":
        study(where, "--seeds", seed, "--only", *FEW)
    return where


# ---- one factor at a time ------------------------------------------------------------------------


def test_every_factor_is_alone_in_one_arm_and_missing_from_one():
    for name in gap.FACTORS:
        assert gap.ARMS[name] == (name,)
        assert set(gap.ARMS["all"]) - set(gap.ARMS[f"all_but_{name}"]) == {name}
    assert gap.ARMS["none"] == () and len(gap.ARMS) == 2 + 2 * len(gap.FACTORS)


def test_a_factor_changes_what_it_names_and_nothing_else():
    base = gap.run_of(sitting(), (), 0, 24, None)
    assert base.plan.batch == () and base.data == Experiment(TINY).data
    for name, transform in gap.BATCH.items():
        run = gap.run_of(sitting(), (name,), 0, 24, None)
        assert run.plan.batch == (transform,)
        assert (run.data, run.plan.epochs, run.lesson) == (base.data, 24, None)
    wide = gap.run_of(sitting(), ("bandwidth",), 0, 24, None)
    assert wide.plan == base.plan and wide.data.front_end.sample_rate == 16_000
    assert wide.data.front_end.shape() == base.data.front_end.shape()  # so the MACs are the same


def test_twice_the_pictures_are_seen_half_as_often(tiny_store):
    base, more = (gap.run_of(sitting(), f, 0, 24, None) for f in ((), ("responses",)))
    pictures = [run.plan.epochs * len(run.data.clips("fit").labels) for run in (base, more)]
    assert pictures[0] == pictures[1]


def test_repeats_are_what_six_fold_is_without_a_change(tiny_store):
    base, more, control = (gap.run_of(sitting(), f, 0, 24, None) for f in ((), *TWO))
    few, many, same = (run.data.clips("fit") for run in (base, more, control))
    assert len(many.x) == len(same.x) > len(few.x)
    torch.testing.assert_close(many.labels, same.labels)
    assert set(map(bytes, same.x.numpy())) == set(map(bytes, few.x.numpy()))
    assert not set(map(bytes, many.x.numpy())) <= set(map(bytes, few.x.numpy()))
    shown = [run.plan.epochs * len(run.data.clips("fit").x) for run in (base, more, control)]
    assert shown[1] == shown[2] == pytest.approx(shown[0], abs=len(many.x) / 2)


def test_a_drawn_device_colours_sound_and_keeps_its_length():
    hiss = np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE).astype(np.float32)
    heard = [gap.drawn_device(hiss, SAMPLE_RATE, np.random.default_rng(k)) for k in (1, 1, 2)]
    assert all(one.shape == hiss.shape and one.dtype == hiss.dtype for one in heard)
    np.testing.assert_array_equal(heard[0], heard[1])
    bins = [np.abs(np.fft.rfft(one))[:22_050] for one in (hiss, *heard[1:])]
    spectra = [one.reshape(-1, 150).mean(1) for one in bins]  # of 150 Hz each
    changes = [20 * np.log10(one / spectra[0]) for one in spectra[1:]]
    assert all(np.ptp(change[2:35]) > 3 for change in changes)  # decibels, up to 5 kHz
    assert np.abs(changes[0] - changes[1]).max() > 3


def test_a_soup_is_the_mean_of_weights_that_go_on_from_one_run(tiny_store):
    run = gap.run_of(sitting(), (), 0, 2, None)
    made = gap.souped(run)
    members = made.network.members
    assert len(members) == gap.SOUP and {member.start for member in members} == {run}
    assert len({member.seed for member in members}) == gap.SOUP
    states = [member.net().state_dict() for member in members]
    mixed = made.net().state_dict()
    for name, value in mixed.items():
        if value.is_floating_point():
            mean = torch.stack([state[name] for state in states]).mean(0)
            torch.testing.assert_close(value, mean)
    assert not torch.equal(states[0]["conv1.weight"], states[1]["conv1.weight"])
    own = [member.seconds() - run.seconds() for member in members]
    assert made.seconds() == pytest.approx(run.seconds() + sum(own))  # the first part once


# ---- rows ----------------------------------------------------------------------------------------


def test_every_arm_is_there_once_for_each_seed(folder):
    rows = Record(folder / "gap.json").rows
    assert [(row["arm"], row["seed"]) for row in rows] == [(a, s) for s in (0, 1) for a in FEW]
    before = (folder / "gap.json").read_text()
    study(folder, "--seeds", "0", "1", "--only", *FEW)
    assert (folder / "gap.json").read_text() == before


def test_a_row_has_the_validation_scores_of_its_network(folder):
    row = Record(folder / "gap.json").rows[3]
    assert (row["arm"], row["seed"]) == ("bandwidth", 0)
    run = gap.run_of(sitting(), ("bandwidth",), 0, 2, None)
    clips = run.data.clips("validation")
    logits = predict(run.net(), clips.x)
    assert row["validation"] == pytest.approx(macro_accuracy(logits, clips.labels), abs=1e-4)
    assert row["temperature"] == pytest.approx(best_temperature(logits, clips.labels), abs=1e-3)
    said = torch.from_numpy(renderings.said_of_tests(run, {"own": run.data})).float()
    table = Experiment(TINY).table("test")
    for name, divided in (("log_loss", 1.0), ("tempered_log_loss", row["temperature"])):
        found = score(probabilities(said / divided), table).overall.log_loss
        assert row[name] == pytest.approx(found, abs=1e-3)


def test_a_teacher_and_what_is_recommended_are_rows_as_well(folder):
    study(folder, "--seeds", "0", "--only", "teacher", "all_but_teacher")
    record = Record(folder / "gap.json")
    rows = {row["arm"]: row for row in record.rows if row["seed"] == 0}
    assert rows["teacher"]["candidate"] == "control" and rows["none"]["candidate"] == NOBODY
    record.settings["recommended"] = {"factors": ["roll"]}
    gap.compare(sitting(), record, ["recommended"], 2, [0])
    found = Record(folder / "gap.json").rows[-1]
    assert (found["arm"], found["factors"]) == ("recommended", ["roll"])
    assert found["seconds"] > 0


def test_the_differences_are_of_unseen_devices_and_of_all(folder):
    record = Record(folder / "gap.json")
    found = gap.decide(record, 2, "control")
    alone = {"roll", "responses", "bandwidth", "soup", *gap.MULTIPLIED}
    pairs = {(name, "none") for name in alone} | {gap.MULTIPLIED}
    assert {(row["system"], row["base"]) for row in found} == pairs
    unseen = record.table["device"].isin(["s4", "s5", "s6"]).to_numpy()
    one, base = (record.system(name, 2, "control") for name in ("roll", "none"))
    parts = [System(s.name, s.values[:, unseen], s.seeds, s.teachers) for s in (one, base)]
    expected = difference(*parts, Clips.of(record.table[unseen]))
    (row,) = [r for r in found if r["system"] == "roll" and r["heard"] == "unseen"]
    assert row["difference"] == pytest.approx(expected.estimate, abs=1e-5)
    assert not any(one["primary"] for one in found)  # neither of its arms is there
    assert ", 2 epochs, unseen: " in sentence(row)


def test_what_validation_prefers_is_recommended(tmp_path, folder):
    record = Record(folder / "gap.json")
    with pytest.raises(ValueError, match="lacks all, all_but_mixstyle"):
        gap.recommended(record, 2, "control")
    scores = {name: 0.5 for name in gap.ARMS if name.startswith("all")} | {"all_but_mixup": 0.6}

    def add(name, seed, mean, candidate="control"):
        key = key_of(name, candidate, gap.TEACHER, seed, 2)
        record.rows.append(key | {"validation": mean, "invented": mean, "accuracy": 1 - mean})

    for name, mean in scores.items():
        add(name, 0, mean)
        add(name, 0, 1 - mean, candidate="mean")  # another's students, who prefer otherwise
    add("all", 1, 0.9)  # a seed that no other arm has
    found = gap.recommended(record, 2, "control")
    assert found["arm"] == "all_but_mixup" and "mixup" not in found["factors"]
    assert found["seeds"] == [0] and found["validation"]["all"] == 0.5
    assert json.loads(json.dumps(found)) == found


def test_the_plan_counts_what_is_longer():
    def hours(*names):
        last = gap.plan(sitting(), names, 24, (0, 1), speed=0.05)[-1]
        return float(last.split(" core-hours")[0].split()[-1])

    recommended = hours()  # is always counted
    one = hours("none") - recommended
    soup = 24 + gap.SOUP * (24 // gap.PART)
    assert recommended == pytest.approx(one * 2 * soup / 24, rel=0.01)
    assert hours("longer") - recommended == pytest.approx(2 * one, rel=0.01)
    assert hours("soup") - recommended == pytest.approx(one * soup / 24, rel=0.01)
    assert hours("published") - recommended == pytest.approx(one, rel=0.01)


def test_as_many_epochs_are_trained_as_the_plan_counts():
    base = gap.made_of(sitting(), "none", 0, 24, ())
    published = gap.made_of(sitting(), "published", 0, 24, ())
    assert epochs(base) == epochs(published) == 24
    assert epochs(gap.made_of(sitting(), "longer", 0, 24, ())) == 48


def epochs(run):
    return run.plan.epochs + (epochs(run.start) if run.start else 0)
