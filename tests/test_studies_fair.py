"""The decisive comparison is as fair as its design says, loses no run, and decides by one rule."""

import json

import pandas as pd
import pytest
import torch

from asclib.augmentation import TimeRoll
from asclib.distillation import TECHNIQUES
from asclib.evaluation.systems import locations
from asclib.runs import Experiment
from asclib.training import predict
from studies import renderings, verdicts
from studies.__main__ import main
from studies.arms import (
    ARMS,
    DECIDING,
    EQUAL,
    STRIDE,
    TRIALS,
    TUNED_ON,
    Design,
    Labels,
    settings_of,
    trials,
)
from studies.candidates import CANDIDATES
from studies.effort import half_width, noise, seeds_for, smallest
from studies.fair import GROUPS, PLANNED, confirm, plan
from studies.record import ARRAYS, KEY, NOBODY, Record
from studies.sitting import Sitting
from studies.tuning import best
from tests.data import TINY

SHARED = ("--candidate", "control", "--recipe", "none", "--renderings", "1")


def fair(where, *options, shared=SHARED):
    common = ("--clips-per-second", "500", "--output", str(where / "fair.json"))
    main(["fair", *common, *shared, *options], TINY)


def sitting(further=(1,)):
    return Sitting(TINY, None, (), "control", further=further)


@pytest.fixture(scope="module")
def folder(tiny_store, tmp_path_factory):
    """The deciding arms with two teachers, two epochs in all: seed 0, and seed 1 in a later run."""
    where = tmp_path_factory.mktemp("fair")
    for seed in "01":
        options = ("--teachers", "0", "1", "--seeds", seed, "--epochs", "2")
        fair(where, "--untuned", *options)
    return where


def phases(run):
    return [*(phases(run.start) if run.start else ()), run]


def a_run(arm, epochs=24, seed=0, number=0, **design):
    experiment = Experiment("study", seed=seed)
    return Design(arm, epochs, **design).run(experiment, number, experiment.control)


UNASKED = sorted(set(ARMS) - {"class_means", "permuted"})  # no teacher is trained for these


# ---- arms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("epochs", [24, 48])
@pytest.mark.parametrize("arm", UNASKED)
def test_all_arms_have_the_same_epochs_and_augmentation(arm, epochs):
    runs = phases(a_run(arm, epochs, batch=(TimeRoll(1),)))
    assert len(runs) == len(ARMS[arm]) <= 2
    assert sum(run.plan.epochs for run in runs) == epochs
    assert {run.plan.batch for run in runs} == {(TimeRoll(1),)}
    assert len({run.plan.epochs for run in runs}) == 1
    for run in runs:  # a stage would multiply them
        assert run.lesson is None or [stage.epochs for stage in run.lesson.stages] == [1.0]


def test_the_arms_that_decide_differ_in_their_first_phase_alone():
    rrs, twice, labels_first = (
        phases(a_run(arm)) for arm in ("rrs", "response_response", "labels_response")
    )
    assert rrs[0].lesson.stages == TECHNIQUES["relational"]
    assert twice[0].lesson.stages == TECHNIQUES["response"]
    assert labels_first[0] == a_run("labels", epochs=12)
    lessons = [runs[1].lesson for runs in (rrs, twice, labels_first)]
    assert lessons[0].stages == lessons[1].stages == lessons[2].stages
    assert rrs[1].start == rrs[0] and labels_first[1].start == labels_first[0]


def test_every_technique_of_the_book_is_in_the_study_once():
    assert {"rrs", "response_twice", "rrs_reversed", "response_long"} & set(ARMS) == {"rrs"}
    shown = [ARMS[arm] for arm in ARMS if arm not in ("class_means", "permuted")]
    assert all(shown.count(one) == 1 for one in shown)
    longer = {"response_long"}  # as long as all others: it is `response`
    assert all(stages in shown for name, stages in TECHNIQUES.items() if name not in longer)


def test_each_arm_has_as_many_trials_each_another():
    for arm in ARMS:
        made = [json.dumps(Design(arm, 24, tuple(t.items())).settings()) for t in trials(arm)]
        assert len(set(made)) == TRIALS, arm


