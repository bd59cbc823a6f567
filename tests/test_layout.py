"""Claims about where things stand: rooms in the order of the data, each with its chapter."""

from __future__ import annotations

import ast
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import book

ROOT = book.PROJECT
# The rooms of asclib from the ground up: each may import from those before it.
ROOMS = (
    "extras",
    "checked",
    "challenge",
    "keys",
    "store",
    "progress",
    "litert",
    "corpus",
    "features",
    "networks",
    "plan",
    "checkpoint",
    "training",
    "augmentation",
    "distillation",
    "pretraining",
    "evaluation",
    "complexity",
    "runs",
    "compression",
    "deploy",
    "listen",
    "package",
    "plotting",
    "tuning",
    "__main__",
)
GROUND = ("task", "limits")  # of the challenge: what it fixes; the rest is what is handed in to it
LONGEST = 400  # lines
CHAPTERS = {str(path.relative_to(ROOT).with_suffix("")): path for path in book.chapters()}
PAGES = {*book.pages()}
NAMED = re.compile(r"book/\w+/\w+")


def modules() -> dict[str, Path]:
    """Every module of asclib by its dotted name, packages without their __init__."""
    found = {}
    for path in sorted((ROOT / "asclib").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[-1] != "__init__":
            found[".".join(parts)] = path
    return found


MODULES = modules()


def room(module: str) -> str:
    """Where a module stands among ROOMS."""
    _, own, *inside = module.split(".")
    return "package" if own == "challenge" and inside and inside[0] not in GROUND else own


def imported(path: Path) -> Iterator[str]:
    """What of the repository a file imports, wherever in it, by dotted names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else name.rpartition(".")[0] for name in names]
        else:
            continue
        yield from (n for n in names if n.split(".")[0] in ("asclib", "studies", "tests", "tools"))


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_from_its_own_room_and_those_below(module: str) -> None:
    for name in imported(MODULES[module]):
        assert name.split(".")[0] == "asclib", f"{module} imports {name}"
        if name != "asclib" and room(name) != room(module):
            below = ROOMS.index(room(name)) < ROOMS.index(room(module))
            assert below, f"{module} imports {name}, above it"


def test_no_two_modules_import_each_other() -> None:
    graph = {name: set(imported(path)) & set(MODULES) - {name} for name, path in MODULES.items()}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(MODULES)


@pytest.mark.parametrize("path", sorted((ROOT / "asclib").rglob("__init__.py")), ids=str)
def test_a_package_s_opening_only_exports(path: Path) -> None:
    if path.parent.name in ("asclib", "complexity"):  # lazy names; a package that can be called
        return
    for node in ast.parse(path.read_text()).body[1:]:
        is_list = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        if isinstance(node, ast.With):  # the extra that the imports need
            assert all(isinstance(one, ast.ImportFrom) for one in node.body)
        else:
            assert is_list or isinstance(node, (ast.Import, ast.ImportFrom)), ast.unparse(node)


@pytest.mark.parametrize("module", MODULES)
def test_no_module_is_longer_than_a_reader_s_patience(module: str) -> None:
    assert len(MODULES[module].read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("module", MODULES)
def test_a_module_names_the_chapters_it_serves_and_they_name_it(module: str) -> None:
    text = ast.get_docstring(ast.parse(MODULES[module].read_text())) or ""
    named = NAMED.findall(text)
    assert named and set(named) <= PAGES, f"{module} names {named}"
    for chapter in set(named) & set(CHAPTERS):
        listed = library(chapter)
        parents = [module.rsplit(".", n)[0] for n in range(module.count("."))]
        assert {module, *parents} & set(listed), f"{chapter} does not name {module}: {listed}"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_s_modules_name_it(chapter: str) -> None:
    listed = library(chapter)
    assert listed
    for name in listed:
        inside = [path for m, path in MODULES.items() if m == name or m.startswith(f"{name}.")]
        texts = [ast.get_docstring(ast.parse(path.read_text())) or "" for path in inside]
        assert any(chapter in NAMED.findall(text) for text in texts), f"nothing in {name} does"


def library(chapter: str) -> list[str]:
    """The modules and packages that a chapter says are its own."""
    text = CHAPTERS[chapter].read_text()
    said = re.search(r"\*\*In the library\*\*:(.*?)\n#?\s*\n", text, re.DOTALL)
    return re.findall(r"`(asclib[\w.]*)`", said[1]) if said else []
