"""The study of few labels compares what it says it does, loses no run, and keeps to its budgets."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from asclib.augmentation import FreqMixStyle
from asclib.distillation import TECHNIQUES
from asclib.evaluation import score
from asclib.networks import TMSIC, ResNet18
from asclib.pretraining import METHODS
from asclib.runs import Experiment
from asclib.training import predict, probabilities
from studies import effort
from studies.__main__ import main
from studies.label_arms import (
    ARMS,
    BUDGETS,
    GROUPS,
    RESNETS,
    Design,
    core_hours,
    epochs_of,
    passes,
    whole,
)
from studies.labels import PAIRS, chosen, decide, plan, speeds_of
from studies.ready import MEMBERS
from studies.record import NOBODY, Record
from studies.sitting import Sitting
from tests.data import TINY

FEW = 50  # per cent: the tiny corpus has nobody to validate on with less
ASKED = ("supervised", "pretrained", "distilled", "both")
AUTHORS = GROUPS["authors"]


def labels(where, *options):
    shared = ("--recipe", "none", "--clips-per-second", "500", "250", "--renderings")
    made = ("--epochs", "1", "--pretraining", "1", "--output", str(where / "labels.json"))
    main(["labels", *made, *options, *shared], TINY)


def a_run(arm, budget=5, seed=0, **design):
    given = {"method": "vicreg", "epochs": 24, "pretraining": 48} | design
    return Design(arm, budget, **given).run(Experiment("study", seed=seed))


@pytest.fixture(scope="module")
def folder(tiny_store, tmp_path_factory):
    """The curves at one budget, seed 0 and in a later run seed 1; one more at all labels."""
    where = tmp_path_factory.mktemp("labels")
    for seed in "01":
        labels(where, "--method", "vicreg", "--budgets", str(FEW), "--seeds", seed)
    labels(where, "--method", "vicreg", "--budgets", "100", "--arms", "supervised", "--seeds", "0")
    return where


# ---- arms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", BUDGETS)
def test_all_arms_of_a_budget_learn_from_the_same_labels_equally_long(budget):
    runs = {arm: a_run(arm, budget, batch=(FreqMixStyle(),)) for arm in ARMS if arm != "longer"}
    assert len({run.plan for run in runs.values()}) == 1
    assert len({run.data for run in runs.values()}) == 1
    run = runs["supervised"]
    assert run.data.subset == budget and run.plan.monitor == "last"
    assert (run.lesson, run.start, run.plan.batch) == (None, None, (FreqMixStyle(),))
    assert run.plan.epochs == epochs_of(24, budget) == round(24 * math.sqrt(100 / budget))


def test_pretrained_is_supervised_from_another_start():
    run, alone = a_run("pretrained"), a_run("supervised")
    body = run.start
    assert (run.network, run.data, run.plan, run.seed, run.lesson) == (
        alone.network,
        alone.data,
        alone.plan,
        alone.seed,
        alone.lesson,
    )
    assert body.lesson is METHODS["vicreg"] and body.data.subset is None
    assert (body.plan.epochs, body.plan.batch) == (48, ())
    assert {a_run("pretrained", budget).start for budget in BUDGETS} == {body}


def test_a_teacher_knows_the_labels_of_its_student_and_no_other():
    for budget in (5, 25):
        taught, both = a_run("distilled", budget, seed=2), a_run("both", budget, seed=2)
        assert taught.lesson == both.lesson and taught.start is None
        assert both.start == a_run("pretrained", budget, seed=2).start
        members = taught.lesson.teacher.needs()
        assert len({run.seed for run in members}) == MEMBERS
        assert {run.data for run in members} == {taught.data}
        assert all(run.start is None and run.lesson is None for run in members)
        assert taught.lesson.stages == TECHNIQUES["response"]
    students = {a_run("supervised", seed=seed).seed for seed in range(100)}
    teachers = [a_run("distilled", seed=seed).lesson.teacher for seed in range(3)]
    seeds = [run.seed for one in teachers for run in one.needs()]
    assert len(set(seeds)) == len(seeds) and not students & set(seeds)


def test_the_control_of_compute_is_shown_as_many_clips():
    pretrained, longer = a_run("pretrained"), a_run("longer")
    assert longer.data == pretrained.data and longer.start is None
    spent = [sum(passes(run, 6_000) for run in whole([one])) for one in (pretrained, longer)]
    assert spent[0] == pytest.approx(spent[1], rel=1e-3)


def test_the_arm_that_keeps_to_the_rules_hears_its_own_clips_alone():
    own, body = a_run("own").start, a_run("pretrained").start
    assert own.data.subset == 5 and own.lesson == body.lesson
    assert passes(own, 6_000) == passes(body, 6_000)


def test_each_loss_is_an_arm():
    for method in METHODS:
        assert a_run(method).start.lesson is METHODS[method]
    assert a_run("vicreg") == a_run("pretrained") != a_run("simclr")


def test_the_authors_network_differs_from_the_student_in_nothing_but_itself():
    for budget in (5, 100):
        for arm, same in (("resnet", "supervised"), ("resnet_pretrained", "pretrained")):
            run, tmsic = a_run(arm, budget, seed=1), a_run(same, budget, seed=1)
            assert run.network is ResNet18 and run != tmsic
            if run.start is not None:
                assert run.start == replace(tmsic.start, network=ResNet18)
                run = replace(run, start=tmsic.start)
            assert replace(run, network=TMSIC) == tmsic
    assert a_run("resnet").start is None and a_run("resnet_pretrained").start is not None
    assert {arm for arm in ARMS if a_run(arm).network is ResNet18} == RESNETS


@pytest.mark.parametrize("teacher", ["resnet", "resnet_pretrained"])
def test_a_resnet_that_teaches_is_the_run_that_is_scored(teacher):
    taught = a_run(f"by_{teacher}", 25, seed=3)
    assert taught.lesson.teacher == a_run(teacher, 25, seed=3)
    assert taught.lesson.stages == TECHNIQUES["response"]
    assert replace(taught, lesson=None) == a_run("supervised", 25, seed=3)
    settings = {
        arm: Design(arm, 25, "vicreg", 24, 48).settings() for arm in (teacher, f"by_{teacher}")
    }
    assert settings[teacher] == settings[f"by_{teacher}"]  # of another loss it is another student


# ---- rows ----------------------------------------------------------------------------------------


def test_every_run_is_there_once_with_its_labels(folder):
    rows = Record(folder / "labels.json").rows
    expected = [(f"{arm}-{FEW}", seed) for seed in (0, 1) for arm in ASKED]
    assert [(row["arm"], row["seed"]) for row in rows] == [*expected, ("supervised-100", 0)]
    clips = {budget: len(Experiment(TINY, subset=budget).table("fit")) for budget in (FEW, 100)}
    for row in rows:
        taught = row["arm"].startswith(("distilled", "both"))
        assert (row["candidate"] != NOBODY) == taught == (row["taught_by"] is not None)
        assert row["labelled_clips"] == clips[row["budget"]]
        started = row["arm"].startswith(("pretrained", "both"))
        assert row["method"] == ("vicreg" if started else None)
        assert len(row["epochs_of_phases"]) == 1 + started


def test_a_row_has_the_scores_of_its_network(folder):
    experiment = Experiment(TINY)
    for row in Record(folder / "labels.json").rows[:4]:
        arm = row["arm"].rpartition("-")[0]
        run = Design(arm, FEW, "vicreg", 1, 1).run(experiment)
        logits = predict(run.net(), experiment.clips("test").x).half().float()
        found = score(probabilities(logits), experiment.table("test")).overall
        assert row["accuracy"] == pytest.approx(found.accuracy, abs=1e-5)
        last = run.history().iloc[-1]
        assert row["validation_loss"] == pytest.approx(last["validation_loss"], abs=1e-5)


def test_the_authors_route_is_run_and_decided_when_it_is_named(folder, tmp_path, capsys):
    """In a file of its own; the store has the runs that it shares with the curves."""
    labels(
        tmp_path,
        *("--method", "vicreg", "--budgets", str(FEW), "--seeds", "0"),
        *("--arms", "authors", "supervised"),
    )
    assert "5 trainings, about" in capsys.readouterr().out
    record = Record(tmp_path / "labels.json")
    rows = {row["arm"].rpartition("-")[0]: row for row in record.rows}
    assert [*rows] == [*AUTHORS, "supervised"]
    for arm in AUTHORS:
        taught_by = arm.removeprefix("by_")
        assert rows[arm]["candidate"] == (NOBODY if taught_by == arm else taught_by)
        assert rows[arm]["method"] == ("vicreg" if "pretrained" in arm else None)
        assert len(rows[arm]["epochs_of_phases"]) == 1 + (arm == "resnet_pretrained")
        net = Design(arm, FEW, "vicreg", 1, 1).run(Experiment(TINY)).net()
        assert type(net) is (ResNet18 if arm in RESNETS else TMSIC)
        clips = Experiment(TINY).clips("test")
        logits = predict(net, clips.x).half().float()
        found = score(probabilities(logits), Experiment(TINY).table("test")).overall
        assert rows[arm]["accuracy"] == pytest.approx(found.accuracy, abs=1e-5)
    found = decide(record, 1)
    pairs = [pair for pair in PAIRS if {*pair} <= {*rows}]
    assert len(pairs) == 5
    names = [(f"{one}-{FEW}", f"{other}-{FEW}") for one, other in pairs]
    assert [(row["system"], row["base"]) for row in found["pairs"][::2]] == names
    for row in found["pairs"][::2]:
        one, other = (rows[row[name].rpartition("-")[0]]["accuracy"] for name in ("system", "base"))
        assert row["difference"] == pytest.approx(one - other, abs=2e-5)
    assert [row["arm"] for row in found["curves"]] == [*rows]


def test_what_is_there_stays_and_other_settings_are_refused(folder):
    before = (folder / "labels.json").read_bytes()
    same = ("--budgets", str(FEW), "--seeds", "0", "1")
    labels(folder, "--method", "vicreg", *same)
    assert (folder / "labels.json").read_bytes() == before
    with pytest.raises(ValueError, match="has other method"):
        labels(folder, "--method", "simclr", *same)
    with pytest.raises(ValueError, match="for --tune alone"):
        labels(folder, "--method", "vicreg", "--seeds", "100")


# ---- decisions -----------------------------------------------------------------------------------


def test_differences_are_of_the_pairs_that_are_there(folder, capsys):
    found = decide(Record(folder / "labels.json"), 1)
    pairs = [pair for pair in PAIRS if {*pair} <= {*ASKED}]
    names = [(f"{one}-{FEW}", f"{other}-{FEW}") for one, other in pairs]
    assert [(row["system"], row["base"]) for row in found["pairs"][::2]] == names
    assert found["primary"] is None and found["losses"] == []  # nothing was run at 5 %
    accuracy = {row["arm"]: [] for row in Record(folder / "labels.json").rows}
    for row in Record(folder / "labels.json").rows:
        accuracy[row["arm"]].append(row["accuracy"])
    for row in found["pairs"][::2]:
        gain = np.mean(accuracy[row["system"]]) - np.mean(accuracy[row["base"]])
        assert row["difference"] == pytest.approx(gain, abs=2e-5)
        assert row["low"] <= row["difference"] <= row["high"]
    for row in found["curves"]:
        mean = np.mean(accuracy[f"{row['arm']}-{row['budget']}"])
        assert row["accuracy"] == pytest.approx(mean, abs=2e-5)
    labels(folder, "--decide")
    assert f"pretrained-{FEW} - supervised-{FEW}, 1 epochs" in capsys.readouterr().out


def test_pre_training_pays_where_its_interval_lies_above_zero(folder, monkeypatch):
    record = Record(folder / "labels.json")
    assert decide(record, 1)["pays"] in ([], [FEW])
    system = record.system

    def certain(arm, *others):
        """Pre-trained always right, all others always wrong; log losses as they are."""
        found = system(arm, *others)
        if "log_loss" not in others:
            found.values[:] = arm.startswith("pretrained")
            found.values[:, ::7] = 0.0
        return found

    monkeypatch.setattr(record, "system", certain)
    assert decide(record, 1)["pays"] == [FEW]


# ---- before it -----------------------------------------------------------------------------------


def test_the_loss_with_the_best_mean_is_chosen(tmp_path):
    path = tmp_path / "tuning.json"
    with pytest.raises(FileNotFoundError, match="labels --tune first, or name a --method"):
        chosen(path)
    scores = {"barlow_twins": (0.6, 0.2), "vicreg": (0.5, 0.4), "simsiam": (0.4, 0.4)}
    scores["simclr"] = (0.1, 0.7)
    rows = [
        {"method": method, "seed": seed, "accuracy": one}
        for method, each in scores.items()
        for seed, one in enumerate(each)
    ]
    path.write_text(json.dumps({"runs": rows}))
    assert chosen(path) == "vicreg"


def test_the_loss_is_tried_with_one_design(tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "tuning.json").write_text(json.dumps({"budget": 10, "runs": []}))
    with pytest.raises(ValueError, match="other settings .*budget.*move it away"):
        labels(tmp_path, "--tune")


def test_power_and_cost_come_first(tiny_store, capsys):
    speeds = {TMSIC: 500, ResNet18: 250}
    lines = plan(Sitting(TINY, None, (), "mean"), range(2), (24, 48), speeds)
    cost = {name: next(line for line in lines if f"  {name}:" in line) for name in GROUPS}
    # of two seeds: students and MEMBERS teachers at each budget, three more arms; one body a seed
    assert f": {2 * (5 * (4 + MEMBERS) + 1)} trainings" in cost["curves"]
    assert ": 6 trainings" in cost["controls"]
    assert f": {2 * (5 * 4 + 1)} trainings" in cost["authors"]  # four arms, one body
    assert "in all, at 500 (TMSIC) and 250 (ResNet18) clips a second" in lines[-1]


def test_a_network_is_counted_at_its_own_speed():
    speeds = {TMSIC: 500, ResNet18: 100}
    for arm, same in (("resnet", "supervised"), ("resnet_pretrained", "pretrained")):
        resnet, tmsic = whole([a_run(arm)]), whole([a_run(same)])
        hours = core_hours(tmsic, 6_000, speeds)
        assert hours == pytest.approx(sum(passes(run, 6_000) for run in tmsic) / 500 / 3600)
        assert core_hours(resnet, 6_000, speeds) == pytest.approx(5 * hours)
        taught = whole([a_run(f"by_{arm}")])  # its teacher, and a student of labels for as long
        student = core_hours(whole([a_run("supervised")]), 6_000, speeds)
        assert core_hours(taught, 6_000, speeds) == pytest.approx(5 * hours + student)


def test_a_speed_that_is_not_given_is_timed_where_it_is_needed(monkeypatch):
    timed = []
    monkeypatch.setattr(effort, "clips_per_second", lambda network: timed.append(network) or 7.0)
    assert speeds_of(["supervised"], []) == {TMSIC: 7.0}
    assert speeds_of(["both", "by_resnet"], [500.0]) == {TMSIC: 500.0, ResNet18: 7.0}
    assert speeds_of(["resnet"], [500.0, 250.0]) == {TMSIC: 500.0, ResNet18: 250.0}
    assert timed == [TMSIC, ResNet18]
