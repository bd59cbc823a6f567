"""The study of the gap: each factor changes what it names, and validation alone recommends."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from asclib.challenge import SAMPLE_RATE
from asclib.evaluation.statistics import difference
from asclib.evaluation.systems import Clips, System
from asclib.runs import Experiment
from asclib.training import macro_accuracy, predict
from studies import gap
from studies.__main__ import main
from studies.record import Record
from studies.sitting import Sitting
from tests.data import TINY

FEW = ("none", "roll", "responses", "bandwidth", "published", "soup")


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


def test_the_best_temperature_undoes_one_that_was_put_in():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20_000, 10, generator=generator)
    labels = torch.distributions.Categorical(logits=logits).sample()  # calibrated by design
    assert gap.best_temperature(logits, labels) == pytest.approx(1, abs=0.05)
    assert gap.best_temperature(3 * logits, labels) == pytest.approx(3, abs=0.15)


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
    assert row["tempered_log_loss"] > 0 and row["temperature"] > 0


def test_the_differences_are_of_unseen_devices_and_of_all(folder):
    record = Record(folder / "gap.json")
    found = gap.decide(record, 2, "control")
    assert {(row["system"], row["base"]) for row in found} == {
        (name, "none") for name in ("roll", "responses", "bandwidth", "soup")
    }
    unseen = record.table["device"].isin(["s4", "s5", "s6"]).to_numpy()
    one, base = (record.system(name, 2, "control") for name in ("roll", "none"))
    parts = [System(s.name, s.values[:, unseen], s.seeds, s.teachers) for s in (one, base)]
    expected = difference(*parts, Clips.of(record.table[unseen]))
    (row,) = [r for r in found if r["system"] == "roll" and r["heard"] == "unseen"]
    assert row["difference"] == pytest.approx(expected.estimate, abs=1e-5)


def test_what_validation_prefers_is_recommended(tmp_path, folder):
    record = Record(folder / "gap.json")
    with pytest.raises(ValueError, match="lacks all, all_but_mixstyle"):
        gap.recommended(record, 2)
    scores = {name: 0.5 for name in gap.ARMS if name.startswith("all")} | {"all_but_mixup": 0.6}
    record.rows += [
        {"arm": name, "epochs": 2, "validation": score, "invented": score, "accuracy": 1 - score}
        for name, score in scores.items()
    ]
    found = gap.recommended(record, 2)
    assert found["arm"] == "all_but_mixup" and "mixup" not in found["factors"]
    assert json.loads(json.dumps(found)) == found


def test_the_plan_counts_what_is_longer(capsys):
    study_of = ["gap", "--plan", "--clips-per-second", "500", "--candidate", "control"]
    main([*study_of, "--recipe", "none", "--seeds", "0", "--only", "none"], TINY)
    short = float(capsys.readouterr().out.split(" core-hours")[0].split()[-1])
    main([*study_of, "--recipe", "none", "--seeds", "0", "--only", "none", "longer"], TINY)
    assert float(capsys.readouterr().out.split(" core-hours")[0].split()[-1]) >= short
