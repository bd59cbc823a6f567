"""What the study of firmware counts, and what its committed figures must hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from asclib.challenge import SCENES
from asclib.complexity import complexity
from asclib.networks import TMSIC
from asclib.store import results
from studies import firmware

FLASH, RAM = 256 * 1024, 128 * 1024  # bytes of the chip


@pytest.fixture(scope="module")
def found() -> dict:
    return results("firmware")


def test_the_programs_on_record_fit_the_chip_and_their_parts_add_up(found):
    assert len(found["programs"]) == 4
    for row in found["programs"]:
        assert row["flash"]["all"] < FLASH and row["ram"]["all"] < RAM
        assert 0 < row["deepest stack"] < row["ram"]["stack"] == 4096  # kept by the linker script
        for memory in ("flash", "ram"):
            parts = dict(row[memory])
            assert parts.pop("all") == sum(parts.values()) and min(parts.values()) > 0
        layers = sum(layer["instructions"] for layer in found["layers"])
        assert row["instructions"]["model"] == pytest.approx(layers, rel=0.01)
        assert row["ram"]["arena"] == found["file"]["arena"]


def test_all_answers_on_record_are_the_interpreter_s(found):
    for row in found["equal"]:
        assert row["equal"] == row["clips"] >= (300 if row["where"] == "host" else 50)


def test_the_interpreter_s_arena_on_record_is_the_file_s(found):
    assert found["interpreter"]["activations"] == found["file"]["arena_of_file"]
    assert 0 < found["interpreter"]["notes"] < 10_000


def test_scenes_on_record_are_python_s_but_for_near_ties(found):
    for row in found["agreement"]:
        if row["front_end"] == "exact":
            assert row["same_scene_by_front_end"] >= 0.995 * row["clips"]
            assert row["same_scene"] + row["near_ties"] >= 0.995 * row["clips"]
    assert {row["corpus"] for row in found["agreement"]} >= {
        "embedded",
        "embedded, seed 5",
        "real recordings",
    }


def test_the_cheap_front_end_on_record_is_paired_with_the_exact_one(found):
    rows = [row for row in found["agreement"] if row["right"] is not None]
    for exact, cheap in zip(rows[::2], rows[1::2], strict=True):
        assert (exact["front_end"], cheap["front_end"]) == ("exact", "cheap")
        of_exact, of_cheap = exact["more_than_exact"], cheap["more_than_exact"]
        assert of_exact["low"] == of_exact["estimate"] == of_exact["high"] == 0
        assert of_cheap["low"] < of_cheap["estimate"] < of_cheap["high"]
        share = (cheap["right"] - exact["right"]) / cheap["clips"]
        assert of_cheap["estimate"] == pytest.approx(share, abs=1e-3)


def test_layers_on_record_add_up_to_the_student(found):
    assert sum(row["macs"] for row in found["layers"]) == found["file"]["macs"]
    convolutions = [row["macs"] for row in found["layers"] if row["layer"].startswith("conv")]
    assert sum(convolutions) == complexity(TMSIC()).macs - 16 * 256 - 256 * 10


def test_separable_layers_take_the_place_of_three_convolutions(found):
    macs = {row["layer"]: row["macs"] for row in found["separable"]}
    assert macs["conv2 filters"] == 140 * 8 * 20 * 21 and macs["conv2 mixes"] == 140 * 8 * 20 * 28
    counted = complexity(firmware.separable())
    parts = [n for name, n in macs.items() if not name.startswith("norm")]
    assert counted.macs == sum(parts)


def test_depthwise_filters_on_record_are_made_four_maps_at_a_time(found):
    """A word of inputs, one of weights, and a product an instruction: naive loops take 17."""
    filters = [row for row in found["separable"] if row["layer"].endswith("filters")]
    assert len(filters) == 3
    for row in filters:
        assert row["instructions"] < 6 * row["products"], row["layer"]


def test_what_the_program_has_more_right_is_paired_over_locations():
    places = np.repeat(np.arange(40), 5)  # four of each scene
    table = pd.DataFrame({"scene": [SCENES[place % 10] for place in places]})
    table["city"], table["location"] = "lisbon", places.astype(str)
    truth = table["scene"].map(SCENES.index).to_numpy()
    wrong = (truth + 1) % 10
    same = firmware.more_right(table, truth, truth)
    assert same == {"estimate": 0, "low": 0, "high": 0, "locations": 40}
    once = np.where(np.arange(200) < 5, wrong, truth)  # one location of 40 is lost
    lost = firmware.more_right(table, once, truth)
    assert firmware.more_right(None, once, truth) is None
    assert lost["estimate"] == pytest.approx(-1 / 40)
    assert lost["low"] < lost["estimate"] < lost["high"]


def test_symbols_belong_to_the_layers_they_are_named_after():
    flash = {
        "layer_3": 10,
        "layer_3.constprop.0": 5,
        "weights_3": 100,
        "channels_3": 20,
        "constant_12_0": 7,
        "frontend_int16": 50,
        "WEIGHTS": 60,
    }
    assert firmware.by_layer(flash) == {3: 135, 12: 7}
    tables = [name for name in flash if firmware.TABLES.match(name)]
    assert tables == ["WEIGHTS"]


def test_samples_are_rounded_and_clipped_to_int16():
    sound = np.array([0.0, 1.0, -1.0, 0.6 / 32768, -2.0])
    assert firmware.as_int16(sound).tolist() == [0, 32767, -32768, 1, -32768]
    assert firmware.at_rate([np.zeros(44_100, np.int16)], 48_000).shape == (1, 48_000)
