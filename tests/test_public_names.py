"""The names that `import asclib` promises."""

from __future__ import annotations

import subprocess
import sys

import pytest

import asclib
from asclib.store import PROJECT


@pytest.mark.parametrize("name", asclib.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(asclib, name) is not None
    assert name in dir(asclib)


@pytest.mark.parametrize(
    "package",
    [
        "augmentation",
        "challenge",
        "complexity",
        "compression",
        "corpus",
        "distillation",
        "evaluation",
        "networks",
        "pretraining",
        "runs",
        "tuning",
    ],
)
def test_every_name_of_a_package_is_there(package: str) -> None:
    module = __import__(f"asclib.{package}", fromlist=["__all__"])
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_another_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'asclib' has no attribute 'Student'"):
        asclib.Student  # noqa: B018


def printed(code: str) -> str:
    """What a process of its own prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@pytest.mark.parametrize(
    "imports",
    [
        "from asclib import complexity",
        "import asclib.complexity\nfrom asclib import complexity",
        "from asclib import complexity\nimport asclib.complexity",
        "from asclib.complexity import complexity",
    ],
)
def test_the_counter_is_called_by_its_name_whatever_was_imported(imports: str) -> None:
    code = f"{imports}\nfrom asclib import TMSIC\nprint(complexity(TMSIC()).parameters)"
    assert printed(code) == "51986"


def test_importing_asclib_is_light() -> None:
    heavy = "{'numpy', 'pandas', 'torch', 'librosa', 'sklearn', 'audiomentations'}"
    assert printed(f"import sys, asclib; print(sorted({heavy} & set(sys.modules)))") == "[]"
    heavy = "{'librosa', 'sklearn', 'audiomentations'}"
    names = "complexity, TMSIC"
    code = f"import sys; from asclib import {names}; print(sorted({heavy} & set(sys.modules)))"
    assert printed(code) == "[]"
