"""A processor without its newer instructions, for tests of what depends on them.

The same program takes its sums in another order there: the last bits differ, and after some epochs
of training the weights do. What a page says must hold for both.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

_UMATH = np._core._multiarray_umath
NUMPY = [name for name in _UMATH.__cpu_dispatch__ if _UMATH.__cpu_features__.get(name)]

# Read once by each library, when a process starts: matrix products of torch (MKL) and of numpy, and
# numpy's functions and sorts (which decide between equals). ATEN_CPU_CAPABILITY=default and
# ONEDNN_MAX_CPU_ISA=SSE41 would change torch's other kernels too, and make a training longer.
OLDER = {
    "MKL_CBWR": "COMPATIBLE",
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": " ".join(NUMPY),
}


@contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """Processes started inside the block see these variables; this one goes on as before."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
