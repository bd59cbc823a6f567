"""What the study of QAT compares: as long with rounding as without, on the same students."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from asclib.compression import agreement
from asclib.compression.qat import FakeQuantised, range_calibration
from asclib.runs import PROFILES
from asclib.training import macro_accuracy, predict
from studies.qat import PAIRS, Rounded, arms, in_litert, qat
from studies.shrinking import Made, chosen, plan
from studies.sitting import Sitting
from tests.data import TINY

STUDY = Sitting(PROFILES["study"], None, (), "control")
SIZE = {"epochs": 24, "steps": 500, "clips": 4_800}
SOME = ("labels-float", "labels-rounded-8", "labels-longer_rounded-8", "labels-aware-8")


def test_whoever_is_tuned_is_tuned_for_as_long_and_its_rate_falls():
    named = {arm.name: arm for arm in arms(STUDY, 0, **SIZE)}
    trained = {name: arm.made for name, arm in named.items() if not isinstance(arm.made, Made)}
    plans = {run.plan for name, run in trained.items() if not name.endswith("float")}
    assert len(plans) == 1
    (tuned,) = plans
    assert (tuned.epochs, tuned.schedule) == (4, "one_cycle")  # 600 steps
    for who in ("rrs", "labels"):
        start = named[f"{who}-float"].made
        longer = named[f"{who}-longer"].made
        assert longer.network.of == start and longer.network.bits is None
        for bits in (8, 4):
            rounded, aware = (named[f"{who}-{way}-{bits}"] for way in ("longer_rounded", "aware"))
            assert rounded.made.network.of == longer and rounded.epochs == aware.epochs == 28
            assert aware.made.network.of == start and aware.made.lesson == longer.lesson
    assert named["rrs-float"].is_taught and not named["labels-aware-4"].is_taught


def test_the_primary_pair_is_that_with_training_as_long():
    names = [arm.name for arm in arms(STUDY, 0, **SIZE)]
    assert PAIRS[0] == ("rrs-aware-8", "rrs-longer_rounded-8")
    assert {name for pair in PAIRS for name in pair} <= set(names)
    assert len(set(names)) == len(names) and len(set(PAIRS)) == len(PAIRS)


def test_the_plan_says_what_is_trained():
    text = "\n".join(plan(STUDY, arms(STUDY, 0, **SIZE), 10, speed=480.0))
    # a student on labels, one in two stages, and four ways to go on from either
    assert "11 of them trained for 80 epochs" in text  # 24 + 12 + 12 + 2 * 4 * 4
    assert "2.2 core-hours" in text


@pytest.fixture(scope="module")
def recorded(tiny_store, tmp_path_factory):
    path = tmp_path_factory.mktemp("results") / "qat.json"
    sitting = Sitting(TINY, None, (), "control", further=())
    qat(sitting, [0, 1], path, epochs=2, steps=1, only=SOME, ask=predict)
    return sitting, path


def test_rows_are_of_the_networks_they_name(recorded):
    sitting, path = recorded
    found, test = json.loads(path.read_text()), sitting.first.clips("test")
    assert len(found["runs"]) == 2 * len(SOME)
    for row in found["runs"]:
        if row["seed"] > 0:
            continue
        (arm,) = chosen(arms(sitting, 0, 2, 1, 96), [row["arm"]])
        start, ranges = arm.run, range_calibration(sitting.first.data)
        if row["way"] == "float":
            net = start.net()
        elif row["way"] == "aware":
            net = arm.made.net()
        else:  # of what it goes on from, rounded by hand
            net = start.net()
            net = FakeQuantised(net.graph if row["way"] == "longer_rounded" else net, ranges)
            assert isinstance(arm.made, Made)
        expected = macro_accuracy(predict(net, test.x), test.labels)
        assert row["accuracy"] == pytest.approx(expected, abs=1e-2)
        assert ("litert" in row) == (row["way"] == "aware")
        if "litert" in row:
            assert row["litert"]["as_trained"] > 0.98
    assert found["fine_tuning"]["schedule"] == "one_cycle"


def test_differences_are_those_of_the_rows(recorded):
    _, path = recorded
    found = json.loads(path.read_text())
    pairs = {(row["system"], row["base"]): row for row in found["differences"]}
    assert set(pairs) == {pair for pair in PAIRS if set(pair) <= set(SOME)}
    for row in found["differences"]:
        if row["measure"] == "accuracy":
            one, other = (
                np.mean([r["accuracy"] for r in found["runs"] if r["arm"] == row[key]])
                for key in ("system", "base")
            )
            assert row["difference"] == pytest.approx(one - other, abs=2e-5)
            assert row["verdict"] in ("yes", "no", "open")


def test_another_version_of_the_rounding_is_another_network():
    run = arms(STUDY, 0, **SIZE)[0].run
    one = Rounded(run, 8)
    others = [replace(one, version=one.version + 1), replace(one, rounding="nearest")]
    assert len({Made(made).store_key for made in (one, Rounded(run, 8), *others)}) == 3


def test_litert_is_asked_with_the_file_of_the_network(recorded):
    sitting, _ = recorded
    (arm,) = chosen(arms(sitting, 0, 2, 1, 96), ["labels-aware-8"])
    x, net = sitting.first.clips("test").x, arm.made.net()
    said, start = in_litert(net, x), arm.run.network.of.net()
    near, far = ((said - predict(one, x)).abs().mean() for one in (net, start))
    assert near < far and agreement(said, predict(net, x)) > 0.9
