"""Claims about the measurements behind the dataset chapter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from asclib.augmentation import tmsic_versions
from asclib.augmentation.clip import VERSIONS
from asclib.challenge import UNSEEN_DEVICES
from asclib.corpus import places, read_audio
from asclib.features import LogMel
from asclib.runs import Experiment
from studies import components, dataset, heldout, linear, splits, unheard
from studies.recipe import INVENTED
from tests.data import TINY

ORDERS = ((1e-5, 1e-2, 10.0), (10.0, 1e-5, 1e-2))
KEYS = {
    "clip": "identifier",
    "clip within city": "identifier",
    splits.PUBLISHED: "identifier",
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
    return table.assign(place=places(table), scene=table["location"].astype(int) % 5)


# ---- ways of splitting ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", splits.SPLITS)
def test_a_split_takes_every_clip_once_and_cuts_no_group(name: str, clips: pd.DataFrame) -> None:
    fit, held_out = splits.SPLITS[name](clips, 3)
    assert sorted([*fit, *held_out]) == list(range(len(clips)))
    key = clips[KEYS[name]].to_numpy()
    assert set(key[fit]) & set(key[held_out]) == set()
    assert len(held_out) == pytest.approx(0.3 * len(clips), abs=10)


def test_splits_by_clip_cut_recordings_and_the_published_one_keeps_the_cities_shares(clips) -> None:
    for name in ("clip", "clip within city"):
        fit, held_out = splits.SPLITS[name](clips, 0)
        assert set(clips["recording"].iloc[fit]) & set(clips["recording"].iloc[held_out])
    assert set(clips["city"].iloc[held_out].value_counts()) == {18}  # 30 % of 60 in each city


@pytest.mark.parametrize("name", splits.SPLITS)
def test_folds_hold_every_clip_out_once_and_cut_no_group(name: str, clips: pd.DataFrame) -> None:
    fold = splits.folds(clips, name, 3)
    assert sorted(set(fold)) == [0, 1, 2]
    assert (clips.assign(fold=fold).groupby(KEYS[name])["fold"].nunique() == 1).all()
    assert np.bincount(fold) == pytest.approx([80, 80, 80], abs=12)
    assert (fold != splits.folds(clips, name, 4)).any()


# ---- the linear reference ------------------------------------------------------------------------


def test_the_summary_of_a_clip_holds_the_mean_and_deviation_of_each_band() -> None:
    x = torch.randn(3, 1, 5, 8)
    expected = [[x[i, 0, band].mean() for band in range(5)] for i in range(3)]
    assert linear.summary(x)[:, :5] == pytest.approx(np.array(expected), abs=1e-6)
    deviation = float(x[1, 0, 2].std(correction=0))
    assert linear.summary(x)[1, 5 + 2] == pytest.approx(deviation, abs=1e-6)


def test_a_clip_is_answered_by_classifiers_that_did_not_hear_its_fold() -> None:
    """Labels that only the clip itself gives away: whoever has heard it is right, no one else."""
    rng = np.random.default_rng(0)
    x, labels = np.eye(60), rng.integers(0, 2, 60)
    asked = {"own": linear.Asked(x, labels, np.arange(60) % 3), "all": linear.Asked(x, labels)}
    right = linear.crossed(x, labels, np.arange(60) % 3, asked, [100.0])
    assert right["own"].shape == (1, 1, 60)
    assert right["own"].mean() < 0.7
    for turn in range(3):
        heard = np.arange(60) % 3 != turn
        assert right["all"][0, turn, heard].all()


def test_answers_come_in_the_order_in_which_strengths_are_asked() -> None:
    """However they are trained, from strong to weak."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5))
    labels = (x[:, 0] + rng.normal(size=60) > 0.7).astype(int)
    rising, mixed = (linear.answers(x, labels, [x], order)[0] for order in ORDERS)
    assert (rising[0] != rising[2]).any()
    assert (mixed == rising[[2, 0, 1]]).all()


# ---- components of variance ----------------------------------------------------------------------


