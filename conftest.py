"""What `make test` and a `pytest --nbval` typed by hand share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.processors import OLDER, environment
from tools import book

ROOT = Path(__file__).resolve().parent
READING = {path.with_suffix(".ipynb"): number for number, path in enumerate(book.chapters())}


def pytest_configure(config: pytest.Config) -> None:
    """Run the chapters in this environment, compared through one sanitising file."""
    config.option.nbval_current_env = True
    config.option.nbval_sanitize_with = str(ROOT / "book" / "nbval-sanitize")
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)  # for kernels and for subprocesses
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    os.environ["ASCLIB_PROGRESS"] = os.devnull  # bars would become outputs
    os.environ.pop("MPLBACKEND", None)  # an inherited Agg silently removes every figure


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of the library first, then the chapters in the order of reading."""
    items.sort(key=lambda item: READING.get(item.path, -1))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Start the kernel of every second chapter without the processor's newer instructions.

    What their last bits decide would otherwise pass here and fail on a reader's machine. In the
    store their networks lie beside those of the other half, under keys of their own.
    """
    odd = READING.get(item.path, 0) % 2
    with environment(OLDER) if odd else nullcontext():
        return (yield)
