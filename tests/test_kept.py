"""The teachers beside the results are whole, and trained as the settings say."""

import json

import pandas as pd
import pytest
from safetensors.torch import load_file

from asclib import kept, settings
from asclib.experiment import MEMBERS
from asclib.networks import TMSIC
from asclib.study_comparison import TEACHERS
from asclib.teacher import OneVsAllTeacher

FOLDERS = sorted(TEACHERS.iterdir())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_committed_teacher_can_be_used_by_whoever_clones(folder, tmp_path):
    profile = settings.profile(folder.name.rpartition("-")[0])
    assert len(kept.fingerprint(folder)) == 64
    for name, plan in (("teacher", profile.fusion), *((name, profile.member) for name in MEMBERS)):
        into = tmp_path / name
        into.mkdir()
        kept.take(folder, name, into)
        net = TMSIC(n_classes=2)
        if name == "teacher":
            net = OneVsAllTeacher([TMSIC(n_classes=2) for _ in MEMBERS])
        net.load_state_dict(load_file(into / "weights.safetensors"))
        assert len(pd.read_csv(into / "history.csv")) == plan.epochs
        assert json.loads((into / "wall.json").read_text())["seconds"] > 0
