from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, log_loss

from asclib.challenge import DEVICES, SCENES, UNSEEN_DEVICES
from asclib.evaluation import (
    best_temperature,
    calibration,
    compare,
    device_gap,
    evaluate,
    score,
    verdict,
)


def _table(scene: np.ndarray, recording: np.ndarray, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    devices = np.array(DEVICES)[generator.integers(0, len(DEVICES), len(scene))]
    return pd.DataFrame(
        {
            "scene": np.array(SCENES)[scene],
            "device": devices,
            "city": "somewhere",
            "location": recording,
        }
    )


def _system(n_recordings: int, slices: int, seed: int, skill: float = 1.5, shared: float = 2.0):
    """Probabilities and clips; clips of a recording share an error of size `shared`."""
    generator = np.random.default_rng(seed)
    recording = np.repeat(np.arange(n_recordings), slices)
    scene = generator.integers(0, 10, n_recordings)[recording]
    logits = generator.normal(size=(len(scene), 10))
    logits += shared * generator.normal(size=(n_recordings, 10))[recording]
    logits[np.arange(len(scene)), scene] += skill
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(1, keepdims=True), _table(scene, recording, seed), scene


def _macro_accuracy(probabilities: np.ndarray, scene: np.ndarray) -> float:
    recalls = []
    for k in range(10):
        answers = [
            row.argmax() == k for row, true in zip(probabilities, scene, strict=True) if true == k
        ]
        if answers:
            recalls.append(sum(answers) / len(answers))
    return sum(recalls) / len(recalls)


def test_one_location_of_each_scene_shows_no_spread_of_accuracy():
    generator = np.random.default_rng(0)
    scene = np.repeat(np.arange(10), 6)
    p = generator.dirichlet(np.ones(10), len(scene))
    alone = evaluate(p, _table(scene, np.repeat(np.arange(10), 6))).overall
    assert np.isnan([alone.accuracy_low, alone.accuracy_high]).all()
    assert alone.log_loss_low < alone.log_loss < alone.log_loss_high  # a mean over all places
    two = evaluate(p, _table(scene, np.repeat(np.arange(20), 3))).overall
    assert two.accuracy_low < two.accuracy == alone.accuracy < two.accuracy_high


def test_scores_agree_with_scikit_learn_and_with_plain_loops():
    probabilities, clips, scene = _system(60, 5, seed=1)
    result = evaluate(probabilities, clips)
    guess = probabilities.argmax(1)
    assert result.overall.accuracy == pytest.approx(_macro_accuracy(probabilities, scene))
    assert result.overall.accuracy == pytest.approx(balanced_accuracy_score(scene, guess))
    assert result.overall.log_loss == pytest.approx(
        log_loss(scene, probabilities, labels=range(10))
    )
    np.testing.assert_array_equal(
        result.confusion, confusion_matrix(scene, guess, labels=range(10))
    )
    assert (result.overall.clips, result.overall.locations) == (300, 60)


def test_a_score_is_the_evaluation_without_its_intervals():
    probabilities, clips, _ = _system(30, 4, seed=3)
    whole, plain = evaluate(probabilities, clips), score(probabilities, clips)
    ends = [f"{name}_{end}" for name in ("accuracy", "log_loss") for end in ("low", "high")]
    pd.testing.assert_frame_equal(
        plain.table().drop(columns=ends), whole.table().drop(columns=ends)
    )
    assert plain.table()[ends].isna().all(axis=None) and whole.table()[ends].notna().any(axis=None)
    np.testing.assert_array_equal(plain.confusion, whole.confusion)


def test_groups_are_scored_on_their_own_clips():
    probabilities, clips, scene = _system(60, 5, seed=2)
    result = evaluate(probabilities, clips)
    unseen = clips["device"].isin(UNSEEN_DEVICES).to_numpy()
    masks = {f"device {name}": (clips["device"] == name).to_numpy() for name in DEVICES}
    masks |= {name: scene == k for k, name in enumerate(SCENES)}
    masks |= {"seen": ~unseen, "unseen": unseen, "overall": np.ones(len(scene), bool)}
    table = result.table().set_index("group")
    assert set(table.index) == set(masks)
    for group, mask in masks.items():
        row = table.loc[group]
        assert row["clips"] == mask.sum()
        assert row["locations"] == clips["location"][mask].nunique()
        assert row["accuracy"] == pytest.approx(_macro_accuracy(probabilities[mask], scene[mask]))
        expected = log_loss(scene[mask], probabilities[mask], labels=range(10))
        assert row["log_loss"] == pytest.approx(expected)
        for what in ("accuracy", "log_loss"):
            assert row[f"{what}_low"] <= row[f"{what}_high"]


def test_the_interval_of_a_scene_is_that_of_a_ratio_over_its_locations():
    """Cochran 1977, Sampling Techniques, 6.4: the spread of what each place adds to the ratio."""
    probabilities, clips, scene = _system(120, 3, seed=3)
    uneven = np.ones(len(clips), bool)
    uneven[::7] = False
    probabilities, clips, scene = probabilities[uneven], clips[uneven], scene[uneven]
    for k, name in enumerate(SCENES):
        one = evaluate(probabilities, clips).scenes[name]
        places = [clips["location"][scene == k] == p for p in set(clips["location"][scene == k])]
        hits = probabilities[scene == k].argmax(1) == k
        ratio, n = hits.mean(), len(places)
        added = [(hits[place].sum() - ratio * place.sum()) / len(hits) for place in places]
        error = (n / (n - 1) * sum(value**2 for value in added)) ** 0.5
        half = stats.t.ppf(0.975, n - 1) * error
        expected = max(ratio - half, 0), min(ratio + half, 1)
        assert (one.accuracy_low, one.accuracy_high) == pytest.approx(expected)


def test_several_trainings_have_their_mean_score_and_an_interval_over_both():
    each = [_system(60, 4, seed=20, skill=skill)[0] for skill in (0.5, 1.5, 2.5)]
    clips = _system(60, 4, seed=20)[1]
    whole, apart = evaluate(each, clips), [evaluate(one, clips) for one in each]
    assert whole.overall.accuracy == pytest.approx(np.mean([one.overall.accuracy for one in apart]))
    assert whole.overall.log_loss == pytest.approx(np.mean([one.overall.log_loss for one in apart]))
    assert (whole.overall.clips, whole.overall.locations) == (240, 60)
    np.testing.assert_array_equal(whole.confusion, sum(one.confusion for one in apart))

    def width(one):
        return one.overall.accuracy_high - one.overall.accuracy_low

    assert width(whole) > 1.5 * width(evaluate([each[1]] * 3, clips))  # they do differ
    assert width(evaluate([each[1]] * 3, clips)) == pytest.approx(width(apart[1]))
    assert compare(each, each[::-1], clips).accuracy == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="3 trainings of a and 1 of b: give both of each seed"):
        compare(each, each[0], clips)


