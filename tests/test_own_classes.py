"""A folder of a reader's own: TAU's layout, other classes, other devices."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asclib.challenge import SAMPLE_RATE
from asclib.corpus import Corpus, CorpusError
from asclib.evaluation import compare, evaluate, score
from asclib.networks import TMSIC
from asclib.runs import Data, Run
from asclib.training import Training
from tests.corpora import write_index

CLASSES = ("dog", "siren")
PLAN = Training(epochs=1, batch_size=4, schedule="constant")


def clip_names(places: range) -> list[str]:
    return [
        f"audio/{kind}-leiria-{place}-{place}-{piece}-phone.wav"
        for kind in CLASSES
        for place in places
        for piece in range(2)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise under TAU's names: six places to train, two to test, a second-hand phone."""
    root = tmp_path_factory.mktemp("own") / "corpus"
    train, test = clip_names(range(6)), clip_names(range(6, 8))
    write_index(root, train, test)
    (root / "audio").mkdir()
    rng = np.random.default_rng(0)
    for name in train + test:
        soundfile.write(root / name, 0.1 * rng.standard_normal(SAMPLE_RATE), SAMPLE_RATE)
    return root


def test_a_network_learns_classes_of_a_folder_of_one_s_own(folder, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ASCLIB_STORE", str(tmp_path))
    data = Data(str(folder), classes=CLASSES)
    assert data.corpus.clips["device"].unique().tolist() == ["phone"]
    test = data.clips("test")
    assert test.x.shape == (8, 1, 140, 8)
    labels = [CLASSES.index(name.split("-")[0]) for name in test.identifiers]
    assert test.labels.tolist() == labels and set(labels) == {0, 1}
    run = Run(partial(TMSIC, n_classes=2), data, PLAN)
    assert run.net()(test.x).shape == (8, 2)
    assert data.against("siren").clips("test").labels.tolist() == [1 - label for label in labels]


def test_the_order_of_the_classes_makes_other_data(folder) -> None:
    assert Data(str(folder), classes=CLASSES) != Data(str(folder), classes=CLASSES[::-1])


def test_without_its_classes_the_error_says_how_to_name_them(folder) -> None:
    with pytest.raises(CorpusError, match="unknown scene 'dog'.*classes="):
        Corpus.open(folder)
    report = Corpus.report(folder, classes=CLASSES, devices=None)
    assert report.empty
    with pytest.raises(CorpusError, match="unknown device 'phone'"):
        Corpus.open(folder, classes=CLASSES)


def test_a_class_that_is_missing_from_the_list_is_named(folder) -> None:
    with pytest.raises(CorpusError, match="unknown scene 'siren'.*use one of dog"):
        Data(str(folder), classes=("dog",)).clips("test")


def test_a_label_with_a_hyphen_is_refused(folder) -> None:
    with pytest.raises(ValueError, match="'fire-engine' cannot stand between the hyphens"):
        Corpus.open(folder, classes=("dog", "fire-engine"))


def test_answers_about_classes_of_one_s_own_are_scored(folder) -> None:
    clips = Data(str(folder), classes=CLASSES).table("test")
    right = np.eye(2)[[CLASSES.index(name) for name in clips["scene"]]]
    said = evaluate(right, clips, classes=CLASSES)
    assert said.overall.accuracy == 1 and set(said.scenes) == set(CLASSES)
    half = np.where(np.arange(len(right))[:, None] % 2 == 0, right, right[:, ::-1])
    assert score(half, clips, CLASSES).overall.accuracy == 0.5
    assert compare(half, right, clips, classes=CLASSES).accuracy == 0.5
    with pytest.raises(ValueError, match="row 0: scene 'dog' is none of airport"):
        evaluate(np.eye(10)[: len(clips)], clips)
