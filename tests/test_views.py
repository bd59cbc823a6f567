"""Claims about views: a clip to fit in several pictures, each with its name and its label."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from asclib import store
from asclib.augmentation import Copies, SixFold, tmsic_versions
from asclib.augmentation.views import show
from asclib.challenge import SAMPLE_RATE, SCENES
from asclib.corpus import Corpus, CorpusError
from asclib.corpus.audio import read_audio
from asclib.distillation import TECHNIQUES
from asclib.features import LogMel
from asclib.networks import TMSIC
from asclib.runs import Data, Experiment, Lesson, Run, answers
from asclib.training import predict
from tests.data import PLAN, TINY

PICTURES = LogMel.tmsic()


def quieter(x: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """A reader's own change of a waveform."""
    assert sample_rate == SAMPLE_RATE
    return x * rng.uniform(0.1, 0.9)


@pytest.fixture(scope="module")
def plain(small, tmp_path_factory) -> Iterator[Data]:
    """The small corpus, its clips as they are, in a store of this file's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASCLIB_STORE", str(tmp_path_factory.mktemp("store")))
        yield Data(str(small))


@pytest.fixture(scope="module")
def six(plain) -> Data:
    return replace(plain, views=SixFold())


@pytest.fixture(scope="module")
def copied(plain) -> Data:
    return replace(plain, views=Copies(quieter, 2))


# ---- what is seen --------------------------------------------------------------------------------


def test_six_views_of_clips_of_other_devices_and_one_of_device_a(six):
    table, clips = six.table("fit"), six.clips("fit")
    names, labels, first = [], [], 0
    for clip in table.itertuples():
        x = read_audio(six.corpus.root / clip.filename)
        views = tmsic_versions(x, clip.identifier, clip.device, PICTURES, seed=0)
        assert len(views) == (1 if clip.device == "a" else 6)
        shown = clips.x[first : first + len(views)].numpy()
        np.testing.assert_allclose(shown, views, rtol=0, atol=1e-4)
        names += [clip.identifier, *(f"{clip.identifier}#{n}" for n in range(1, len(views)))]
        labels += len(views) * [SCENES.index(clip.scene)]
        first += len(views)
    assert set(table["device"]) == {"a", "s1"} and set(labels) == {0, 8}
    assert clips.identifiers.tolist() == names and clips.labels.tolist() == labels
    assert clips.x.shape == (len(names), 1, 140, 8) and clips.x.dtype == torch.float32


def test_copies_are_a_clip_and_what_a_function_made_of_it(copied, plain):
    clips, alone = copied.clips("fit"), plain.clips("fit")
    assert len(clips.labels) == 3 * len(alone.labels)
    torch.testing.assert_close(clips.x[::3], alone.x, rtol=0, atol=2e-5)
    assert clips.identifiers[::3].tolist() == alone.identifiers.tolist()
    assert clips.identifiers[1:3].tolist() == [f"{alone.identifiers[0]}#{n}" for n in (1, 2)]
    loud, first, second = (clips.x[n::3].amax((1, 2, 3)) for n in range(3))
    for copies in (first, second):  # amplitudes, in nepers
        assert ((np.log(0.09) < copies - loud) & (copies - loud < np.log(0.91))).all()
        assert len(set(copies.tolist())) == len(copies)  # each clip has a draw of its own
    assert not torch.equal(first, second)
    assert torch.equal(clips.labels, alone.labels.repeat_interleave(3))


def test_no_copies_are_the_clip_alone(plain):
    clips = replace(plain, views=Copies(quieter, 0)).clips("fit")
    assert clips.identifiers.tolist() == plain.clips("fit").identifiers.tolist()


def test_clips_that_validate_and_test_are_shown_as_they_are(six, plain):
    for split in ("validation", "test", "train"):
        ours, theirs = six.clips(split), plain.clips(split)
        assert torch.equal(ours.x, theirs.x) and torch.equal(ours.labels, theirs.labels)
        assert ours.identifiers.tolist() == theirs.identifiers.tolist()


def test_a_member_learns_from_the_same_views_with_labels_of_its_own(six):
    member, clips = six.against("airport"), six.clips("fit")
    assert member.views == six.views and member != six
    assert torch.equal(member.clips("fit").labels, (clips.labels != 0).long())
    assert member.clips("fit").x.shape == clips.x.shape


# ---- what makes two of them equal ----------------------------------------------------------------


def test_other_views_are_other_data(plain, six, copied):
    others = [
        plain,
        six,
        replace(plain, views=SixFold(seed=1)),
        copied,
        replace(plain, views=Copies(quieter, 3)),
        replace(plain, views=Copies(quieter, 2, seed=1)),
        replace(plain, views=Copies(lambda x, rate, rng: x, 2)),
    ]
    assert len({data.store_key for data in others}) == len(others)
    assert len({data.inputs_key for data in others}) == 1  # the features are shared
    assert replace(plain, views=Copies(quieter, 2)) == copied
    assert pickle.loads(pickle.dumps(copied)) == copied


def test_a_profile_says_which_views_its_experiment_learns_from():
    profile = replace(TINY, views=SixFold())
    assert Experiment(profile).student().data.views == SixFold()
    assert Experiment(profile).student() != Experiment(TINY).student()


# ---- teachers ------------------------------------------------------------------------------------


def test_a_teacher_is_asked_about_every_view(copied, plain):
    teacher, fit = Run(TMSIC, plain, PLAN), copied.clips("fit")
    said = answers(teacher, copied)
    assert said.identifiers.tolist() == fit.identifiers.tolist()
    torch.testing.assert_close(said.joined(fit.identifiers), predict(teacher.net(), fit.x))
    lesson = Lesson(TECHNIQUES["response"], teacher)
    taught = Run(TMSIC, copied, PLAN, lesson=lesson)
    assert np.isfinite(taught.history()["loss"]).all()
    assert taught != Run(TMSIC, plain, PLAN, lesson=lesson)


def test_a_view_without_an_answer_is_an_error_that_names_it(copied, plain):
    of_clips = answers(Run(TMSIC, plain, PLAN), plain)
    first = plain.clips("fit").identifiers[0]
    taught = Run(TMSIC, copied, PLAN, lesson=Lesson(TECHNIQUES["response"], of_clips))
    with pytest.raises(ValueError, match=f"no answer for {first}#1 .120 of 180 clips missing"):
        taught.net()


# ---- how they are made ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpus(small) -> Corpus:
    return Corpus.open(small)


@dataclass(frozen=True)
class Noted:
    """One or two views of a clip, and a file for each clip that was asked for."""

    folder: Path

    def __call__(self, x, clip, log_mel):
        (self.folder / clip.identifier).touch(exist_ok=False)
        return log_mel(np.stack([x, x / 2][: 1 + (clip.device != "a")])).numpy()


def made(corpus, clips, tmp_path, name, **options) -> dict[str, bytes]:
    """What `show` leaves in a folder of that name."""
    folder, asked = tmp_path / name, tmp_path / f"{name} asked"
    for path in (folder, asked):
        path.mkdir(exist_ok=True)
    show(corpus, clips, Noted(asked), PICTURES, folder, **options)
    assert {path.name for path in asked.iterdir()} == set(clips["identifier"])
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_workers_and_parts_change_no_byte(corpus, tmp_path):
    clips = corpus.split("fit").head(10)
    whole = made(corpus, clips, tmp_path, "whole")
    assert sorted(whole) == ["rows.npy", "x.npy"]
    assert made(corpus, clips, tmp_path, "parts", chunk=3) == whole
    assert made(corpus, clips, tmp_path, "workers", chunk=3, workers=2) == whole


KILLED = """
import os, signal, sys
from pathlib import Path
from asclib.augmentation.views import show
from asclib.corpus import Corpus
from tests.test_views import Noted, PICTURES

