"""The store: what took long is built once, whole or not at all, and found again by its key.

An artefact is a folder. Its key is made from everything it depends on (`asclib.keys`): settings,
the version of what builds it, the libraries and the processor that compute, and the keys of its
parents. It is filled under a partial name that survives a kill, so a builder can resume, and
renamed when it is complete.

Chapter: book/practice/training.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, overload

from filelock import FileLock

from asclib import keys

PROJECT = Path(__file__).resolve().parent.parent


def root() -> Path:
    """The store's folder: the environment variable ASCLIB_STORE, or `store/` beside the library."""
    folder = Path(os.environ.get("ASCLIB_STORE", PROJECT / "store"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@overload
def artefact(
    kind: str,
    settings: dict[str, Any],
    build: Callable[[Path], object],
    *,
    version: int = 1,
    parents: tuple[Path, ...] = (),
    anywhere: bool = False,
    libraries: tuple[str, ...] = keys.LIBRARIES,
) -> Path: ...


@overload
def artefact(
    kind: str,
    settings: dict[str, Any],
    build: Callable[[Path], object] | None,
    *,
    version: int = 1,
    parents: tuple[Path, ...] = (),
    anywhere: bool = False,
    libraries: tuple[str, ...] = keys.LIBRARIES,
) -> Path | None: ...


def artefact(
    kind: str,
    settings: dict[str, Any],
    build: Callable[[Path], object] | None,
    *,
    version: int = 1,
    parents: tuple[Path, ...] = (),
    anywhere: bool = False,
    libraries: tuple[str, ...] = keys.LIBRARIES,
) -> Path | None:
    """The folder of one artefact, built now if it is missing.

    Args:
        kind: first part of the folder's name, e.g. "run".
        settings: everything the content depends on, values of any type (`keys.plain`).
        build: fills the folder it is given. After a kill it is called again with the folder and all
            it had written: it must continue from there, and trust only what was renamed into
            place (`write_atomic`). None only looks: the answer is None where nothing is built.
        version: of what builds it, raised when the same settings come to another content.
        parents: folders of the artefacts this one is made from.
        libraries: whose versions decide what it holds.
        anywhere: the bytes are the same on every processor and with every version of the libraries.

    Two processes that ask at once wait for each other on a lock; the second finds it built.
    """
    recipe = {
        "kind": kind,
        "version": version,
        "settings": keys.plain(settings),
        "parents": sorted(parent.name for parent in parents),
    }
    if not anywhere:
        recipe |= {"libraries": keys.libraries(libraries), "processor": keys.processor()}
    text = json.dumps(recipe, sort_keys=True, indent=1)
    name = f"{kind}-{keys.digest(recipe)}"
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
        _reach_the_disk(partial)  # the content, before the name that vouches for it
        partial.rename(final)
    return final


def _reach_the_disk(folder: Path) -> None:
    """Flush a folder's files and their names, and nothing else of the machine."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError:  # a folder, on a system that cannot
            if path.is_file():
                raise
        finally:
            os.close(descriptor)


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
        raise FileNotFoundError(f"no results/{path.name}: run python -m studies {name}")
    return json.loads(path.read_text())
