"""Claims about runs: equal ones are one artefact, and a reader's own things enter by value."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from asclib import store
from asclib.compression.pruning import Narrowed
from asclib.distillation import Answers, Stage, losses
from asclib.networks import TMSIC
from asclib.runs import Data, Lesson, Run, build
from asclib.training import Training

PLAN = Training(epochs=1, batch_size=8, schedule="constant", learning_rate=1e-3)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Noise of two classes, in a store of this file's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASCLIB_STORE", str(tmp_path_factory.mktemp("store")))
        x = torch.randn(40, 1, 140, 8, generator=torch.Generator().manual_seed(0))
        labels = torch.arange(40) % 2
        yield Data.of(
            x[:24],
            labels[:24],
            x[24:32],
            labels[24:32],
            x[32:],
            labels[32:],
            classes=("dog", "siren"),
        )


def two(**options) -> partial:
    return partial(TMSIC, n_classes=2, **options)


def test_runs_that_say_the_same_are_equal_and_one_artefact(data) -> None:
    one, same = Run(two(), data, PLAN), Run(two(), data, replace(PLAN))
    assert one == same and hash(one) == hash(same) and one is not same
    build([one, same])
    assert one.folder() == same.folder()
    assert len({one, same, replace(one, seed=1)}) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"network": two(widths=(4, 4, 4, 4))},
        {"plan": replace(PLAN, epochs=2)},
        {"seed": 1},
        {"version": 2},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_field_makes_another_run(data, change) -> None:
    run = Run(two(), data, PLAN)
    assert replace(run, **change) != run
    assert replace(run, **change).found() is None


def test_given_tensors_are_equal_by_content(data) -> None:
    fit, validation, test = (data.clips(split) for split in ("fit", "validation", "test"))
    parts = [part for clips in (fit, validation, test) for part in clips[:2]]
    again = Data.of(*parts, classes=("dog", "siren"))
    assert again == data
    parts[0] = parts[0].clone()
    parts[0][0, 0, 0, 0] += 1
    assert Data.of(*parts, classes=("dog", "siren")) != data
    assert Data.of(*parts, classes=("cat", "siren")) != again
    assert len(data.clips("train").labels) == 32
    assert len(set(data.clips("train").identifiers)) == 32


@pytest.mark.parametrize(
    "labels, problem",
    [([0, 1, 2, 0], "labels from 0 to 2 for 2 classes: give 0 to 1"), ([0, 1], "4 inputs and 2")],
)
def test_labels_that_do_not_fit_are_refused(labels, problem) -> None:
    x, right = torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64)
    with pytest.raises(ValueError, match=problem):
        Data.of(x, torch.tensor(labels), x, right, classes=("dog", "siren"))


def test_a_test_without_its_labels_is_refused() -> None:
    x, labels = torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64)
    with pytest.raises(ValueError, match="test: inputs and labels belong together"):
        Data.of(x, labels, x, labels, x_test=x, classes=("dog", "siren"))


def test_a_run_goes_on_from_another_and_shows_the_epochs_of_both(data) -> None:
    first = Run(two(), data, PLAN)
    second = replace(first, start=first, seed=5)
    assert second.needs() == (first,)
    assert len(second.history()) == 2
    own = json.loads((second.folder() / "wall.json").read_text())["seconds"]
    assert second.seconds() == first.seconds() + own
    assert not torch.equal(second.net().head.weight, first.net().head.weight)


def test_needs_are_found_wherever_a_run_is_held(data) -> None:
    member, teacher = Run(two(), data, PLAN), Run(two(), data, PLAN, seed=3)
    stage = Stage(losses.response, weight=1.0, hard=0.5, arguments={"temperature": 2.0})
    taught = Run(partial(TMSIC, n_classes=2), data, PLAN, lesson=Lesson((stage,), teacher))
    holding = replace(taught, network=partial(two, member=[member]))
    assert taught.needs() == (teacher,)
    assert set(holding.needs()) == {member, teacher}


def test_each_lesson_has_its_own_teacher(data) -> None:
    """The second stage is taught by the second teacher, not by the first one again."""
    stage = Stage(losses.response, weight=1.0, hard=0.0, arguments={"temperature": 1.0})
    one, other = Run(two(), data, PLAN), Run(two(), data, PLAN, seed=3)
    first = Run(two(), data, PLAN, lesson=Lesson((stage,), one))
    both = [replace(first, lesson=Lesson((stage,), who), start=first) for who in (one, other)]
    build(both)
    assert not torch.equal(both[0].net().head.weight, both[1].net().head.weight)
    assert both[0].history()["stage"].tolist() == [0, 1]


class Seen(nn.Module):
    """A network that keeps the last batch that it was trained on."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 2)
        self.register_buffer("last", torch.zeros(8, 8))

    def forward(self, x):
        x = x[:, 0, 0]
        if self.training:
            self.last.copy_(x)
        return self.head(x)


@pytest.mark.parametrize("first", ["labels", "teacher"])
@pytest.mark.parametrize("then", ["labels", "teacher"])
def test_what_goes_on_from_another_run_shows_clips_in_another_order(data, first, then) -> None:
    """Also a lesson after labels, which are no stage."""
    stage = Stage(losses.response, weight=1.0, hard=0.5, arguments={"temperature": 2.0})
    lesson = Lesson((stage,), Run(Seen, data, PLAN, seed=3))
    one = Run(Seen, data, PLAN, lesson=lesson if first == "teacher" else None)
    alone = Run(Seen, data, PLAN, lesson=lesson if then == "teacher" else None)
    after = replace(alone, start=one)
    assert torch.equal(one.net().last, alone.net().last)  # the same seed, the same order
    assert not torch.equal(after.net().last, one.net().last)
    third = replace(alone, start=after)
    orders = {tuple(run.net().last.flatten().tolist()) for run in (one, after, third)}
    assert len(orders) == 3


