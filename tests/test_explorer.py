"""Claims about the explorer: its intervals are the library's, and anybody can use its page."""

from __future__ import annotations

import json
import re
import shutil
from collections import defaultdict
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


def made_up(path: Path, runs: list[tuple[int, int]]) -> Record:
    """Three systems with these runs, (teacher, seed) each; nobody teaches the labels."""
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
    record = Record(path, {"corpus": "embedded, made up"}, table)
    unseen = table["device"].isin(UNSEEN_DEVICES).to_numpy()
    for arm, rate in RATES.items():
        for teacher, seed in runs:
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
                "temperature": 1.5,
                "tempered_log_loss": 0.9,
            }
            record.add(row, right, np.where(right, 0.2, 2.0), np.where(right, 0.3, 1.5))
    return record


def page_of(record: Record) -> Path:
    """The page with the data of these runs, and the page whose style it shares beside it."""
    target = record.path.parent / "explore"
    shutil.copytree(explorer.PAGE, target)
    shutil.copytree(explorer.PAGE.parent / "listen", target.parent / "listen")
    explorer.write(record.path, target)
    return target


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """Two teachers, three seeds."""
    path = tmp_path_factory.mktemp("explorer") / "fair.json"
    return made_up(path, [(teacher, seed) for teacher in (0, 1) for seed in (0, 1, 2)])


@pytest.fixture(scope="module")
def folder(record: Record) -> Path:
    return page_of(record)


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


ALL = {"accuracy", "unseen", "log_loss", "tempered_log_loss"}


def test_one_seed_of_two_teachers_has_an_interval(tmp_path: Path) -> None:
    """As `studies fair --decide` has it: what counts is the runs that both have."""
    record = made_up(tmp_path / "fair.json", [(0, 0), (1, 0)])
    pairs = explorer.explored(record)["pairs"]
    rrs, labels = (record.system(arm, 24, "mean") for arm in ("rrs", "labels"))
    expected = difference(rrs, labels, record.clips)
    assert (expected.seeds, expected.teachers) == (1, 2)
    ours = (expected.estimate, expected.low, expected.high)
    np.testing.assert_allclose(pairs["0-1"]["accuracy"][:3], ours, atol=1e-5)
    assert all(set(pair) == ALL for pair in pairs.values())


def test_pairs_that_share_one_run_have_no_interval(tmp_path: Path) -> None:
    record = made_up(tmp_path / "fair.json", [(0, 0), (0, 1), (1, 0), (1, 1)])
    theirs = {"labels": (0, 1), "rrs": (0, 1), "response_response": (1,)}  # seeds of each
    record.rows = [
        row
        for row in record.rows
        if (row["teacher"] == 0 or row["arm"] == "rrs") and row["seed"] in theirs[row["arm"]]
    ]
    record.rows.append(record.rows[-1] | {"seed": 2})  # two runs, one of them shared
    pairs = explorer.explored(record)["pairs"]
    assert set(pairs["0-1"]) == ALL and pairs["0-2"] == pairs["1-2"] == {}


def test_a_seed_counts_once_it_is_there_with_all_teachers(tmp_path: Path) -> None:
    """While a study runs, its last seed is there with some of them."""
    found = explorer.explored(made_up(tmp_path / "fair.json", [(0, 0), (1, 0), (0, 1)]))
    assert [[run[:2] for run in one["runs"]] for one in found["systems"]] == [[[0, 0], [0, 1]]] * 3
    assert all(set(pair) == ALL for pair in found["pairs"].values())


def test_runs_without_a_temperature_have_no_log_loss_after_it(tmp_path: Path) -> None:
    record = made_up(tmp_path / "fair.json", [(0, 0), (0, 1), (0, 2)])
    for row in record.rows:  # of rrs none is left, of the others two
        if row["arm"] == "rrs" or row["seed"] == 0:
            del row["temperature"], row["tempered_log_loss"]
    found = explorer.explored(record)
    place = next(k for k, one in enumerate(found["systems"]) if one["name"].startswith("rrs-"))
    for k, one in enumerate(found["systems"]):
        assert set(one["score"]) == (ALL - {"tempered_log_loss"} if k == place else ALL)
        assert sum(run[-1] is None for run in one["runs"]) == (3 if k == place else 1)
    for name, pair in found["pairs"].items():
        without = str(place) in name.split("-")
        assert set(pair) == (ALL - {"tempered_log_loss"} if without else ALL)


