"""An embedding's purity and its picture, against plain loops and known shapes."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from asclib import plotting
from asclib.evaluation import embedding

SCENES = ("bus", "park", "tram")


def clips(recordings=12, slices=4, seed=0):
    """A table of clips, shuffled: `recordings` of three scenes, a few clips each."""
    scenes = [SCENES[r % 3] for r in range(recordings)]
    rows = [{"scene": s, "recording": f"{s}-city-{r}-0"} for r, s in enumerate(scenes)]
    table = pd.DataFrame(rows * slices)
    return table.sample(frac=1, random_state=seed).reset_index(drop=True)


def cloud(table, apart, d=5, seed=0):
    """Points around one centre a scene; `apart` is how far the centres lie from each other."""
    generator = np.random.default_rng(seed)
    centres = apart * np.eye(3, d)[[SCENES.index(scene) for scene in table["scene"]]]
    return centres + generator.normal(size=centres.shape)


def test_purity_equals_a_plain_loop_over_clips_of_other_recordings():
    table = clips()
    points = cloud(table, 1.0) + 50
    for i, value in enumerate(embedding.purity(points, table, neighbours=3)):
        others = [j for j in range(len(table)) if table.recording[j] != table.recording[i]]
        others.sort(key=lambda j: np.linalg.norm(points[i] - points[j]))
        hits = [table.scene[j] == table.scene[i] for j in others[:3]]
        assert value == pytest.approx(np.mean(hits)), i


def test_purity_is_one_for_scenes_apart_and_chance_for_noise():
    table = clips(90)
    assert embedding.purity(cloud(table, 100.0), table).mean() == 1
    noise = np.random.default_rng(1).normal(size=(len(table), 5))
    assert embedding.purity(noise, table).mean() == pytest.approx(1 / 3, abs=0.06)


def test_clips_of_one_recording_make_no_neighbourhood_pure():
    """A network that knows recordings, and nothing of scenes, must not look as if it did."""
    table = clips(60, slices=6)
    numbers = table.recording.str.split("-").str[2].astype(int)
    places = np.random.default_rng(2).normal(size=(60, 4))[numbers]
    points = places + 1e-3 * np.random.default_rng(3).normal(size=places.shape)
    same = pd.DataFrame({"scene": table.scene, "recording": table.index})  # a recording a clip
    assert embedding.purity(points, same, neighbours=5).mean() == 1
    assert embedding.purity(points, table, neighbours=5).mean() < 0.6


def test_purity_does_not_depend_on_turning_moving_or_scaling():
    table = clips()
    points = cloud(table, 1.5)
    turn = np.linalg.qr(np.random.default_rng(4).normal(size=(5, 5)))[0]
    expected = embedding.purity(points, table, neighbours=4)
    assert np.array_equal(embedding.purity(3 * points @ turn + 7, table, neighbours=4), expected)


def test_purity_of_more_clips_than_are_held_at_a_time_is_that_of_the_plain_loop():
    table = clips(120, 10)
    points = cloud(table, 1.0)
    found = embedding.purity(points, table, neighbours=5)
    assert len(found) == len(table) == embedding.ROWS + 200
    other = table["recording"].to_numpy()[:, None] != table["recording"].to_numpy()
    same = table["scene"].to_numpy()[:, None] == table["scene"].to_numpy()
    for i in (0, embedding.ROWS - 1, embedding.ROWS, len(table) - 1):
        apart = np.linalg.norm(points - points[i], axis=1)
        nearest = sorted(np.flatnonzero(other[i]), key=lambda j: apart[j])[:5]
        assert found[i] == pytest.approx(same[i, nearest].mean())


@pytest.mark.parametrize(
    ("rows", "neighbours", "message"),
    [(47, 3, "47 embeddings of 48 clips"), (48, 45, "44 clips outside"), (48, 0, "at least one")],
)
def test_purity_says_what_is_wrong(rows, neighbours, message):
    with pytest.raises(ValueError, match=message):
        embedding.purity(np.zeros((rows, 2)), clips(), neighbours)


def test_intervals_are_those_of_a_plain_bootstrap_over_recordings():
    table = clips(30)
    views = {"before": cloud(table, 1.0), "after": cloud(table, 2.0, seed=5)}
    found = embedding.purities(views, table, neighbours=5, resamples=4_000)
    values = {name: embedding.purity(x, table, 5) for name, x in views.items()}
    groups = [np.flatnonzero(table.recording == name) for name in table.recording.unique()]
    generator, means = np.random.default_rng(9), {"before": [], "after": []}
    for _ in range(4_000):
        drawn = np.concatenate([groups[g] for g in generator.integers(0, 30, 30)])
        for name in means:
            means[name].append(100 * values[name][drawn].mean())
    for name in views:
        row = found.loc[name]
        assert row.purity == pytest.approx(100 * values[name].mean())
        ends = np.quantile(means[name], (0.025, 0.975))
        assert (row.low, row.high) == pytest.approx(ends, abs=0.6)
    gaps = np.subtract(means["after"], means["before"])
    row = found.loc["after"]
    ends = (row.change_low, row.change_high)
    assert ends == pytest.approx(np.quantile(gaps, (0.025, 0.975)), abs=0.6)
    assert row.change == pytest.approx(row.purity - found.purity["before"])


def test_the_first_embedding_has_not_changed_from_itself():
    table = clips()
    row = embedding.purities({"only": cloud(table, 1.0)}, table, neighbours=3).loc["only"]
    assert (row.change, row.change_low, row.change_high) == (0, 0, 0)


def test_planes_of_a_turned_mirrored_larger_cloud_lie_on_each_other():
    table = clips(60)
    points = cloud(table, 3.0) * [4, 2, 1, 0.5, 0.5]
    turn = np.linalg.qr(np.random.default_rng(6).normal(size=(5, 5)))[0]
    wide = np.hstack([-2 * points @ turn + 1, np.zeros((len(points), 3))])  # eight numbers
    first, second = embedding.planes({"a": points, "b": wide}).values()
    assert np.allclose(first, second, atol=1e-9)
    assert np.allclose(first.mean(0), 0) and (first**2).sum(1).mean() == pytest.approx(1)


def test_a_plane_keeps_its_distances_when_it_is_turned():
    table = clips()
    alone = embedding.planes({"b": cloud(table, 2.0, seed=7)})["b"]
    turned = embedding.planes({"a": cloud(table, 2.0), "b": cloud(table, 2.0, seed=7)})["b"]
    distances = [np.linalg.norm(x[:, None] - x, axis=2) for x in (alone, turned)]
    assert np.allclose(*distances) and not np.allclose(alone, turned)


def test_a_collapsed_embedding_is_a_point_and_not_an_error():
    assert np.allclose(embedding.planes({"a": np.ones((6, 3))})["a"], 0)


def test_the_figure_has_a_panel_a_view_and_the_purity_in_its_title():
    table = clips()
    views = {"before": cloud(table, 1.0), "after": cloud(table, 9.0)}
    figure, numbers = plotting.embeddings(views, table, neighbours=3)
    panels = [ax for ax in figure.axes if ax.axison]
    for ax, name in zip(panels, views, strict=True):
        assert ax.get_title().startswith(f"{name}\npurity {numbers.purity[name]:.0f} % [")
        assert np.array_equal(ax.collections[0].get_offsets(), embedding.planes(views)[name])
    assert numbers.equals(embedding.purities(views, table, neighbours=3))
    plt.close(figure)