def test_one_training_leaves_everything_open_and_several_can_decide():
    clips = _system(80, 3, seed=14)[1]
    weak, strong = (
        [_system(80, 3, seed=14, skill=skill + apart)[0] for apart in (0, 0.05, 0.1)]
        for skill in (1.0, 4.0)
    )
    one = compare(weak[0], strong[0], clips)
    assert one.accuracy_low > 0 and (one.seeds, one.verdict) == (1, "open")
    several = compare(weak, strong, clips)
    assert (several.seeds, several.verdict, several.log_loss_verdict) == (3, "yes", "yes")
    assert compare(weak, weak, clips).verdict == "no"  # the same within a point


def test_copies_of_a_clip_within_its_location_do_not_narrow_the_interval():
    probabilities, clips, _ = _system(200, 1, seed=4)
    once = evaluate(probabilities, clips).overall
    repeated = clips.loc[clips.index.repeat(10)].reset_index(drop=True)
    copies = np.repeat(probabilities, 10, axis=0)
    together = evaluate(copies, repeated).overall
    as_if_independent = repeated.assign(location=np.arange(len(repeated)))
    apart = evaluate(copies, as_if_independent).overall

    def width(score):
        return score.accuracy_high - score.accuracy_low

    assert width(together) == pytest.approx(width(once), rel=1e-9)
    assert width(apart) < 0.5 * width(once)  # 1/sqrt(10) if the copies told anything new


