"""The peers are trained as TMSIC is, each through its own front end, and no run is lost."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from asclib.augmentation import FreqMixStyle
from asclib.compression import simulate
from asclib.distillation import TECHNIQUES
from asclib.evaluation import score
from asclib.runs import Experiment, answers
from asclib.training import predict, probabilities
from studies.__main__ import main
from studies.arms import Design
from studies.effort import half_width, noise
from studies.peers import PEERS, RATES, decide, plan, run_of, seen, tuned
from studies.record import NOBODY, Record
from studies.sitting import Sitting
from tests.data import TINY

LABELS = [(name, seed) for seed in (0, 1) for name in PEERS]
TAUGHT = [("tmsic_taught", 0), ("baseline_2022_taught", 0)]


def peers(where, *options):
    shared = ("--candidate", "control", "--recipe", "none", "--clips-per-second", "500")
    output = ("--epochs", "1", "--output", str(where / "peers.json"), "--renderings")
    main(["peers", *shared, *options, *output], TINY)


def sitting(batch=()):
    return Sitting(TINY, None, batch, "control", further=())


@pytest.fixture(scope="module")
def folder(tiny_store, tmp_path_factory):
    """All networks on labels, seed 0 and in a later run seed 1; two of them taught."""
    where = tmp_path_factory.mktemp("peers")
    for seed in "01":
        peers(where, "--untuned", "--seeds", seed)
    peers(where, "--untuned", "--seeds", "0", "--taught", "--networks", "tmsic", "baseline_2022")
    return where


@pytest.fixture
def rows(folder):
    return Record(folder / "peers.json").rows


# ---- alike ---------------------------------------------------------------------------------------


def test_networks_differ_in_form_and_front_end_alone():
    runs = {name: run_of(sitting((FreqMixStyle(),)), name, 3, 24, 1.0) for name in PEERS}
    assert len({run.plan for run in runs.values()}) == 1
    plan = runs["tmsic"].plan
    assert (plan.epochs, plan.batch) == (24, (FreqMixStyle(),))
    for name, run in runs.items():
        assert (run.data.source, run.data.views) == (TINY.corpus, TINY.views)
        assert (run.seed, run.lesson, run.start) == (3, None, None)
        net = run.network()  # takes what it will be shown
        assert net.eval()(torch.zeros(1, *run.data.front_end.shape())).shape == (1, 10), name


def test_tmsic_on_labels_is_a_run_of_the_decisive_comparison():
    experiment = Experiment(TINY, seed=2)
    theirs = Design("labels", 24, batch=(FreqMixStyle(),)).run(experiment, 0, experiment.control)
    assert run_of(sitting((FreqMixStyle(),)), "tmsic", 2, 24, 1.0) == theirs


def test_a_teacher_tells_all_of_them_the_same(tiny_store):
    teacher = sitting().teacher(0)
    said = answers(teacher, Experiment(TINY).data)
    taught = [run_of(sitting(), name, 0, 1, 1.0, said) for name in PEERS]
    for run in taught:
        assert run.lesson.teacher is said and run.lesson.stages == TECHNIQUES["response"]
    x = Experiment(TINY).clips("fit").x  # in TMSIC's pictures, which the teacher was trained on
    torch.testing.assert_close(torch.as_tensor(said.logits), predict(teacher.net(), x))


# ---- rows ----------------------------------------------------------------------------------------


def test_every_run_is_there_once_with_what_it_costs(rows):
    assert [(row["arm"], row["seed"]) for row in rows] == LABELS + TAUGHT
    for row in rows:
        taught = row["arm"].endswith("_taught")
        assert (row["taught_by"] is not None) == taught
        assert row["candidate"] == ("control" if taught else NOBODY)
        assert row["front_end"] == PEERS[row["network"]].front_end().settings
        assert row["rate"] == 1.0 and row["seconds"] > 0
    assert {row["network"]: (row["parameters"], row["macs"]) for row in rows} == {
        "tmsic": (51_986, 25_376_896),
        "baseline_2022": (46_246, 29_203_560),
        "cp_mobile": (63_856, 29_416_448),
        "cnn_gru": (59_513, 10_889_944),
    }


def test_a_row_has_the_scores_of_its_network_through_its_front_end(rows):
    table = Experiment(TINY).table("test")
    for row in rows[:4]:
        run = run_of(sitting(), row["network"], row["seed"], 1, 1.0)
        x = seen(Experiment(TINY).data, row["network"]).clips("test").x
        for net, prefix in ((run.net(), ""), (simulate(run.net()), "int8_")):
            logits = predict(net, x)
            if not prefix:
                logits = logits.half().float()  # as they are kept
            found = score(probabilities(logits), table).overall
            assert row[f"{prefix}accuracy"] == pytest.approx(found.accuracy, abs=1e-5)
            assert row[f"{prefix}log_loss"] == pytest.approx(found.log_loss, abs=1e-5)


def test_what_was_cut_off_goes_on_and_what_is_there_stays(folder, tmp_path):
    for path in (folder / "peers.json", *(folder / "peers").iterdir()):
        copy = tmp_path / path.relative_to(folder)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    file = tmp_path / "peers.json"
    whole = file.read_bytes()
    peers(tmp_path, "--untuned", "--seeds", "0", "1")
    assert file.read_bytes() == whole
    cut = json.loads(whole)
    lost = [cut["runs"].pop(place) for place in (7, 6)]
    file.write_text(json.dumps(cut))
    peers(tmp_path, "--untuned", "--seeds", "0", "1")
    assert Record(file).rows[-2:] == lost[::-1]


def test_another_rate_is_another_run_and_is_refused(folder):
    tuning = folder / "peers" / "tuning.json"
    tuning.write_text(json.dumps({"runs": [{"network": "tmsic", "rate": 3.0, "accuracy": 1}]}))
    before = (folder / "peers.json").read_bytes()
    with pytest.raises(ValueError, match="the run of arm tmsic, .* has other rate: take its row"):
        peers(folder, "--seeds", "0", "--networks", "tmsic")
    tuning.unlink()
    assert (folder / "peers.json").read_bytes() == before


# ---- before and after ----------------------------------------------------------------------------


def test_each_network_has_as_many_trials_and_its_best_rate_is_taken(tiny_store, tmp_path):
    for _ in range(2):  # the second time all are there
        peers(tmp_path, "--tune", "--networks", "tmsic", "baseline_2022")
    path = tmp_path / "peers" / "tuning.json"
    found = json.loads(path.read_text())
    tried = [(row["network"], row["rate"]) for row in found["runs"]]
    assert tried == [(name, rate) for name in ("tmsic", "baseline_2022") for rate in RATES]
    assert found["seed"] == 100 and "tests" not in found
    rates = [run_of(sitting(), "tmsic", 0, 1, rate).plan.learning_rate for rate in RATES]
    assert rates == pytest.approx([TINY.student.learning_rate * rate for rate in RATES])
    for row, accuracy in zip(found["runs"], (0.2, 0.1, 0.3, 0.2, 0.4, 0.4), strict=True):
        row["accuracy"] = accuracy
    path.write_text(json.dumps(found))
    assert tuned(path, ["tmsic", "baseline_2022"]) == {"tmsic": 3.0, "baseline_2022": 1.0}
    with pytest.raises(FileNotFoundError, match="no trials of cnn_gru: .*--networks cnn_gru first"):
        tuned(path, ["tmsic", "cnn_gru"])
    with pytest.raises(ValueError, match="made with other settings \\(trial_epochs\\)"):
        main(
            [
                "peers",
                "--tune",
                "--recipe",
                "none",
                "--epochs",
                "8",
                "--output",
                str(path)[:-12] + ".json",
                "--candidate",
                "control",
            ],
            TINY,
        )


def test_seeds_of_the_trials_are_not_run_again(tmp_path):
    with pytest.raises(ValueError, match="seeds from 100 on are for --tune alone"):
        peers(tmp_path, "--seeds", "100")


def test_the_plan_names_power_hours_and_disk_and_trains_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ASCLIB_STORE", str(tmp_path / "store"))
    peers(tmp_path, "--plan", "--seeds", "0", "1", "2", "3", "4")
    printed = capsys.readouterr().out
    assert "1 teacher x 5 seeds, 110 locations" in printed
    for name in PEERS:
        assert f"  {name}, " in printed
    assert "cp_mobile, 63,856 parameters, 29.4 MMACs: 5 runs of 1 epochs" in printed
    assert not list(tmp_path.iterdir())  # neither a store nor a file

    def of(speed, **more):
        return plan(sitting(), {"cp_mobile": speed}, range(5), (), 3600, **more)[-2]

    # 96 clips to fit; 5 runs of 3,600 epochs and 3 trials of 1,800; 300 pictures of 256 x 65
    assert "480.0 core-hours, and 144.0 for its trials" in of(1.0)
    assert "240.0 core-hours, and 72.0 for its trials" in of(2.0)
    assert f"300 clips, {2 * 4 * 300 * 256 * 65 / 1e9:.1f} GB" in of(1.0)


def test_one_teacher_is_no_factor_of_the_interval_to_expect():
    known = half_width(noise(10**9), 5, 1)
    assert known == pytest.approx(2.776 * 0.02 * np.sqrt(2 / 5), rel=1e-3)  # t of 4 degrees


def test_differences_are_those_of_the_rows(folder, rows):
    peers(folder, "--decide")
    record = Record(folder / "peers.json")
    found = record.settings["decision"]
    assert found == json.loads(json.dumps(decide(record, 1, "control")))
    mean = {
        name: np.mean([row["accuracy"] for row in rows if row["arm"] == name]) for name in PEERS
    }
    labels = {row["system"]: row for row in found["against"] if row["base"] == "tmsic"}
    assert set(labels) == set(PEERS) - {"tmsic"} and len(found["against"]) == 3
    for name, row in [*labels.items(), ("cp_mobile", found["primary"])]:
        assert row["difference"] == pytest.approx(mean[name] - mean["tmsic"], abs=2e-5)
        assert row["low"] <= row["difference"] <= row["high"] and row["seeds"] == 2
    assert found["primary"]["base"] == "tmsic"


def test_what_another_teacher_taught_takes_no_part(folder):
    record = Record(folder / "peers.json")
    for row in record.rows[-len(TAUGHT) :]:
        row["candidate"] = "fused"
    assert record.arms(1, "fused") - record.arms(1, "control") == {name for name, _ in TAUGHT}
    found = decide(record, 1, "control")
    assert {row["base"] for row in found["against"]} == {"tmsic"}


def test_one_run_of_each_decides_nothing(folder):
    record = Record(folder / "peers.json")
    record.rows = [row for row in record.rows if row["seed"] == 0]
    with pytest.raises(ValueError, match="no peer beside tmsic and a second seed: run both"):
        decide(record, 1, "control")
