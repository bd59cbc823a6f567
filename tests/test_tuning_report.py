"""What a report says of a search can be recomputed from the search."""

import json
from dataclasses import asdict

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from asclib.runs import Experiment
from asclib.training import macro_accuracy, predict
from asclib.tuning import Architecture, Effort, Search, architecture, figures, finals, report, work
from tests.data import TINY

EFFORT = Effort(trials=8, epochs=1, clips=40)  # one epoch: no trial is behind


@pytest.fixture(scope="module")
def finished(tiny_store, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASCLIB_PROGRESS", "/dev/null")
        url = str(tmp_path_factory.mktemp("study") / "journal")
        search = Search("architecture", Experiment(TINY), EFFORT)
        study = work(search, url)
        yield search, study, url


def test_the_table_has_every_trial_and_every_parameter(finished):
    search, study, _ = finished
    trials = report.table(study)
    assert trials["number"].tolist() == list(range(8))
    assert set(architecture.parameters(search.start)) < set(trials.columns)
    impossible = trials["outcome"] == "impossible"
    assert impossible.any() and (~impossible).any()
    assert trials["reason"].notna().equals(impossible)
    assert trials["accuracy"].isna().equals(impossible)
    ran = trials[~impossible]
    assert ran["accuracy"].tolist() == [max(epochs) for epochs in ran["epochs"]]


def test_the_front_is_what_no_other_beats():
    random = np.random.default_rng(0)
    trials = pd.DataFrame(
        {
            "macs": random.integers(1, 20, 60),
            "accuracy": random.integers(1, 20, 60) / 20,
            "outcome": random.choice(["finished", "behind"], 60),
        }
    )
    done = trials[trials["outcome"] == "finished"]
    undominated = {
        (row.macs, row.accuracy)
        for row in done.itertuples()
        if not (
            (done["macs"] <= row.macs)
            & (done["accuracy"] >= row.accuracy)
            & ((done["macs"] < row.macs) | (done["accuracy"] > row.accuracy))
        ).any()
    }
    found = report.front(trials)
    assert set(zip(found["macs"], found["accuracy"], strict=True)) == undominated
    assert len(found) == len(undominated)


def test_macro_accuracy_of_many_networks_at_once():
    hits = np.array([[1, 0, 1, 1], [0, 0, 1, 0]], bool)
    labels = np.array([0, 0, 1, 2])
    np.testing.assert_allclose(report._macro(hits, labels), [2.5 / 3, 1 / 3])
    np.testing.assert_allclose(report._macro(hits[:, :3], labels[:3]), [0.75, 0.5])


def test_what_the_test_split_would_claim_exceeds_what_is_kept(finished):
    search, study, _ = finished
    found = report.chosen_on_the_test(search, study)
    scores = [row["test"] for row in found["trials"]]
    assert found["test_choice"] == pytest.approx(max(scores), abs=1e-4)
    best = max(found["trials"], key=lambda row: row["validation"])
    assert found["validation_choice"] == pytest.approx(best["test"], abs=1e-4)
    assert found["flattery"] == pytest.approx(found["claimed"] - found["kept"], abs=1e-4)
    assert found["claimed"] >= found["kept"]  # on average over halves


def test_a_network_that_another_store_holds_is_missed(finished, tmp_path, monkeypatch):
    search, study, _ = finished
    for split in ("fit", "validation", "test"):
        search.experiment.clips(split)
    monkeypatch.setattr(Search, "trained", lambda *_: None)
    with pytest.raises(ValueError, match="use the store that the workers used"):
        report.chosen_on_the_test(search, study)


def test_the_authors_against_themselves_differ_by_nothing(finished):
    search, _, _ = finished
    found = report.against_the_authors(search, Architecture(), seeds=(0, 1))
    for split in ("validation", "test"):
        assert found[split]["authors"] == found[split]["best"]
        assert found[split]["difference"]["accuracy_per_seed"] == [0, 0]


def test_a_single_seed_is_refused_before_anything_is_trained(finished, monkeypatch, capsys):
    search, study, url = finished
    for slow in ("against_the_authors", "importance", "finals", "open_study"):
        monkeypatch.setattr(report, slow, None)
    with pytest.raises(ValueError, match="seeds 1: name two or more"):
        report.report(search, study, (1,))
    with pytest.raises(SystemExit):
        report.main(["architecture", "--storage", url, "--seeds", "1"], TINY)
    assert "seeds 1: name two or more" in capsys.readouterr().err


def test_what_is_trained_anew_is_what_the_finals_train(finished):
    search, study, _ = finished
    best = report.best_point(search, study)
    found = report.against_the_authors(search, best, seeds=(0, 1))
    for name, point in (("authors", search.start), ("best", best)):
        runs = [finals.as_searched(search, point, seed) for seed in (0, 1)]
        assert all(run.found() for run in runs)
        clips = search.data.clips("test")
        scores = [macro_accuracy(predict(run.net(), clips.x), clips.labels) for run in runs]
        assert found["test"][name] == pytest.approx(scores, abs=1e-5)


def test_the_command_writes_what_it_found(finished, tmp_path):
    _, study, url = finished
    output = tmp_path / "results" / "found.json"
    main = ["architecture", "--storage", url, "--effort", "quick", "--epochs", "1", "--clips", "40"]
    report.main([*main, "--seeds", "0", "1", "--output", str(output)], TINY)
    found = json.loads(output.read_text())
    assert len(found["trials"]) == 8 and sum(found["outcomes"].values()) == 8
    assert found["best"]["number"] == study.best_trial.number
    assert found["against_the_authors"]["seeds"] == [0, 1]
    assert found["versions"]["optuna"] and found["settings"]["plan"]["batch_size"] == 16
    assert sum(found["importance"].values()) == pytest.approx(1, abs=1e-3)
    with pytest.raises(SystemExit):
        report.main([*main[:2], str(tmp_path / "empty"), *main[3:]], TINY)


def test_the_best_point_is_that_of_the_best_trial(finished):
    search, study, _ = finished
    point = report.best_point(search, study)
    assert architecture.parameters(point) == pytest.approx(study.best_trial.params)
    assert asdict(point)["dense"] == study.best_trial.params["dense"]


def test_every_picture_can_be_drawn(finished):
    _, study, _ = finished
    trials = report.table(study)
    fig, axes = plt.subplots(2, 3)
    figures.pareto(axes[0, 0], trials)
    figures.importances(axes[0, 1], report.importance(study))
    figures.parallel(axes[0, 2], trials, ["filters1", "pooling", "dense"])
    figures.slices(axes[1, :2], trials, ["filters1", "pooling"])
    figures.curves(axes[1, 2], trials)
    fig.canvas.draw()
    steps = axes[0, 0].get_lines()[2].get_xydata()
    assert len(steps) == len(report.front(trials))
    assert [label.get_text() for label in axes[1, 1].get_xticklabels()] == sorted(
        trials["pooling"].unique()
    )
    plt.close(fig)
