"""Claims about the files that set the project up."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
TRACKED = [
    path
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True,
    ).stdout.splitlines()
    if (path := ROOT / name).is_file()
]  # fmt: skip


def plain(name: str) -> str:
    """A package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def lines(path: str) -> list[str]:
    text = (ROOT / path).read_text().splitlines()
    return [line.strip() for line in text if line.strip() and not line.startswith("#")]


def names(requirements: list[str]) -> dict[str, str]:
    """{package: what follows its name} of plain requirement lines."""
    split = [re.fullmatch(r"([A-Za-z0-9._-]+)(.*)", line).groups() for line in requirements]
    return {plain(name): rest for name, rest in split}


def test_every_package_of_the_lock_is_pinned_plainly() -> None:
    odd = [n for n in lines("requirements.lock") if not re.fullmatch(r"[\w.-]+==[\w.]+", n)]
    assert odd == []


def test_every_wanted_package_is_in_the_lock() -> None:
    assert set(names(lines("requirements.in"))) <= set(names(lines("requirements.lock")))


def test_the_lock_pins_what_requirements_pin() -> None:
    locked = names(lines("requirements.lock"))
    pinned = {k: v for k, v in names(lines("requirements.in")).items() if v.startswith("==")}
    assert "torch" in pinned
    assert {name: locked[name] for name in pinned} == pinned


def test_the_lock_holds_only_what_something_needs() -> None:
    """Nothing is left of a package once wanted: each is required by name or by another one."""
    needed = set(names(lines("requirements.in"))) | {"setuptools"}
    for name in names(lines("requirements.lock")):
        needed |= {plain(re.match(r"[\w.-]+", r).group()) for r in metadata.requires(name) or []}
    assert set(names(lines("requirements.lock"))) - needed == set()


def test_conda_installs_the_same_versions() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, _, pip = environment["dependencies"]
    assert python == "python=3.11"
    assert pip["pip"] == [*lines("requirements.lock"), "-e ."]


def test_the_package_takes_its_requirements_and_version_from_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["project"]["dynamic"]) == {"version", "dependencies"}
    assert project["tool"]["setuptools"]["dynamic"]["dependencies"]["file"] == "requirements.in"
    assert project["project"]["requires-python"] == "==3.11.*"


def test_the_running_environment_is_the_lock() -> None:
    wanted = names(lines("requirements.lock"))
    installed = {name: "==" + metadata.version(name).split("+")[0] for name in wanted}
    assert installed == wanted


def test_citation_and_package_name_the_same_version() -> None:
    import asclib

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == asclib.__version__
    assert f"## {asclib.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_importing_asclib_is_light() -> None:
    code = "import sys, asclib; print(sorted({'numpy', 'torch', 'librosa'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_no_file_is_too_large_for_a_repository() -> None:
    assert [str(p) for p in TRACKED if p.stat().st_size > 1_500_000] == []


@pytest.mark.parametrize("target", ["book", "test", "html", "outputs", "sync", "lock"])
def test_every_command_is_explained(target: str) -> None:
    done = subprocess.run(["make", "help"], capture_output=True, text=True, cwd=ROOT)
    assert f"\nmake {target} " in "\n" + done.stdout


def _copy(tmp_path: Path) -> Path:
    """A folder with what set-up reads."""
    (tmp_path / "tools").mkdir()
    for name in ("tools/environment.py", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return tmp_path


def _setup(folder: Path, code: str) -> str:
    """What `code` prints, run beside a copy of tools/environment.py."""
    done = subprocess.run(
        [sys.executable, "-c", f"import environment\n{code}"],
        cwd=folder / "tools", capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_an_environment_without_its_stamp_is_not_taken_for_ready(tmp_path: Path) -> None:
    folder = _copy(tmp_path)
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").touch()
    assert _setup(folder, "print(environment.ready())") == "False"


@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml"])
def test_a_changed_lock_or_pyproject_asks_for_a_new_set_up(tmp_path: Path, changed: str) -> None:
    folder = _copy(tmp_path)
    (folder / ".venv").mkdir()
    _setup(folder, "environment.STAMP.write_text(environment.fingerprint())")
    assert _setup(folder, "print(environment.ready())") == "True"
    (folder / changed).write_text((folder / changed).read_text() + "# changed\n")
    assert _setup(folder, "print(environment.ready())") == "False"


def test_a_killed_set_up_is_seen_by_the_next_one(tmp_path: Path) -> None:
    folder = _copy(tmp_path)
    assert _setup(folder, "with environment.alone() as killed: print(killed)") == "False"
    _setup(folder, "import os\nwith environment.alone(): os._exit(0)")
    assert _setup(folder, "with environment.alone() as killed: print(killed)") == "True"
    assert _setup(folder, "with environment.alone() as killed: print(killed)") == "False"