def test_a_trial_is_in_what_is_trained():
    trial = (("temperature", 4.0), ("factor", 0.25), ("second_rate", 0.5))
    first, second = phases(a_run("rrs", trial=trial))
    (relational,), (usual,) = first.lesson.stages, TECHNIQUES["relational"]
    assert (relational.weight, relational.hard) == (usual.weight / 4, usual.hard)
    assert second.lesson.stages[0].arguments == {"temperature": 4.0}
    assert second.plan.learning_rate == first.plan.learning_rate / 2
    (smoothed,) = phases(a_run("labels", trial=(("smoothing", 0.2),)))
    assert smoothed.plan.label_smoothing == 0.2
    critic = Design("contrastive", 24, (("temperature", 4.0),)).phases[0]
    assert critic == TECHNIQUES["contrastive"][0]


def test_an_arm_may_borrow_settings_so_that_its_phases_alone_differ():
    found = {"response_response": {"temperature": 2.0, "factor": 1.0, "second_rate": 1.0}}
    trial = settings_of("response_alone", found)
    assert trial == {"temperature": 2.0, "factor": 1.0}
    assert settings_of("response_response", found) == found["response_response"]
    alone, twice = (
        phases(a_run(arm, trial=tuple(settings_of(arm, found).items())))
        for arm in ("response_alone", "response_response")
    )
    assert [run.plan.epochs for run in alone] == [24]
    assert [run.plan.epochs for run in twice] == [12, 12]
    assert alone[-1].lesson.stages == twice[-1].lesson.stages


def test_a_given_second_rate_goes_before_the_tuned_one():
    runs = phases(a_run("rrs", trial=(("second_rate", 0.5),), second_rate=0.1))
    assert runs[1].plan.learning_rate == pytest.approx(0.1 * runs[0].plan.learning_rate)
    assert Design("labels", 24, second_rate=0.1).rates == (1.0,)


def test_runs_that_nobody_teaches_are_their_own_beside_each_teacher():
    assert a_run("labels", seed=3, number=2).seed == 3 + 2 * STRIDE
    assert a_run("rrs", seed=3, number=2).seed == 3
    used = {Design("labels", 24).seed(s, t) for s in range(5) for t in range(4)}
    assert len(used) == 20 and not used & set(range(TUNED_ON, TUNED_ON + 10))


def test_one_epoch_for_each_phase_is_the_least():
    with pytest.raises(ValueError, match="rrs: 1 epochs for 2 phases"):
        a_run("rrs", epochs=1)


# ---- rows ----------------------------------------------------------------------------------------


def test_every_run_is_there_once_with_all_that_tells_how_it_was_made(folder):
    rows = Record(folder / "fair.json").rows
    keys = [tuple(row[name] for name in KEY) for row in rows]
    wanted = {
        (arm, NOBODY if arm == "labels" else "control", teacher, seed, 2, None)
        for arm in DECIDING
        for teacher in (0, 1)
        for seed in (0, 1)
    }
    assert len(keys) == len(wanted) == 16 and set(keys) == wanted
    for row in rows:
        assert sum(row["epochs_of_phases"]) == 2
        assert len(row["learning_rates"]) == len(row["phases"]) == len(ARMS[row["arm"]])
        assert row["corpus"].startswith("embedded") and row["seconds"] > 0
        assert set(row["devices"]) == {"a", "b", "c", *(f"s{k}" for k in range(1, 7))}
        assert list(row["renderings"]) == ["own", "seed 1"]
        assert (row["taught_by"] is None) == (row["arm"] == "labels")
    assert len({row["taught_by"] for row in rows}) == 3
    labels = [row["seed_of_training"] for row in rows if row["arm"] == "labels"]
    assert sorted(labels) == [0, 1, STRIDE, STRIDE + 1]


def test_what_was_kept_has_the_scores_that_were_measured(folder):
    record = Record(folder / "fair.json")
    for row in record.rows:
        for measure in ("accuracy", "log_loss"):
            system = record.system(row["arm"], 2, "control", measure)
            at = list(zip(system.seeds, system.teachers, strict=True))
            values = system.values[at.index((row["seed"], row["teacher"]))]
            scene = pd.Series(values).groupby(record.table["scene"].to_numpy()).mean()
            found = scene.mean() if measure == "accuracy" else values.mean()
            near = 1e-5 if measure == "accuracy" else 0.01  # of 360 clips
            assert found == pytest.approx(row[measure], abs=near)


