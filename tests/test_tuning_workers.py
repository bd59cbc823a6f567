"""Workers of one study lose no trial and run none twice, however they are started or killed."""

import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import joblib
import optuna
import psycopg
import pytest
from distributed import Client, LocalCluster
from optuna.trial import TrialState

from asclib.runs import Experiment
from asclib.store import PROJECT
from asclib.tuning import Effort, Search, open_study, run, work
from asclib.tuning.lost import repeat_lost
from tests import database
from tests.data import TINY

EFFORT = Effort(trials=8, epochs=2, clips=40)
WORKER = """
import sys
from asclib.runs import Experiment
from asclib.tuning import Effort, Search, work
from tests.data import TINY
search = Search("architecture", Experiment(TINY), Effort(trials=8, epochs=2, clips=40))
work(search, sys.argv[1], say=lambda line: print(line, flush=True))
"""


def tiny_search() -> Search:
    """What the workers of these tests search; WORKER says it again for other processes."""
    return Search("architecture", Experiment(TINY), EFFORT)


@pytest.fixture(scope="module", autouse=True)
def clips(tiny_store):
    """A store with what every worker reads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASCLIB_PROGRESS", "/dev/null")
        yield


@pytest.fixture(scope="module")
def postgresql():
    if database.programs() is None:
        pytest.skip("PostgreSQL's initdb and pg_ctl are not installed: apt install postgresql")
    with database.server() as url:
        yield url


@pytest.fixture(params=["journal", "postgresql"])
def url(request, tmp_path):
    """The address of an empty storage."""
    if request.param == "journal":
        return str(tmp_path / "study.journal")
    whole = request.getfixturevalue("postgresql")
    name = request.node.name.partition("[")[0]
    with connect(whole) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return whole.removesuffix("postgres") + name


def connect(url: str) -> psycopg.Connection:
    return psycopg.connect(url, autocommit=True)


def start(url: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, url],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def numbers(lines: str) -> list[int]:
    """Of the trials that a worker says it ended, without those it found to be superfluous."""
    said = [line for line in lines.splitlines() if not line.endswith("fail, None")]
    return [int(line.split()[1].rstrip(":")) for line in said]


def counted(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))


def assert_complete(study: optuna.Study) -> None:
    """All trials are there, each once, and nothing is left half done."""
    trials = counted(study)
    assert len(trials) == EFFORT.trials
    assert len({str(trial.params) for trial in trials}) == EFFORT.trials
    others = {trial.state for trial in study.trials} - {TrialState.COMPLETE, TrialState.PRUNED}
    assert others <= {TrialState.FAIL}


def test_a_password_is_found_in_a_file_and_stands_in_no_command(tmp_path, monkeypatch):
    if database.programs() is None:
        pytest.skip("PostgreSQL's initdb and pg_ctl are not installed: apt install postgresql")
    file = tmp_path / "pgpass"
    file.write_text("127.0.0.1:*:postgres:asclib:secret\n")
    file.chmod(0o600)
    with database.server("secret") as url:
        with pytest.raises(psycopg.OperationalError, match="no password"):
            connect(url)
        monkeypatch.setenv("PGPASSFILE", str(file))
        assert open_study(tiny_search(), url).trials == []


def test_two_processes_share_one_study(url):
    workers = [start(url), start(url)]
    said = [worker.communicate(timeout=240) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    study = open_study(tiny_search(), url)
    assert_complete(study)
    first, second = (numbers(lines) for lines, _ in said)
    assert first and second, "one of them did all the work"
    assert sorted(first + second) == [trial.number for trial in counted(study)]


def test_a_killed_study_goes_on_with_every_finished_trial(url):
    worker, seen = start(url), None
    deadline = time.monotonic() + 120
    while seen is None:
        assert time.monotonic() < deadline and worker.poll() is None, worker.communicate()
        time.sleep(0.05)
        trials = open_study(tiny_search(), url).trials if _begun(url) else []
        if len(trials) > 2:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
            seen = open_study(tiny_search(), url).trials
    worker.communicate()
    finished = [trial for trial in seen if trial.state.is_finished()]
    cut_off = [trial for trial in seen if trial.state == TrialState.RUNNING]
    # The kill may have come before a new trial said whose it is; no other worker can be meant here.
    repeat_lost(open_study(tiny_search(), url), unknown=0)
    study = work(tiny_search(), url)
    assert_complete(study)
    assert study.trials[: len(finished)] == finished
    for lost in cut_off:
        assert study.trials[lost.number].state == TrialState.FAIL
        if not lost.params:
            continue  # it had not begun, so there is nothing to repeat
        (again,) = [t for t in study.trials if t.user_attrs.get("repeats") == lost.number]
        assert lost.params.items() <= again.params.items() and again.state in (
            TrialState.COMPLETE,
            TrialState.PRUNED,
        )


def _begun(url: str) -> bool:
    """Whether the worker has made the study; looking would make it."""
    if "://" not in url:
        return Path(url).exists()
    with connect(url) as connection:
        row = connection.execute("SELECT to_regclass('trials')").fetchone()
    return row != (None,)


def test_a_silent_worker_of_another_machine_is_noticed_in_a_database(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    study = open_study(tiny_search(), url, heartbeat=1)
    with pytest.warns(UserWarning, match="Heartbeat"):  # given by hand here
        trial = study.ask()
    trial.set_user_attr("worker", "elsewhere 1 0")
    trial.suggest_int("filters1", 4, 32, step=4)
    study._storage.record_heartbeat(trial._trial_id)
    time.sleep(5)
    study = work(replace_trials(1), url, heartbeat=1)
    assert study.trials[0].state.name == "FAIL"
    assert study.trials[1].user_attrs["repeats"] == 0
    assert study.trials[1].params["filters1"] == trial.params["filters1"]


def test_a_running_trial_of_another_machine_is_left_alone_in_a_journal(tmp_path):
    url = str(tmp_path / "journal")
    trial = open_study(tiny_search(), url).ask()
    trial.set_user_attr("worker", "elsewhere 1 0")
    study = work(replace_trials(2), url)
    assert study.trials[0].state.name == "RUNNING"
    assert len(study.trials) == 2


def test_a_trial_that_keeps_killing_its_workers_is_given_up(tmp_path):
    study = open_study(tiny_search(), str(tmp_path / "journal"))
    for _ in range(6):
        trial = study.ask()
        trial.suggest_int("filters1", 4, 32, step=4)
        trial.set_user_attr("worker", f"{socket.gethostname()} 1 0.0")
        repeat_lost(study)
    attempts = [trial.user_attrs.get("attempt", 1) for trial in study.trials]
    assert attempts[:5] == [1, 2, 3, 4, 1]


def replace_trials(trials: int) -> Search:
    return replace(tiny_search(), effort=replace(EFFORT, trials=trials))


def test_joblib_runs_the_workers_as_processes(tmp_path):
    study = run(tiny_search(), str(tmp_path / "journal"), workers=2)
    assert_complete(study)
    assert len({trial.user_attrs["worker"] for trial in counted(study)}) == 2


def test_joblib_runs_the_workers_on_a_dask_cluster(tmp_path):
    one_each = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**one_each) as cluster, Client(cluster), joblib.parallel_config("dask"):
        study = run(tiny_search(), str(tmp_path / "journal"), workers=2)
    assert_complete(study)
    assert len({trial.user_attrs["worker"] for trial in counted(study)}) == 2
