"""What the pruning study compares: the same epochs for every way, and pairs on the same clips."""

from __future__ import annotations

import functools

import pytest

from asclib.complexity import complexity
from asclib.compression.pruning import healing, widths, widths_for, zero_share
from asclib.networks import TMSIC
from asclib.runs import Experiment
from asclib.training import macro_accuracy, predict
from studies.pruning import METHODS, RUNS, SHARES, network, pruned, pruning


def test_iterative_pruning_has_as_many_epochs_in_all_as_one_shot():
    experiment = Experiment("quick")
    once, run = (pruned(experiment, method, 0.1, "labels") for method in ("one_shot", "iterative"))
    assert once.plan == healing(experiment.profile.student)
    assert once.plan.epochs == experiment.profile.student.epochs / 2
    epochs = 0
    while run != experiment.student():
        epochs, run = epochs + run.plan.epochs, run.network.of
    assert epochs == once.plan.epochs


@pytest.fixture(scope="module")
def found(tiny):
    return pruning([tiny])


def test_every_way_is_run_and_costs_what_it_says(tiny, found):
    whole, wide = complexity(TMSIC()).macs, widths(TMSIC())
    rows = {(row["method"], row["share"], row["healed"]): row for row in found["runs"]}
    cut = {("one_shot", share, "not healed") for share in SHARES}
    assert set(rows) == {*RUNS, *cut}
    for (method, share, _), row in rows.items():
        if method == "unstructured":
            # a zero is a parameter and a product as any other
            assert (row["macs"], row["parameters"], row["bytes"]) == (whole, 51_986, 51_986)
            assert row["zeros"] == pytest.approx(1 - share, abs=1e-3)
        else:
            assert row["macs"] <= share * whole and row["bytes"] == row["parameters"]
            assert row["zeros"] < 0.01
    for method in METHODS:
        net = network(pruned(tiny, method, 0.1, "labels"))
        assert widths(net) == (wide if method == "unstructured" else widths_for(0.1))
    thin = network(pruned(tiny, "unstructured", 0.1, "response"))
    assert zero_share(thin) == pytest.approx(0.9, abs=1e-3)


def test_differences_are_those_of_the_networks_on_the_test_clips(tiny, found):
    test = tiny.clips("test")

    @functools.cache
    def accuracy(*run):
        return macro_accuracy(predict(network(pruned(tiny, *run)), test.x), test.labels)

    for row in found["differences"]:
        run = row["method"], row["share"]
        expected = accuracy(*run, "response") - accuracy(*run, "labels")
        assert row["accuracy"] == pytest.approx(expected, abs=1e-9)
    seen = set()
    for row in found["rivals"]:
        run, base = (row["method"], row["share"]), ("one_shot", row["base_share"])
        seen.add((*run, row["base_share"], row["healed"]))
        expected = accuracy(*run, row["healed"]) - accuracy(*base, row["healed"])
        assert row["accuracy"] == pytest.approx(expected, abs=1e-9)
    for teacher in ("labels", "response"):
        assert {run[:3] for run in seen if run[3] == teacher} == {
            ("one_shot", 0.5, 1.0),
            ("one_shot", 0.25, 1.0),
            ("one_shot", 0.1, 1.0),
            ("iterative", 0.1, 1.0),
            ("iterative", 0.1, 0.1),
            ("unstructured", 0.1, 1.0),
        }


def test_what_the_teacher_heals_is_told_by_the_experiments_teacher(tiny):
    other = Experiment(tiny.profile, seed=1, taught_by=tiny.teacher())
    run = pruned(other, "iterative", 0.1, "response")
    assert run.lesson.teacher == tiny.teacher() and run.seed == 1
    assert pruned(other, "iterative", 0.1, "labels").lesson is None
