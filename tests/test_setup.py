"""Claims about the files that set the project up."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
TRACKED = [
    path
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    if (path := ROOT / name).is_file()
]


def plain(name: str) -> str:
    """A package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def lines(path: str) -> list[str]:
    text = (ROOT / path).read_text().splitlines()
    return [line.strip() for line in text if line.strip() and not line.startswith("#")]


def names(requirements: list[str]) -> dict[str, str]:
    """{package: what follows its name} of requirement lines, without the machines they are for."""
    requirements = [line.partition(";")[0].strip() for line in requirements]
    split = [re.fullmatch(r"([A-Za-z0-9._-]+)(.*)", line).groups() for line in requirements]
    return {plain(name): rest for name, rest in split}


def for_this_machine(requirement: str) -> bool:
    """Whether a requirement is for machines such as this one."""
    marker = Requirement(requirement).marker
    return marker is None or marker.evaluate()


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def wanted() -> dict[str, str]:
    """What the package and its extras ask for; `energy` alone is not in the lock."""
    asked = [line for name, extra in EXTRAS.items() if name != "energy" for line in extra]
    return names([*PROJECT["dependencies"], *asked])


def test_every_package_of_the_lock_is_pinned_plainly() -> None:
    odd = [n for n in lines("requirements.lock") if not re.fullmatch(r"[\w.-]+==[\w.]+", n)]
    assert odd == [line for extra in EXTRAS.values() for line in extra if ";" in line]


def test_every_wanted_package_is_in_the_lock() -> None:
    assert set(wanted()) <= set(names(lines("requirements.lock")))


def test_the_lock_pins_what_requirements_pin() -> None:
    locked = names(lines("requirements.lock"))
    pinned = {k: v for k, v in wanted().items() if v.startswith("==")}
    assert "torch" in pinned
    assert {name: locked[name] for name in pinned} == pinned


def test_the_lock_holds_only_what_something_needs() -> None:
    """Nothing is left of a package once wanted: each is required by name or by another one."""
    needed = set(wanted()) | {"setuptools"}
    installed = names([line for line in lines("requirements.lock") if for_this_machine(line)])
    for name in names(lines("requirements.lock")):
        if name in installed:
            needed |= {
                plain(re.match(r"[\w.-]+", r).group()) for r in metadata.requires(name) or []
            }
    assert set(names(lines("requirements.lock"))) - needed == set()


def test_conda_installs_the_same_versions() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, _, pip = environment["dependencies"]
    assert python == "python=3.11"
    assert pip["pip"] == [*lines("requirements.lock"), "-e ."]


def test_a_requirement_is_named_once() -> None:
    lists = [PROJECT["dependencies"], *EXTRAS.values()]
    assert sum(map(len, lists)) == len(set().union(*map(names, lists)))


def test_nothing_that_the_library_alone_needs_is_a_tool_or_a_service() -> None:
    plain_install = set(names(PROJECT["dependencies"]))
    assert {"torch", "librosa", "scikit-learn"} <= plain_install
    assert plain_install & {"pytest", "ruff", "jupyter-book", "distributed", "psycopg"} == set()


# A module of a library that an extra brings: `None` is how Python marks one as not to be found.
WITHOUT_EXTRAS = """
import importlib, pkgutil, sys, asclib
for name in ("IPython", "jupytext", "papermill", "soundata", "ai_edge_litert", "ai_edge_quantizer",
             "flatbuffers", "litert_torch", "distributed", "optuna", "psutil", "psycopg", "pytest",
             "hypothesis"):
    sys.modules[name] = None
for module in pkgutil.walk_packages(asclib.__path__, "asclib.", onerror=lambda name: None):
    if module.name != "asclib.book" and not module.name.endswith("__main__"):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            print(module.name.split(".")[1], error)
"""


def test_a_plain_install_imports_all_but_what_names_its_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.splitlines()) == {
        'plotting IPython is not installed: pip install "asclib[book]"',
        'tuning optuna is not installed: pip install "asclib[scale]"',
    }


def test_a_model_file_without_litert_names_the_extra() -> None:
    code = "import sys; sys.modules['ai_edge_litert'] = None; import asclib; asclib.LiteRT('x')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].endswith('not installed: pip install "asclib[deploy]"')


def test_every_python_of_the_package_is_taken_by_make(tmp_path: Path) -> None:
    """The range in pyproject.toml, the set-up's list and the Makefile's message agree."""
    listed = _setup(_copy(tmp_path), "print(*environment.PYTHONS)")
    assert PROJECT["requires-python"] == ">=3.11,<3.14"
    assert listed == "(3, 11) (3, 12) (3, 13)"


def test_without_a_fit_python_make_names_two_ways_to_one(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")  # what any other version answers the Makefile
    old.chmod(0o755)
    done = subprocess.run(
        [shutil.which("make"), "venv"],
        cwd=ROOT,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "uv python install 3.11" in done.stderr and "environment.yml" in done.stderr


def test_the_running_environment_is_the_lock() -> None:
    here = [line for line in lines("requirements.lock") if for_this_machine(line)]
    wanted = names(here)
    installed = {name: "==" + metadata.version(name).split("+")[0] for name in wanted}
    assert installed == wanted


def test_citation_and_package_name_the_same_version() -> None:
    import asclib

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == asclib.__version__
    assert f"## {asclib.__version__}" in (ROOT / "CHANGELOG.md").read_text()


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
        cwd=folder / "tools",
        capture_output=True,
        text=True,
        check=True,
    )
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
