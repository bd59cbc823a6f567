"""What the studies of quantisation measure, and what their committed figures must hold."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from asclib.challenge.task import SCENES
from asclib.compression import Calibration, agreement, calibration_rows, simulate
from asclib.runs import Experiment
from asclib.store import results
from asclib.training import macro_accuracy, predict
from studies import quantization

REAL = os.environ.get("ASCLIB_REAL_SOUNDS", "absent")


def test_the_calibration_curve_is_that_of_the_simulation(tiny):
    kinds = {"corrected dynamic range": ("dynamic_range", None, True)}
    found = quantization.quantization([tiny], kinds, numbers=(2, 5), draws=2)
    assert (found["draws"], [row["number"] for row in found["calibration"]]) == (2, [2, 5])
    net, test, fit = tiny.student().net(), tiny.clips("test"), tiny.clips("fit")
    logits = predict(net, test.x)
    for row in found["calibration"]:
        same, change = [], []
        for draw in range(2):
            rows = calibration_rows(tiny.table("fit"), row["number"], seed=draw)
            simulated = simulate(net, "full_int8", Calibration(fit.x[rows]))
            answers = predict(simulated, test.x)
            same.append(agreement(answers, logits))
            change.append(
                macro_accuracy(answers, test.labels) - macro_accuracy(logits, test.labels)
            )
        assert row["as_float"] == pytest.approx(np.mean(same))
        assert (row["worst"], row["best"]) == pytest.approx((min(same), max(same)))
        (per_draw,) = row["accuracy_per_draw"]
        assert per_draw == pytest.approx(change, abs=1e-9)
        assert row["accuracy_per_seed"] == pytest.approx([np.mean(change)], abs=1e-9)
    (file,) = found["files"]
    assert file["as_simulated"] >= 0.98
    assert found["float_accuracy"] == pytest.approx([macro_accuracy(logits, test.labels)])


def test_draws_of_clips_are_no_trainings():
    """Two students, three draws: the interval over seeds has one degree of freedom, not five."""
    scenes = ("airport", "bus")
    clips = pd.DataFrame([(s, f"{s}-city-{k}-0") for s in scenes for k in range(12)])
    clips.columns = ["scene", "recording"]
    truth = np.repeat([SCENES.index(scene) for scene in scenes], 12)

    def wrong(*rows):  # logits that name the true scene but in these rows
        logits = 5 * torch.eye(10)[truth]
        logits[list(rows)] = 5 * torch.eye(10)[5]
        return logits

    drawn = [wrong(0), wrong(0, 12), wrong()], [wrong(0, 1), wrong(12), wrong(12, 13)]
    students = [(wrong(), draws) for draws in drawn]
    row = quantization._over_draws(students, clips)
    lost = np.array([[1, 2, 0], [2, 1, 2]]) / -24
    assert (row["seeds"], row["draws"], row["clips"]) == (2, 3, 24)
    np.testing.assert_allclose(row["accuracy_per_draw"], lost)
    np.testing.assert_allclose(row["accuracy_per_seed"], lost.mean(1))
    assert row["accuracy"] == pytest.approx(lost.mean())
    ends = row["seeds_low"], row["seeds_high"]
    np.testing.assert_allclose(
        ends, stats.t.interval(0.95, 1, lost.mean(), stats.sem(lost.mean(1)))
    )
    wide, pooled = row["seeds_high"] - row["seeds_low"], stats.sem(lost.ravel())
    assert wide > 2 * stats.t.ppf(0.975, 5) * pooled  # what six independent tries would claim
    np.testing.assert_allclose(row["log_loss_per_draw"], -5 * lost, rtol=1e-6)
    alike = [(exact, [exact] * 3) for exact, _ in students]
    same = quantization._over_draws(alike, clips)
    assert (same["accuracy_low"], same["accuracy_high"], same["worst"]) == (0, 0, 1)


@pytest.mark.parametrize("name", ["quantization", "quantization_real"])
def test_committed_files_lose_no_more_than_allowed(name):
    found = results(name)
    drop = {row["file"]: -100 * row["accuracy"] for row in found["differences"]}
    assert drop["full int8, min max"] <= 0.5
    for row in found["files"]:
        if "dynamic range" in row["file"]:
            assert row["as_float"] >= 0.99
        assert row["as_simulated"] >= 0.97


@pytest.mark.skipif(
    not Path(REAL).is_dir(),
    reason="ASCLIB_REAL_SOUNDS names no folder of real recordings in TAU layout",
)
def test_files_say_of_real_held_out_recordings_what_the_network_says(tmp_path, monkeypatch):
    monkeypatch.setenv("ASCLIB_STORE", str(tmp_path))
    experiment = Experiment("quick", REAL)
    assert not set(experiment.table("train")["recording"]) & set(
        experiment.table("test")["recording"]
    )
    net, test = experiment.student().net(), experiment.clips("test")
    logits = predict(net, test.x)
    floating = macro_accuracy(logits, test.labels)
    assert floating > 0.3  # chance is 0.1: agreement of networks that guess says nothing
    lite = quantization.files(experiment, net, test.x)
    first, second = logits.topk(2).values.T
    clear = first - second > 0.3  # logits; files of three networks changed leads below 0.15
    assert clear.float().mean() > 0.5  # or the test would say nothing
    for name in ("dynamic range", "full int8, min max"):
        answers, simulated = lite[name]
        assert agreement(answers[clear], logits[clear]) == 1
        assert agreement(answers, logits) >= 0.94  # the rest are ties, a processor's to break
        assert agreement(answers, simulated) >= 0.97
        assert macro_accuracy(answers, test.labels) >= floating - 0.015
