"""Claims about the models to take away: they answer as recorded, and their cards say what is so."""

from __future__ import annotations

import json

import numpy as np
import pytest

from asclib.complexity import complexity
from asclib.compression import agreement
from asclib.listen import student_of
from asclib.litert import LiteRT
from asclib.store import results
from studies import models
from studies.__main__ import main
from studies.sitting import Sitting
from tests.data import TINY

FILES = [(name, form) for name in models.ARMS for form in models.FORMS]
OTHERWISE = 0.02  # share of the largest logit: other processors sum in another order
STEPS = 1  # of an int8 logit


@pytest.fixture(scope="module")
def found() -> dict:
    return results("models")


@pytest.fixture(scope="module")
def asked():
    return models.asked_clips()


def differs(path, asked, recorded) -> float:
    """How far the largest difference of a file's answers goes beyond what is allowed."""
    said, kept = models.heard_by(path, asked.x), np.array(recorded)
    allowed = OTHERWISE * np.abs(kept).max()
    if path.stem.endswith("int8"):
        allowed = STEPS * LiteRT(path)._outputs[0]["quantization"][0]
    return float(np.abs(said - kept).max() - allowed - 10**-models.DIGITS)


@pytest.mark.parametrize(("name", "form"), FILES)
def test_every_file_answers_as_recorded(found, asked, name, form):
    assert found["asked"] == list(asked.identifiers)
    path = models.files(name)[form]
    assert differs(path, asked, found["answers"][name][form]) <= 0


def test_no_file_answers_as_another_is_recorded(found, asked):
    paths = [models.files(name)["int8"] for name in models.ARMS]
    for path, name in zip(paths, [*models.ARMS][1:] + [*models.ARMS][:1], strict=True):
        assert differs(path, asked, found["answers"][name]["int8"]) > 0


def test_files_are_those_of_the_record_and_small(found):
    for row in found["models"]:
        for one in row["files"]:
            path = models.FOLDER / one["file"]
            assert path.stat().st_size == one["bytes"]
            assert one["form"] == "weights" or one["bytes"] < 100_000
    expected = {path.name for name in models.ARMS for path in models.files(name).values()} | {
        f"{name}{end}" for name in models.ARMS for end in (".md", "_int8.json")
    }
    assert {path.name for path in models.FOLDER.iterdir()} == expected | {"README.md"}
    assert (models.FOLDER / "README.md").read_text() == models.overview(found)


def test_cards_say_what_the_record_says(found):
    for row in found["models"]:
        text = (models.FOLDER / f"{row['name']}.md").read_text()
        assert text == models.card(row, found)
        for word in ("synthetic", "Not for a street", "interval", "unseen devices", "licence"):
            assert word in text
        beside = json.loads((models.FOLDER / f"{row['name']}_int8.json").read_text())
        assert beside["learnt"] == models.learnt(row, found)


def test_the_weights_file_scores_as_its_network_on_the_corpus_learnt_from(found):
    for row in found["models"]:
        (weights,) = (one for one in row["files"] if one["form"] == "weights")
        same = row["scores"]["same corpus"]
        for name in ("accuracy", "accuracy_low", "accuracy_high", "log_loss"):
            assert weights[name] == pytest.approx(same[name], abs=1e-3)
        assert (
            same["clips"] + row["scores"]["other corpora"]["clips"]
            == (row["scores"]["overall"]["clips"])
        )


def test_a_folder_of_recordings_is_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(ValueError, match="of the embedded corpus.*leave it out"):
        main(["models", "--data-root", str(tmp_path), "--folder", str(tmp_path / "models")], TINY)
    assert not list(tmp_path.iterdir())


def test_all_three_were_trained_as_long_with_one_augmentation(found):
    assert {sum(row["epochs_of_phases"]) for row in found["models"]} == {models.EPOCHS}
    taught = {row["name"]: row["taught_by"] for row in found["models"]}
    assert taught.pop("student") is None and set(taught.values()) == {found["candidate"]}


def test_the_command_writes_what_it_says(tmp_path, tiny_store):
    sitting = Sitting(TINY, None, (), "control", further=(1,))
    made = models.models(sitting, 0, tmp_path, ["rrs"])
    for row in made["models"]:
        net = student_of(models.files(row["name"], tmp_path)["weights"])
        assert complexity(net).parameters == row["parameters"]
        overall = row["scores"]["overall"]
        assert overall["accuracy_low"] < overall["accuracy"] < overall["accuracy_high"]
        forms = {one["form"]: one for one in row["files"]}
        assert forms["weights"]["same_scene"] == 1
        x = sitting.first.clips("test").x
        said = [models.heard_by(tmp_path / forms[f]["file"], x) for f in ("weights", "int8")]
        assert forms["int8"]["same_scene"] == round(agreement(*said), 4)
        assert (tmp_path / f"{row['name']}.md").read_text() == models.card(row, made)
