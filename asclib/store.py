"""The store: what took long is built once, whole or not at all, and found again by its key.

An artefact is a folder. Its key is made from everything it depends on: its settings, the code that
builds it (without comments and docstrings) and the keys of its parents. It is filled under a
partial name that survives a kill, so a builder can resume, and renamed when it is complete.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import inspect
import json
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from filelock import FileLock
from tqdm import tqdm

PROJECT = Path(__file__).resolve().parent.parent


def root() -> Path:
    """The store's folder: the environment variable ASCLIB_STORE, or `store/` beside the library."""
    folder = Path(os.environ.get("ASCLIB_STORE", PROJECT / "store"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def artefact(
    kind: str,
    settings: dict[str, Any],
    build: Callable[[Path], None] | None,
    *,
    code: tuple[Any, ...] = (),
    parents: tuple[Path, ...] = (),
) -> Path | None:
    """The folder of one artefact, built now if it is missing.

    Args:
        kind: first part of the folder's name, e.g. "student".
        settings: everything the content depends on, as plain json values.
        build: fills the folder it is given. After a kill it is called again with the folder and all
            it had written: it must continue from there, and trust only what was renamed into
            place (`write_atomic`). None only looks: the answer is None where nothing is built.
        code: functions, classes or modules of asclib whose source is part of the key.
        parents: folders of the artefacts this one is made from.

    Two processes that ask at once wait for each other on a lock; the second finds it built.
    """
    recipe = {
        "kind": kind,
        "settings": settings,
        "code": code_version(*code),
        "parents": sorted(parent.name for parent in parents),
    }
    text = json.dumps(recipe, sort_keys=True, indent=1)
    name = f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    final = root() / name
    if final.is_dir() or build is None:
        return final if final.is_dir() else None
    with FileLock(root() / f"{name}.lock"):
        if final.is_dir():  # another process built it while this one waited
            return final
        partial = root() / f"{name}.partial"
        partial.mkdir(exist_ok=True)
        build(partial)
        (partial / "recipe.json").write_text(text)
        os.sync()  # the content must reach the disk before the name that vouches for it
        partial.rename(final)
    return final


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a rerun after a kill, sees all of it or none."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def results(name: str) -> dict[str, Any]:
    """The committed figures of `results/<name>.json`, which the prose quotes."""
    path = PROJECT / "results" / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(f"no results/{path.name}: run python -m asclib.study {name}")
    return json.loads(path.read_text())


@contextlib.contextmanager
def _progress_file() -> Iterator[Any]:
    target = os.environ.get("ASCLIB_PROGRESS")
    if target is None:
        yield sys.stdout
    else:
        with open(target, "a") as file:
            yield file


def progress(iterable: Iterable, *, total: int | None = None, label: str = "") -> Iterator:
    """One progress bar around a loop, on stdout or in the file that ASCLIB_PROGRESS names.

    The variable keeps bars out of a notebook's outputs while it runs headless.
    """
    with _progress_file() as file:
        yield from tqdm(iterable, total=total, desc=label, file=file, leave=False, mininterval=0.5)


def code_version(*things: Any) -> str:
    """A hash of the source of functions, classes or modules of asclib and of all they use in it.

    Comments, docstrings, annotations and layout do not count; constants do. Functions reached
    through a table (a dict or tuple at module level) are followed too. The store itself is not.
    """
    seen: dict[str, str] = {}
    queue = list(things)
    while queue:
        thing = queue.pop()
        if isinstance(thing, functools.partial):
            queue += [thing.func]
            continue
        if isinstance(thing, (tuple, list, set, frozenset)):
            queue += list(thing)
            continue
        if isinstance(thing, dict):
            queue += list(thing.values())
            continue
        if not isinstance(thing, (FunctionType, type, ModuleType)):
            continue
        home = thing.__name__ if isinstance(thing, ModuleType) else thing.__module__
        name = home if isinstance(thing, ModuleType) else f"{home}.{thing.__qualname__}"
        if not home.startswith("asclib") or home == __name__ or name in seen:
            continue  # how a thing is stored, or its progress shown, does not change it
        tree = _bare_tree(thing)
        seen[name] = ast.dump(tree)
        globals_ = vars(thing) if isinstance(thing, ModuleType) else vars(sys.modules[home])
        for used, value in _globals_used(tree, globals_):
            queue.append(value)
            if isinstance(value, (bool, int, float, str, tuple, dict)):
                seen[f"{home}:{used}"] = _plain(value)
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:16]


@functools.cache
def _bare_tree(thing: Any) -> ast.Module:
    tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            if isinstance(getattr(body[0].value, "value", None), str):
                body[0].value.value = ""  # a docstring
        if isinstance(node, (ast.arg, ast.AnnAssign)):
            node.annotation = ast.Constant("")
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
    return tree


def _globals_used(tree: ast.AST, globals_: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in globals_:
            if not isinstance(globals_[node.id], ModuleType):
                yield node.id, globals_[node.id]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = globals_.get(node.value.id)
            if isinstance(module, ModuleType) and module.__name__.startswith("asclib"):
                yield f"{node.value.id}.{node.attr}", getattr(module, node.attr, None)


def _plain(value: Any) -> str:
    """The text of a constant, with functions by name: their addresses differ from run to run."""
    if isinstance(value, dict):
        return str({str(key): _plain(item) for key, item in value.items()})
    if isinstance(value, tuple):
        return str([_plain(item) for item in value])
    if isinstance(value, (FunctionType, type)):
        return value.__qualname__
    if isinstance(value, functools.partial):
        return f"{value.func.__qualname__}{value.args}{value.keywords}"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))  # of functions inside: an address is no key