def test_the_file_says_how_good_each_teacher_is(folder):
    record = Record(folder / "fair.json")
    said = record.settings["teachers"]["control"]
    assert set(said) == {"0", "1"} and said["0"] != said["1"]
    right = []
    for data in sitting().tests.values():
        clips = data.clips("test")
        right.append(predict(sitting().teacher(0).net(), clips.x).argmax(1) == clips.labels)
    scene = pd.Series(torch.cat(right).numpy()).groupby(record.table["scene"].to_numpy()).mean()
    assert said["0"]["accuracy"] == pytest.approx(scene.mean(), abs=1e-5)


def test_runs_that_are_there_are_kept_and_not_trained_again(folder, tiny_store):
    before = (folder / "fair.json").read_bytes()
    store = set(tiny_store.iterdir())
    fair(folder, "--untuned", "--teachers", "0", "1", "--seeds", "0", "1", "--epochs", "2")
    assert (folder / "fair.json").read_bytes() == before
    assert set(tiny_store.iterdir()) == store


@pytest.mark.parametrize(
    ("shared", "named"),
    [
        (("--candidate", "control", "--recipe", "mixup", "--renderings", "1"), "augmentation"),
        (("--candidate", "control", "--recipe", "none", "--renderings"), "test clips, tests|tests"),
    ],
)
def test_other_settings_are_refused_and_lose_nothing(folder, shared, named):
    before = (folder / "fair.json").read_bytes()
    with pytest.raises(ValueError, match=f"other settings.*({named}).*give another --output"):
        fair(folder, "--untuned", "--epochs", "2", "--seeds", "0", shared=shared)
    assert (folder / "fair.json").read_bytes() == before


def test_a_run_of_other_settings_does_not_pass_for_the_same(folder):
    record = Record(folder / "fair.json")
    row = record.rows[0]
    design = Design(row["arm"], 2)
    assert record.holds(row, design.settings())
    with pytest.raises(ValueError, match="has other phases: take its row out"):
        record.holds(row, design.settings() | {"phases": []})
    another = row | {"seed": 7}  # is not there, and would stand beside the others of its arm
    assert not record.holds(another, design.settings() | {"taught_by": "another teacher"})
    with pytest.raises(ValueError, match="the run of arm .*, seed 0.* has other trial"):
        record.holds(another, design.settings() | {"trial": {"smoothing": 0.4}})


def test_seeds_of_the_trials_are_not_used_again(folder):
    with pytest.raises(ValueError, match="for --tune alone"):
        fair(folder, "--untuned", "--seeds", str(TUNED_ON))
    with pytest.raises(ValueError, match="which no run has"):
        fair(folder, "--tune", "--seeds", "0")


def test_a_mean_has_no_embedding_to_compare(tmp_path):
    shared = ("--candidate", "mean", "--recipe", "none", "--renderings")
    with pytest.raises(ValueError, match="relational_embedding compares embedding"):
        fair(tmp_path, "--untuned", "--arms", "relational_embedding", shared=shared)


def test_the_controls_of_a_teachers_knowledge_are_arms(folder):
    fair(folder, "--untuned", "--arms", "class_means", "permuted", "--epochs", "1", "--seeds", "0")
    last = Record(folder / "fair.json").rows[-2:]
    assert [row["arm"] for row in last] == ["class_means", "permuted"]
    assert last[0]["log_loss"] != last[1]["log_loss"]


def test_a_folder_of_recordings_has_its_own_test_alone(folder, tmp_path):
    root = str(Experiment(TINY).corpus.root)
    shared = ("--candidate", "control", "--recipe", "none")
    fair(
        tmp_path,
        "--untuned",
        "--data-root",
        root,
        "--arms",
        "labels",
        "--epochs",
        "1",
        "--seeds",
        "0",
        shared=shared,
    )
    record = Record(tmp_path / "fair.json")
    assert set(record.table["rendering"]) == {"own"}
    assert record.rows[0]["corpus"].startswith("given ")


# ---- the test -----------------------------------------------------------------------------


def test_renderings_share_no_location_and_no_recording(tiny_store):
    tests = sitting().tests
    table = renderings.table(tests)
    own = [data.table("test") for data in tests.values()]
    assert len(table) == sum(len(one) for one in own)
    assert locations(table).nunique() == sum(locations(one).nunique() for one in own)
    assert table["recording"].nunique() == sum(one["recording"].nunique() for one in own)
    assert set(own[0]["recording"]) == set(own[1]["recording"])  # or there were nothing to tell
    with pytest.raises(ValueError, match="corpus seed 0 is that of the training clips"):
        renderings.rendering(Experiment(TINY), 0)


