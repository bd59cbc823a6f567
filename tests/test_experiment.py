"""An experiment builds what is missing, finds it again, and keeps clips and labels together."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from distributed import Client, LocalCluster
from filelock import FileLock
from joblib.externals.loky import get_reusable_executor

from asclib import settings
from asclib.complexity import complexity
from asclib.distillation import TECHNIQUES, distill
from asclib.distillation.outputs import look
from asclib.evaluation import evaluate, paired
from asclib.experiment import ASSISTANT, MEMBERS, Experiment, build
from asclib.networks import TMSIC, count_parameters
from asclib.parallel import side_by_side
from asclib.settings import CorpusSize, Profile, Training
from asclib.store import root
from asclib.study import main
from asclib.study_comparison import keep_teacher
from asclib.study_ensembles import ensembles, ordinary
from asclib.teacher import unfused_logits
from asclib.training import predict, train
from tests.corpora import link_store

PLAN = Training(epochs=1, batch_size=16, learning_rate=1e-3)
TINY = Profile("tiny", CorpusSize(120, 180), PLAN, PLAN, PLAN, PLAN)


@pytest.fixture(scope="module")
def experiment(tiny_store):
    experiment = Experiment(TINY)
    experiment.build("student", *MEMBERS)
    experiment.build("teacher")
    experiment.build("response", "rrs")
    return experiment


@pytest.fixture
def untrained_store(tiny_clips, tmp_path, monkeypatch):
    """From here on, a store that holds the same clips and no network."""
    link_store(tiny_clips, tmp_path)
    monkeypatch.setenv("ASCLIB_STORE", str(tmp_path))


def test_rows_of_clips_and_table_are_the_same_clips(experiment):
    for split in ("fit", "validation", "test"):
        clips, table = experiment.clips(split), experiment.table(split)
        assert clips.identifiers.tolist() == table["identifier"].tolist()
        assert [settings.SCENES[k] for k in clips.labels] == table["scene"].tolist()
        assert clips.x.shape == (len(table), 1, 140, 8) and clips.x.dtype == torch.float32


def test_fit_and_validation_part_the_training_split(experiment):
    fit, validation = experiment.table("fit"), experiment.table("validation")
    both = sorted([*fit["identifier"], *validation["identifier"]])
    assert both == sorted(experiment.table("train")["identifier"])
    assert not set(fit["recording"]) & set(validation["recording"])


def test_what_is_built_is_not_built_again(experiment):
    before = sorted(path.name for path in root().iterdir())
    again = Experiment(TINY)
    again.build("student", *MEMBERS, "teacher", "response", "rrs")
    net = again.student()
    assert sorted(path.name for path in root().iterdir()) == before
    assert torch.equal(net.head.weight, experiment.student().head.weight)


def test_every_training_leaves_its_history_and_nothing_half_done(experiment):
    assert len(experiment.history("student")) == 1
    assert experiment.history("rrs")["stage"].tolist() == [0, 1]
    assert experiment.wall_seconds("teacher") > 0
    assert not list(root().rglob("checkpoint.pt")) and not list(root().glob("*.partial"))


def test_workers_and_the_calling_process_train_the_same_weights(experiment, request):
    built_by_a_worker = experiment.student()
    request.getfixturevalue("untrained_store")
    built_here = Experiment(TINY).student()
    for name, value in built_by_a_worker.state_dict().items():
        assert torch.equal(value, built_here.state_dict()[name]), name


def test_a_dask_cluster_of_processes_trains_the_same_weights(experiment, request):
    names = ("student", "member_bus", "member_tram")
    expected = [experiment.network(name) for name in names]
    request.getfixturevalue("untrained_store")
    one_each = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**one_each) as cluster, Client(cluster), joblib.parallel_config("dask"):
        again = Experiment(TINY)
        again.build(*names)
    for net, name in zip(expected, names, strict=True):
        assert again.run(name).found() is not None
        for key, value in again.network(name).state_dict().items():
            assert torch.equal(value, net.state_dict()[key]), (name, key)


def test_workers_that_are_kept_follow_the_caller_to_another_store(tmp_path, monkeypatch):
    def leave(number: int) -> None:
        (root() / f"made-{number}").touch()

    for name in ("one", "other"):
        monkeypatch.setenv("ASCLIB_STORE", str(tmp_path / name))
        side_by_side(leave, [(0,), (1,)], "files")
        assert {path.name for path in (tmp_path / name).iterdir()} == {"made-0", "made-1"}


def test_a_worker_whose_memory_has_grown_goes_on(tmp_path, monkeypatch):
    """Each new one would spend seconds on imports; loky by itself allows 0.3 GB."""
    monkeypatch.setenv("ASCLIB_STORE", str(tmp_path))

    def grow(number: int) -> None:
        os.held = [*getattr(os, "held", []), np.ones(44_000_000)]  # 0.35 GB
        time.sleep(1.1)  # loky looks once a second
        (root() / f"{os.getpid()}-{number}").touch()

    side_by_side(grow, [(number,) for number in range(6)], "growing", workers=2)
    get_reusable_executor().shutdown()
    assert len({path.name.split("-")[0] for path in tmp_path.iterdir()}) == 2


def test_clips_are_mapped_from_a_file_that_processes_share(experiment):
    x = experiment.clips("fit").x
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("this system does not list a process's mappings")
    lines = [line for line in maps.read_text().splitlines() if line.endswith("/x.npy")]
    ranges = [[int(end, 16) for end in line.split()[0].split("-")] for line in lines]
    assert any(low <= x.data_ptr() < high for low, high in ranges)


def test_the_answers_are_the_fused_teachers_on_the_fit_clips(experiment):
    answers, fit = experiment.answers(), experiment.clips("fit")
    expected = predict(experiment.teacher(), fit.x)
    torch.testing.assert_close(answers.joined(fit.identifiers), expected)


def test_the_teachers_maps_are_stored_clip_by_clip(experiment):
    fit, teacher = experiment.clips("fit"), experiment.teacher()
    answers = experiment.answers("conv4", "embedding")
    rows = [3, 40, 7]
    for output, shape in {"conv4": (160, 70, 2), "embedding": (2560,)}.items():
        stored = answers.joined(fit.identifiers[rows], output)
        assert stored.shape == (3, *shape) and stored.dtype == torch.float16
        with torch.no_grad():
            expected = look(teacher, fit.x[rows], output)[1]
        torch.testing.assert_close(stored.float(), expected, rtol=2e-3, atol=1e-3)


def test_an_assistant_stands_between_teacher_and_student(experiment):
    assert complexity(TMSIC(widths=ASSISTANT)).macs > 2 * complexity(TMSIC()).macs
    experiment.build("assisted")
    assistant, fit = experiment.assistant(), experiment.clips("fit")
    answers = experiment.answers(of="assistant")
    torch.testing.assert_close(answers.joined(fit.identifiers), predict(assistant, fit.x))
    torch.manual_seed(experiment.seed)
    by_hand, stages = TMSIC(), TECHNIQUES["assisted"]
    distill(by_hand, answers, fit, experiment.clips("validation"), stages, PLAN, seed=0)
    assert torch.equal(by_hand.head.weight, experiment.distilled("assisted").head.weight)


def test_ensembles_of_other_kinds_are_given_a_members_effort(experiment):
    results = ensembles([experiment])
    sizes, teacher = results["sizes"], count_parameters(experiment.teacher())
    assert sizes["fused"]["parameters"] == teacher
    assert sizes["single"]["parameters"] == pytest.approx(teacher, rel=0.01)
    assert sizes["ordinary"]["parameters"] == pytest.approx(teacher, rel=0.01)
    test, ten = experiment.clips("test"), ordinary(experiment)
    assert {one.profile.student.epochs for one in ten} == {experiment.profile.member.epochs}
    averaged = np.mean([predict(one.student(), test.x).softmax(1).numpy() for one in ten], axis=0)
    (row,) = (row for row in results["runs"] if row["system"] == "ordinary")
    score = evaluate(averaged, experiment.table("test"), resamples=1)
    assert row["accuracy"] == pytest.approx(score.overall.accuracy)
    assert row["log_loss"] == pytest.approx(score.overall.log_loss, rel=1e-5)
    bus = next(row for row in results["members"] if row["scene"] == "bus")
    assert bus["share"] == pytest.approx((test.labels == 1).double().mean().item())


def test_a_number_after_the_name_multiplies_the_weight_of_the_losses(experiment):
    experiment.build("response@1", "response@4", "student_smoothed", "student_smoothed@2")
    plain, same, stronger = (
        experiment.distilled(name).head.weight for name in ("response", "response@1", "response@4")
    )
    assert torch.equal(plain, same) and not torch.equal(plain, stronger)
    torch.manual_seed(experiment.seed)
    by_hand, smooth = TMSIC(), replace(PLAN, label_smoothing=0.2)
    train(by_hand, experiment.clips("fit"), experiment.clips("validation"), smooth, seed=0)
    assert torch.equal(by_hand.head.weight, experiment.network("student_smoothed@2").head.weight)


def test_a_teacher_can_be_given_with_its_members(experiment, tmp_path):
    folder = keep_teacher(experiment, tmp_path)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2_300_000
    other = Experiment(TINY, seed=5, teacher=folder)
    before = {path.name for path in root().iterdir()}
    other.build("response")
    made = [path.name for path in root().glob("run-*[!k]") if path.name not in before]
    assert made == [other.run("response").folder().name]
    x = experiment.clips("test").x[:20]
    for name in ("teacher", "member_tram"):
        ours, theirs = (predict(one.network(name), x) for one in (other, experiment))
        torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-2)
        assert len(other.history(name)) == len(experiment.history(name))
        assert other.wall_seconds(name) == experiment.wall_seconds(name)
    (folder / "members.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="lacks members.safetensors: give a folder that"):
        Experiment(TINY, seed=6, teacher=folder).build("response")


def test_techniques_on_maps_and_embeddings_train_networks_of_their_own(experiment):
    kinds = ("fitnets", "ofd", "similarity", "contrastive", "decoupled", "joint")
    experiment.build(*kinds)
    weights = {}
    for name in kinds:
        stages = TECHNIQUES[name]
        history = experiment.history(name)
        assert history["stage"].drop_duplicates().tolist() == list(range(len(stages))), name
        assert np.isfinite(history["loss"]).all(), name
        weights[name] = experiment.distilled(name).head.weight.detach().numpy().tobytes()
    assert len(set(weights.values())) == len(kinds)


def test_a_second_stage_goes_on_from_the_stored_first(experiment):
    torch.manual_seed(experiment.seed)
    net = TMSIC()
    fit, validation = experiment.clips("fit"), experiment.clips("validation")
    history = distill(net, experiment.answers(), fit, validation, TECHNIQUES["rrs"], PLAN, seed=0)
    stored = experiment.distilled("rrs").state_dict()
    assert all(torch.equal(value, stored[name]) for name, value in net.state_dict().items())
    assert np.allclose(history, experiment.history("rrs"))
    assert experiment.wall_seconds("rrs") > experiment.wall_seconds("relational")


def test_another_seed_or_plan_is_another_network(experiment):
    others = [
        Experiment(TINY, seed=77).run("student").found(),
        Experiment(replace(TINY, student=replace(PLAN, epochs=2))).run("student").found(),
    ]
    assert others == [None, None]
    assert experiment.run("student").found() is not None


def test_equal_experiments_have_equal_runs():
    one, same = Experiment(TINY), Experiment(replace(TINY))
    assert one == same and len({one, same, Experiment(TINY, seed=1)}) == 2
    for name in ("student", "teacher", "rrs", "assisted_fitnets", "member_tram"):
        assert one.run(name) == same.run(name), name


def test_a_technique_of_two_teachers_is_taught_by_both():
    student = Experiment(TINY)._taught((*TECHNIQUES["assisted"], *TECHNIQUES["response"]))
    assert student.lesson.teacher == Experiment(TINY).run("teacher")
    assert student.start.lesson.teacher == Experiment(TINY).run("assistant")


def test_a_tenth_of_few_epochs_is_one():
    assert Experiment(TINY).shorter(10).profile.student.epochs == 1


def test_a_worker_has_one_watcher_however_many_jobs_it_is_given(tmp_path, monkeypatch):
    monkeypatch.setenv("ASCLIB_STORE", str(tmp_path))

    def count(number: int) -> None:
        watchers = [one for one in threading.enumerate() if "_leave_with" in one.name]
        (root() / f"{number}").write_text(str(len(watchers)))

    side_by_side(count, [(number,) for number in range(8)], "jobs")
    assert {path.read_text() for path in tmp_path.iterdir()} == {"1"}


def test_a_shorter_experiment_has_the_teacher_and_part_of_the_students_epochs(experiment):
    plan = replace(PLAN, epochs=12)
    whole = Experiment(replace(TINY, student=plan, stage=plan), seed=3, teacher=0)
    short = whole.shorter(3)
    assert short.profile.student.epochs == short.profile.stage.epochs == 4
    assert (short.seed, short.profile.member) == (3, TINY.member)
    assert short.run("teacher") == whole.run("teacher") == experiment.run("teacher")


def test_the_control_has_the_effort_of_a_member(experiment):
    longer = Experiment(replace(TINY, member=replace(PLAN, epochs=2, mixstyle=0.5)))
    assert len(longer.history("student_control")) == 2
    net = longer.student(control=True)
    assert not torch.equal(net.head.weight, experiment.student().head.weight)


def test_an_unknown_network_names_the_known_ones(experiment):
    with pytest.raises(ValueError, match="member_airport.*rrs"):
        experiment.history("resnet")


def test_unfused_answers_need_no_fusion(experiment):
    teacher, x = experiment.teacher(), experiment.clips("test").x[:4]
    members = predict(teacher, x, teacher.member_logits)
    assert members.shape == (4, 10, 2)
    torch.testing.assert_close(
        unfused_logits(members), members[:, :, 0] - members[:, :, 1], rtol=0, atol=0
    )


def test_paired_differences_have_both_uncertainties(experiment):
    table = experiment.table("test")
    truth = np.eye(10)[[settings.SCENES.index(scene) for scene in table["scene"]]]
    uniform = np.full((len(table), 10), 0.1)
    right, wrong = 0.9 * truth + 0.1 * uniform, 0.9 * np.roll(truth, 1, axis=1) + 0.1 * uniform
    difference = paired([right, right], [wrong, wrong], table)
    assert difference["accuracy"] == pytest.approx(1.0)
    assert difference["accuracy_per_seed"] == pytest.approx([1.0, 1.0])
    assert (difference["seeds_low"], difference["seeds_high"]) == pytest.approx((1.0, 1.0))
    assert paired([right], [wrong], table)["seeds_low"] is None


def test_the_study_writes_results_with_settings_and_versions(experiment, tmp_path, monkeypatch):
    monkeypatch.setitem(settings.PROFILES, "tiny", TINY)
    output = tmp_path / "results" / "scoreboard.json"
    main(["scoreboard", "--profile", "tiny", "--seeds", "0", "--techniques", "response", "rrs",
          "--output", str(output)])  # fmt: skip
    results = json.loads(output.read_text())
    systems = {row["system"] for row in results["runs"]}
    assert systems == {
        "student", "student_int8", "student_control", "teacher", "teacher_unfused",
        "response", "response_int8", "rrs", "rrs_int8",
    }  # fmt: skip
    assert results["profile"]["corpus"] == {"train": 120, "test": 180, "seed": 0}
    assert results["versions"]["torch"] and results["techniques"]["rrs"][0]["loss"] == "relational"
    student = next(row for row in results["runs"] if row["system"] == "student")
    pooled = results["pooled"]["student"][0]
    assert pooled["group"] == "overall"
    assert pooled["accuracy"] == pytest.approx(student["accuracy"], abs=1e-4)


def test_building_for_several_seeds_goes_through_one_call(experiment):
    both = [Experiment(TINY, seed=seed) for seed in (0, 2)]
    build([(one, "student") for one in both])
    weights = [one.student().head.weight for one in both]
    assert not torch.equal(*weights)


KILLED = """
import sys
from dataclasses import replace
sys.path.insert(0, sys.argv[1])
from test_experiment import PLAN, TINY
from asclib.experiment import Experiment
Experiment(replace(TINY, student=replace(PLAN, epochs=100_000))).build("student", "member_bus")
"""


def test_workers_end_when_the_run_that_started_them_is_killed(experiment):
    process = subprocess.Popen([sys.executable, "-c", KILLED, os.path.dirname(__file__)])
    deadline = time.monotonic() + 120
    while not list(root().glob("run-*.partial/checkpoint.pt")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    partials = list(root().glob("run-*.partial"))
    for partial in partials:
        with FileLock(partial.with_suffix(".lock"), timeout=30):  # a living worker would hold it
            assert partial.is_dir()
    assert partials
