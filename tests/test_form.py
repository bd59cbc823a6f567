"""Claims about form that a program checks: the linter, the formatter and the types."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _passes(*command: str) -> None:
    """Run a module of this Python in the project; what it finds is the failure's message."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        pytest.fail(f"{' '.join(command)}\n{done.stdout}{done.stderr}", pytrace=False)


def test_the_linter_finds_nothing() -> None:
    _passes("ruff", "check", ".")


def test_every_file_is_formatted() -> None:
    _passes("ruff", "format", "--check", ".")


def test_the_types_of_the_library_agree(tmp_path: Path) -> None:
    _passes("mypy", "--cache-dir", str(tmp_path))