def test_another_rendering_sounds_otherwise(tiny_store):
    one, other = (data.clips("test").x for data in sitting().tests.values())
    assert one.shape == other.shape and (one - other).abs().mean() > 0.1


# ---- decisions -----------------------------------------------------------------------------------


def test_the_decision_is_written_beside_the_runs(folder, capsys):
    fair(folder, "--decide", "--epochs", "2")
    decision = json.loads((folder / "fair.json").read_text())["decision"]["control"]
    assert len(decision["pairs"]) == len(ARRAYS) * len(verdicts.PAIRS)
    assert "rrs - response_response, 2 epochs" in capsys.readouterr().out


def test_lengths_that_some_deciding_arm_lacks_are_not_decided(folder, capsys):
    fair(folder, "--untuned", "--arms", "labels", "--epochs", "4", "--seeds", "0")
    record = Record(folder / "fair.json")
    assert record.lengths(["labels"], "control") == [2, 4]
    assert record.lengths(list(DECIDING), "control") == [2]
    fair(folder, "--decide")
    assert ", 4 epochs" not in capsys.readouterr().out


def test_the_primary_result_is_confirmed_once(folder):
    with pytest.raises(ValueError, match="4 runs of rrs: run all 20 of them first"):
        confirm(sitting(), folder / "fair.json", 2)
    row = confirm(sitting(), folder / "fair.json", 2, least=4)
    assert (row["system"], row["base"]) == verdicts.PRIMARY and row["locations"] > 0
    with pytest.raises(ValueError, match="has been confirmed already"):
        confirm(sitting(), folder / "fair.json", 2, least=4)


# ---- before it -----------------------------------------------------------------------------------


def test_settings_are_chosen_on_validation_clips_and_used(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="--tune --arms labels first"):
        fair(tmp_path, "--arms", "labels", "--epochs", "2")
    fair(tmp_path, "--tune", "--arms", "labels", "--epochs", "2")
    found = json.loads((tmp_path / "fair" / "tuning.json").read_text())
    assert [row["trial"] for row in found["runs"]] == trials("labels")
    assert {row["seed"] for row in found["runs"]} == {TUNED_ON}
    fair(tmp_path, "--arms", "labels", "--epochs", "2", "--seeds", "0")
    (row,) = Record(tmp_path / "fair.json").rows
    assert row["trial"] == found["chosen"]["labels"]
    assert row["phases"] == [Labels(row["trial"]["smoothing"]).settings()]


def test_the_best_trial_is_that_of_the_best_mean():
    scores = ((0.0, 100, 0.5), (0.0, 101, 0.7), (0.1, 100, 0.65), (0.1, 101, 0.5))
    rows = [
        {"arm": "labels", "trial": {"smoothing": s}, "seed": seed, "score": score}
        for s, seed, score in scores
    ]
    assert best(rows) == {"labels": {"smoothing": 0.0}}


def test_power_and_cost_come_first(tiny_store):
    lines = plan(sitting((1, 2, 3, 4)), speed=500)
    assert "550 locations" in "".join(lines)
    deciding = next(line for line in lines if "deciding, 24" in line)
    assert "80 runs" in deciding
    assert {names for names, *_ in PLANNED} == set(GROUPS) and set(GROUPS["equal"]) == set(EQUAL)


def test_more_places_and_more_seeds_see_less():
    few, many = noise(110), noise(550)
    assert smallest(many, 5, 4) < smallest(few, 5, 4)
    assert half_width(many, 10, 4) < half_width(many, 5, 4)
    assert half_width(noise(10**9), 5, 4) == pytest.approx(2.179 * 0.02 * (2 / 20) ** 0.5, rel=1e-3)
    assert seeds_for(lambda n: half_width(few, n, 4) < 0.01) == "more places, not seeds"
    assert seeds_for(lambda n: n > 6) == "7 seeds"


def test_every_candidate_can_be_asked_for_as_a_teacher():
    for name in CANDIDATES:
        one = Sitting(TINY, None, (), name)
        assert one.teacher(1).store_key != one.teacher(2).store_key
