"""Scores by each year's rules: equal to scikit-learn's, and ranks worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, log_loss

from asclib.challenge import LIMITS, SCENES
from asclib.challenge.official import (
    against,
    mean_over_subsets,
    official,
    ranking,
    read_truth,
    within_each,
)
from asclib.challenge.outputs import outputs, read_outputs, write_outputs
from asclib.complexity import complexity
from asclib.corpus import CorpusError
from asclib.networks import TMSIC
from tests.corpora import LABELLED, write_table
from tests.packages import clips_of, system


def truth_of(clips: pd.DataFrame) -> list[str]:
    """TAU's names and labels of a table of clips."""
    parts = clips[["scene", "city", "location"]].agg("-".join, axis=1)
    devices = clips["device"]
    names = [f"audio/{place}-{row}-0-{devices[row]}.wav" for row, place in enumerate(parts)]
    return [f"{name}\t{scene}" for name, scene in zip(names, clips["scene"], strict=True)]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scores_of_a_random_system_are_scikit_learn_s(tmp_path, seed) -> None:
    clips = clips_of(720, seed)
    label = np.array([SCENES.index(scene) for scene in clips["scene"]])
    probabilities = system(720, seed, label)
    write_table(tmp_path / "evaluate.csv", LABELLED, truth_of(clips))
    truth = read_truth(tmp_path / "evaluate.csv")
    assert truth["filename"][3] == Path(truth_of(clips)[3].split("\t")[0]).name
    shuffled = np.random.default_rng(seed).permutation(720)
    answers = outputs(truth["filename"][shuffled], probabilities[shuffled])
    write_outputs(answers, tmp_path / "output.csv")
    table = official(against(read_outputs(tmp_path / "output.csv"), truth), truth)

    guess = probabilities.argmax(1)
    unseen = clips["device"].isin(["s4", "s5", "s6"]).to_numpy()
    groups = {"overall": np.ones(720, bool), "seen devices": ~unseen, "unseen devices": unseen}
    groups |= {f"scene {name}": (clips["scene"] == name).to_numpy() for name in SCENES}
    for column in ("device", "city"):
        names = sorted(set(clips[column]))
        groups |= {f"{column} {name}": (clips[column] == name).to_numpy() for name in names}
    rows = table.set_index("group")
    assert list(rows.index) == list(groups)
    for name, mask in groups.items():
        assert rows.loc[name, "clips"] == mask.sum()
        if name.startswith("scene"):  # whose recall it is
            accuracy = (guess[mask] == label[mask]).mean()
        else:
            accuracy = balanced_accuracy_score(label[mask], guess[mask])
        assert rows.loc[name, "accuracy"] == pytest.approx(accuracy)
        loss = log_loss(label[mask], probabilities[mask], labels=range(10))
        assert rows.loc[name, "log_loss"] == pytest.approx(loss, rel=1e-6)
    overall = rows.loc["overall"]
    assert overall["accuracy_low"] < overall["accuracy"] < overall["accuracy_high"]


def test_devices_that_are_not_of_the_development_set_are_unseen(tmp_path) -> None:
    clips = clips_of(720).assign(device=np.resize(["a", "s10", "d", "unknown"], 720))
    write_table(tmp_path / "t.csv", LABELLED, truth_of(clips))
    rows = official(system(720, 0), read_truth(tmp_path / "t.csv")).set_index("group")
    assert rows.loc["unseen devices", "clips"] == 540 and rows.loc["seen devices", "clips"] == 180
    devices = [name for name in rows.index if name.startswith("device")]
    assert devices == ["device a", "device s10", "device d", "device unknown"]


def test_clips_whose_names_tell_nothing_are_scored_without_intervals(tmp_path) -> None:
    scenes = [SCENES[row % 10] for row in range(40)]
    rows = [f"{row}.wav\t{scene}\ts{row % 2 + 1}" for row, scene in enumerate(scenes)]
    write_table(tmp_path / "t.csv", f"{LABELLED}\tdevice_id", rows)
    table = official(system(40, 0), read_truth(tmp_path / "t.csv")).set_index("group")
    assert table.loc["overall", ["accuracy_low", "accuracy_high"]].isna().all()
    assert [name for name in table.index if "device " in name] == ["device s1", "device s2"]
    assert not any("city" in name for name in table.index)
    write_table(tmp_path / "t.csv", LABELLED, [row.rpartition("\t")[0] for row in rows])
    table = official(system(40, 0), read_truth(tmp_path / "t.csv"))
    assert list(table["group"]) == ["overall", *(f"scene {name}" for name in SCENES)]


@pytest.mark.parametrize(
    "rows, row, problem",
    [
        (["a.wav\tpark", "b.wav\tbeach"], 3, "unknown scene 'beach'"),
        (["a.wav\tpark", "audio/a.wav\tpark"], 3, "a.wav occurs twice"),
        (["a.wav"], 2, "has 1 fields for 2 columns"),
    ],
)
def test_a_ground_truth_that_is_not_sound_is_refused(tmp_path, rows, row, problem) -> None:
    write_table(tmp_path / "t.csv", LABELLED, rows)
    with pytest.raises(CorpusError, match=problem) as caught:
        read_truth(tmp_path / "t.csv")
    assert caught.value.row == row
    with pytest.raises(FileNotFoundError, match="name a table"):
        read_truth(tmp_path / "absent.csv")


