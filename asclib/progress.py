"""Progress bars that stay out of a notebook, and C libraries that say nothing.

Chapter: book/practice/training.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from tqdm import tqdm

_STDERR = threading.Lock()  # of the whole process


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence C and C++ code that writes to the process's standard error, past sys.stderr.

    One thread at a time: two could each put back what the other had silenced.
    """
    with _STDERR, open(os.devnull, "w") as nowhere:
        sys.stderr.flush()
        saved = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


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


def bars_beside_results() -> None:
    """For a command whose stdout are its results: bars go to a terminal on stderr, or nowhere.

    Where ASCLIB_PROGRESS names a file already, there.
    """
    os.environ.setdefault("ASCLIB_PROGRESS", "/dev/stderr" if sys.stderr.isatty() else os.devnull)
