"""The runs of the decisive comparison are kept in small files, and one rule decides on them."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from asclib.challenge import SCENES
from asclib.evaluation.statistics import Interval
from studies import verdicts
from studies.arms import DECIDING
from studies.record import ARRAYS, NOBODY, Record, from_bytes, in_bytes

# ---- files --------------------------------------------------------------------------------------


def test_losses_in_bytes_are_true_on_average():
    for exact in (np.random.default_rng(1).exponential(0.8, 10_000), np.full(10_000, 2.3)):
        kept = from_bytes(in_bytes(exact))
        assert kept.mean() == pytest.approx(exact.mean(), abs=1e-3)
        assert np.abs(kept - exact).max() < 0.3
    assert from_bytes(in_bytes(np.array([0.0, 1e9]))) == pytest.approx([0, 36.04], abs=0.01)


def synthetic(path, right, limit=10**6):
    """A record of (teachers, seeds, clips) answers by arm, four clips at each location."""
    clips = next(iter(right.values())).shape[-1]
    place = np.arange(clips) // 4
    table = pd.DataFrame(
        {
            "scene": [SCENES[k % 10] for k in place],
            "device": "a",
            "recording": [f"r{k}" for k in place],
            "city": "city",
            "location": place.astype(str),
            "rendering": "own",
        }
    )
    record = Record(path, {"made": "up"}, table, limit)
    for arm, answers in right.items():
        for teacher, runs in enumerate(answers):
            for seed, hits in enumerate(runs):
                row = {
                    "arm": arm,
                    "candidate": NOBODY if arm == "labels" else "x",
                    "epochs": 24,
                    "teacher": teacher,
                    "seed": seed,
                    "second_rate": None,
                    "temperature": 2.0,
                }
                record.add(row, hits, *losses(hits))
    return record


def losses(hits):
    """Log losses as they are, and after a temperature."""
    return np.where(hits, 0.2, 2.0), np.where(hits, 0.3, 1.5)


def test_files_stay_below_their_limit_and_lose_no_run(tmp_path):
    right = {"rrs": np.random.default_rng(0).random((3, 4, 4_000)) < 0.7}
    record = synthetic(tmp_path / "fair.json", right, limit=40_000)
    files = sorted((tmp_path / "fair").glob("rrs-*.npz"))
    assert len(files) == 3 and max(file.stat().st_size for file in files) < 40_000
    found = Record(record.path).system("rrs", 24, "x")
    for teacher, seed, values in zip(found.teachers, found.seeds, found.values, strict=True):
        np.testing.assert_array_equal(values, right["rrs"][teacher, seed])


def test_a_run_that_was_cut_off_between_two_files_is_added_again(tmp_path):
    right = np.random.default_rng(0).random((1, 3, 400)) < 0.7
    record = synthetic(tmp_path / "fair.json", {"rrs": right})
    settings = json.loads(record.path.read_text())
    last = settings["runs"].pop()  # its answers are there, its row is not
    record.path.write_text(json.dumps(settings))
    Record(record.path).add(last, right[0, 2], *losses(right[0, 2]))
    found = Record(record.path).system("rrs", 24, "x")
    np.testing.assert_array_equal(found.values, right[0])


def test_a_run_that_is_there_is_not_added_again(tmp_path):
    right = np.random.default_rng(0).random((1, 2, 400)) < 0.7
    record = synthetic(tmp_path / "fair.json", {"rrs": right})
    before = record.path.read_bytes()
    with pytest.raises(ValueError, match="has the run of arm rrs, .*seed 1.* already"):
        record.add(record.rows[1], right[0, 1], np.zeros(400))
    assert record.path.read_bytes() == before


def test_runs_without_a_temperature_have_no_log_loss_after_it(tmp_path):
    right = np.random.default_rng(0).random((1, 3, 400)) < 0.7
    record = synthetic(tmp_path / "fair.json", {"rrs": right})
    del record.rows[1]["temperature"]
    found = record.system("rrs", 24, "x", "tempered_log_loss")
    assert found.seeds == (0, 2)
    expected = np.where(right[0][[0, 2]], 0.3, 1.5)
    np.testing.assert_allclose(found.values, expected, atol=0.06)  # a byte each
    assert record.system("rrs", 24, "x", "log_loss").seeds == (0, 1, 2)


def test_runs_with_and_without_a_temperature_stand_in_one_file(tmp_path):
    right = np.random.default_rng(0).random((1, 1, 400)) < 0.7
    record = synthetic(tmp_path / "fair.json", {"rrs": right})
    logits = np.random.default_rng(1).normal(size=(400, 10)).astype(np.float16)
    for seed, temperature in ((1, None), (2, 2.0)):
        row = record.rows[0] | {"seed": seed}
        del row["temperature"]
        before = dict(row)
        record.add_logits(row, logits, temperature=temperature)
        assert row == before  # the caller's own
    assert record.system("rrs", 24, "x", "tempered_log_loss").seeds == (0, 2)
    assert record.system("rrs", 24, "x", "log_loss").seeds == (0, 1, 2)
    loss = [one["tempered_log_loss"] for one in record.rows if "tempered_log_loss" in one]
    assert len(loss) == 1 and loss[0] < record.rows[2]["log_loss"]


# ---- decisions ----------------------------------------------------------------------------------


def test_one_rule_decides(tmp_path):
    generator = np.random.default_rng(0)
    shape = (4, 5, 2_200)  # 550 locations
    easy = generator.random((1, 1, 2_200))  # clips are easy or hard for everybody
    chances = {"labels": 0.70, "response_response": 0.70, "rrs": 0.76}
    right = {
        arm: 0.5 * easy + 0.5 * generator.random(shape) < chance for arm, chance in chances.items()
    }
    right["labels_response"] = right["response_response"]
    found = verdicts.decide(synthetic(tmp_path / "fair.json", right), [24], "x")
    assert (found["primary"]["system"], found["primary"]["base"]) == verdicts.PRIMARY
    primary = found["primary"]
    assert primary["verdict"] == "yes" and 0.03 < primary["low"] < primary["high"] < 0.12
    assert (primary["seeds"], primary["teachers"], primary["locations"]) == (5, 4, 550)
    pairs = {(row["system"], row["base"], row["measure"]): row for row in found["pairs"]}
    same = pairs["labels_response", "response_response", "accuracy"]
    assert same["verdict"] == "no" and same["difference"] == 0
    moved = {kept: pairs["rrs", "labels", kept]["difference"] for kept in ARRAYS}
    assert moved["log_loss"] == pytest.approx(-1.8 * moved["accuracy"], rel=0.03)
    assert moved["tempered_log_loss"] == pytest.approx(-1.2 * moved["accuracy"], rel=0.03)
    last = verdicts.sentence(pairs["rrs", "labels", "tempered_log_loss"])
    assert last.startswith("rrs - labels, 24 epochs, tempered: -") and "nats" in last
    against = {row["system"]: row for row in found["control"]}
    assert against["rrs"]["verdict"] == "yes" and against["response_response"]["verdict"] != "yes"
    text = verdicts.sentence(primary)
    assert text.startswith("rrs - response_response, 24 epochs: +") and text.endswith("(yes)")


def test_a_seed_counts_once_it_has_run_with_all_teachers(tmp_path):
    right = np.random.default_rng(0).random((2, 3, 400)) < 0.7
    record = synthetic(tmp_path / "fair.json", dict.fromkeys(DECIDING, right))
    record.rows.pop()  # of the last arm, seed 2 by teacher 1
    found = verdicts.decide(record, [24], "x")
    last = list(DECIDING)[-1]
    for row in found["pairs"]:
        assert row["seeds"] == (2 if last in (row["system"], row["base"]) else 3)
    record.rows = [row for row in record.rows if (row["arm"], row["seed"]) != (last, 2)]
    again = verdicts.decide(record, [24], "x")
    assert again["control"] == found["control"] and again["pairs"] == found["pairs"]
    with pytest.raises(ValueError, match="no run of labels with 48 epochs"):
        verdicts.decide(record, [48], "x")


def test_arms_may_have_more_seeds_than_others(tmp_path):
    right = {arm: np.random.default_rng(0).random((2, 2, 400)) < 0.7 for arm in DECIDING}
    more = np.random.default_rng(1).random((2, 3, 400)) < 0.7
    right |= dict.fromkeys(verdicts.PRIMARY, more) | {"dist": more[:1], "response": more[:, :1]}
    found = verdicts.decide(synthetic(tmp_path / "fair.json", right), [24], "x")
    seeds = {(row["system"], row["base"]): row["seeds"] for row in found["pairs"]}
    assert found["primary"]["seeds"] == 3 and seeds["rrs", "labels"] == 2
    assert seeds["response", "labels"] == seeds["response", "response_response"] == 1
    against = {row["system"] for row in found["control"]}
    assert against == {*DECIDING, "dist", "response"} - {"labels"}


def test_a_difference_of_independent_scores_is_welchs() -> None:
    def interval(values: np.ndarray) -> Interval:
        error, df = values.std(ddof=1) / len(values) ** 0.5, len(values) - 1
        return Interval(values.mean(), 0, 0, error, df, 1, 0, len(values), {})

    one, other = np.random.default_rng(0).normal(size=(2, 12)) * [[1], [3]]
    other = other[:7]
    welch = stats.ttest_ind(one, other, equal_var=False)
    low, high = welch.confidence_interval()
    expected = (one.mean() - other.mean(), low, high)
    found = verdicts.weighted((interval(one), interval(other)), (1, -1))
    assert (found.estimate, found.low, found.high) == pytest.approx(expected)


def test_a_mean_of_independent_scores_is_half_as_far_from_zero_as_their_sum() -> None:
    one = Interval(0.4, 0.3, 0.5, 0.05, 20, 1, 0, 9, {})
    other = Interval(0.1, 0.0, 0.2, 0.05, 20, 1, 0, 9, {})
    found = verdicts.weighted((one, other), (0.5, 0.5))
    half = stats.t.ppf(0.975, 40) * 0.05 / 2**0.5
    assert (found.low, found.high) == pytest.approx((0.25 - half, 0.25 + half))