def test_answers_and_truth_are_of_the_same_clips() -> None:
    truth = clips_of(20).assign(filename=[f"{row}.wav" for row in range(20)])
    answers = outputs(truth["filename"], system(20, 0))
    with pytest.raises(CorpusError, match="x.csv: 4.wav is not answered"):
        against(answers.drop(index=4), truth, "x.csv")
    with pytest.raises(CorpusError, match=r"4.wav has no ground truth.*the 19 clips"):
        against(answers, truth.drop(index=4))


def test_a_label_among_equals_is_the_answer(tmp_path) -> None:
    tied = np.full((1, 10), 0.025)
    tied[0, [0, 9]] = 0.4
    table = outputs(["0.wav"], tied)
    assert table["scene_label"][0] == "airport"
    write_outputs(table.assign(scene_label="tram"), tmp_path / "o.csv")
    read = read_outputs(tmp_path / "o.csv")[list(SCENES)].to_numpy()
    assert read.argmax() == 9 and read == pytest.approx(tied)


def test_an_output_gives_back_the_float32_it_was_written_from(tmp_path) -> None:
    probabilities = system(200, 3).astype(np.float32)
    probabilities[0] = [1 - 9e-30, *[1e-30] * 9]
    write_outputs(outputs([f"{n}.wav" for n in range(200)], probabilities), tmp_path / "o.csv")
    read = read_outputs(tmp_path / "o.csv")[list(SCENES)].to_numpy(np.float32)
    np.testing.assert_array_equal(read, probabilities)


# ---- ranks ---------------------------------------------------------------------------------------

SYSTEMS = pd.DataFrame(
    {
        "accuracy": [0.55, 0.60, 0.60, 0.50],
        "log_loss": [1.30, 1.40, 1.20, 1.30],
        "bytes": [50_000, 128_000, 60_000, 50_000],
        "macs": [30_000_000, 1_000_000, 20_000_000, 4_000_000],
    },
    index=list("abcd"),
)


def test_2022_ranks_by_log_loss_and_then_by_accuracy() -> None:
    ranked = ranking(2022, SYSTEMS)
    assert ranked["rank"].to_dict() == {"c": 1, "a": 2, "d": 3, "b": 4}
    equal = ranking(2022, SYSTEMS.assign(log_loss=1.0, accuracy=[0.5, 0.6, 0.6, 0.5]))
    assert equal["rank"].to_dict() == {"b": 1, "c": 1, "a": 3, "d": 3}


def test_2023_ranks_by_the_weighted_mean_of_three_ranks() -> None:
    # accuracy: b, c share 1, a 3, d 4; bytes: a, d share 1, c 3, b 4; MACs: b 1, d 2, c 3, a 4
    # half, a quarter, a quarter: a 1.5 + .25 + 1 = 2.75, b .5 + 1 + .25 = 1.75,
    # c .5 + .75 + .75 = 2, d 2 + .25 + .5 = 2.75
    ranked = ranking(2023, SYSTEMS)
    assert ranked["weighted_rank"].to_dict() == {"b": 1.75, "c": 2.0, "a": 2.75, "d": 2.75}
    assert ranked["rank"].to_dict() == {"b": 1, "c": 2, "a": 3, "d": 3}
    assert ranked["bytes_rank"].to_dict() == {"b": 4, "c": 3, "a": 1, "d": 1}
    assert ranking(2023, SYSTEMS, (0, 1, 0))["rank"].to_dict() == {"a": 1, "d": 1, "c": 3, "b": 4}


@pytest.mark.parametrize("year", [2024, 2025])
def test_later_years_rank_by_accuracy(year) -> None:
    ranks = ranking(year, SYSTEMS)["rank"]
    assert ranks.to_dict() == {"b": 1, "c": 1, "a": 3, "d": 4}


def test_a_ranking_needs_what_its_year_ranks_by() -> None:
    with pytest.raises(ValueError, match="2023 ranks by accuracy, bytes, macs: macs missing"):
        ranking(2023, SYSTEMS.drop(columns="macs"))
    with pytest.raises(ValueError, match="c: every system needs log_loss, accuracy"):
        ranking(2022, SYSTEMS.mask(SYSTEMS == 1.2))
    with pytest.raises(ValueError, match="no rules for 2020"):
        ranking(2020, SYSTEMS)


def test_2024_is_the_mean_over_five_subsets() -> None:
    baseline = {5: 42.40, 10: 45.29, 25: 50.29, 50: 53.19, 100: 56.99}
    assert mean_over_subsets(baseline) == pytest.approx(49.632)
    with pytest.raises(ValueError, match="25 missing or not among them"):
        mean_over_subsets(dict.fromkeys((5, 10, 50, 100), 50))
    with pytest.raises(ValueError, match="20 missing or not among them"):
        mean_over_subsets(baseline | {20: 50.0})


def test_2025_limits_the_model_of_each_device() -> None:
    small, large = complexity(TMSIC()), complexity(TMSIC(widths=(26, 36, 36, 21)))
    assert within_each({"a": small, "general": small}, LIMITS[2025], 16)
    verdict = within_each({"a": small, "s3": large, "general": small}, LIMITS[2025], 16)
    assert not verdict and all(reason.startswith("device s3: ") for reason in verdict.reasons)
    assert "bytes" in str(verdict) and "MACs" in str(verdict)
    assert not within_each({"general": small}, LIMITS[2025], 32)