def test_without_a_comparison_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run python -m studies fair first"):
        explorer.write(tmp_path / "fair.json", tmp_path)


def test_the_committed_data_are_those_of_the_results() -> None:
    if not COMPARISON.is_file():
        pytest.skip("results/fair.json is not there: nothing to explore")
    found, record = data_of(explorer.PAGE / "data.js"), Record(COMPARISON)
    taught = defaultdict(lambda: defaultdict(dict))  # system, seed, teacher
    for row in record.rows:
        if row["second_rate"] is None:
            key = f"{row['arm']}-{row['epochs']}-{row['candidate']}"
            taught[key][row["seed"]][row["teacher"]] = row["accuracy"]
    expected = {}
    for key, seeds in taught.items():
        most = max(map(len, seeds.values()))
        runs = sorted(a for by in seeds.values() if len(by) == most for a in by.values())
        if len(runs) > 1:
            expected[key] = runs
    shown = {one["name"]: sorted(run[2] for run in one["runs"]) for one in found["systems"]}
    assert shown == expected, "run python -m tools.explorer"
    assert found["clips"] == len(record.table)


def test_the_committed_data_say_what_was_decided() -> None:
    """Every pair with an interval in the decision has it on the page, and in the page's order."""
    if not COMPARISON.is_file():
        pytest.skip("results/fair.json is not there: nothing to explore")
    found, settings = data_of(explorer.PAGE / "data.js"), Record(COMPARISON).settings
    place = {system["name"]: i for i, system in enumerate(found["systems"])}
    remedy = "run python -m studies fair --decide, then python -m tools.explorer"
    for candidate, decision in settings["decision"].items():
        assert decision["pairs"]
        for row in decision["pairs"]:
            one, other = (
                next(
                    place[name]
                    for by in (candidate, NOBODY)
                    if (name := f"{row[who]}-{row['epochs']}-{by}") in place
                )
                for who in ("system", "base")
            )
            pair = found["pairs"][f"{min(one, other)}-{max(one, other)}"]
            estimate, low, high, verdict = pair.get(row["measure"]) or pytest.fail(remedy)
            if one < other:  # the page has the later minus the earlier
                estimate, low, high = -estimate, -high, -low
            ours = (row["difference"], row["low"], row["high"])
            assert (estimate, low, high) == pytest.approx(ours, abs=1e-5), f"{row}: {remedy}"
            assert verdict == row["verdict"], f"{row}: {remedy}"


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
    assert tab.evaluate("document.querySelectorAll('#chart .run').length") == 6
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


def test_a_choice_draws_once_and_keeps_the_keyboard_where_it_is(
    tab: browser.Page, folder: Path
) -> None:
    tab.open((folder / "index.html").as_uri(), "desktop")
    tab.evaluate(
        """
        drawn = 0;
        const answer = document.getElementById("answer");
        new MutationObserver(() => drawn++).observe(answer, {childList: true});
        before = history.length;
        pressed = document.querySelectorAll("#systems button")[2];
        pressed.focus();
        pressed.click();
        """
    )
    tab.evaluate("new Promise(done => setTimeout(done, 200))")
    assert tab.evaluate("drawn") == 1
    assert tab.evaluate("history.length === before")
    assert tab.evaluate("document.activeElement !== pressed")  # drawn anew
    assert tab.evaluate("document.activeElement.dataset.place === pressed.dataset.place")
    tab.evaluate("location.hash = 'one=labels-24-nobody&other=rrs-24-mean&measure=unseen'")
    tab.evaluate("new Promise(done => setTimeout(done, 200))")
    assert tab.evaluate("drawn") == 2
    assert tab.evaluate("document.querySelector('[value=unseen]').checked")


def test_numbers_and_their_words_agree(tab: browser.Page, tmp_path: Path) -> None:
    folder = page_of(made_up(tmp_path / "fair.json", [(0, 0), (1, 0)]))
    tab.open((folder / "index.html").as_uri(), "desktop")
    answer = tab.evaluate("document.getElementById('answer').textContent")
    assert "over 1 seed and 2 teachers." in answer and "With one seed," in answer
    assert "With one teacher" not in answer
    about = tab.evaluate("document.getElementById('about').textContent")
    assert about.startswith("900 test clips of 100 places, in 1 rendering of the corpus")
