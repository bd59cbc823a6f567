"""Corpora that several test files read; tests/corpora.py makes them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from asclib.challenge import SAMPLE_RATE
from asclib.corpus import Corpus
from asclib.runs import Experiment, build, profiles
from tests.corpora import SMALL_TEST, SMALL_TRAIN, link_store, tone, write_index, write_tau
from tests.data import PLAN, TINY


@pytest.fixture(scope="session")
def tau_corpus(tmp_path_factory) -> Corpus:
    """The index of the whole of TAU, opened."""
    root = tmp_path_factory.mktemp("tau") / "index"
    write_tau(root)
    return Corpus.open(root, files=False)


@pytest.fixture(scope="session")
def tiny_clips(tmp_path_factory) -> Path:
    """A store that holds the clips of `TINY` and nothing that was trained."""
    store = tmp_path_factory.mktemp("clips")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASCLIB_STORE", str(store))
        for split in ("train", "fit", "validation", "test"):
            Experiment(TINY).clips(split)
    return store


@pytest.fixture(scope="module")
def tiny_store(tiny_clips, tmp_path_factory) -> Iterator[Path]:
    """A store for the tests of one file, with the clips of `tiny_clips` in it."""
    store = tmp_path_factory.mktemp("store")
    link_store(tiny_clips, store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASCLIB_STORE", str(store))
        yield store


@pytest.fixture(scope="module")
def tiny(tiny_store):
    """An experiment of one epoch, in a store that holds its student and its teacher."""
    experiment = Experiment(TINY)
    build([experiment.student(), experiment.teacher()])
    return experiment


@pytest.fixture(scope="module")
def experiment(tiny_store):
    """The profile "tiny" of the commands, its students of two epochs; a file may have its own."""
    profile = replace(TINY, student=replace(PLAN, epochs=2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(profiles.PROFILES, "tiny", profile)
        yield Experiment(profile)


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
