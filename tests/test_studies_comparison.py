"""The comparison shares epochs fairly, keeps what scores need, and adds runs without losing any."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asclib.augmentation import FreqMixStyle
from asclib.distillation import TECHNIQUES
from asclib.evaluation import Results, calibration, score
from asclib.runs import Experiment, Kept
from asclib.runs.experiment import SMOOTHING
from asclib.training import predict
from studies.__main__ import main
from studies.comparison import EVERYTHING
from studies.systems import SYSTEMS
from studies.teachers import given, in_turn
from tests.data import TINY

SHORT = replace(
    TINY,
    member=replace(TINY.member, batch=(FreqMixStyle(0.4),)),
    stage=replace(TINY.stage, epochs=2),
)


@pytest.fixture(scope="module")
def folder(tiny_store, tmp_path_factory):
    """Results of a tiny study: two teachers, the weights of four systems, one seed of them."""
    where = tmp_path_factory.mktemp("study")
    study(where, "teachers", "--seeds", "0", "1")
    named = ("--systems", "student_smoothed", "response", "rrs")
    study(where, "weights", "--seeds", "0", *named, *teachers(where))
    compare(where, "0", "student", "response", "rrs")
    compare(where, "0", "student", times=2)
    return where


def study(where, command, *options, profile=SHORT):
    main([command, "--output", str(where / f"{command}.json"), *options], profile)


def teachers(where):
    return "--teachers", str(where / "teachers")


def compare(where, seed, *systems, times=1, profile=SHORT):
    options = ("--weights", str(where / "weights.json"), "--seeds", seed, "--times", str(times))
    study(where, "comparison", *teachers(where), *options, "--systems", *systems, profile=profile)


def epochs(run) -> int:
    """Of a run and of those it goes on from, its stages' shares counted."""
    share = sum(stage.epochs for stage in run.lesson.stages) if run.lesson else 1
    return round(share * run.plan.epochs) + (epochs(run.start) if run.start else 0)


@pytest.mark.parametrize(
    ("system", "times"), EVERYTHING, ids=[f"{system.label} x {n}" for system, n in EVERYTHING]
)
def test_systems_of_one_and_of_two_stages_are_trained_for_the_same_epochs(system, times):
    assert epochs(system.run(Experiment("study"), 1.0, times)) == 12 * times


def test_a_factor_weighs_the_loss_and_leaves_the_labels_alone():
    experiment = Experiment("study")
    plain, stronger = (SYSTEMS["response"].run(experiment, factor, 1) for factor in (1, 4))
    assert plain == experiment.taught("response")
    (stage,), (usual,) = stronger.lesson.stages, TECHNIQUES["response"]
    assert (stage.weight, stage.hard) == (4 * usual.weight, usual.hard)
    assert SYSTEMS["rrs@4"].run(experiment, 1, 1) == SYSTEMS["rrs"].run(experiment, 4, 1)
    smoothed = SYSTEMS["student_smoothed"].run(experiment, 0.25, 1)
    assert smoothed.plan.label_smoothing == pytest.approx(SMOOTHING / 4)
    assisted = SYSTEMS["assisted"].run(experiment, 1, 1)
    assert assisted.lesson.teacher == experiment.assistant()


def test_teachers_that_were_kept_take_turns(folder):
    kept = given(folder / "teachers", SHORT, None)
    assert [Path(one.kept_in).name for one in kept] == ["tiny-0", "tiny-1"]
    assert in_turn(kept, 3) == kept[1] and in_turn([], 3) is None


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
        ("student", 1): 1,
        ("student", 2): 2,
        ("response", 1): 2,
        ("rrs", 1): 2,
    }
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
        found = score(answer, results.clips)
        assert found.overall.accuracy == pytest.approx(run.accuracy, abs=1e-9)
        assert found.overall.log_loss == pytest.approx(run.log_loss, abs=2e-3)
        assert found.unseen.accuracy == pytest.approx(run.unseen_accuracy, abs=1e-9)
        error = calibration(answer, results.truth).error
        assert error == pytest.approx(run.calibration_error, abs=1e-2)


def test_each_run_says_how_good_its_teacher_is(folder):
    runs = Results(folder / "comparison.json").runs.query("seed == 0")
    test, teacher = Experiment(SHORT).clips("test"), Kept(str(folder / "teachers" / "tiny-0"))
    right = predict(teacher.net(), test.x).argmax(1) == test.labels
    shares = [right[test.labels == label].float().mean() for label in test.labels.unique()]
    assert runs["teacher_accuracy"].tolist() == pytest.approx([float(np.mean(shares))] * len(runs))


def test_runs_of_other_settings_are_refused_and_lose_nothing(folder):
    before = (folder / "comparison.json").read_bytes()
    longer = replace(SHORT, stage=replace(SHORT.stage, epochs=4))
    with pytest.raises(ValueError, match=r"other settings \(profile\).*give another --output"):
        compare(folder, "2", "student", profile=longer)
    assert (folder / "comparison.json").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--systems", "rrs:2"], "invalid choice: 'rrs:2'"), (["--times", "0"], "a positive number")],
)
def test_options_are_checked_before_anything_is_looked_for(tmp_path, capsys, options, message):
    with pytest.raises(SystemExit):
        main(["comparison", "--teachers", str(tmp_path), *options])
    assert message in capsys.readouterr().err


def test_several_times_the_epochs_are_asked_of_named_systems(tmp_path):
    with pytest.raises(ValueError, match="name the systems as well"):
        study(tmp_path, "comparison", "--times", "2")


def test_without_a_teacher_the_command_says_which_to_run_first(tmp_path):
    with pytest.raises(FileNotFoundError, match="run python -m studies teachers first"):
        main(["weights", "--teachers", str(tmp_path), "--output", str(tmp_path / "weights.json")])


@pytest.mark.parametrize("command", ["weights", "comparison"])
def test_the_books_own_teachers_do_not_teach_a_folder_of_recordings(tmp_path, command):
    root = ("--data-root", str(tmp_path))
    with pytest.raises(ValueError, match=f"not from {tmp_path}.*name the folder with --teachers"):
        main([command, *root, "--output", str(tmp_path / "found.json")])
    with pytest.raises(FileNotFoundError, match=f"teachers --data-root {tmp_path} --output FOLDER"):
        main([command, *root, "--teachers", str(tmp_path), "--output", str(tmp_path / "f.json")])


def test_without_weights_the_command_says_which_to_run_first(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="run python -m studies weights first"):
        study(folder, "comparison", *teachers(folder), "--weights", str(tmp_path / "none.json"))


def test_the_budget_of_a_student_is_looked_for_on_validation_clips(folder):
    study(folder, "budget", "--seeds", "0", "--epochs", "1", "2")
    rows = json.loads((folder / "budget.json").read_text())["runs"]
    assert [(row["epochs"], row["batch"]) for row in rows] == [
        (2, []),
        (2, ["FreqMixStyle"]),
        (1, []),
        (1, ["FreqMixStyle"]),
    ]
    (student,) = (
        Results(folder / "comparison.json")
        .runs.query("system == 'student' and times == 2 and seed == 0")
        .itertuples()
    )
    assert rows[0]["validation_loss"] == student.validation_loss