class Killed(Noted):
    def __call__(self, x, clip, log_mel):
        if len(list(self.folder.iterdir())) == 8:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(x, clip, log_mel)

root, folder, asked = map(Path, sys.argv[1:])
corpus = Corpus.open(root)
show(corpus, corpus.split("fit").head(10), Killed(asked), PICTURES, folder, chunk=3)
"""


def test_a_killed_build_goes_on_with_the_part_it_was_at(corpus, tmp_path):
    clips = corpus.split("fit").head(10)
    whole = made(corpus, clips, tmp_path, "whole", chunk=3)
    folder, asked = tmp_path / "killed", tmp_path / "killed asked"
    folder.mkdir(), asked.mkdir()
    arguments = [sys.executable, "-c", KILLED, str(corpus.root), str(folder), str(asked)]
    killed = subprocess.run(arguments, cwd=store.PROJECT)
    assert killed.returncode == -signal.SIGKILL
    assert {path.name for path in asked.iterdir()} == set(clips["identifier"][:8])
    for name in clips["identifier"][6:8]:  # of the third part, which was not finished
        (asked / name).unlink()
    assert made(corpus, clips, tmp_path, "killed", chunk=3) == whole


@pytest.mark.parametrize(
    "wrong, shape",
    [
        (lambda x, clip, log_mel: log_mel(x[None])[0].numpy(), "1, 140, 8"),
        (lambda x, clip, log_mel: np.zeros((0, 1, 140, 8)), "0, 1, 140, 8"),
        (lambda x, clip, log_mel: x, "44100,"),
    ],
    ids=["one picture without a number", "none", "a waveform"],
)
def test_views_of_another_shape_are_refused_by_the_name_of_the_clip(plain, wrong, shape):
    first = plain.clips("fit").identifiers[0]
    with pytest.raises(ValueError, match=rf"the views of {first} have shape \({shape}\): give one"):
        replace(plain, views=wrong).clips("fit")


def test_a_clip_that_cannot_be_read_is_named_with_its_row(root, tmp_path):
    corpus = Corpus.open(root)
    clip = corpus.split("fit").iloc[7]
    path = root / clip["filename"]
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:5000])
    with pytest.raises(CorpusError, match=f"{path.name}, row {clip.name + 2} of meta.csv"):
        show(corpus, corpus.split("fit"), Copies(quieter), PICTURES, tmp_path)
