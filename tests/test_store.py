"""The store: built once, whole or not at all, found again only if nothing it needs changed."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from asclib import keys, progress, store


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ASCLIB_STORE", str(tmp_path / "store"))
    return tmp_path


def write(text):
    return lambda folder: (folder / "text").write_text(text)


def test_an_artefact_is_built_once_and_found_again():
    calls = []

    def build(folder):
        calls.append(folder)
        (folder / "text").write_text("hello")

    first = store.artefact("thing", {"a": 1}, build)
    second = store.artefact("thing", {"a": 1}, build)
    assert first == second and len(calls) == 1
    assert (first / "text").read_text() == "hello"


def test_settings_parents_version_and_kind_are_part_of_the_key():
    base = store.artefact("thing", {"a": 1}, write("x"))
    others = {
        store.artefact("thing", {"a": 2}, write("x")),
        store.artefact("other", {"a": 1}, write("x")),
        store.artefact("thing", {"a": 1}, write("x"), parents=(base,)),
        store.artefact("thing", {"a": 1}, write("x"), version=2),
    }
    assert len(others | {base}) == 5


def test_a_failed_build_leaves_nothing_to_be_found_and_is_resumed():
    def fail(folder):
        (folder / "half").write_text("1")
        raise RuntimeError("cut off")

    with pytest.raises(RuntimeError):
        store.artefact("thing", {}, fail)
    seen = []
    folder = store.artefact("thing", {}, lambda f: seen.extend(p.name for p in f.iterdir()))
    assert seen == ["half"] and (folder / "half").exists()


SLOW_BUILD = textwrap.dedent(
    """
    import sys, time
    from asclib import store

    def build(folder):
        with open(sys.argv[1], "a") as log:
            log.write("built\\n")
        (folder / "text").write_text("half")
        time.sleep(float(sys.argv[2]))
        (folder / "text").write_text("whole")

    print(store.artefact("slow", {}, build))
    """
)


def start(log, seconds):
    return subprocess.Popen(
        [sys.executable, "-c", SLOW_BUILD, str(log), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_that_ask_at_once_build_once(folder):
    log = folder / "log"
    processes = [start(log, 1), start(log, 1)]
    answers = {process.communicate(timeout=60)[0] for process in processes}
    assert len(answers) == 1
    assert log.read_text() == "built\n"


def test_a_killed_build_is_never_used(folder):
    log = folder / "log"
    process = start(log, 60)
    deadline = time.monotonic() + 30
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not [path for path in store.root().iterdir() if path.suffix == "" and path.is_dir()]
    rebuilt = start(log, 0).communicate(timeout=60)[0].strip()
    assert Path(rebuilt, "text").read_text() == "whole"
    assert log.read_text() == "built\nbuilt\n"


def test_write_atomic_replaces_the_whole_file(folder):
    path = folder / "file"
    store.write_atomic(path, b"one")
    store.write_atomic(path, b"second")
    assert path.read_bytes() == b"second"
    assert [p.name for p in folder.iterdir() if p.is_file()] == ["file"]


def test_progress_goes_to_the_named_file_and_not_to_stdout(folder, monkeypatch, capsys):
    monkeypatch.setenv("ASCLIB_PROGRESS", str(folder / "bars"))
    assert list(progress.progress(range(3), label="loop")) == [0, 1, 2]
    assert capsys.readouterr().out == ""
    assert "loop" in (folder / "bars").read_text()


def test_results_that_are_missing_say_how_to_make_them():
    with pytest.raises(FileNotFoundError, match="python -m studies"):
        store.results("no_such_results")


def test_libraries_and_processor_are_part_of_the_key_unless_the_bytes_are_the_same_anywhere(
    monkeypatch,
):
    def both():
        return [store.artefact("thing", {}, write("x"), anywhere=sure) for sure in (False, True)]

    before = both()
    monkeypatch.setattr(keys, "libraries", lambda names: {"torch": "0"})
    upgraded = both()
    monkeypatch.setattr(keys, "processor", lambda: {"device": "another"})
    moved = both()
    assert len({before[0], upgraded[0], moved[0]}) == 3
    assert before[1] == upgraded[1] == moved[1]
