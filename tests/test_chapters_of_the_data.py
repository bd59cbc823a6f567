"""Chapters that look at clips run on every corpus that book/practice/tau.md allows."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import jupytext
import matplotlib as mpl
import pytest

from asclib.challenge import UNSEEN_DEVICES
from asclib.runs import Experiment, profiles
from tests.corpora import cut
from tests.data import TINY
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


@pytest.mark.parametrize(
    ("topic", "part"), itertools.product(("dataset", "features", "augmentation"), PARTS)
)
def test_chapter_runs(
    topic: str, part: Any, roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every cell, its assertions among them; the embedded corpus beside it is a small one."""
    monkeypatch.setitem(profiles.PROFILES, "quick", replace(TINY, name="quick"))
    [source] = book.chapters([topic])
    monkeypatch.chdir(source.parent)
    values: dict[str, Any] = {}
    with mpl.rc_context():
        for cell in jupytext.read(source).cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, f"{topic}: {cell.source[:40]!r}", "exec"), values)
            if "parameters" in cell.metadata.get("tags", ()):
                values["data_root"] = str(roots[part.__name__])
    assert values["experiment"].corpus.root == roots[part.__name__]
