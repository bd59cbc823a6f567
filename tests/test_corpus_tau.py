"""The reader on the index of the whole of TAU: published counts, splits, subsets, leakage."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from asclib.challenge import SCENES
from asclib.corpus import Corpus, places
from asclib.corpus.embedded import CITIES
from tests.corpora import TAU_CLIPS, TAU_SUBSETS, TAU_TEST, TAU_TRAIN


def test_all_clips_of_tau_are_read(tau_corpus):
    clips = tau_corpus.clips
    assert len(clips) == clips["identifier"].nunique() == 230_350
    assert sorted(clips["city"].unique()) == list(CITIES)
    assert sorted(clips["slice"].unique()) == list(range(10))


def test_splits_and_devices_have_their_published_counts(tau_corpus):
    found = tau_corpus.clips.groupby(["split", "device"]).size().unstack(fill_value=0)
    published = pd.DataFrame(TAU_CLIPS).T[list(found.columns)]
    pd.testing.assert_frame_equal(found, published, check_names=False, check_like=True)
    assert found.sum(axis=1).to_dict() == {"train": 139_620, "test": 29_680, "unused": 61_050}


@pytest.mark.parametrize("split, published", [("train", TAU_TRAIN), ("test", TAU_TEST)])
def test_scenes_have_their_published_counts(tau_corpus, split, published):
    assert tau_corpus.split(split)["scene"].value_counts().to_dict() == published


def test_the_subsets_of_2024_have_their_published_sizes(tau_corpus):
    sizes = {percent: len(tau_corpus.split("train", percent)) for percent in TAU_SUBSETS}
    assert sizes == TAU_SUBSETS


def test_the_subsets_of_2024_are_nested_apart_from_test_and_cut_no_recording(tau_corpus):
    corpus = tau_corpus
    train, test = set(corpus.split("train").index), set(corpus.split("test").index)
    parts = [set(corpus.split("train", percent).index) for percent in TAU_SUBSETS]
    for smaller, larger in zip(parts, [*parts[1:], train], strict=True):
        assert smaller <= larger
    for part in parts:
        assert not part & test
        slices = corpus.clips.loc[sorted(part)].groupby(["recording", "device"]).size()
        assert (slices == 10).all()


# ---- validation ------------------------------------------------------------------------------


def test_fit_and_validation_partition_the_training_split(tau_corpus):
    fit, validation = tau_corpus.split("fit").index, tau_corpus.split("validation").index
    assert sorted([*fit, *validation]) == tau_corpus.split("train").index.tolist()


def test_validation_shares_no_location_and_no_recording_with_fit(tau_corpus):
    fit, validation = tau_corpus.split("fit"), tau_corpus.split("validation")
    assert not set(places(fit)) & set(places(validation))
    assert not set(fit["recording"]) & set(validation["recording"])


def test_validation_holds_a_fifth_of_the_recordings_of_each_scene(tau_corpus):
    def recordings(split: str) -> pd.Series:
        return tau_corpus.split(split).groupby("scene")["recording"].nunique()

    share = recordings("validation") / recordings("train")
    assert sorted(share.index) == list(SCENES) and share.between(0.17, 0.23).all()


def test_validation_hears_every_device_of_training(tau_corpus):
    devices = tau_corpus.split("validation")["device"].value_counts(normalize=True)
    whole = tau_corpus.split("train")["device"].value_counts(normalize=True)
    assert set(devices.index) == set(whole.index)
    assert ((devices / whole).between(0.5, 2)).all()


def test_subsets_of_fit_and_validation_make_up_the_subset(tau_corpus):
    for percent in (5, 25):
        parts = [tau_corpus.split(name, percent) for name in ("fit", "validation")]
        whole = tau_corpus.split("train", percent)
        assert sorted([*parts[0].index, *parts[1].index]) == whole.index.tolist()
        shared = tau_corpus.leakage(*parts)["shared"]
        assert shared.drop("cities").sum() == 0


# ---- leakage ---------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", [("train", "test"), ("fit", "validation")])
def test_splits_share_the_ten_cities_and_nothing_else(tau_corpus, pair):
    shared = tau_corpus.leakage(*pair)["shared"]
    assert shared["cities"] == 10 and shared.drop("cities").sum() == 0


def test_a_split_by_clips_leaks_nearly_every_recording(tau_corpus):
    train = tau_corpus.split("train")
    held_out = np.random.default_rng(0).random(len(train)) < 0.2
    leakage = tau_corpus.leakage(train[~held_out], train[held_out])
    assert leakage.loc["clips", "shared"] == 0
    assert leakage.loc["recordings", "clips"] > 0.99 * held_out.sum()
    assert leakage.loc["locations", "clips"] == held_out.sum()


def test_leakage_counts_as_a_plain_loop_does(tau_corpus):
    rng = np.random.default_rng(1)
    train = tau_corpus.split("train")
    one, other = (train.iloc[rng.permutation(len(train))[:1_500]] for _ in range(2))
    leakage = tau_corpus.leakage(one, other)
    assert leakage["shared"].to_dict() == plain_leakage(tau_corpus, one, other)
    assert leakage.loc["parallel", "shared"] > 0


def plain_leakage(corpus: Corpus, one: pd.DataFrame, other: pd.DataFrame) -> dict[str, int]:
    """How many values of each kind occur on both sides, found clip by clip."""
    sides = []
    for table in (one, other):
        side = {"clips": set(), "recordings": {}, "locations": set(), "cities": set()}
        for clip in table.to_dict("records"):
            side["clips"].add(clip["identifier"])
            side["recordings"].setdefault(clip["recording"], set()).add(clip["device"])
            side["locations"].add((clip["city"], clip["location"]))
            side["cities"].add(clip["city"])
        sides.append(side)
    left, right = sides
    counts = {
        name: sum(item in right[name] for item in left[name])
        for name in ("clips", "recordings", "locations", "cities")
    }
    counts["parallel"] = sum(
        len(left["recordings"][recording] | right["recordings"].get(recording, set())) > 1
        for recording in left["recordings"]
        if recording in right["recordings"]
    )
    return counts
