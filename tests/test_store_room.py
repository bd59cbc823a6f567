"""Where the store lies, what a full disk says, and what happens without a home folder."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from asclib import store
from asclib.store import PROJECT


def root_of(named: str | None, cwd: Path, code: str = "print(store.root())") -> str:
    """What a process started in `cwd` prints, with ASCLIB_STORE named so; or its last error."""
    environment = {k: v for k, v in os.environ.items() if k != "ASCLIB_STORE"}
    environment |= {"PYTHONPATH": str(PROJECT), "HOME": str(cwd / "home")}
    if named is not None:
        environment["ASCLIB_STORE"] = named
    command = [sys.executable, "-c", f"import os\nfrom asclib import store\n{code}"]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    return (done.stdout or done.stderr).strip().splitlines()[-1]


@pytest.mark.parametrize("named", ["~/kept", "kept/here", "./kept/here", " kept "])
def test_a_store_in_the_home_folder_or_beside_the_caller_is_meant_as_it_is_written(
    named: str, tmp_path: Path
) -> None:
    expected = tmp_path / named.strip().replace("~", "home")
    assert root_of(named, tmp_path) == str(expected)
    assert expected.is_dir() and not (tmp_path / "~").exists()


def test_a_relative_store_is_the_same_wherever_the_process_and_its_children_go(tmp_path) -> None:
    code = """
    import subprocess, sys
    (first := store.root()); os.mkdir("deep"); os.chdir("deep")
    ask = [sys.executable, "-c", "from asclib import store; print(store.root())"]
    child = subprocess.run(ask, capture_output=True, text=True).stdout.strip()
    print({str(first), str(store.root()), child})
    """
    assert root_of("kept", tmp_path, textwrap.dedent(code)) == str({str(tmp_path / "kept")})


@pytest.mark.parametrize("named", ["", "  ", None])
def test_an_empty_name_is_none(named: str | None, tmp_path: Path) -> None:
    code = "store.PROJECT = store.Path('of_the_project').resolve(); print(store.root())"
    assert root_of(named, tmp_path, code) == str(tmp_path / "of_the_project" / "store")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["of_the_project"]


@pytest.mark.parametrize("named", ["file", "file/inside"])
def test_a_store_that_is_a_file_is_refused_by_name(named: str, tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ASCLIB_STORE", str(tmp_path / named))
    with pytest.raises(NotADirectoryError, match=f"is a file.*ASCLIB_STORE.*{named}"):
        store.root()


def test_a_store_of_an_unknown_user_is_refused(monkeypatch) -> None:
    monkeypatch.setenv("ASCLIB_STORE", "~no_such_user/store")
    with pytest.raises(ValueError, match="~no_such_user/store.*no such user"):
        store.root()


# ---- a full disk -------------------------------------------------------------------------------


def on_a_full_disk(tmp_path: Path, code: str) -> str:
    """What a process prints that may write no file of more than 100 kB."""
    start = """
    import resource
    from pathlib import Path
    import numpy as np
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    """
    return root_of(str(tmp_path), tmp_path, textwrap.dedent(start) + textwrap.dedent(code))


@pytest.mark.parametrize(
    "write",
    [
        "store.reserved(folder / 'x.npy', (1_000, 1_000))",
        "store.write_atomic(folder / 'x', bytes(4_000_000))",
        "np.save(folder / 'x.npy', np.zeros(500_000))",
        "(folder / 'x').write_bytes(bytes(4_000_000))",
    ],
)
def test_a_full_disk_is_an_error_that_says_what_is_missing_and_where(tmp_path, write: str) -> None:
    code = f"""
    try:
        store.artefact("thing", {{}}, lambda folder: {write})
    except store.DiskFull as error:
        print(error, error.errno)
    """
    said = on_a_full_disk(tmp_path, code)
    assert "the disk is full" in said and "MB are free" in said and "ASCLIB_STORE" in said
    assert "thing-" in said and said.endswith(str(errno.ENOSPC))
    if "store." in write:
        assert "4.0 MB are needed" in said


def test_what_found_no_room_leaves_no_half_of_itself(tmp_path) -> None:
    code = """
    for write in (
        lambda: store.reserved(Path("x.npy"), (1_000, 1_000)),
        lambda: store.write_atomic(Path("x"), bytes(4_000_000)),
    ):
        try:
            write()
        except store.DiskFull:
            print(os.listdir("."))
    """
    assert on_a_full_disk(tmp_path, code) == "[]"


def test_another_error_of_a_build_stays_what_it_is(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ASCLIB_STORE", str(tmp_path))
    with pytest.raises(FileNotFoundError):
        store.artefact("thing", {}, lambda folder: (folder / "none").read_text())
    with pytest.raises(ZeroDivisionError):
        store.artefact("thing", {}, lambda folder: 1 / 0)


@pytest.mark.parametrize("shape", [(300, 7), (0, 7), ()])
@pytest.mark.parametrize("fallocate", [True, False])
def test_a_reserved_file_is_zeros_and_takes_its_room(tmp_path, monkeypatch, shape, fallocate):
    if not fallocate:  # as on macOS
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    array = store.reserved(tmp_path / "x.npy", shape, np.float16)
    assert array.shape == shape and array.dtype == np.float16 and not array.any()
    found = (tmp_path / "x.npy").stat()
    assert found.st_blocks * 512 >= found.st_size
    array[...] = 1
    array.flush()
    assert np.array_equal(np.load(tmp_path / "x.npy"), np.ones(shape, np.float16))


# ---- no home folder ----------------------------------------------------------------------------

NOBODY = """
import ctypes, os, sys

# A user who may read everything and write nowhere but in the folder for temporary files.
libc, reads = ctypes.CDLL(None), 1 << 2
assert libc.prctl(8, 1, 0, 0, 0) == 0  # keep capabilities over the change of user
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
assert libc.capset((ctypes.c_uint32 * 2)(0x20080522), (ctypes.c_uint32 * 6)(reads, reads)) == 0
"""


@pytest.mark.skipif(
    sys.platform != "linux" or os.getuid() != 0, reason="only root can become somebody else"
)
@pytest.mark.parametrize("home", ["/nonexistent", None])
def test_sound_is_read_without_a_home_folder(home: str | None, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    environment = {"TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"PYTHONPATH": str(PROJECT), "PATH": os.environ["PATH"]}
    if home:
        environment["HOME"] = home
    code = f"{NOBODY}\nfrom asclib import LogMel\nimport librosa.util\nprint(LogMel.tmsic())"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("LogMel(") and done.stderr == ""
