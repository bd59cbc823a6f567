"""Tables of the comparison, made of kept answers, against the same figures made plainly."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asclib.challenge import SCENES
from asclib.evaluation import Results, paired, score
from asclib.evaluation.comparison import condensed, restored

SEEDS = {"student": 5, "response": 5, "rrs": 3, "ofd": 2}
GAINS = {"student": 0.0, "response": 0.6, "rrs": 0.1, "ofd": 0.0}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Results of a study that never was: its answers, and the file that was made of them."""
    generator = np.random.default_rng(0)
    truth = np.repeat(np.arange(10), 12)
    clips = pd.DataFrame(
        {
            "scene": np.array(SCENES)[truth],
            "device": np.tile(["a", "s4"], 60),
            "recording": [f"{SCENES[k // 12]}-city-{k // 4}-0" for k in range(120)],
        }
    )
    answers, rows, kept = {}, [], []
    for name, seeds in SEEDS.items():
        for seed in range(seeds):
            logits = generator.normal(size=(120, 10))
            logits[np.arange(120), truth] += 1 + GAINS[name]
            p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
            answers[name, seed] = p
            kept.append(condensed(p, truth))
            accuracy = score(p, clips).overall.accuracy
            rows.append(
                {
                    "system": name,
                    "times": 1,
                    "seed": seed,
                    "accuracy": accuracy,
                    "log_loss": 1 - accuracy,
                    "unseen_accuracy": accuracy,
                    "calibration_error": 0.1 * accuracy**2,
                }
            )
    path = tmp_path_factory.mktemp("results") / "comparison.json"
    arrays = {key: np.stack([one[key] for one in kept]) for key in kept[0]}
    np.savez(path.with_suffix(".npz"), **arrays, **{c: clips[c].to_numpy(str) for c in clips})
    path.write_text(json.dumps({"profile": "none", "runs": rows}))
    return Results(path), answers, clips


def test_the_table_has_means_over_seeds(made):
    results, answers, clips = made
    table = results.table()
    scores = [score(answers["rrs", s], clips).overall.accuracy for s in range(3)]
    row = table.loc[("rrs", 1)]
    assert row["seeds"] == 3 and row["accuracy"] == pytest.approx(np.mean(scores))
    assert row["accuracy_sd"] == pytest.approx(np.std(scores, ddof=1))


def test_systems_are_set_against_the_base_on_common_seeds(made):
    results, answers, clips = made
    table = results.against("student")
    assert table["seeds"].to_dict() == {"response": 5, "rrs": 3}  # two seeds of ofd are too few
    ours, base = ([answers[name, s] for s in range(5)] for name in ("response", "student"))
    expected = paired(ours, base, clips)
    for key in ("accuracy", "accuracy_low", "accuracy_high", "seeds_low", "seeds_high"):
        assert table.loc["response", key] == pytest.approx(expected[key])


def test_a_base_of_few_seeds_is_refused_by_name(made):
    with pytest.raises(ValueError, match="no system shares three seeds with ofd"):
        made[0].against("ofd")


def test_only_rivals_that_were_named_are_set_against_the_base(made):
    results, _, _ = made
    both, one = results.against("student"), results.against("student", rivals=["rrs"])
    assert list(one.index) == ["rrs"]
    pd.testing.assert_series_equal(one.loc["rrs"], both.loc["rrs"])


@given(st.integers(0, 10_000), st.floats(0.1, 8))
def test_any_answer_keeps_its_guess_its_confidence_and_its_loss(seed, scale):
    generator = np.random.default_rng(seed)
    logits = scale * generator.standard_normal((50, 10))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = generator.integers(0, 10, 50)
    again = restored(**condensed(p, truth), truth=truth)
    np.testing.assert_allclose(again.sum(1), 1)
    np.testing.assert_array_equal(again.argmax(1), p.argmax(1))
    np.testing.assert_allclose(again.max(1), p.max(1), atol=2e-3)
    rows = np.arange(50)
    least = np.finfo(float).eps  # what the log loss is clipped at
    loss, kept = (-np.log(one[rows, truth].clip(least)) for one in (p, again))
    np.testing.assert_allclose(kept, loss, 1e-3, 1e-2)
