"""The store: what took long is built once, whole or not at all, and found again by its key.

An artefact is a folder. Its key is made from everything it depends on (`asclib.keys`): settings,
the version of what builds it, the libraries and the processor that compute, and the keys of its
parents. It is filled under a partial name that survives a kill, so a builder can resume, and
renamed when it is complete.

Chapter: book/practice/training.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, overload

import numpy as np
from filelock import FileLock

from asclib import keys

PROJECT = Path(__file__).resolve().parent.parent


# Where the program was started: what a relative path of its user means. It may be gone since.
_STARTED = Path(os.environ.get("PWD", "/"))
with contextlib.suppress(FileNotFoundError):
    _STARTED = Path.cwd()
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# In the words of safetensors, which quotes the system, of numpy and of torch.
_SAID = re.compile(r"No space left|Disk quota|requested and \d+ written|unexpected pos \d+")
_ZEROS = bytes(2**20)


class DiskFull(OSError):
    """There is no room on the disk for a file; the message says how much is missing, and where."""


def root() -> Path:
    """The store's folder, made where it is missing.

    It is the one that the environment variable ASCLIB_STORE names, where `~` is the home folder and
    a relative path starts where this program was started; else `store/` beside the library.
    Raises: NotADirectoryError, PermissionError or another OSError that names the folder, where it
    is none or cannot be made; ValueError for the home folder of a user that there is not.
    """
    named = os.environ.get("ASCLIB_STORE", "").strip()
    remedy = "set ASCLIB_STORE to a folder that you may write to"
    try:
        folder = _STARTED / Path(named).expanduser() if named else PROJECT / "store"
        folder.mkdir(parents=True, exist_ok=True)
    except RuntimeError:  # of expanduser
        raise ValueError(f"ASCLIB_STORE is {named}, and there is no such user: {remedy}") from None
    except (FileExistsError, NotADirectoryError):
        problem = f"the store's folder is a file, or would lie in one: {remedy}"
        raise NotADirectoryError(errno.ENOTDIR, problem, str(folder)) from None
    except OSError as error:
        problem = f"the store's folder cannot be made ({error.strerror}): {remedy}"
        raise type(error)(error.errno, problem, str(folder)) from None
    if named and named != str(folder):  # for the processes that this one starts, wherever they run
        os.environ["ASCLIB_STORE"] = str(folder)
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
    Raises: DiskFull; and whatever `build` raises.
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
        with _room_in(partial):
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


@contextlib.contextmanager
def _room_in(folder: Path) -> Iterator[None]:
    """A full disk inside the block, in the words of whichever library met it, is a DiskFull."""
    try:
        yield
    except DiskFull:
        raise
    except Exception as error:
        if getattr(error, "errno", None) not in _FULL and not _SAID.search(str(error)):
            raise
        raise _disk_full(folder, None) from error


def _disk_full(path: Path, size: int | None) -> DiskFull:
    """Of a file of `size` bytes, or of one whose size is not known."""
    free = shutil.disk_usage(path.parent).free
    wanted = "" if size is None else f"{_megabytes(size)} are needed and "
    lacking = "" if size is None or size < free else f", {_megabytes(size - free)} are missing"
    problem = (
        f"the disk is full, or your share of it: {wanted}{_megabytes(free)} are free{lacking}; "
        "make room, or set ASCLIB_STORE to a folder on another disk"
    )
    return DiskFull(errno.ENOSPC, problem, str(path))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def reserved(path: Path, shape: tuple[int, ...], dtype: Any = np.float32) -> np.memmap:
    """A new .npy file of zeros, to be filled through a memory map, its room on the disk taken.

    A disk that is full when the map is written to would end the process, by a bus error.
    Raises: DiskFull, and no file is left.
    """
    size = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
    try:
        array = np.lib.format.open_memmap(path, "w+", dtype, shape)
        with open(path, "r+b") as file:
            _reserve(file.fileno(), path.stat().st_size, array.offset)
    except OSError as error:
        path.unlink(missing_ok=True)
        if error.errno in _FULL:
            raise _disk_full(path, size) from error
        raise
    return array


def _reserve(descriptor: int, size: int, first: int) -> None:
    """Take the room of a file; its bytes from `first` on are zeros, and stay so."""
    if hasattr(os, "posix_fallocate"):  # not on macOS, nor on Windows
        try:
            os.posix_fallocate(descriptor, 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # a file system that cannot
                raise
    os.lseek(descriptor, first, os.SEEK_SET)
    left = size - first
    while left > 0:
        left -= os.write(descriptor, _ZEROS[:left])


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a rerun after a kill, sees all of it or none.

    Raises: DiskFull, and no file is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in _FULL:
            raise _disk_full(path, len(content)) from error
        raise


def results(name: str) -> dict[str, Any]:
    """The committed figures of `results/<name>.json`, which the prose quotes."""
    path = PROJECT / "results" / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(f"no results/{path.name}: run python -m studies {name}")
    return json.loads(path.read_text())
