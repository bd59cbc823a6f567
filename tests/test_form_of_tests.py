"""No file of tests reads another one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def imported(text: str) -> set[str]:
    """The last word of every module, and of every name, that a Python text imports."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or "", *(alias.name for alias in node.names)}
    return {name.rpartition(".")[2] for name in names}


@pytest.mark.parametrize("path", sorted(TESTS.glob("*.py")), ids=lambda path: path.name)
def test_no_module_imports_a_file_of_tests(path: Path) -> None:
    """What several share lies in a module of its own: tests/data.py, tests/corpora.py."""
    files = {other.stem for other in TESTS.glob("test_*.py")}
    assert imported(path.read_text()) & files == set()


@pytest.mark.parametrize(
    "text",
    [
        "import test_a",
        "import tests.test_a as a",
        "from test_a import x",
        "from tests import test_a",
        "def f():\n    from tests.test_a import x",
    ],
)
def test_every_way_to_import_is_seen(text: str) -> None:
    assert "test_a" in imported(text)