def test_interval_covers_the_true_accuracy_about_95_percent_of_the_time():
    truth = evaluate(*_system(100_000, 1, seed=5)[:2]).overall
    covered = {"accuracy": 0, "log_loss": 0}
    trials = 150
    for trial in range(trials):
        one = evaluate(*_system(150, 4, seed=100 + trial)[:2]).overall
        covered["accuracy"] += one.accuracy_low <= truth.accuracy <= one.accuracy_high
        covered["log_loss"] += one.log_loss_low <= truth.log_loss <= one.log_loss_high
    for name, hits in covered.items():
        # three binomial standard errors are 0.053
        assert 0.89 <= hits / trials <= 0.995, name


def test_one_location_has_a_score_and_no_interval():
    scene = np.array([0, 0, 1, 1, 2, 2, 2, 2])
    clips = _table(scene, np.array([0, 0, 1, 1, 2, 2, 3, 3])).assign(device="a")
    probabilities = 0.1 * np.eye(10)[[0, 1, 1, 1, 2, 0, 2, 2]] + 0.09
    table = evaluate(probabilities, clips).table().set_index("group")
    assert table.loc["overall"].notna().all()
    single = table["locations"] == 1
    assert set(table.index[single]) == {SCENES[0], SCENES[1]}
    ends = table[["accuracy_low", "accuracy_high", "log_loss_low", "log_loss_high"]]
    assert ends[single].isna().all(axis=None) and ends[~single].notna().all(axis=None)
    assert table[["accuracy", "log_loss"]].notna().all(axis=None)


def test_shares_stay_between_nothing_and_everything():
    scene = np.tile(np.arange(10), 20)
    clips = _table(scene, np.arange(200))
    probabilities = np.eye(10)[np.where(np.arange(200) < 10, (scene + 1) % 10, scene)]
    overall = evaluate(probabilities, clips).overall
    assert 0.9 < overall.accuracy_low < 0.95 < overall.accuracy_high <= 1
    assert overall.log_loss_low >= 0


def test_order_of_the_clips_does_not_matter_for_the_scores():
    probabilities, clips, _ = _system(50, 2, seed=8)
    order = np.random.default_rng(0).permutation(len(clips))
    straight = evaluate(probabilities, clips)
    shuffled = evaluate(probabilities[order], clips.iloc[order])
    assert shuffled.overall.accuracy == pytest.approx(straight.overall.accuracy)
    assert shuffled.unseen.log_loss == pytest.approx(straight.unseen.log_loss)


def test_without_unseen_devices_there_is_no_unseen_score():
    probabilities, clips, _ = _system(20, 2, seed=9)
    result = evaluate(probabilities, clips.assign(device="a"))
    assert result.unseen is None
    assert list(result.devices) == ["a"]
    assert "unseen" not in set(result.table()["group"])


