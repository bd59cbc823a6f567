"""Corpora that several test files read; tests/corpora.py makes them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import soundfile

from asclib.corpus import Corpus
from asclib.experiment import MEMBERS, Experiment
from asclib.settings import SAMPLE_RATE, CorpusSize, Profile, Training
from tests.corpora import SMALL_TEST, SMALL_TRAIN, tone, write_index, write_tau


@pytest.fixture(scope="session")
def tau_corpus(tmp_path_factory) -> Corpus:
    """The index of the whole of TAU, opened."""
    root = tmp_path_factory.mktemp("tau") / "index"
    write_tau(root)
    return Corpus.open(root, files=False)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """An experiment of one epoch, in a store of its own that holds its student and its teacher."""
    plan = Training(epochs=1, batch_size=16, learning_rate=1e-3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASCLIB_STORE", str(tmp_path_factory.mktemp("store")))
        experiment = Experiment(Profile("tiny", CorpusSize(120, 180), *[plan] * 4))
        experiment.build("student", *MEMBERS)
        experiment.build("teacher")
        yield experiment


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Path:
    """A sound corpus of 76 clips."""
    root = tmp_path_factory.mktemp("corpus") / "small"
    write_index(root, SMALL_TRAIN, SMALL_TEST)
    (root / "audio").mkdir()
    soundfile.write(root / "one.wav", tone(), SAMPLE_RATE, subtype="PCM_16")
    for name in SMALL_TRAIN + SMALL_TEST:
        os.link(root / "one.wav", root / name)
    return root


@pytest.fixture
def root(small, tmp_path) -> Path:
    """A copy of the small corpus to be broken; its audio files are links, to be replaced whole."""
    shutil.copytree(small, tmp_path / "corpus", copy_function=os.link)
    for path in (tmp_path / "corpus").rglob("*.csv"):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    return tmp_path / "corpus"
