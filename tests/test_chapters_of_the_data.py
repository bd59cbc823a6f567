"""Chapters run on every corpus that tau.md allows, and what they say of a study stays the same."""

from __future__ import annotations

import itertools
import symtable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jupytext
import matplotlib as mpl
import myst_nb
import nbformat
import pytest

from asclib.challenge import UNSEEN_DEVICES
from asclib.runs import Experiment, profiles
from tests.corpora import cut
from tests.data import PLAN, TINY
from tools import book


def named(clip: dict[str, Any], **other: str) -> tuple[str, str, str]:
    """A clip's city, location and device, some of them replaced."""
    city, location, device = (str(clip[name]) for name in ("city", "location", "device"))
    return other.get("city", city), other.get("location", location), other.get("device", device)


def three_scenes(clip):
    return named(clip) if clip["scene"] in ("bus", "metro_station", "street_traffic") else None


def device_a_alone(clip):
    return named(clip) if clip["device"] == "a" else None


def device_b_alone(clip):
    return named(clip, device="b") if clip["device"] == "a" else None


def devices_b_and_c(clip):
    other = {"a": "b", "b": "c", "s1": "c", "s2": "c", "s3": "c"}.get(clip["device"])
    return None if other is None else named(clip, device=other)


def no_unseen_device(clip):
    return None if clip["device"] in UNSEEN_DEVICES else named(clip)


def one_city(clip):
    return named(clip, city="leiria", location=f"{clip['city']}{clip['location']}")


PARTS = (
    three_scenes,
    device_a_alone,
    device_b_alone,
    devices_b_and_c,
    no_unseen_device,
    one_city,
)


@pytest.fixture(scope="module")
def roots(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of each kind, from one small embedded corpus."""
    folder, corpus = tmp_path_factory.mktemp("parts"), Experiment(TINY).corpus
    return {part.__name__: cut(corpus, folder / part.__name__, part) for part in PARTS}


def run(
    topic: str, root: Path, monkeypatch: pytest.MonkeyPatch, without: str | None = None
) -> None:
    """The cells of a chapter on the corpus of a folder, their assertions among them.

    Args: without, a call: cells that hold it, or want what those define, are left out.
    """
    [source] = book.chapters([topic])
    monkeypatch.chdir(source.parent)
    values: dict[str, Any] = {}
    absent: set[str] = set()
    with mpl.rc_context():
        for cell in jupytext.read(source).cells:
            if cell.cell_type != "code":
                continue
            wanted, defined = names(cell.source)
            if (without and without in cell.source) or wanted & absent:
                absent |= defined
                continue
            exec(compile(cell.source, f"{topic}: {cell.source[:40]!r}", "exec"), values)
            absent -= defined
            if "parameters" in cell.metadata.get("tags", ()):
                values["data_root"] = str(root)
    assert values["experiment"].corpus.root == root


def names(code: str) -> tuple[set[str], set[str]]:
    """The names that a cell looks up outside it, and those that it defines."""
    top = symtable.symtable(code, "cell", "exec")
    defined = {one.get_name() for one in top.get_symbols() if one.is_assigned()}
    wanted: set[str] = set()
    tables = [top]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        outer = table is top
        wanted |= {
            one.get_name()
            for one in table.get_symbols()
            if one.is_referenced() and (outer or one.is_global())
        }
    return wanted - defined, defined


@pytest.mark.parametrize(
    ("topic", "part"),
    itertools.product(("challenge", "dataset", "features", "augmentation"), PARTS),
)
def test_chapter_runs(
    topic: str, part: Any, roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded corpus beside it is a small one."""
    monkeypatch.setitem(profiles.PROFILES, "quick", replace(TINY, name="quick"))
    run(topic, roots[part.__name__], monkeypatch)


# ---- chapters that train -------------------------------------------------------------------------

LONGER = replace(PLAN, epochs=12, learning_rate=3e-3)  # until answers are no guesses
LEARNING = replace(TINY, name="quick", student=LONGER, member=LONGER, stage=LONGER)


def odd_in_every_way(clip):
    """Three scenes, devices b and c, two cities."""
    if three_scenes(clip) is None or (own := devices_b_and_c(clip)) is None:
        return None
    city, location, device = own
    return "leiria" if city < "m" else "porto", f"{city}{location}", device


@pytest.fixture(scope="module")
def odd_root(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of such clips."""
    return cut(Experiment(TINY).corpus, tmp_path_factory.mktemp("odd") / "corpus", odd_in_every_way)


def committed(topic: str) -> tuple[dict[str, str], dict[str, str]]:
    """What the prose of a chapter quotes, by name, as the committed notebook has it.

    Returns: of cells whose outputs are compared, and of those whose numbers are of a live run.
    """
    [source] = book.chapters([topic])
    cells = nbformat.read(source.with_suffix(".ipynb"), as_version=4).cells
    kind = "application/papermill.record/text/plain"
    found: tuple[dict[str, str], dict[str, str]] = {}, {}
    for cell in cells:
        own = found["nbval-ignore-output" in cell.metadata.get("tags", ())]
        for output in cell.get("outputs", ()):
            if kind in output.get("data", {}):
                own[output.metadata["scrapbook"]["name"]] = output.data[kind]
    assert not found[0].keys() & found[1].keys()
    return found


@pytest.mark.parametrize("topic", ["scoreboard", "slips", "quantization", "qat", "training"])
def test_chapter_that_trains_runs_and_its_study_says_the_same(
    topic: str, odd_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers that its prose quotes are of studies, whatever corpus a reader has.

    No file is exported: what a corpus changes in one are ranges, and simulations have the same.
    """
    glued: dict[str, str] = {}

    def glue(name: str, value: object, display: bool = True) -> None:
        glued[name] = repr(value)

    monkeypatch.setattr(myst_nb, "glue", glue)
    monkeypatch.setitem(profiles.PROFILES, "quick", LEARNING)
    run(topic, odd_root, monkeypatch, without="exported(")
    of_studies, live = committed(topic)
    compared = {name: value for name, value in glued.items() if name not in live}
    assert compared and compared.items() <= of_studies.items()
