"""An experiment builds what is missing, finds it again, and keeps clips and labels together."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from distributed import Client, LocalCluster
from filelock import FileLock
from joblib.externals.loky import get_reusable_executor

from asclib.augmentation import FreqMixStyle
from asclib.challenge import SCENES
from asclib.complexity import complexity
from asclib.compression.pruning import widths
from asclib.distillation import TECHNIQUES, distill
from asclib.evaluation import paired
from asclib.networks import TMSIC, count_parameters, look, unfused_logits
from asclib.runs import PROFILES, Experiment, Kept, Lesson, build, kept, side_by_side
from asclib.runs.experiment import ASSISTANT, SMOOTHING
from asclib.store import PROJECT, root
from asclib.training import predict, train
from tests.corpora import link_store
from tests.data import PLAN, TINY, same_weights


@pytest.fixture(scope="module")
def experiment(tiny_store):
    experiment = Experiment(TINY)
    build([experiment.student(), experiment.taught("response"), experiment.taught("rrs")])
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
        assert [SCENES[k] for k in clips.labels] == table["scene"].tolist()
        assert clips.x.shape == (len(table), 1, 140, 8) and clips.x.dtype == torch.float32


def test_fit_and_validation_part_the_training_split(experiment):
    fit, validation = experiment.table("fit"), experiment.table("validation")
    both = sorted([*fit["identifier"], *validation["identifier"]])
    assert both == sorted(experiment.table("train")["identifier"])
    assert not set(fit["recording"]) & set(validation["recording"])


def test_what_is_built_is_not_built_again(experiment):
    before = sorted(path.name for path in root().iterdir())
    again = Experiment(TINY)
    runs = [again.student(), *again.members(), again.teacher(), again.taught("rrs")]
    build(runs)
    assert again.taught("response").found() is not None
    assert same_weights(again.student().net(), experiment.student().net())
    assert sorted(path.name for path in root().iterdir()) == before


def test_every_training_leaves_its_history_and_nothing_half_done(experiment):
    assert len(experiment.student().history()) == 1
    assert experiment.taught("rrs").history()["stage"].tolist() == [0, 1]
    assert experiment.teacher().seconds() >= 0.1
    assert not list(root().rglob("checkpoint.pt")) and not list(root().glob("*.partial"))


def test_workers_and_the_calling_process_train_the_same_weights(experiment, request):
    built_by_a_worker = experiment.student().net()
    request.getfixturevalue("untrained_store")
    assert same_weights(built_by_a_worker, Experiment(TINY).student().net())


def test_a_dask_cluster_of_processes_trains_the_same_weights(experiment, request):
    runs = [experiment.student(), experiment.member("bus"), experiment.member("tram")]
    expected = [run.net() for run in runs]
    request.getfixturevalue("untrained_store")
    assert [run.found() for run in runs] == [None] * 3
    one_each = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**one_each) as cluster, Client(cluster), joblib.parallel_config("dask"):
        build(runs)
    for run, net in zip(runs, expected, strict=True):
        assert run.found() is not None and same_weights(run.net(), net)


def test_a_cluster_is_sent_even_one_job_and_even_where_a_gpu_is(tmp_path, monkeypatch):
    """Its workers may have a GPU each; elsewhere such jobs are done in this process."""
    monkeypatch.setenv("ASCLIB_STORE", str(tmp_path))
    monkeypatch.setattr("asclib.training.device", lambda: torch.device("cuda"))

    def leave(number: int) -> None:
        (root() / f"{number}-{os.getpid()}").touch()

    one_each = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**one_each) as cluster, Client(cluster), joblib.parallel_config("dask"):
        side_by_side(leave, [(0,)], "one")
    side_by_side(leave, [(1,), (2,)], "two")
    made = dict(path.name.split("-") for path in tmp_path.glob("*-*"))
    assert made["1"] == made["2"] == str(os.getpid()) != made["0"]


def test_work_that_is_not_found_afterwards_is_named(untrained_store, monkeypatch):
    """That of a cluster with another store, or with processors of another kind."""
    monkeypatch.setattr("asclib.runs.run.side_by_side", lambda *_: None)
    with pytest.raises(RuntimeError, match="is not in .*: the workers need the ASCLIB_STORE"):
        build([Experiment(TINY).student()])


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
    answers, fit = experiment.teacher().answers(), experiment.clips("fit")
    expected = predict(experiment.teacher().net(), fit.x)
    torch.testing.assert_close(answers.joined(fit.identifiers), expected)


def test_the_teachers_maps_are_stored_clip_by_clip(experiment):
    fit, teacher = experiment.clips("fit"), experiment.teacher().net()
    answers = experiment.teacher().answers("conv4", "embedding")
    rows = [3, 40, 7]
    for output, shape in {"conv4": (160, 70, 2), "embedding": (2560,)}.items():
        stored = answers.joined(fit.identifiers[rows], output)
        assert stored.shape == (3, *shape) and stored.dtype == torch.float16
        with torch.no_grad():
            expected = look(teacher, fit.x[rows], output)[1]
        torch.testing.assert_close(stored.float(), expected, rtol=2e-3, atol=1e-3)


def by_hand(experiment, answers, stages, plan=PLAN):
    """A student taught in this process, stage after stage, and its history."""
    torch.manual_seed(experiment.seed)
    net, fit, validation = TMSIC(), experiment.clips("fit"), experiment.clips("validation")
    return net, distill(net, answers, fit, validation, stages, plan, seed=experiment.seed)


def test_an_assistant_stands_between_teacher_and_student(experiment):
    assert complexity(TMSIC(widths=ASSISTANT)).macs > 2 * complexity(TMSIC()).macs
    assistant, fit = experiment.assistant(), experiment.clips("fit")
    assert assistant.lesson.teacher == experiment.teacher()
    taught = experiment.taught("response", assistant)
    assert taught.needs() == (assistant,) and taught != experiment.taught("response")
    answers = assistant.answers()
    torch.testing.assert_close(answers.joined(fit.identifiers), predict(assistant.net(), fit.x))
    expected, _ = by_hand(experiment, answers, TECHNIQUES["response"])
    assert same_weights(taught.net(), expected)


def test_a_heavier_loss_is_another_network_and_once_the_weight_is_the_same(experiment):
    (stage,) = TECHNIQUES["response"]
    plain, same, stronger = (
        experiment.taught("response"),
        *(experiment.taught((stage.weighted(factor),)) for factor in (1, 4)),
    )
    assert plain == same != stronger
    assert not torch.equal(plain.net().head.weight, stronger.net().head.weight)
    expected, _ = by_hand(experiment, experiment.teacher().answers(), stronger.lesson.stages)
    assert same_weights(stronger.net(), expected)


def test_smoothed_labels_are_those_of_the_plan(experiment):
    assert experiment.smoothed() == experiment.smoothed(SMOOTHING) != experiment.student()
    torch.manual_seed(experiment.seed)
    net, smooth = TMSIC(), replace(PLAN, label_smoothing=0.2)
    train(net, experiment.clips("fit"), experiment.clips("validation"), smooth, seed=0)
    assert same_weights(net, experiment.smoothed(0.2).net())


def test_a_teacher_can_be_given_in_a_folder(experiment, tmp_path):
    teacher = experiment.teacher()
    members = {f"member_{scene}": experiment.member(scene) for scene in SCENES}
    trainings = {"teacher": teacher} | members
    kept.keep(
        teacher.net().state_dict(),
        {name: member.net().state_dict() for name, member in members.items()},
        {name: (run.history(), run.seconds()) for name, run in trainings.items()},
        tmp_path,
    )
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2_300_000
    given = Kept(str(tmp_path))
    other = Experiment(TINY, seed=5, taught_by=given)
    assert other.teacher() is given
    before = {path.name for path in root().iterdir()}
    build([other.taught("response")])
    made = [path.name for path in root().glob("run-*[!k]") if path.name not in before]
    assert made == [other.taught("response").folder().name]
    x = experiment.clips("test").x[:20]
    for name, run in (("teacher", teacher), ("member_tram", members["member_tram"])):
        ours, theirs = (predict(one.net(), x) for one in (Kept(str(tmp_path), name), run))
        torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-2)
        assert len(Kept(str(tmp_path), name).history()) == len(run.history())
        assert Kept(str(tmp_path), name).seconds() == run.seconds()
    (tmp_path / "members.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="lacks members.safetensors: give a folder that"):
        Experiment(TINY, seed=6, taught_by=Kept(str(tmp_path))).taught("response").net()


def test_the_teacher_of_one_experiment_can_teach_another(experiment):
    other = Experiment(TINY, seed=5, taught_by=experiment.teacher())
    assert other.teacher() == experiment.teacher() != Experiment(TINY, seed=5).teacher()
    taught = other.taught("response")
    assert taught.seed == 5 and taught.lesson.teacher == experiment.teacher()
    assert other.assistant().lesson.teacher == experiment.teacher()
    assert other.student() == Experiment(TINY, seed=5).student()  # no teacher is in it


def test_techniques_on_maps_and_embeddings_train_networks_of_their_own(experiment):
    kinds = ("fitnets", "ofd", "similarity", "contrastive", "decoupled", "joint")
    runs = {name: experiment.taught(name) for name in kinds}
    build(list(runs.values()))
    for name, run in runs.items():
        stages = TECHNIQUES[name]
        history = run.history()
        assert history["stage"].drop_duplicates().tolist() == list(range(len(stages))), name
        assert np.isfinite(history["loss"]).all(), name
    weights = {run.net().head.weight.detach().numpy().tobytes() for run in runs.values()}
    assert len(weights) == len(kinds)


def test_a_second_stage_goes_on_from_the_stored_first(experiment):
    relational, rrs = experiment.taught("relational"), experiment.taught("rrs")
    assert rrs.start == relational and relational.start is None
    assert rrs.lesson.stages == TECHNIQUES["rrs"][1:]
    net, history = by_hand(experiment, experiment.teacher().answers(), TECHNIQUES["rrs"])
    assert same_weights(net, rrs.net())
    assert np.allclose(history, rrs.history())
    before = relational.folder().stat().st_mtime_ns
    build([experiment.taught("rrs_reversed")])
    assert relational.folder().stat().st_mtime_ns == before
    own = json.loads((rrs.folder() / "wall.json").read_text())["seconds"]
    assert rrs.seconds() == relational.seconds() + own


def test_a_plan_and_a_network_of_ones_own_are_those_of_every_stage(experiment):
    plan, narrow = replace(PLAN, epochs=2), partial(TMSIC, widths=(4, 4, 4, 4))
    taught = experiment.taught("rrs", plan=plan, network=narrow)
    assert (taught.plan, taught.start.plan) == (plan, plan)
    assert taught.history()["stage"].tolist() == [0, 0, 1, 1]
    assert widths(taught.net()) == (4, 4, 4, 4)
    assert experiment.taught("rrs", plan=PLAN) == experiment.taught("rrs") != taught


def test_nothing_to_teach_and_unknown_techniques_are_refused():
    experiment = Experiment(TINY)
    with pytest.raises(ValueError, match="no stage is given"):
        experiment.taught(())
    with pytest.raises(ValueError, match="no technique 'resnet': choose one of response, .*rrs"):
        experiment.taught("resnet")
    with pytest.raises(ValueError, match="no profile 'tinier': choose one of quick"):
        Experiment("tinier")
    with pytest.raises(ValueError, match="no scene .street. among the labels: choose one of air"):
        experiment.member("street")


def test_another_seed_or_plan_is_another_network(experiment):
    others = [
        Experiment(TINY, seed=77).student(),
        Experiment(replace(TINY, student=replace(PLAN, epochs=2))).student(),
    ]
    assert [run.found() for run in others] == [None, None]
    assert experiment.student().found() is not None


def test_equal_experiments_have_equal_runs():
    one, same = Experiment(TINY), Experiment(replace(TINY))
    assert one == same and len({one, same, Experiment(TINY, seed=1)}) == 2
    assert Experiment("quick") == Experiment(PROFILES["quick"])
    for ask in (
        Experiment.student,
        Experiment.control,
        Experiment.smoothed,
        Experiment.single,
        Experiment.members,
        Experiment.teacher,
        Experiment.assistant,
        lambda one: one.taught("rrs"),
        lambda one: one.taught("fitnets", one.assistant()),
    ):
        assert ask(one) == ask(same) != ask(Experiment(TINY, seed=1))
    assert Experiment(TINY, data_root="elsewhere") == Experiment(
        TINY, data_root=str(Path("elsewhere").resolve())
    )


def test_a_student_of_two_teachers_is_taught_by_both(experiment):
    first = experiment.taught("fitnets", experiment.assistant())
    stage = Lesson(TECHNIQUES["response"], experiment.teacher())
    both = replace(first, lesson=stage, start=first)
    assert set(both.needs()) == {experiment.teacher(), first}
    assert both.start.lesson.teacher == experiment.assistant()
    assert both.history()["stage"].tolist() == [0, 1, 2]


def test_a_worker_has_one_watcher_however_many_jobs_it_is_given(tmp_path, monkeypatch):
    monkeypatch.setenv("ASCLIB_STORE", str(tmp_path))

    def count(number: int) -> None:
        watchers = [one for one in threading.enumerate() if "_leave_with" in one.name]
        (root() / f"{number}").write_text(str(len(watchers)))

    side_by_side(count, [(number,) for number in range(8)], "jobs")
    assert {path.read_text() for path in tmp_path.iterdir()} == {"1"}


def test_the_control_has_the_effort_of_a_member(experiment):
    member = replace(PLAN, epochs=2, batch=(FreqMixStyle(0.5),), monitor="last")
    longer = Experiment(replace(TINY, member=member))
    control = longer.control()
    assert (control.plan.epochs, control.plan.batch) == (2, member.batch)
    assert control.plan.monitor == "accuracy"  # chosen as a student's
    assert len(control.history()) == 2
    assert not torch.equal(control.net().head.weight, experiment.student().net().head.weight)
    assert longer.student() == experiment.student()


def test_a_single_network_has_the_parameters_of_the_whole_teacher(experiment):
    single = experiment.single()
    assert single.plan == experiment.control().plan
    teacher = count_parameters(experiment.teacher().net())
    assert count_parameters(single.network()) == pytest.approx(teacher, rel=0.01)


def test_members_are_in_the_order_of_the_scenes_with_seeds_of_their_own():
    members = Experiment(TINY, seed=3).members()
    assert [member.data.scene for member in members] == list(SCENES)
    assert [member.seed for member in members] == list(range(30, 40))
    assert Experiment(TINY, seed=3).teacher().needs() == members


def test_unfused_answers_need_no_fusion(experiment):
    teacher, x = experiment.teacher().net(), experiment.clips("test").x[:4]
    members = predict(teacher, x, teacher.member_logits)
    assert members.shape == (4, 10, 2)
    torch.testing.assert_close(
        unfused_logits(members), members[:, :, 0] - members[:, :, 1], rtol=0, atol=0
    )


def test_paired_differences_have_both_uncertainties(experiment):
    table = experiment.table("test")
    truth = np.eye(10)[[SCENES.index(scene) for scene in table["scene"]]]
    uniform = np.full((len(table), 10), 0.1)
    right, wrong = 0.9 * truth + 0.1 * uniform, 0.9 * np.roll(truth, 1, axis=1) + 0.1 * uniform
    difference = paired([right, right], [wrong, wrong], table)
    assert difference["accuracy"] == pytest.approx(1.0)
    assert difference["accuracy_per_seed"] == pytest.approx([1.0, 1.0])
    assert (difference["seeds_low"], difference["seeds_high"]) == pytest.approx((1.0, 1.0))
    assert paired([right], [wrong], table)["seeds_low"] is None


def test_building_for_several_seeds_goes_through_one_call(experiment):
    both = [Experiment(TINY, seed=seed) for seed in (0, 2)]
    build([one.student() for one in both])
    assert not torch.equal(*(one.student().net().head.weight for one in both))


KILLED = """
from dataclasses import replace
from asclib.runs import Experiment, build
from tests.data import PLAN, TINY
longer = Experiment(replace(TINY, student=replace(PLAN, epochs=100_000)))
build([longer.student(), longer.control()])
"""


def test_workers_end_when_the_run_that_started_them_is_killed(experiment):
    process = subprocess.Popen([sys.executable, "-c", KILLED], cwd=PROJECT)
    deadline = time.monotonic() + 120
    while not list(root().glob("run-*.partial/checkpoint.pt")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    unfinished = list(root().glob("run-*.partial"))
    for folder in unfinished:
        with FileLock(folder.with_suffix(".lock"), timeout=30):  # a living worker would hold it
            assert folder.is_dir()
    assert unfinished
