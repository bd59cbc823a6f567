"""Trials whose worker died: noticed, failed, and queued again.

Of a worker on this machine the process is looked up. Of workers elsewhere a database knows when
they last gave a sign of life; a journal file does not, so it serves one machine.

Chapters: book/input/feature_search, book/networks/architecture_search.
"""

from __future__ import annotations

import datetime
import socket

import optuna
import psutil
from optuna.trial import FrozenTrial, TrialState

RETRIES = 3  # of a trial whose worker died; one that kills its workers is given up
UNKNOWN = 60  # seconds in which a new trial writes down whose it is


def myself() -> str:
    """This process, told apart from a later one of the same number."""
    process = psutil.Process()
    return f"{socket.gethostname()} {process.pid} {process.create_time():.2f}"


def _is_lost(trial: FrozenTrial, unknown: float) -> bool:
    """Whether a running trial's worker is known to be gone; of other machines nothing is known."""
    worker = trial.user_attrs.get("worker")
    if worker is None:  # killed before it could say who it is
        begun = trial.datetime_start  # in local time, without its zone
        age = datetime.datetime.now(datetime.UTC) - begun.astimezone() if begun else None
        return age is not None and age.total_seconds() > unknown
    host, pid, created = worker.split()
    if host != socket.gethostname():
        return False
    try:
        return abs(psutil.Process(int(pid)).create_time() - float(created)) > 1
    except psutil.NoSuchProcess:
        return True


def repeat_lost(study: optuna.Study, unknown: float = UNKNOWN) -> None:
    """Fail the trials of workers that are gone, and queue them anew.

    Args: unknown, seconds after which a trial without a worker's name has lost it.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if _is_lost(trial, unknown):
            try:
                study.tell(trial.number, state=TrialState.FAIL)
            except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
                continue  # another worker was faster
            repeat(study, trial)
    optuna.storages.fail_stale_trials(study)  # of silent workers elsewhere, which `repeat` follows


def repeat(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queue a trial's parameters again, without what its worker wrote down about it."""
    attempt = trial.user_attrs.get("attempt", 1)
    if trial.params and attempt <= RETRIES:
        study.add_trial(
            optuna.create_trial(
                state=TrialState.WAITING,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs={"attempt": attempt + 1, "repeats": trial.number},
            )
        )
