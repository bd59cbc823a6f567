"""What `make test` and a `pytest --nbval` typed by hand share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

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
