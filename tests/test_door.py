"""Values that no training can have are refused where they are given, by name."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from asclib.augmentation import Copies, FreqMixStyle, FrequencyMask, Mixup
from asclib.compression.calibration import calibration_rows
from asclib.corpus.embedded import CorpusSize
from asclib.distillation import Answers, Stage, losses, permuted
from asclib.evaluation import evaluate
from asclib.evaluation.embedding import purities
from asclib.networks import TMSIC
from asclib.runs import Data, Experiment, Lesson, Run, build
from asclib.training import Clips, Training, at_most, cores, macro_accuracy, train

PLAN = Training(epochs=1)
CLIPS = Clips(torch.zeros(4, 2), torch.arange(4) % 2, np.array(list("abcd")))
SAID = Answers(CLIPS.identifiers, np.zeros((4, 2), np.float32))
TABLE = pd.DataFrame({"scene": ["bus", "park"], "device": "a", "city": "x", "location": [0, 1]})
TABLE["recording"] = ["x", "y"]
NO_NUMBERS = ["3", None, 2.5, True, 2e13, np.float64(1), np.bool_(True), [1], float("nan"), -1]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASCLIB_STORE", str(tmp_path_factory.mktemp("store")))
        x, y = torch.randn(6, 2), torch.tensor([0, 1, 0, 1, 1, 0])
        yield Data.of(x[:4], y[:4], x[4:], y[4:], x, y, classes=("dog", "siren"))


def louder(x, rate, rng):
    return 2 * x


def seeded(data):
    """Everything that takes a seed."""
    return {
        "run": lambda seed: Run(TMSIC, data, PLAN, seed),
        "experiment": lambda seed: Experiment(seed=seed),
        "corpus": lambda seed: CorpusSize(120, 180, seed),
        "train": lambda seed: train(nn.Linear(2, 2), CLIPS, CLIPS, PLAN, seed=seed),
        "permuted": lambda seed: permuted(SAID, CLIPS.labels, seed),
        "purities": lambda seed: purities({"one": np.eye(2)}, TABLE, neighbours=1, seed=seed),
        "copies": lambda seed: Copies(louder, seed=seed),
        "calibration": lambda seed: calibration_rows(TABLE.assign(split="train"), 1, seed),
    }


@pytest.mark.parametrize("what", seeded(None))
@pytest.mark.parametrize("seed", NO_NUMBERS, ids=repr)
def test_a_seed_that_is_no_whole_number_is_refused(data, what: str, seed) -> None:
    with pytest.raises(ValueError, match="seed is .*: give a whole number from 0"):
        seeded(data)[what](seed)


@pytest.mark.parametrize("what", seeded(None))
@pytest.mark.parametrize("seed", [np.int64(1), np.uint8(1), 20_000_000_000_000, 2**40])
def test_a_whole_number_of_any_kind_and_size_is_a_seed(data, what: str, seed) -> None:
    made = seeded(data)[what](seed)
    if hasattr(made, "seed"):
        assert type(made.seed) is int and made == seeded(data)[what](int(seed))


def test_a_seed_of_numpy_is_the_same_run(data) -> None:
    assert Run(TMSIC, data, PLAN, np.int64(1)).store_key == Run(TMSIC, data, PLAN, 1).store_key
    members = Experiment(seed=np.int64(3)).members(), Experiment(seed=3).members()
    assert [run.store_key for run in members[0]] == [run.store_key for run in members[1]]


def test_the_largest_seed_of_an_experiment_is_one_of_all_its_runs() -> None:
    with pytest.raises(ValueError, match="give a whole number from 0 to ") as error:
        Experiment(seed=2**62)
    largest = Experiment(seed=int(str(error.value).rpartition(" ")[2]))
    assert len({run.seed for run in largest.members()}) == 10
    largest.taught("rrs")


@pytest.mark.parametrize(
    "name, value",
    [
        *((name, value) for name in ("epochs", "batch_size") for value in (0, *NO_NUMBERS)),
        *(("warm_up", value) for value in NO_NUMBERS),
        *(("patience", value) for value in (0, *NO_NUMBERS) if value is not None),
        *(("learning_rate", value) for value in ("fast", None, float("nan"), float("inf"), -1e-3)),
        *(("label_smoothing", value) for value in (-0.1, 1.1, None, "0.1")),
        *(("statistics_momentum", value) for value in (-0.1, 1.1, True, "0.1")),
        *(("schedule", value) for value in ("cosine", None, "")),
        *(("monitor", value) for value in ("acc", None, "accuracies")),
        *(("waits_for", value) for value in ("acc", "")),
        *(("batch", value) for value in (FreqMixStyle(), None, "mixup", (FreqMixStyle,), (0.4,))),
    ],
    ids=repr,
)
def test_a_plan_that_no_training_can_have_is_refused_by_name(name: str, value) -> None:
    with pytest.raises(ValueError, match=f"^{name} "):
        Training(**({"epochs": 1} | {name: value}))


def test_a_plan_may_be_given_in_numpys_numbers_and_as_a_list() -> None:
    given = Training(np.int32(3), np.float32(0.5), batch=[FreqMixStyle()], patience=np.int64(2))
    assert given == Training(3, 0.5, batch=(FreqMixStyle(),), patience=2)
    assert type(given.epochs) is int and hash(given)


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("needs", ("label",), "needs is 'label': choose one of 'labels', 'margin'"),
        ("needs", "labels", "give a tuple"),
        ("needs", ("labels", 1), "needs is 1"),
        ("epochs", 0, "epochs is 0"),
        ("epochs", -1, "epochs is -1"),
        ("epochs", "2", "epochs is '2'"),
        ("epochs", float("nan"), "epochs is nan"),
        ("weight", float("inf"), "weight is inf"),
        ("weight", None, "weight is None"),
        ("hard", -0.1, "hard is -0.1"),
        ("on", "conv5", "on is 'conv5': choose one of 'logits', 'embedding', 'conv1'"),
        ("on", None, "on is None"),
        ("connect", "student", "connect is 'student': choose one of None, 'teacher', 'both'"),
        ("monitor", "acc", "monitor is 'acc'"),
        ("arguments", {"temprature": 2.0}, "temprature.*see the stage's arguments"),
        ("arguments", (2.0,), "arguments is"),
        ("needs", ("margin",), "response is called with student, teacher, margin"),
        ("loss", "response", "loss is 'response': give a function"),
        ("loss", nn.MSELoss, "loss is .*MSELoss"),
        ("loss", losses.decoupled, "decoupled .*labels.*needs"),
    ],
)
def test_a_stage_that_cannot_be_trained_is_refused_where_it_is_written(name, value, words) -> None:
    with pytest.raises(ValueError, match=words):
        Stage(**({"loss": losses.response, "weight": 1.0, "hard": 0.1} | {name: value}))


def test_losses_of_every_make_are_taken() -> None:
    for loss in (nn.MSELoss(), partial(losses.response, temperature=2.0), torch.dist, max):
        assert Stage(loss, weight=1.0, hard=0.1)
    assert Stage(losses.response, 1.0, 0.1, needs=[]) == Stage(losses.response, 1.0, 0.1)
    Stage(losses.decoupled, 1.0, 0.1, needs=("labels",), arguments={"temperature": 2.0})


@pytest.mark.parametrize(
    "made, words",
    [
        (lambda: Experiment(profile=None), "profile is None: .*quick, small, study, tau"),
        (lambda: Experiment(profile=3), "profile is 3"),
        (lambda: Experiment("fast"), "no profile 'fast'"),
        (lambda: Experiment(data_root=""), "data_root is ''"),
        (lambda: Experiment(data_root=3), "data_root is 3"),
        (lambda: Experiment(taught_by="study"), "taught_by is 'study'"),
        (lambda: CorpusSize("120", 180), "train is '120'"),
        (lambda: CorpusSize(120, 0), "test is 0"),
        (lambda: Data(None), "source is None"),
        (lambda: Data(""), "source is ''"),
        (lambda: Data("x", classes="bus"), "classes is 'bus'"),
        (lambda: Data("x", classes=()), "classes is ()"),
        (lambda: Data("x", classes={"bus", "park"}), "classes is {"),
        (lambda: Data("x", classes=("bus", "bus")), "each once"),
        (lambda: Data("x", classes=("bus", 3)), "a class is 3"),
        (lambda: Data("x", views=3), "views is 3"),
        (lambda: Data("x", front_end=None), "front_end is None"),
        (lambda: Copies(None), "change is None"),
        (lambda: Copies(list), "change is <class"),
        (lambda: FreqMixStyle(1.5), "p is a probability, 0 to 1, not 1.5"),
        (lambda: FreqMixStyle("0.4"), "p is '0.4'"),
        (lambda: Mixup(float("nan")), "alpha is nan"),
        (lambda: Mixup(0), "alpha must be positive, not 0"),
        (lambda: FrequencyMask(share=2), "share is a part of the mel bands"),
        (lambda: FrequencyMask(p=None), "p is None"),
        (lambda: build(None), "runs is None: give a list"),
        (lambda: build("student"), "runs is 'student'"),
        (lambda: build([None]), "one of the runs is None"),
        (lambda: Lesson((), SAID), "no stage is given"),
        (lambda: Lesson("rrs", SAID), "stages is 'rrs'"),
        (lambda: Lesson(Stage(losses.response, 1.0, 0.1), SAID), "stages is .*give a tuple"),
        (lambda: Lesson((Stage(losses.response, 1.0, 0.1),), None), "teacher is None"),
        (lambda: evaluate(np.eye(2), TABLE), "name other classes .*classes="),
    ],
)
def test_what_cannot_be_meant_is_refused(made, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made()


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"network": nn.Linear(2, 2)}, "network is .*give what makes an untrained network"),
        ({"network": "TMSIC"}, "network is 'TMSIC'"),
        ({"data": "folder"}, "data is 'folder'"),
        ({"plan": 12}, "plan is 12"),
        ({"lesson": (Stage(losses.response, 1.0, 0.1),)}, "lesson is"),
        ({"start": nn.Linear(2, 2)}, "start is"),
        ({"version": "2"}, "version is '2'"),
    ],
)
def test_a_run_of_other_things_is_refused(data, changes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Run(**({"network": TMSIC, "data": data, "plan": PLAN} | changes))


# ---- how many workers --------------------------------------------------------------------------


def two_classes() -> nn.Module:
    return nn.Linear(2, 2)


@pytest.mark.parametrize("number, workers", list(enumerate([None, 1, 2, np.int64(2)])))
def test_runs_are_built_by_as_many_workers_as_are_asked_for(
    data, number: int, workers, monkeypatch
) -> None:
    asked = []

    def side_by_side(work, jobs, label, workers):
        asked.append(workers)
        [work(*job) for job in jobs]

    monkeypatch.setattr("asclib.runs.run.side_by_side", side_by_side)
    runs = [Run(two_classes, data, PLAN, seed, version=number) for seed in (0, 1)]
    build((run for run in runs), workers=workers)
    assert asked == [workers] and all(run.found() for run in runs)


def test_one_worker_trains_in_this_process(data) -> None:
    runs = [Run(two_classes, data, PLAN, seed, version=99) for seed in (0, 1)]
    build(runs, workers=1)
    assert all(run.found() for run in runs)


@pytest.mark.parametrize("workers", [0, -1, 2.0, "2", True])
def test_another_number_of_workers_is_refused(data, workers) -> None:
    with pytest.raises(ValueError, match="workers is .*: give a whole number from 1 on"):
        build([], workers=workers)


def test_the_limit_of_workers_holds_for_clips_as_well_and_ends() -> None:
    before = cores()
    with at_most(1):
        assert cores() == 1
    with at_most(10**6), at_most(None):
        assert cores() == before


# ---- tensors of one's own, scored --------------------------------------------------------------


def test_given_tensors_have_a_table_that_scores_are_computed_from(data) -> None:
    table = data.table("test")
    assert table["identifier"].tolist() == data.clips("test").identifiers.tolist()
    assert table["scene"].tolist() == ["dog", "siren", "dog", "siren", "siren", "dog"]
    right = np.eye(2)[data.clips("test").labels]
    found = evaluate(right, table, classes=data.classes)
    assert found.overall.accuracy == 1.0 and found.overall.locations == 6
    assert set(found.scenes) == {"dog", "siren"}
    assert evaluate(right[::-1], table, classes=data.classes).overall.accuracy < 1


@pytest.mark.parametrize("split", ["fit", "validation", "train", "test"])
def test_row_by_row_the_table_is_the_clips(data, split: str) -> None:
    table, clips = data.table(split), data.clips(split)
    assert table["identifier"].tolist() == clips.identifiers.tolist()
    assert [data.classes.index(scene) for scene in table["scene"]] == clips.labels.tolist()
    assert data.against("dog").table(split).equals(table)


def test_a_split_that_given_tensors_do_not_have_is_refused_as_for_clips(data) -> None:
    with pytest.raises(ValueError, match="no split 'evaluation': choose one of fit, validation"):
        data.table("evaluation")


@pytest.mark.parametrize("split", ["validation", "test"])
def test_tensors_of_another_shape_than_those_to_fit_are_refused(data, split: str) -> None:
    x, y, other = torch.randn(4, 2), torch.tensor([0, 1, 0, 1]), torch.randn(4, 3)
    given = (x, y, other, y, x, y) if split == "validation" else (x, y, x, y, other, y)
    with pytest.raises(ValueError, match=rf"{split}: inputs .* \(3,\), those to fit \(2,\)"):
        Data.of(*given, classes=("dog", "siren"))


def test_accuracy_compares_one_label_with_each_row() -> None:
    logits, labels = torch.eye(3), torch.tensor([0, 1, 1])
    assert macro_accuracy(logits, labels) == 0.75
    for other in (labels[:, None], labels[:2], torch.eye(3)):
        with pytest.raises(ValueError, match=r"logits \(3, 3\) and labels"):
            macro_accuracy(logits, other)


def test_without_a_test_the_table_is_empty(data) -> None:
    x, y = torch.randn(4, 2), torch.tensor([0, 1, 0, 1])
    without = Data.of(x, y, x, y, classes=("dog", "siren"))
    assert len(without.table("test")) == 0 and list(without.table("test")) == [*data.table("fit")]


def test_a_student_without_the_output_of_its_lesson_is_refused_before_its_teacher_is_trained(data):
    teacher = Run(two_classes, data, PLAN, 7, version=7)
    lesson = Lesson((Stage(losses.hint, weight=1.0, hard=0.1, on="conv2"),), teacher)
    with pytest.raises(ValueError, match="Linear has no output 'conv2'.*it has logits:"):
        build([Run(two_classes, data, PLAN, lesson=lesson)])
    assert teacher.found() is None
