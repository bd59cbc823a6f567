"""Scoreboard and ensembles: labels, sizes and scores are those of the networks they name."""

from __future__ import annotations

import json

import numpy as np
import pytest

from asclib.compression import simulate
from asclib.evaluation import score
from asclib.networks import count_parameters
from asclib.runs import PROFILES, Experiment, Kept
from asclib.training import predict
from studies.__main__ import main
from studies.ensembles import ensembles, ordinary
from studies.scoreboard import known
from studies.teachers import TEACHERS, keep_teacher, members


@pytest.fixture(scope="module")
def results(tiny, tmp_path_factory):
    """Of one seed, whose teacher was kept before."""
    where = tmp_path_factory.mktemp("results")
    keep_teacher(tiny, where / "teachers")
    main(
        [
            "scoreboard",
            "--seeds",
            "0",
            "--techniques",
            "response",
            "rrs",
            "--teachers",
            str(where / "teachers"),
            "--output",
            str(where / "scoreboard.json"),
        ],
        tiny.profile,
    )
    kept = Kept(str(where / "teachers" / "tiny-0"))
    return Experiment(tiny.profile, taught_by=kept), json.loads(
        (where / "scoreboard.json").read_text()
    )


def test_every_system_is_there_with_settings_and_versions(results):
    _, found = results
    assert {row["system"] for row in found["runs"]} == {
        "student",
        "student_int8",
        "student_control",
        "teacher",
        "teacher_unfused",
        "response",
        "response_int8",
        "rrs",
        "rrs_int8",
    }
    assert found["profile"]["corpus"].items() >= {"train": 120, "test": 180, "seed": 0}.items()
    assert found["versions"]["torch"] and found["techniques"]["rrs"][0]["loss"] == "relational"
    student = next(row for row in found["runs"] if row["system"] == "student")
    pooled = found["pooled"]["student"][0]
    assert pooled["group"] == "overall"
    assert pooled["accuracy"] == pytest.approx(student["accuracy"], abs=1e-4)


def test_a_label_stands_for_its_network(results):
    experiment, found = results
    test, table = experiment.clips("test"), experiment.table("test")
    rows = {row["system"]: row for row in found["runs"]}
    net = experiment.taught("rrs").net()
    nets = {"rrs": net, "rrs_int8": simulate(net), "teacher": experiment.teacher().net()}
    for label, one in nets.items():
        expected = score(predict(one, test.x).double().softmax(1).numpy(), table).overall.accuracy
        assert rows[label]["accuracy"] == pytest.approx(expected)


def test_every_training_has_its_curve_and_the_members_of_a_kept_teacher_theirs(results):
    experiment, found = results
    curves = {row["network"]: row for row in found["curves"]}
    ten = members(experiment)
    assert all(isinstance(one, Kept) for one in ten.values()) and len(ten) == 10
    assert set(curves) == {"student", "student_control", *ten, "teacher", "response", "rrs"}
    for label, run in (("rrs", experiment.taught("rrs")), ("member_bus", ten["member_bus"])):
        expected = run.history()["validation_loss"].round(5)
        assert curves[label]["validation_loss"] == pytest.approx(expected.tolist())
        assert curves[label]["wall_seconds"] == run.seconds()


def test_each_int8_form_is_set_against_its_own_float_form(results):
    _, found = results
    pairs = {(row["system"], row["base"]) for row in found["differences"]}
    assert ("rrs_int8", "rrs") in pairs and ("rrs", "rrs") not in pairs
    assert ("response_int8", "rrs") not in pairs and ("teacher", "response") in pairs


def test_a_folder_of_recordings_is_not_taught_by_the_books_own_teachers():
    study = PROFILES["study"]
    own = Kept(str(TEACHERS / "study-0"))
    assert known(None, study, None, 0) == known(TEACHERS, study, "DIR", 0) == own
    assert known(None, study, "DIR", 0) is None and known(None, study, None, 99) is None


def test_ensembles_of_other_kinds_are_given_a_members_effort(tiny):
    found = ensembles([tiny])
    sizes, teacher = found["sizes"], count_parameters(tiny.teacher().net())
    assert sizes["fused"]["parameters"] == teacher
    assert sizes["single"]["parameters"] == pytest.approx(teacher, rel=0.01)
    assert sizes["ordinary"]["parameters"] == pytest.approx(teacher, rel=0.01)
    test, ten = tiny.clips("test"), ordinary(tiny)
    assert {run.plan.epochs for run in ten} == {tiny.profile.member.epochs}
    assert [run.seed for run in ten] == list(range(10))
    averaged = np.mean([predict(run.net(), test.x).softmax(1).numpy() for run in ten], axis=0)
    (row,) = (row for row in found["runs"] if row["system"] == "ordinary")
    expected = score(averaged, tiny.table("test")).overall
    assert row["accuracy"] == pytest.approx(expected.accuracy)
    assert row["log_loss"] == pytest.approx(expected.log_loss, rel=1e-5)
    bus = next(row for row in found["members"] if row["scene"] == "bus")
    assert bus["share"] == pytest.approx((test.labels == 1).double().mean().item())
