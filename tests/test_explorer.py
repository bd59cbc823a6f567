"""Claims about the explorer: its intervals are the library's, and anybody can use its page."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from asclib.challenge import DEVICES, UNSEEN_DEVICES
from asclib.evaluation.statistics import difference, score
from asclib.evaluation.systems import Clips
from studies.record import NOBODY, Record
from tests import browser
from tests.toolchain import need
from tools import explorer

COMPARISON = explorer.PROJECT / "results" / "fair.json"
RATES = {"labels": 0.5, "rrs": 0.75, "response_response": 0.6}
CLIPS = 900


def data_of(path: Path) -> dict:
    """What a data.js hands to the page."""
    return json.loads(path.read_text().split("const COMPARISON = ")[1].rstrip().rstrip(";"))


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """Three systems of two teachers and three seeds; nobody teaches the labels."""
    generator, place = np.random.default_rng(0), np.arange(CLIPS) // 9
    table = pd.DataFrame(
        {
            "scene": [f"scene{k % 10}" for k in place],
            "device": [DEVICES[k % 9] for k in range(CLIPS)],
            "recording": [f"r{k}" for k in place],
            "city": "city",
            "location": place.astype(str),
            "rendering": "own",
        }
    )
    made_with = {"corpus": "embedded, made up"}
    record = Record(tmp_path_factory.mktemp("explorer") / "fair.json", made_with, table)
    unseen = table["device"].isin(UNSEEN_DEVICES).to_numpy()
    for arm, rate in RATES.items():
        for teacher in (0, 1):
            for seed in (0, 1, 2):
                right = generator.random(CLIPS) < rate
                row = {
                    "arm": arm,
                    "candidate": NOBODY if arm == "labels" else "mean",
                    "teacher": teacher,
                    "seed": seed,
                    "epochs": 24,
                    "second_rate": None,
                    "accuracy": float(right.mean()),
                    "unseen_accuracy": float(right[unseen].mean()),
                    "log_loss": 1.0,
                }
                record.add(row, right, np.where(right, 0.2, 2.0))
    return record


@pytest.fixture(scope="module")
def folder(record: Record) -> Path:
    """The page with the data of these runs."""
    target = record.path.parent / "explore"
    shutil.copytree(explorer.PAGE, target)
    explorer.write(record.path, target)
    return target


@pytest.fixture(scope="module")
def tab() -> Iterator[browser.Page]:
    need("chromium")
    with browser.page() as one:
        yield one


# ---- what is written -----------------------------------------------------------------------------


def test_every_pair_has_the_interval_of_the_one_rule(record: Record, folder: Path) -> None:
    found = data_of(folder / "data.js")
    names = [system["name"] for system in found["systems"]]
    assert names == ["labels-24-nobody", "rrs-24-mean", "response_response-24-mean"]
    assert sorted(found["pairs"]) == ["0-1", "0-2", "1-2"]
    rrs, labels = (record.system(arm, 24, "mean") for arm in ("rrs", "labels"))
    expected = difference(rrs, labels, record.clips)
    estimate, low, high, verdict = found["pairs"]["0-1"]["accuracy"]
    ours = (expected.estimate, expected.low, expected.high)
    np.testing.assert_allclose((estimate, low, high), ours, atol=1e-5)
    assert verdict == expected.verdict == "yes"
    alone = score(rrs, record.clips)
    shown = found["systems"][1]["score"]["accuracy"]
    np.testing.assert_allclose(shown, (alone.estimate, alone.low, alone.high), atol=1e-5)


def test_unseen_devices_are_scored_on_their_own_clips(record: Record, folder: Path) -> None:
    mask = record.table["device"].isin(UNSEEN_DEVICES).to_numpy()
    values = record.system("rrs", 24, "mean").values[:, mask]
    places = Clips.of(record.table[mask])
    found = data_of(folder / "data.js")["systems"][1]["score"]["unseen"][0]
    recalls = [values[:, places.scene == scene].mean() for scene in range(10)]
    assert found == pytest.approx(np.mean(recalls), abs=1e-4)


def test_without_a_comparison_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run python -m studies fair first"):
        explorer.write(tmp_path / "fair.json", tmp_path)


def test_the_committed_data_are_those_of_the_results() -> None:
    if not COMPARISON.is_file():
        pytest.skip("results/fair.json is not there: nothing to explore")
    found, record = data_of(explorer.PAGE / "data.js"), Record(COMPARISON)
    counts = Counter((row["arm"], row["epochs"], row["candidate"]) for row in record.rows)
    kept = {key for key, number in counts.items() if number > 1}
    runs = [row for row in record.rows if (row["arm"], row["epochs"], row["candidate"]) in kept]
    runs = [row for row in runs if row["second_rate"] is None]
    shown = [run for system in found["systems"] for run in system["runs"]]
    assert len(shown) == len(runs) and found["clips"] == len(record.table)
    assert sorted(run[2] for run in shown) == sorted(row["accuracy"] for row in runs)


def test_the_page_asks_nobody_for_anything() -> None:
    for path in explorer.PAGE.iterdir():
        text = path.read_text()
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|\bfetch\(|@import", text), path
        assert len(text) < 1_500_000


# ---- the page ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", browser.SIZES)
def test_it_opens_from_a_file_at_either_width(tab: browser.Page, folder: Path, size: str) -> None:
    visit = tab.open((folder / "index.html").as_uri(), size)
    assert visit.errors == []
    assert all(address.startswith(("file:", "data:")) for address in visit.requests)
    assert tab.evaluate(browser.TOO_WIDE) == []
    answer = tab.evaluate("document.getElementById('answer').textContent")
    assert answer.startswith("“RRS, 24 epochs” minus “response, then response, 24 epochs”, macro")
    about = tab.evaluate("document.getElementById('about').textContent")
    assert "Taught by the mean of four students" in about
    assert "3 seeds and 2 teachers" in answer and "yes" in answer


def test_the_two_exchanged_differ_by_the_opposite(tab: browser.Page, folder: Path) -> None:
    tab.open((folder / "index.html").as_uri(), "desktop")
    answer = "document.getElementById('answer').textContent"
    number = re.compile(r"([+−])(\d+\.\d) points")
    before = number.search(tab.evaluate(answer))
    tab.evaluate("document.getElementById('swap').click()")
    after = number.search(tab.evaluate(answer))
    assert before and after and before[2] == after[2]
    assert {before[1], after[1]} == {"+", "−"}
    assert tab.evaluate("document.querySelectorAll('#picture .run').length") == 6
    assert tab.evaluate("document.querySelectorAll('#runs tbody tr').length") == 6


def test_an_address_names_what_is_compared(tab: browser.Page, folder: Path) -> None:
    address = (folder / "index.html").as_uri()
    asked = "one=rrs-24-mean&other=labels-24-nobody&measure=log_loss"
    tab.open(f"{address}?book#{asked}", "desktop")
    answer = tab.evaluate("document.getElementById('answer').textContent")
    assert "minus “labels, 24 epochs”, log loss: −" in answer and "nats" in answer
    assert not tab.evaluate("document.getElementById('back').hidden")
    tab.evaluate("document.querySelectorAll('#systems button')[2].click()")
    assert "one=labels-24-nobody" in tab.evaluate("location.hash")
    assert tab.evaluate("document.querySelectorAll('#systems .chosen').length") == 2
