"""The whole of `tau` on a folder in TAU's layout, its epochs cut: from the clips to a file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch

from asclib.augmentation import augmented_size
from asclib.challenge import SEEN_DEVICES, UNSEEN_DEVICES
from asclib.compression import agreement, export
from asclib.compression.qat import range_calibration
from asclib.corpus import Corpus
from asclib.evaluation import evaluate
from asclib.litert import LiteRT
from asclib.runs import Experiment, Profile, build, profile
from asclib.store import PROJECT
from asclib.training import predict, probabilities
from tests.corpora import LITTLE, LITTLE_SUBSETS, TAU_CLIPS, render_little_tau

OF_ONE_EPOCH = """
from dataclasses import replace
from asclib.runs import profiles

tau = profiles.PROFILES["tau"]
plans = {name: replace(getattr(tau, name), epochs=1)
         for name in ("student", "member", "fusion", "stage")}
profiles.PROFILES["tau"] = replace(tau, **plans)
"""


def cut(tau: Profile) -> Profile:
    """The profile with one epoch for each training and nothing else changed."""
    plans = {name: replace(getattr(tau, name), epochs=1) for name in PLANS}
    return replace(tau, **plans)


PLANS = ("student", "member", "fusion", "stage")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The corpus, and an empty store."""
    folder = tmp_path_factory.mktemp("tau")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASCLIB_STORE", str(folder / "store"))
        yield render_little_tau(folder / "TAU-urban-acoustic-scenes-2022-mobile-development")


@pytest.fixture(scope="module")
def experiment(root: Path) -> Experiment:
    """The student, the teacher and two students it has taught, trained."""
    own = Experiment(cut(profile("tau")), str(root))
    build([own.student(), own.teacher(), own.taught("response"), own.taught("rrs")])
    return own


def test_the_folder_is_tau_s_in_miniature(root: Path) -> None:
    """Each device has its share of each split, within what whole recordings allow."""
    assert len(Corpus.report(root)) == 0
    corpus = Corpus.open(root)
    found = corpus.clips.groupby(["split", "device"]).size().unstack(fill_value=0)
    for split, (of_a, of_seen, of_unseen) in LITTLE.items():
        expected = dict.fromkeys(SEEN_DEVICES, of_seen) | dict.fromkeys(UNSEEN_DEVICES, of_unseen)
        assert found.loc[split].to_dict() == expected | {"a": of_a}
        own, tau = (100 * of_a / 400, 100 * TAU_CLIPS[split]["a"] / 139_620)
        assert own == pytest.approx(tau, abs=3)
    for percent, size in LITTLE_SUBSETS.items():
        assert len(corpus.split("train", percent)) == size


def test_networks_learn_from_six_versions_of_the_clips_of_other_devices(
    experiment: Experiment,
) -> None:
    table, clips = experiment.table("fit"), experiment.clips("fit")
    others = int((table["device"] != "a").sum())
    assert others > 0
    assert len(clips.x) == len(table) + 5 * others == augmented_size(table)
    first = [row for row, name in enumerate(clips.identifiers) if "#" not in name]
    assert clips.identifiers[first].tolist() == table["identifier"].tolist()
    for split in ("validation", "test"):
        assert len(experiment.clips(split).x) == len(experiment.table(split))


def test_the_teacher_starts_from_a_random_layer_and_trains_its_members_on(
    experiment: Experiment,
) -> None:
    teacher = experiment.teacher().net()
    start = experiment.members()[0].net().state_dict()
    trained = teacher.members[0].state_dict()
    assert not torch.equal(start["conv2.weight"], trained["conv2.weight"])
    assert len(experiment.teacher().history()) == 1


def test_every_system_is_scored_on_the_test_clips(experiment: Experiment) -> None:
    test, table = experiment.clips("test"), experiment.table("test")
    systems = {"student": experiment.student(), "teacher": experiment.teacher()}
    systems |= {name: experiment.taught(name) for name in ("response", "rrs")}
    for run in systems.values():
        score = evaluate(probabilities(predict(run.net(), test.x)), table)
        assert np.isfinite(score.overall.log_loss)
        assert set(score.devices) == {*SEEN_DEVICES, *UNSEEN_DEVICES}


def test_the_student_becomes_a_file_of_eight_bits(experiment: Experiment, tmp_path: Path) -> None:
    net, test = experiment.taught("rrs").net(), experiment.clips("test").x
    ranges = range_calibration(experiment.data)
    file = export(net, tmp_path / "student.tflite", "full_int8", calibration=ranges)
    assert file.stat().st_size < 128_000
    assert agreement(LiteRT(file)(test), predict(net, test)) > 0.8
    done = _run(
        "asclib", "package", "score", "--model", str(file), "--data_root", experiment.data_root
    )
    assert "overall" in done.stdout


def test_a_chapter_runs_through_the_driver(experiment: Experiment, tmp_path: Path) -> None:
    """It finds what this file has trained: the kernel's profile is cut as ours is."""
    (tmp_path / "sitecustomize.py").write_text(OF_ONE_EPOCH)
    before = set(_trained())
    root = experiment.data_root
    given = ["-p", "profile", "tau", "-p", "data_root", root, "--only", "comparison"]
    _run(
        "tools.book",
        "book",
        *given,
        "--no-html",
        "--output",
        str(tmp_path / "output"),
        PYTHONPATH=f"{PROJECT}{os.pathsep}{tmp_path}",
    )
    copy = tmp_path / "output" / "distillation" / "comparison.ipynb"
    cells = nbformat.read(copy, as_version=4).cells
    told = [c["source"] for c in cells if "injected-parameters" in c.metadata.get("tags", [])]
    assert told and root in told[0] and "tau" in told[0]
    assert set(_trained()) == before


def _trained() -> list[str]:
    return [path.name for path in Path(os.environ["ASCLIB_STORE"]).glob("run-*")]


def _run(module: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done