def test_certain_and_wrong_costs_what_scikit_learn_says():
    clips = _table(np.array([0, 1]), np.array([0, 1]))
    probabilities = np.eye(10)[[0, 2]]
    expected = log_loss([0, 1], probabilities, labels=range(10))
    assert evaluate(probabilities, clips).overall.log_loss == pytest.approx(expected)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda p: p.__setitem__((3, 2), np.nan), "row 3 of the probabilities is not finite"),
        (lambda p: p.__setitem__((4, 0), np.inf), "row 4 of the probabilities is not finite"),
        (lambda p: p.__setitem__(5, 0), "row 5 of the probabilities is all zeros"),
        (lambda p: p.__setitem__(6, p[6] * 1.01), "row 6 of the probabilities does not sum to 1"),
        (
            lambda p: p.__setitem__(7, [1.5, -0.5, *[0] * 8]),
            "row 7 of the probabilities holds a negative value",
        ),
    ],
)
def test_rows_that_are_no_distribution_are_named(fault, message):
    probabilities, clips, _ = _system(10, 1, seed=10)
    fault(probabilities)
    with pytest.raises(ValueError, match=message):
        evaluate(probabilities, clips)
    with pytest.raises(ValueError, match=f"system b: {message}"):
        compare(_system(10, 1, seed=11)[0], probabilities, clips)
    with pytest.raises(ValueError, match=message):
        calibration(probabilities, np.zeros(10, int))


def test_tables_that_do_not_fit_are_refused():
    probabilities, clips, _ = _system(10, 1, seed=12)
    with pytest.raises(ValueError, match=r"shape \(9, 10\), 10 clips need \(10, 10\)"):
        evaluate(probabilities[:9], clips)
    with pytest.raises(ValueError, match=r"shape \(10, 9\)"):
        evaluate(probabilities[:, :9], clips)
    with pytest.raises(ValueError, match="need the columns city and location, or recording"):
        evaluate(probabilities, clips.drop(columns="location"))
    with pytest.raises(ValueError, match="lack the column 'device'"):
        evaluate(probabilities, clips.drop(columns="device"))
    clips.loc[2, "scene"] = "beach"
    with pytest.raises(ValueError, match="row 2: scene 'beach'"):
        evaluate(probabilities, clips)
    clips.loc[2, "scene"] = None
    with pytest.raises(ValueError, match="row 2: clips have no scene"):
        evaluate(probabilities, clips)


def test_a_whole_test_split_takes_under_two_seconds():
    probabilities, clips, _ = _system(3_000, 10, seed=13)
    start = time.process_time()
    evaluate(probabilities, clips)
    assert time.process_time() - start < 2


def test_comparison_is_the_difference_of_the_scores_on_the_same_clips():
    a, clips, _ = _system(80, 3, seed=14)
    b = 0.7 * a + 0.3 * _system(80, 3, seed=14, skill=4.0)[0]
    difference = compare(a, b, clips)
    one, other = evaluate(a, clips).overall, evaluate(b, clips).overall
    assert difference.accuracy == pytest.approx(other.accuracy - one.accuracy)
    assert difference.log_loss == pytest.approx(other.log_loss - one.log_loss)
    assert difference.log_loss_high < 0  # b is a, improved
    backwards = compare(b, a, clips)
    assert backwards.accuracy_low == pytest.approx(-difference.accuracy_high)
    assert backwards.log_loss_high == pytest.approx(-difference.log_loss_low)


def test_pairing_makes_the_comparison_sharper_than_two_separate_intervals():
    a, clips, _ = _system(80, 3, seed=15)
    b = 0.99 * a + 0.001
    paired = compare(a, b, clips)
    alone = evaluate(a, clips).overall
    assert paired.log_loss_high - paired.log_loss_low < 0.5 * (
        alone.log_loss_high - alone.log_loss_low
    )


def test_a_system_does_not_differ_from_itself():
    a, clips, _ = _system(30, 2, seed=16)
    same = compare(a, a, clips)
    assert (same.accuracy, same.accuracy_low, same.accuracy_high) == (0, 0, 0)
    losses = (same.log_loss, same.log_loss_low, same.log_loss_high)
    assert losses == pytest.approx((0, 0, 0), abs=1e-12)


