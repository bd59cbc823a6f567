"""What the pruning study compares: the same epochs for every way, and pairs on the same clips."""

from __future__ import annotations

import numpy as np
import pytest

from asclib import study_pruning
from asclib.complexity import complexity
from asclib.experiment import Experiment
from asclib.networks import TMSIC
from asclib.pruning import widths, widths_for, zero_share
from asclib.settings import PROFILES
from asclib.study_pruning import METHODS, RUNS, SHARES, plan, pruned, pruning
from asclib.training import macro_accuracy, predict


def test_iterative_pruning_has_as_many_epochs_in_all_as_one_shot():
    experiment = Experiment("quick")
    steps = len(study_pruning.STEPS)
    assert steps * plan(experiment, 1 / steps).epochs == plan(experiment).epochs
    assert plan(experiment).epochs == PROFILES["quick"].stage.epochs / 2


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
        net = pruned(tiny, method, 0.1, "labels")
        assert widths(net) == (wide if method == "unstructured" else widths_for(0.1))
    assert zero_share(pruned(tiny, "unstructured", 0.1, "response")) == pytest.approx(0.9, abs=1e-3)


def test_differences_are_those_of_the_networks_on_the_test_clips(tiny, found):
    test = tiny.clips("test")

    def accuracy(*run):
        return macro_accuracy(predict(pruned(tiny, *run), test.x), test.labels)

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
            ("one_shot", 0.5, 1.0), ("one_shot", 0.25, 1.0), ("one_shot", 0.1, 1.0),
            ("iterative", 0.1, 1.0), ("iterative", 0.1, 0.1), ("unstructured", 0.1, 1.0),
        }  # fmt: skip


def test_a_pruned_network_is_found_again_and_another_seed_is_another(tiny):
    first, again = (pruned(tiny, "one_shot", 0.1, "labels") for _ in range(2))
    other = pruned(Experiment(tiny.profile, seed=1), "one_shot", 0.1, "labels")
    assert np.array_equal(first.head.weight.detach(), again.head.weight.detach())
    assert not np.array_equal(first.head.weight.detach(), other.head.weight.detach())
