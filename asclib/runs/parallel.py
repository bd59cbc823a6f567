"""Many trainings at once: one single-threaded, silent process for each core.

Chapter: book/practice/training.
"""

from __future__ import annotations

import functools
import os
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import joblib
from joblib.externals.loky import process_executor

from asclib import training
from asclib.progress import progress
from asclib.store import root

# Loky replaces a worker whose memory has grown by 0.3 GB; no job is lost. Kept memory (`training.
# keep_memory`) makes that happen after every other network, and a new worker spends seconds of its
# core on imports.
MAX_GROWTH_BYTES = 2 * 10**9
warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")


def side_by_side(
    work: Callable[..., Any], jobs: list[tuple], label: str, workers: int | None = None
) -> None:
    """Call `work(*job)` for each job, in that many single-threaded processes, or one a core.

    One job alone, or jobs for a GPU, are done in this process, one after the other. Inside
    `joblib.parallel_config("dask")` all of them go to the workers of the cluster, which may have a
    GPU each; but of one worker alone joblib makes no use. What work makes, it leaves in the store:
    nothing is returned. Workers are silent, and end when this process does.
    """
    here = len(jobs) <= 1 or training.device().type == "cuda"
    if here and not _with_a_cluster():
        for job in jobs:
            work(*job)
        return
    calls = joblib.Parallel(n_jobs=workers or -1, return_as="generator_unordered")(
        joblib.delayed(_call)(work, job, os.getpid(), str(root())) for job in jobs
    )
    for _ in progress(calls, total=len(jobs), label=label):
        pass


def _with_a_cluster() -> bool:
    backend, _ = joblib.parallel.get_active_backend()
    return type(backend).__name__ == "DaskDistributedBackend"


_turn = threading.Lock()  # torch's random generator belongs to the process


def _call(work: Callable[..., Any], job: tuple, caller: int, store: str) -> None:
    if os.getpid() != caller:
        os.environ["ASCLIB_PROGRESS"] = os.devnull
        if os.getppid() == caller:  # loky keeps its workers, and they the store of their start
            os.environ["ASCLIB_STORE"] = store
        process_executor._MAX_MEMORY_LEAK_SIZE = MAX_GROWTH_BYTES
        _watch(os.getppid())
    with _turn:
        work(*job)


@functools.cache
def _watch(parent: int) -> None:
    """One thread that ends this worker when its parent is gone, however many jobs it is given."""
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: int) -> None:
    """End this worker when its parent is gone: a killed run must not train on unseen."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