def nested(variances: np.ndarray, sizes: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Numbers with a part of its own for each scene, place, recording and clip."""
    x = np.zeros(sizes)
    for level, variance in enumerate(variances):
        shape = (*sizes[: level + 1], *[1] * (3 - level), sizes[-1])
        x = x + rng.normal(0, variance**0.5, shape)
    return x


def test_components_are_those_that_the_numbers_were_made_with() -> None:
    """Sums of squares one after the other would give the place half of the recordings' variance."""
    made = np.array([0.3, 0.1, 0.5, 0.2])
    x = nested(made, (10, 8, 2, 3, 400), np.random.default_rng(1))
    assert components.components(x) / 400 == pytest.approx(made, abs=0.03)


def test_the_jackknife_covers_the_shares_that_there_are() -> None:
    rng, made = np.random.default_rng(2), np.array([0.2, 0.2, 0.4, 0.2])
    inside = []
    for _ in range(150):
        rows = components.shares(nested(made, (6, 8, 2, 3, 40), rng))[1:]  # scenes are not drawn
        inside += [
            row["share_low"] <= one <= row["share_high"]
            for row, one in zip(rows, made[1:], strict=True)
        ]
    assert 0.85 < np.mean(inside) <= 1


def test_places_with_one_recording_do_not_count() -> None:
    rows = []
    for scene in ("bus", "park"):
        for place in range(4):
            for take in range(2 if place < 3 else 1):
                rows += [(scene, f"{scene}{place}", f"{scene}{place}-{take}")] * 3
    table = pd.DataFrame(rows, columns=["scene", "location", "recording"]).assign(city="c")
    x = components.balanced(np.arange(len(table))[:, None].astype(float), table)
    assert x.shape == (2, 3, 2, 3, 1)
    with pytest.raises(ValueError, match="add some"):
        components.balanced(np.zeros((len(table), 1)), table.drop_duplicates("location"))


# ---- held out ------------------------------------------------------------------------------------


def test_items_after_augmentation_are_the_clips_and_their_versions_and_know_whose(
    tiny_store,
) -> None:
    experiment = Experiment(TINY)
    items, rows = heldout.augmented(experiment)
    train, x = experiment.table("train"), experiment.clips("train").x
    others = np.flatnonzero(train["device"] != "a")
    assert len(items) == len(rows) == len(train) + 5 * len(others)
    assert items[: len(train)] == pytest.approx(linear.summary(x))
    clip = train.iloc[others[3]]
    wave = read_audio(experiment.corpus.root / clip["filename"])
    versions = tmsic_versions(wave, clip["identifier"], clip["device"], LogMel.tmsic(), seed=0)
    expected = linear.summary(torch.from_numpy(versions))
    found = items[rows == others[3]]
    assert found.shape == (len(VERSIONS), 280)
    assert found == pytest.approx(expected, abs=1e-5)
    fold = splits.folds(train.iloc[rows], splits.PUBLISHED)
    assert any(len(set(fold[rows == row])) > 1 for row in others)  # copies on both sides


def test_a_device_left_out_is_not_heard_in_training_and_every_table_is_made(tiny_store) -> None:
    part = heldout.Part.of(Experiment(TINY))
    device = part.clips["device"].to_numpy()
    marked = part._replace(x=np.eye(len(part.x), 280) + 0 * part.x)
    marked.x[:, 200:] = (device[:, None] == np.array([*heldout.OTHERS] * 16)) * 1.0
    marked = marked._replace(labels=np.array([heldout.SEEN_DEVICES.index(d) for d in device]))
    right = heldout.heard(marked, [part], [0, 1])
    others = np.isin(device, heldout.OTHERS)
    known = right["own"][-1][:, others]
    assert known.mean() > 0.9  # the label is the device, and the device is in the features
    assert right["left out"].shape == (len(linear.STRENGTHS), 2, others.sum())
    assert right["left out"].mean() == 0  # whom nobody has heard nobody names
    tables = heldout.every(part, heldout.heard(part, [part], [0, 1]), [0, 1])
    assert {row["cost"] for row in tables["costs"]} == {
        "left out",
        "invented",
        "test, from others",
        "test, from a",
    }
    rows = pd.DataFrame(tables["devices"]).groupby("kind")["clips"].first()
    assert rows["invented"] == len(INVENTED) * rows["a"]  # whose recordings have one clip each
    assert rows["test unseen"] == len(UNSEEN_DEVICES) * rows["test a"]
    assert {row["way"] for row in tables["ways"]} == set(splits.SPLITS)
    shared = pd.DataFrame(tables["shared"]).set_index("way")
    assert shared.loc["location", "locations"] == 0 < shared.loc[splits.PUBLISHED, "clips"]


def test_a_choice_as_by_location_is_set_against_nothing(tiny_store) -> None:
    part, rng = heldout.Part.of(Experiment(TINY)), np.random.default_rng(0)
    sizes = {"own": 6, "left out": 6, "invented": 6, f"test of {part.name}": len(part.x_test)}
    strengths = linear.STRENGTHS
    right = {name: rng.integers(0, 2, (len(strengths), 2, n)) * 1.0 for name, n in sizes.items()}
    for name, best in (("own", 2), ("left out", 2), ("invented", 3)):
        right[name][best] = 2  # above all others
    ladder = [
        {"way": name, "strength": strengths[k + 1], "validation": 1.0}
        for k, name in enumerate(splits.SPLITS)
    ]
    rows = {row["by"]: row for row in heldout.choices(part, right, ladder)}
    same = [name for name, row in rows.items() if "difference" not in row]
    assert same == [list(splits.SPLITS)[1], "location", "left out"]
    for name, row in rows.items():
        assert ("verdict" in row) == (name not in same) == (row["strength"] != strengths[2])


def test_clips_through_invented_devices_have_the_version_of_what_made_them(
    tiny_store, monkeypatch
) -> None:
    """What another version has made is made again."""
    experiment, made = Experiment(TINY), []
    through = heldout.through
    monkeypatch.setattr(heldout, "through", lambda *a, **k: made.append(a) or through(*a, **k))
    heldout.invented(experiment)
    before = len(made)
    heldout.invented(experiment)
    assert len(made) == before
    monkeypatch.setattr(heldout.clip, "VERSION", -1)
    heldout.invented(experiment)
    assert len(made) == before + 1


def test_two_renderings_are_two_and_a_folder_is_alone(tiny_store) -> None:
    first, second = dataset.both(Experiment(TINY))
    assert first.data != second.data
    assert second.profile.corpus == replace(TINY.corpus, seed=dataset.SECOND)
    assert len(dataset.both(Experiment(TINY, str(first.corpus.root)))) == 1
    with pytest.raises(ValueError, match="another profile"):
        dataset.both(Experiment(replace(TINY, corpus=second.profile.corpus)))


def test_both_renderings_are_heard_by_what_either_taught(tiny_store) -> None:
    found = dataset.dataset(dataset.both(Experiment(TINY)), [0])
    assert found["renderings"] == ["seed 0", "seed 1"]
    crossed = pd.DataFrame(found["crossed"]).set_index(["heard", "learnt"])["accuracy"]
    for heard, other in (("seed 0", "seed 1"), ("seed 1", "seed 0")):
        own = crossed[heard, heard] - crossed[heard, other]
        assert crossed[heard, f"own, less {other}"] == pytest.approx(own, abs=2e-5)
    own = [crossed["seed 0", "own, less seed 1"], crossed["seed 1", "own, less seed 0"]]
    assert crossed["both", "own, less other"] == pytest.approx(np.mean(own), abs=2e-5)
    said = {k: pd.DataFrame(found[k]) for k in ("student", "gaps", "profile", "lead", "mixed")}
    group = said["student"].set_index("group")["accuracy"]
    gaps = said["gaps"].dropna(subset="accuracy").set_index(["system", "gap"])["accuracy"]
    expected = group["unseen"] - group["device a"]
    assert gaps["student", "unseen, from a"] == pytest.approx(expected, abs=2e-5)
    loss = said["gaps"].dropna(subset="log_loss").set_index("gap")["log_loss"]
    of = said["student"].set_index("group")["log_loss"]
    assert loss["unseen, from a"] == pytest.approx(of["unseen"] - of["device a"], abs=2e-4)
    lead = said["lead"].set_index("heard")["accuracy"]
    tests = ["own", "seed 1", "seed 2", "seed 3", "seed 4"]
    assert list(lead.index) == [*tests, "all", "all, unseen devices"]
    assert set(said["lead"]["verdict"]) == {"open"}  # of a single training
    assert lead["all"] == pytest.approx(lead[tests].mean(), abs=2e-5)
    mean = said["profile"]["accuracy"].mean()  # every device has as many clips
    assert group["overall"] - lead["all"] == pytest.approx(mean, abs=2e-5)
    right = said["mixed"].query("scene == says").set_index("scene")["share"]
    assert right["park"] == pytest.approx(group["park"], abs=2e-5)
    again = dataset.later([heldout.Part.of(Experiment(TINY))], [found["chosen"]["seed 0"]], [0])
    for name, rows in again.items():  # as `--later` adds them
        first = [row for row in found[name] if row.get("rendering", "seed 0") == "seed 0"]
        assert rows == first


def test_shapes_are_without_loudness() -> None:
    """What a gain of each clip adds to all bands alike is in the components, and in no shape."""
    names = [(f"s{s}", f"{s}{p}", f"{s}{p}{r}") for s in "ab" for p in "xyz" for r in "12"]
    rows = [name for name in names for _ in range(3)]
    table = pd.DataFrame(rows, columns=["scene", "location", "recording"])
    table = table.assign(city="c", device="a")
    rng = np.random.default_rng(0)
    bands = rng.normal(size=(len(table), 8))
    louder = bands + rng.normal(0, 3, (len(table), 1))
    quiet, loud = (components.of_bands(x, table, "a") for x in (bands, louder))
    assert quiet[-1]["share"] != pytest.approx(loud[-1]["share"], abs=1e-3)
    quiet, loud = (components.of_bands(components.shape(x), table, "a") for x in (bands, louder))
    assert len(quiet) == len(components.LEVELS)
    for one, other in zip(quiet, loud, strict=True):
        assert other["share"] == pytest.approx(one["share"], abs=1e-9)


# ---- unheard devices -----------------------------------------------------------------------------


def test_a_device_is_as_far_from_a_as_what_it_adds_to_parallel_clips(tiny_store) -> None:
    part = heldout.Part.of(Experiment(TINY))
    device = part.test_clips["device"].to_numpy()
    x = np.random.default_rng(0).normal(size=(len(device), 280))
    event = pd.factorize(part.test_clips["recording"] + part.test_clips["slice"].astype(str))[0]
    x[:, :140] = x[event, :140] + 0.5 * (device == "s6")[:, None] * (-1.0) ** np.arange(140)
    rows = {row["device"]: row for row in unheard.distances(part._replace(x_test=x))}
    assert set(rows) == {*heldout.OTHERS, *UNSEEN_DEVICES}
    assert rows["s6"]["decibels"] == pytest.approx(0.5 * 8.686, abs=1e-3)
    assert rows["s5"]["decibels"] == pytest.approx(0, abs=1e-9)


def test_who_has_heard_a_device_gains_what_only_the_device_gives_away(tiny_store) -> None:
    """Labels that clips of unheard devices show in numbers that no other clip has."""
    part = heldout.Part.of(Experiment(TINY))
    device = part.test_clips["device"].to_numpy()
    x = np.zeros((len(device), 280))
    new = np.isin(device, UNSEEN_DEVICES)
    x[new, 100 + part.test_labels[new]] = 1
    x[~new, 120 + part.test_labels[~new]] = 1
    train = np.zeros((len(part.x), 280))
    train[np.arange(len(train)), 120 + part.labels] = 1
    marked = part._replace(x=train, x_test=x)
    found = unheard.answered(marked, 100.0, [0, 1])
    assert found.heard.shape == found.lacking.shape == (2, len(device))
    assert found.heard[:, new].mean() > 0.9 > 0.3 > found.lacking[:, new].mean()
    assert found.heard[:, ~new].mean() > 0.9 < found.lacking[:, ~new].mean()
    rows = {row["device"]: row for row in unheard.costs(marked, found)}
    assert list(rows) == ["b to s3", *UNSEEN_DEVICES, "s4 to s6"]
    for row in rows.values():
        apart = row["heard"] - row["lacking"]
        assert apart == pytest.approx(row["hearing"], abs=0.1)
    assert rows["s4 to s6"]["hearing"] > 0.6 > 0.1 > abs(rows["b to s3"]["hearing"])
