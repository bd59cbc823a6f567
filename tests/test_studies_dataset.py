"""Claims about the measurements behind the dataset chapter."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from asclib.augmentation import tmsic_versions
from asclib.augmentation.clip import VERSIONS
from asclib.corpus import places, read_audio
from asclib.features import LogMel
from asclib.runs import Experiment
from studies import dataset
from tests.data import TINY

KEYS = {
    "clip": "identifier",
    "clip within city": "identifier",
    dataset.PUBLISHED: "identifier",
    "recording": "recording",
    "location": "place",
}


@pytest.fixture(scope="module")
def clips() -> pd.DataFrame:
    """Two clips of each of 120 recordings, at 40 locations of four cities."""
    rows = [
        {"city": f"c{k % 4}", "location": f"{k % 40}", "recording": f"r{k}", "slice": s}
        for k in range(120)
        for s in range(2)
    ]
    table = pd.DataFrame(rows)
    table["identifier"] = table["recording"] + "-" + table["slice"].astype(str)
    return table.assign(place=places(table))


@pytest.mark.parametrize("name", dataset.SPLITS)
def test_a_split_takes_every_clip_once_and_cuts_no_group(name: str, clips: pd.DataFrame) -> None:
    fit, held_out = dataset.SPLITS[name](clips, 3)
    assert sorted([*fit, *held_out]) == list(range(len(clips)))
    key = clips[KEYS[name]].to_numpy()
    assert set(key[fit]) & set(key[held_out]) == set()
    assert len(held_out) == pytest.approx(0.3 * len(clips), abs=10)


def test_splits_by_clip_cut_recordings_and_the_published_one_keeps_the_cities_shares(clips) -> None:
    for name in ("clip", "clip within city"):
        fit, held_out = dataset.SPLITS[name](clips, 0)
        assert set(clips["recording"].iloc[fit]) & set(clips["recording"].iloc[held_out])
    assert set(clips["city"].iloc[held_out].value_counts()) == {18}  # 30 % of 60 in each city


def test_the_summary_of_a_clip_holds_the_mean_and_deviation_of_each_band() -> None:
    x = torch.randn(3, 1, 5, 8)
    expected = [[x[i, 0, band].mean() for band in range(5)] for i in range(3)]
    assert dataset.summary(x)[:, :5] == pytest.approx(np.array(expected), abs=1e-6)
    deviation = float(x[1, 0, 2].std(correction=0))
    assert dataset.summary(x)[1, 5 + 2] == pytest.approx(deviation, abs=1e-6)


def test_items_after_augmentation_are_the_clips_and_their_versions_and_know_whose(
    tiny_store,
) -> None:
    experiment = Experiment(TINY)
    items, rows = dataset.augmented(experiment)
    train, x = experiment.table("train"), experiment.clips("train").x
    others = np.flatnonzero(train["device"] != "a")
    assert len(items) == len(rows) == len(train) + 5 * len(others)
    assert items[: len(train)] == pytest.approx(dataset.summary(x))
    clip = train.iloc[others[3]]
    wave = read_audio(experiment.corpus.root / clip["filename"])
    versions = tmsic_versions(wave, clip["identifier"], clip["device"], LogMel.tmsic(), seed=0)
    expected = dataset.summary(torch.from_numpy(versions))
    found = items[rows == others[3]]
    assert found.shape == (len(VERSIONS), 280)
    assert found == pytest.approx(expected, abs=1e-5)
    fit, held_out = dataset.SPLITS[dataset.PUBLISHED](train.iloc[rows], 0)
    assert set(rows[fit]) & set(rows[held_out])  # copies of one clip on both sides
