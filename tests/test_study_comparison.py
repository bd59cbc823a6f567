"""The comparison shares epochs fairly, keeps what scores need, and adds runs without losing any."""

import json
from dataclasses import replace

import numpy as np
import pytest

from asclib import settings
from asclib.comparison import Results
from asclib.distillation import is_technique, stages_of
from asclib.evaluation import calibration, evaluate
from asclib.settings import CorpusSize, Profile, Training
from asclib.study import main
from asclib.study_comparison import SYSTEMS, System, student_of
from asclib.training import predict

PLAN = Training(epochs=2, batch_size=16, learning_rate=1e-3)
TINY = Profile("tiny", CorpusSize(120, 180), replace(PLAN, epochs=1),
               replace(PLAN, epochs=1, mixstyle=0.4), replace(PLAN, epochs=1), PLAN)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Results of a tiny study: two teachers, the weights of four systems, one seed of them."""
    where = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASCLIB_STORE", str(where / "store"))
        patch.setitem(settings.PROFILES, "tiny", TINY)
        patch.setattr("asclib.study_comparison.CORE", ("student", "student_smoothed", "response"))
        patch.setattr("asclib.study_comparison.REST", ("rrs",))
        study(where, "teachers", "--seeds", "0", "1")
        study(where, "weights", "--seeds", "0", *teachers(where))
        compare(where, "0", "student", "student:2", "response", "rrs")
        yield where


def study(where, command, *options):
    main([command, "--profile", "tiny", "--output", str(where / f"{command}.json"), *options])


def teachers(where):
    return "--teachers", str(where / "teachers")


def compare(where, seed, *systems):
    options = ("--weights", str(where / "weights.json"), "--seeds", seed, "--systems", *systems)
    study(where, "comparison", *teachers(where), *options)


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: f"{system.name} x {system.times}")
def test_systems_of_one_and_of_two_stages_are_trained_for_the_same_epochs(system):
    experiment = student_of("study", None, 0, system, [])
    assert student_epochs(experiment, system.name) == 12 * system.times


def student_epochs(experiment, name):
    if not is_technique(name):
        return experiment.profile.student.epochs
    return sum(round(stage.epochs * experiment.profile.stage.epochs) for stage in stages_of(name))


def test_teachers_that_were_kept_take_turns(folder):
    kept = sorted((folder / "teachers").iterdir())
    assert [path.name for path in kept] == ["tiny-0", "tiny-1"]
    one = student_of("study", None, 3, System("rrs"), kept)
    assert one.given_teacher == str(kept[1]) and one.seed == 3


def test_each_weight_is_searched_with_the_same_budget_on_validation_clips(folder):
    found = json.loads((folder / "weights.json").read_text())
    tried = [(row["system"], row["factor"]) for row in found["rows"]]
    names = ("student_smoothed", "response", "rrs")
    assert sorted(tried) == sorted((name, f) for name in names for f in (1 / 16, 0.25, 1.0, 4.0))
    for name in names:
        rows = [row for row in found["rows"] if row["system"] == name]
        best = max(row["validation_accuracy"] for row in rows)
        chosen = next(row for row in rows if row["factor"] == found["factors"][name])
        assert chosen["validation_accuracy"] == best


def test_runs_are_added_to_those_that_are_there(folder):
    before = Results(folder / "comparison.json")
    assert before.seeds("student") == before.seeds("student", 2) == [0]
    assert before.runs.set_index(["system", "times"])["epochs"].to_dict() == {
        ("student", 1): 1, ("student", 2): 2, ("response", 1): 2, ("rrs", 1): 2,
    }  # fmt: skip
    compare(folder, "1", "student", "response")
    after = Results(folder / "comparison.json")
    assert after.seeds("response") == [0, 1] and after.seeds("rrs") == [0]
    assert after.runs.set_index(["system", "seed"])["teacher"]["response"].tolist() == [0, 1]
    old, new = (one.probabilities("response", [0])[0] for one in (before, after))
    np.testing.assert_array_equal(old, new)
    with pytest.raises(ValueError, match="no run of rrs with 1 times the epochs and seed 1"):
        after.probabilities("rrs", [0, 1])


def test_what_was_kept_has_the_scores_that_were_measured(folder):
    results = Results(folder / "comparison.json")
    for run in results.runs.itertuples():
        (answer,) = results.probabilities(run.system, [run.seed], run.times)
        score = evaluate(answer, results.clips, resamples=1)
        assert score.overall.accuracy == pytest.approx(run.accuracy, abs=1e-9)
        assert score.overall.log_loss == pytest.approx(run.log_loss, abs=2e-3)
        assert score.unseen.accuracy == pytest.approx(run.unseen_accuracy, abs=1e-9)
        error = calibration(answer, results.truth).error
        assert error == pytest.approx(run.calibration_error, abs=1e-2)


def test_each_run_says_how_good_its_teacher_is(folder):
    runs = Results(folder / "comparison.json").runs.query("seed == 0")
    experiment = student_of("tiny", None, 0, System("rrs"), [folder / "teachers" / "tiny-0"])
    test = experiment.clips("test")
    right = predict(experiment.teacher(), test.x).argmax(1) == test.labels
    shares = [right[test.labels == label].float().mean() for label in test.labels.unique()]
    assert runs["teacher_accuracy"].tolist() == pytest.approx([float(np.mean(shares))] * len(runs))


def test_runs_of_other_settings_are_refused_and_lose_nothing(folder, monkeypatch):
    before = (folder / "comparison.json").read_bytes()
    longer = replace(TINY, stage=replace(PLAN, epochs=4))
    monkeypatch.setitem(settings.PROFILES, "tiny", longer)
    with pytest.raises(ValueError, match=r"other settings \(profile\).*give another --output"):
        compare(folder, "2", "student")
    assert (folder / "comparison.json").read_bytes() == before


def test_without_a_teacher_the_command_says_which_to_run_first(tmp_path):
    with pytest.raises(FileNotFoundError, match="run python -m asclib.study teachers first"):
        main(["weights", "--teachers", str(tmp_path), "--output", str(tmp_path / "weights.json")])


def test_without_weights_the_command_says_which_to_run_first(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="run python -m asclib.study weights first"):
        study(folder, "comparison", *teachers(folder), "--weights", str(tmp_path / "none.json"))


def test_the_budget_of_a_student_is_looked_for_on_validation_clips(folder, monkeypatch):
    monkeypatch.setattr("asclib.study_scoreboard.BUDGETS", (1, 2))
    study(folder, "budget", "--seeds", "0")
    rows = json.loads((folder / "budget.json").read_text())["runs"]
    assert {(row["epochs"], row["mixstyle"]) for row in rows} == {
        (1, 0.0), (1, 0.4), (2, 0.0), (2, 0.4),
    }  # fmt: skip
    (student,) = Results(folder / "comparison.json").runs.query(
        "system == 'student' and times == 2 and seed == 0"
    ).itertuples()
    plain = [row for row in rows if (row["epochs"], row["mixstyle"]) == (2, 0)]
    assert [row["validation_loss"] for row in plain] == [student.validation_loss]