def test_a_run_is_named_in_a_line(data) -> None:
    stage = Stage(losses.response, weight=1.0, hard=0.0, arguments={"temperature": 1.0})
    teacher = Run(two(), data, PLAN, seed=3)
    run = Run(two(), data, PLAN, 7, Lesson((stage,), teacher))
    assert repr(run) == f"Run(TMSIC, 1 epochs, seed 7, {run.store_key})"
    assert repr(Run(Narrowed(run, (4, 4, 4, 4)), data, PLAN)).startswith("Run(Narrowed, 1 epochs")
    assert len(repr(run)) < 60


def test_only_looking_trains_nothing(data, monkeypatch) -> None:
    def refuse(*arguments, **options):
        raise AssertionError("trained")

    monkeypatch.setattr("asclib.runs.run.train", refuse)
    teacher = Run(two(), data, PLAN, seed=11)
    stage = Stage(losses.response, weight=1.0, hard=0.5, arguments={"temperature": 2.0})
    assert Run(two(), data, PLAN, lesson=Lesson((stage,), teacher)).found() is None
    assert teacher.found() is None


def test_a_run_travels_with_its_key(data) -> None:
    run = Run(two(), data, PLAN, seed=2)
    assert pickle.loads(pickle.dumps(run)) == run


def test_given_answers_teach_and_must_line_up(data) -> None:
    clips = data.clips("fit")
    logits = torch.nn.functional.one_hot(clips.labels, 2).float().numpy()
    stage = Stage(losses.response, weight=1.0, hard=0.0, arguments={"temperature": 1.0})
    taught = Run(two(), data, PLAN, lesson=Lesson((stage,), Answers(clips.identifiers, logits)))
    other = replace(taught, lesson=Lesson((stage,), Answers(clips.identifiers, 1 - logits)))
    assert taught != other
    assert np.isfinite(taught.history()["loss"]).all()
    lost = replace(taught, lesson=Lesson((stage,), Answers(clips.identifiers[1:], logits[1:])))
    with pytest.raises(ValueError, match="no answer for fit-0"):
        lost.net()


def test_sound_that_changed_under_its_name_and_size_is_other_data(small, tmp_path, data) -> None:
    """Even in the process that has opened the folder before."""
    folder = tmp_path / "corpus"
    shutil.copytree(small, folder)
    first = Data(str(folder))
    assert Data(str(folder)) == first and first.against("tram") != first
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(small, elsewhere)
    assert Data(str(elsewhere)) == first
    path = next((folder / "audio").iterdir())
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert Data(str(folder)) != first


# ---- from a script outside the package -----------------------------------------------------------

SCRIPT = """
import json, sys
from dataclasses import dataclass
import torch
from torch import nn
from asclib import Answers, Data, Lesson, Run, Stage, Training, build

SCALE = {scale}

class Small(nn.Module):
    def __init__(self, hidden=8):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(30, hidden), nn.ReLU())
        self.head = nn.Linear(hidden, 3)

    def forward(self, x):
        return self.head(self.body(x))

def apart(student, teacher):
    return SCALE * (student - teacher).pow(2).mean()

@dataclass(frozen=True)
class Louder:
    # inputs, soft targets and answers move together

    most: float = {scale}

    def __call__(self, batch, generator):
        gain = 1 + self.most * torch.rand(len(batch.x), 1, 1, generator=generator)
        return batch._replace(x=gain * batch.x, targets=batch.soft_targets())

x = torch.randn(60, 3, 10, generator=torch.Generator().manual_seed(0))
y = torch.arange(60) % 3
data = Data.of(x[:40], y[:40], x[40:50], y[40:50], x[50:], y[50:], classes=("a", "b", "c"))
plan = Training(2, batch_size=10, schedule="constant")
teacher = Run(Small, data, plan, seed=9)
stages = (Stage(apart, weight=1.0, hard=0.1),)
taught = [Run(Small, data, plan, seed, Lesson(stages, teacher)) for seed in (0, 1)]
fit = data.clips("fit")
logits = nn.functional.one_hot(fit.labels, 3).float().numpy()
said = Run(Small, data, plan, 0, Lesson(stages, Answers(fit.identifiers, logits)))
mixed = Run(Small, data, Training(2, batch_size=10, batch=(Louder(),)), 0, Lesson(stages, teacher))
runs = [teacher, *taught, said, mixed]
before = [run.found() is not None for run in runs]
build(runs)
print(json.dumps({{"before": before, "folders": [run.folder().name for run in runs],
                   "losses": [run.history()["loss"].tolist() for run in runs]}}))
"""


@pytest.fixture
def script(tmp_path):
    """Runs SCRIPT in a process of its own, in a store that the runs of one test share."""

    def run(scale: float, text: str = SCRIPT) -> dict:
        path = tmp_path / "mine.py"
        path.write_text(textwrap.dedent(text).format(scale=scale))
        environment = os.environ | {"ASCLIB_STORE": str(tmp_path / "store")}
        done = subprocess.run(
            [sys.executable, str(path)],
            env=environment | {"PYTHONPATH": str(store.PROJECT)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def test_own_network_loss_data_and_answers_enter_from_a_script_and_are_found_again(script) -> None:
    first = script(1.0)
    assert first["before"] == [False] * 5
    assert np.isfinite(np.concatenate(first["losses"])).all()
    again = script(1.0)
    assert again["before"] == [True] * 5 and again["folders"] == first["folders"]
    changed = script(2.0)  # the constant in the loss: the teacher's training does not use it
    assert changed["before"] == [True, False, False, False, False]
    assert changed["folders"][0] == first["folders"][0]