def test_the_device_gap_compares_locations_that_both_sides_heard():
    clips = pd.DataFrame(
        {
            "scene": ["bus"] * 7,
            "device": ["a", "s4", "a", "s5", "a", "a", "s6"],
            "city": "somewhere",
            "location": [1, 1, 2, 2, 3, 4, 4],
        }
    )
    right = np.array([1, 0, 1, 1, 0, 1, 1], bool)
    probabilities = np.eye(10)[np.where(right, SCENES.index("bus"), SCENES.index("bus") - 1)]
    gap = device_gap(probabilities, clips)
    assert gap.estimate == pytest.approx(1 / 3)  # place 1 loses one, 2 and 4 none, 3 was not heard
    assert gap.locations == 3 and gap.low < 0 < gap.high
    assert device_gap(probabilities, clips.assign(device="a")) is None


def test_calibration_error_equals_the_bins_by_hand():
    probabilities, _, scene = _system(150, 2, seed=17)
    result = calibration(probabilities, scene, bins=15)
    error = 0.0
    for m in range(15):
        inside = [
            (row.max(), row.argmax() == true)
            for row, true in zip(probabilities, scene, strict=True)
            if m / 15 < row.max() <= (m + 1) / 15
        ]
        assert result.table.loc[m, "clips"] == len(inside)
        if inside:
            confidence, hits = np.mean(inside, axis=0)
            error += len(inside) / len(scene) * abs(hits - confidence)
            assert result.table.loc[m, "confidence"] == pytest.approx(confidence)
            assert result.table.loc[m, "accuracy"] == pytest.approx(hits)
    assert result.error == pytest.approx(error)


def test_calibration_error_of_a_calibrated_and_of_an_overconfident_system():
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.full(10, 0.3), 20_000)
    drawn = (probabilities.cumsum(1) > generator.random((20_000, 1))).argmax(1)
    assert calibration(probabilities, drawn).error < 0.02
    certain = np.eye(10)[np.zeros(20_000, int)]
    wrong_half = np.arange(20_000) % 2
    assert calibration(certain, wrong_half).error == pytest.approx(0.5)


def test_calibration_refuses_labels_that_do_not_fit():
    with pytest.raises(ValueError, match="3 rows of probabilities"):
        calibration(np.full((3, 10), 0.1), np.zeros(4, int))


def test_the_temperature_that_made_the_logits_hot_is_found_again():
    generator = np.random.default_rng(0)
    logits = generator.normal(scale=2.0, size=(20_000, 10))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (chances.cumsum(1) > generator.random((20_000, 1))).argmax(1)
    for hot in (0.5, 1.0, 3.0):
        assert best_temperature(hot * logits, labels) == pytest.approx(hot, rel=0.03)
        shifted = hot * logits + generator.normal(size=(20_000, 1))  # a softmax cannot see it
        assert best_temperature(shifted, labels) == pytest.approx(hot, rel=0.03)


def test_a_temperature_has_bounds_and_refuses_what_does_not_fit():
    sure = 5 * np.eye(10)
    assert 0.1 <= best_temperature(sure, np.arange(10)) < 0.15  # flat there: all is right
    assert best_temperature(sure, (np.arange(10) + 1) % 10) == pytest.approx(10, rel=1e-3)
    with pytest.raises(ValueError, match=r"logits \(10, 10\) and labels \(9,\)"):
        best_temperature(sure, np.arange(9))
    with pytest.raises(ValueError, match="row 3 of the logits is not finite"):
        best_temperature(np.where(np.arange(10)[:, None] == 3, np.nan, sure), np.arange(10))


def test_a_verdict_names_the_side_of_zero_only_where_there_is_an_interval():
    assert verdict(0.1, 0.3) == verdict(-0.3, -0.1) == "excludes zero"
    assert verdict(-0.1, 0.3) == verdict(0.0, 0.3) == "includes zero"
    assert verdict(None, None) == verdict(float("nan"), float("nan")) == "needs a second seed"
