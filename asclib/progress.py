"""Progress bars that stay out of a notebook: they go to a terminal or a file.

Chapter: book/practice/training.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from tqdm import tqdm


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
