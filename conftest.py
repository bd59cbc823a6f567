"""What `make test` and a `pytest --nbval` typed by hand share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.processors import OLDER, environment

ROOT = Path(__file__).resolve().parent


def pytest_configure(config: pytest.Config) -> None:
    """Run the chapters in this environment, compared through one sanitising file."""
    config.option.nbval_current_env = True
    config.option.nbval_sanitize_with = str(ROOT / "book" / "nbval-sanitize")
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)  # for kernels and for subprocesses
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    os.environ["ASCLIB_PROGRESS"] = os.devnull  # bars would become outputs
    os.environ.pop("MPLBACKEND", None)  # an inherited Agg silently removes every figure


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Start the kernel of every second chapter without the processor's newer instructions.

    What their last bits decide would otherwise pass here and fail on a reader's machine. In the
    store their networks lie beside those of the other half, under keys of their own.
    """
    chapters = sorted(path.name for path in (ROOT / "book").glob("*.ipynb"))
    odd = item.path.suffix == ".ipynb" and chapters.index(item.path.name) % 2
    with environment(OLDER) if odd else nullcontext():
        return (yield)
