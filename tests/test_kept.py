"""The teachers beside the results are whole, and trained as the settings say."""

import shutil

import pytest
import torch

from asclib.challenge import SCENES
from asclib.networks import OneVsAllTeacher
from asclib.runs import Experiment, Kept, profile
from asclib.runs.kept import fingerprint
from asclib.store import PROJECT
from studies.ready import Saved

KEPT = PROJECT / "results" / "teachers"
FOLDERS = sorted(path for path in KEPT.iterdir() if path.is_dir())
FILES = sorted(KEPT.glob("*.safetensors"))  # of `studies candidates`


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_committed_teacher_can_be_used_by_whoever_clones(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("ASCLIB_STORE", str(tmp_path))
    plans = profile(folder.name.rpartition("-")[0])
    assert len(fingerprint(folder)) == 64
    x = torch.randn(3, 1, 140, 8, generator=torch.Generator().manual_seed(0))
    members = {f"member_{scene}": plans.member for scene in SCENES}
    for name, plan in {"teacher": plans.fusion, **members}.items():
        one = Kept(str(folder), name)
        net = one.net()
        assert isinstance(net, OneVsAllTeacher) == (name == "teacher") and not net.training
        with torch.no_grad():
            assert net(x).shape == (3, 10 if name == "teacher" else 2)
        assert len(one.history()) == plan.epochs and one.seconds() > 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_committed_candidate_answers_whoever_clones(path):
    one = Saved(str(path))
    net, x = one.net(), torch.randn(3, 1, 140, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        answers = net(x)
    assert answers.shape == (3, len(SCENES)) and torch.isfinite(answers).all()
    assert not net.training and one.seconds() > 0
    assert path.stem.startswith(one.made_with["profile"]["name"])


def test_kept_teachers_are_told_apart_by_what_they_hold(tmp_path):
    folder = FOLDERS[0]
    copy = tmp_path / "elsewhere"
    shutil.copytree(folder, copy)
    ours, theirs = (Experiment("quick", taught_by=Kept(str(one))) for one in (folder, copy))
    assert ours.taught("response") == theirs.taught("response")  # wherever it lies
    other = copy / "trainings.json"
    other.write_text(other.read_text() + " ")
    changed = Experiment("quick", taught_by=Kept(str(copy)))
    assert changed.taught("response") != ours.taught("response")
    assert ours.taught("response").needs() == ()  # it need not be trained


def test_a_network_that_is_not_kept_names_those_that_are(tmp_path, monkeypatch):
    monkeypatch.setenv("ASCLIB_STORE", str(tmp_path))
    with pytest.raises(ValueError, match="no 'bus': choose one of teacher, member_airport"):
        Kept(str(FOLDERS[0]), "bus").net()
