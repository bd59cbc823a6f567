"""The store: built once, whole or not at all, found again only if nothing it needs changed."""

import importlib
import linecache
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from asclib import store, training


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


def test_settings_parents_and_kind_are_part_of_the_key():
    base = store.artefact("thing", {"a": 1}, write("x"))
    others = {
        store.artefact("thing", {"a": 2}, write("x")),
        store.artefact("other", {"a": 1}, write("x")),
        store.artefact("thing", {"a": 1}, write("x"), parents=(base,)),
        store.artefact("thing", {"a": 1}, write("x"), code=(training.macro_accuracy,)),
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
    assert open(f"{rebuilt}/text").read() == "whole"
    assert log.read_text() == "built\nbuilt\n"


def test_write_atomic_replaces_the_whole_file(folder):
    path = folder / "file"
    store.write_atomic(path, b"one")
    store.write_atomic(path, b"second")
    assert path.read_bytes() == b"second"
    assert [p.name for p in folder.iterdir() if p.is_file()] == ["file"]


@pytest.fixture
def module(folder, monkeypatch):
    """Writes a module that passes for one of asclib's, so that its code can be changed."""
    monkeypatch.syspath_prepend(str(folder))

    name = f"asclib_sample_{time.monotonic_ns()}"

    def load(source):
        (folder / f"{name}.py").write_text(textwrap.dedent(source))
        sys.modules.pop(name, None)
        importlib.invalidate_caches()
        linecache.clearcache()
        return importlib.import_module(name)

    return load


SOURCE = '''
    LIMIT = 3

    def helper(x):
        return x + LIMIT

    def build(x: int) -> int:
        """Says something."""
        return helper(x)

    def unrelated():
        return 0
'''


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (("Says something.", "Says more."), True),
        (("return helper(x)", "return helper(x)  # why"), True),
        (("x: int) -> int", "x: float) -> float"), True),
        (("return 0", "return 1"), True),
        (("return x + LIMIT", "return x - LIMIT"), False),
        (("LIMIT = 3", "LIMIT = 4"), False),
        (("return helper(x)", "return helper(x) + 1"), False),
    ],
)
def test_code_version_follows_meaning_and_not_wording(module, change, same):
    before = store.code_version(module(SOURCE).build)
    after = store.code_version(module(SOURCE.replace(*change)).build)
    assert (before == after) is same


def test_an_address_is_no_part_of_a_key(module):
    source = SOURCE + """
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Stage:
        loss: object

    TABLE = {"one": Stage(helper)}

    def looked_up():
        return TABLE
"""
    versions = [store.code_version(module(source).looked_up) for _ in range(2)]
    kept = [module(source) for _ in range(2)]  # alive together, so at two addresses
    assert kept[0].helper is not kept[1].helper
    versions += [store.code_version(one.looked_up) for one in kept]
    assert len(set(versions)) == 1


def test_progress_goes_to_the_named_file_and_not_to_stdout(folder, monkeypatch, capsys):
    monkeypatch.setenv("ASCLIB_PROGRESS", str(folder / "bars"))
    assert list(store.progress(range(3), label="loop")) == [0, 1, 2]
    assert capsys.readouterr().out == ""
    assert "loop" in (folder / "bars").read_text()


def test_results_that_are_missing_say_how_to_make_them():
    with pytest.raises(FileNotFoundError, match="python -m asclib.study"):
        store.results("no_such_results")


def test_a_key_does_not_hold_the_code_of_the_store(monkeypatch):
    """The trainer stores its checkpoints: what it learns depends on its own code alone."""

    before = store.code_version(training.train)
    monkeypatch.setattr(training, "write_atomic", store.progress)
    assert store.code_version(training.train) == before
    monkeypatch.setattr(training, "macro_accuracy", training.cores)
    assert store.code_version(training.train) != before
