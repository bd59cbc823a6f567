from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, log_loss

from asclib.challenge import DEVICES, SCENES, UNSEEN_DEVICES
from asclib.evaluation import calibration, compare, evaluate, score, verdict


def _table(scene: np.ndarray, recording: np.ndarray, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    devices = np.array(DEVICES)[generator.integers(0, len(DEVICES), len(scene))]
    return pd.DataFrame(
        {
            "scene": np.array(SCENES)[scene],
            "device": devices,
            "recording": [f"r{number}" for number in recording],
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


def test_scores_agree_with_scikit_learn_and_with_plain_loops():
    probabilities, clips, scene = _system(60, 5, seed=1)
    result = evaluate(probabilities, clips, resamples=20)
    guess = probabilities.argmax(1)
    assert result.overall.accuracy == pytest.approx(_macro_accuracy(probabilities, scene))
    assert result.overall.accuracy == pytest.approx(balanced_accuracy_score(scene, guess))
    assert result.overall.log_loss == pytest.approx(
        log_loss(scene, probabilities, labels=range(10))
    )
    np.testing.assert_array_equal(
        result.confusion, confusion_matrix(scene, guess, labels=range(10))
    )
    assert (result.overall.clips, result.overall.recordings) == (300, 60)


def test_a_score_is_the_evaluation_without_its_intervals():
    probabilities, clips, _ = _system(30, 4, seed=3)
    whole, plain = evaluate(probabilities, clips), score(probabilities, clips)
    ends = [f"{name}_{end}" for name in ("accuracy", "log_loss") for end in ("low", "high")]
    pd.testing.assert_frame_equal(
        plain.table().drop(columns=ends), whole.table().drop(columns=ends)
    )
    assert plain.table()[ends].isna().all(axis=None) and whole.table()[ends].notna().any(axis=None)
    np.testing.assert_array_equal(plain.confusion, whole.confusion)
    with pytest.raises(ValueError, match="at least one is needed"):
        evaluate(probabilities, clips, resamples=0)


def test_groups_are_scored_on_their_own_clips():
    probabilities, clips, scene = _system(60, 5, seed=2)
    result = evaluate(probabilities, clips, resamples=20)
    unseen = clips["device"].isin(UNSEEN_DEVICES).to_numpy()
    masks = {f"device {name}": (clips["device"] == name).to_numpy() for name in DEVICES}
    masks |= {name: scene == k for k, name in enumerate(SCENES)}
    masks |= {"seen": ~unseen, "unseen": unseen, "overall": np.ones(len(scene), bool)}
    table = result.table().set_index("group")
    assert set(table.index) == set(masks)
    for group, mask in masks.items():
        row = table.loc[group]
        assert row["clips"] == mask.sum()
        assert row["recordings"] == clips["recording"][mask].nunique()
        assert row["accuracy"] == pytest.approx(_macro_accuracy(probabilities[mask], scene[mask]))
        expected = log_loss(scene[mask], probabilities[mask], labels=range(10))
        assert row["log_loss"] == pytest.approx(expected)
        for what in ("accuracy", "log_loss"):
            assert row[f"{what}_low"] <= row[f"{what}_high"]


def test_interval_equals_a_bootstrap_written_with_loops():
    probabilities, clips, scene = _system(12, 3, seed=3)
    result = evaluate(probabilities, clips, resamples=150, seed=7)
    # the same draws: how often each recording is taken, a hundred resamples at a time
    generator = np.random.default_rng(7)
    draws = np.concatenate(
        [generator.multinomial(12, np.full(12, 1 / 12), size=rows) for rows in (100, 50)]
    )
    names = list(dict.fromkeys(clips["recording"]))
    accuracies, losses = [], []
    for draw in draws:
        rows = [
            row
            for name, times in zip(names, draw, strict=True)
            for _ in range(times)
            for row in np.flatnonzero(clips["recording"] == name)
        ]
        accuracies.append(_macro_accuracy(probabilities[rows], scene[rows]))
        losses.append(log_loss(scene[rows], probabilities[rows], labels=range(10)))
    overall = result.overall
    assert (overall.accuracy_low, overall.accuracy_high) == pytest.approx(
        tuple(np.quantile(accuracies, (0.025, 0.975)))
    )
    assert (overall.log_loss_low, overall.log_loss_high) == pytest.approx(
        tuple(np.quantile(losses, (0.025, 0.975)))
    )


def test_copies_of_a_clip_within_its_recording_do_not_narrow_the_interval():
    probabilities, clips, _ = _system(200, 1, seed=4)
    once = evaluate(probabilities, clips).overall
    repeated = clips.loc[clips.index.repeat(10)].reset_index(drop=True)
    copies = np.repeat(probabilities, 10, axis=0)
    together = evaluate(copies, repeated).overall
    as_if_independent = repeated.assign(recording=[f"r{i}" for i in range(len(repeated))])
    apart = evaluate(copies, as_if_independent).overall

    def width(score):
        return score.accuracy_high - score.accuracy_low

    assert width(together) == pytest.approx(width(once), rel=1e-9)
    assert width(apart) < 0.5 * width(once)  # 1/sqrt(10) if the copies told anything new


def test_interval_covers_the_true_accuracy_about_95_percent_of_the_time():
    truth = evaluate(*_system(100_000, 1, seed=5)[:2], resamples=1).overall
    covered = {"accuracy": 0, "log_loss": 0}
    trials = 150
    for trial in range(trials):
        one = evaluate(*_system(150, 4, seed=100 + trial)[:2], resamples=200).overall
        covered["accuracy"] += one.accuracy_low <= truth.accuracy <= one.accuracy_high
        covered["log_loss"] += one.log_loss_low <= truth.log_loss <= one.log_loss_high
    for name, hits in covered.items():
        # three binomial standard errors are 0.053; bootstrap intervals are a little narrow
        assert 0.87 <= hits / trials <= 0.995, name


def test_resamples_without_some_scene_yield_no_nan():
    probabilities, clips, _ = _system(4, 2, seed=6)  # four recordings: most resamples lack one
    result = evaluate(probabilities, clips)
    assert np.isfinite(result.table().drop(columns="group").to_numpy(float)).all()
    assert set(result.scenes) == set(clips["scene"])


def test_the_same_seed_gives_the_same_interval():
    probabilities, clips, _ = _system(50, 2, seed=7)
    table = evaluate(probabilities, clips, seed=3).table()
    pd.testing.assert_frame_equal(table, evaluate(probabilities, clips, seed=3).table())
    assert not table.equals(evaluate(probabilities, clips, seed=4).table())


def test_order_of_the_clips_does_not_matter_for_the_scores():
    probabilities, clips, _ = _system(50, 2, seed=8)
    order = np.random.default_rng(0).permutation(len(clips))
    straight = evaluate(probabilities, clips, resamples=10)
    shuffled = evaluate(probabilities[order], clips.iloc[order], resamples=10)
    assert shuffled.overall.accuracy == pytest.approx(straight.overall.accuracy)
    assert shuffled.unseen.log_loss == pytest.approx(straight.unseen.log_loss)


def test_without_unseen_devices_there_is_no_unseen_score():
    probabilities, clips, _ = _system(20, 2, seed=9)
    result = evaluate(probabilities, clips.assign(device="a"), resamples=10)
    assert result.unseen is None
    assert list(result.devices) == ["a"]
    assert "unseen" not in set(result.table()["group"])


def test_certain_and_wrong_costs_what_scikit_learn_says():
    clips = _table(np.array([0, 1]), np.array([0, 1]))
    probabilities = np.eye(10)[[0, 2]]
    expected = log_loss([0, 1], probabilities, labels=range(10))
    assert evaluate(probabilities, clips, resamples=5).overall.log_loss == pytest.approx(expected)


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
    with pytest.raises(ValueError, match="lack the column 'recording'"):
        evaluate(probabilities, clips.drop(columns="recording"))
    clips.loc[2, "scene"] = "beach"
    with pytest.raises(ValueError, match="row 2: scene 'beach'"):
        evaluate(probabilities, clips)
    clips.loc[2, "scene"] = None
    with pytest.raises(ValueError, match="row 2: clips have no scene"):
        evaluate(probabilities, clips)


def test_a_thousand_resamples_of_a_whole_test_split_take_under_two_seconds():
    probabilities, clips, _ = _system(3_000, 10, seed=13)
    start = time.process_time()
    evaluate(probabilities, clips)
    assert time.process_time() - start < 2


def test_comparison_is_the_difference_of_the_scores_on_the_same_resamples():
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


def test_a_verdict_names_the_side_of_zero_only_where_there_is_an_interval():
    assert verdict(0.1, 0.3) == verdict(-0.3, -0.1) == "excludes zero"
    assert verdict(-0.1, 0.3) == verdict(0.0, 0.3) == "includes zero"
    assert verdict(None, None) == verdict(float("nan"), float("nan")) == "needs a second seed"
