"""Claims about the driver: parameters reach the kernel, mistakes are named, copies are whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from asclib import book

FIRST = book.chapters()[0]
SOURCE = """# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %% tags=["nbval-ignore-output"]
import os
print(seed, data_root, os.getcwd(), os.environ["ASCLIB_PROGRESS"], os.environ.get("MPLBACKEND"))

# %%
assert seed != 13, "an unlucky seed"
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of two tiny chapters, which the driver takes for the book."""
    (tmp_path / "book").mkdir()
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/index\nparts:\n- chapters:\n"
        "  - file: book/02_second\n  - file: book/01_first\n  - file: book/notation\n"
    )
    for name in ("01_first", "02_second"):
        (tmp_path / "book" / f"{name}.py").write_text(f"# %% [markdown]\n# # {name}\n\n{SOURCE}")
    monkeypatch.setattr(book, "PROJECT", tmp_path)
    monkeypatch.setattr(book, "BOOK", tmp_path / "book")
    monkeypatch.setattr(book, "OUTPUT", tmp_path / "output")
    book.sync([])
    return tmp_path


def printed(path: Path) -> str:
    """The text that an executed notebook's cells printed."""
    cells = nbformat.read(path, as_version=4).cells
    return "".join(o.get("text", "") for cell in cells for o in cell.get("outputs", []))


def test_the_first_chapter_runs_with_another_seed(tmp_path: Path) -> None:
    """The real book, as a reader would: the copy holds the new value, the chapter is untouched."""
    committed = FIRST.with_suffix(".ipynb").read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "asclib.book", "book", "--only", FIRST.stem[:2], "-p", "seed", "3",
         "--no-html", "--output", str(tmp_path)],
        capture_output=True, text=True, cwd=book.PROJECT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    copy = nbformat.read(tmp_path / f"{FIRST.stem}.ipynb", as_version=4)
    injected = next(c for c in copy.cells if "injected-parameters" in c.metadata.get("tags", []))
    assert "seed = 3" in injected.source
    assert FIRST.with_suffix(".ipynb").read_bytes() == committed


def test_plain_papermill_runs_a_chapter_from_any_folder(tmp_path: Path) -> None:
    done = subprocess.run(
        ["papermill", str(FIRST.with_suffix(".ipynb")), "out.ipynb", "-p", "seed", "3"],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.ipynb").is_file()


def test_chapters_run_in_the_order_of_the_contents(project: Path, capfd) -> None:
    book.main(["book", "--no-html"])
    lines = capfd.readouterr().out.splitlines()
    started = [line for line in lines if line.startswith("[") and not line.endswith(" s")]
    assert started == ["[1/2] 02_second", "[2/2] 01_first"]
    assert {p.name for p in (project / "output").glob("[!.]*")} == {
        "01_first.ipynb",
        "02_second.ipynb",
    }


def test_two_runs_do_not_write_to_one_folder(project: Path) -> None:
    with book.unfinished(project / "output"), pytest.raises(SystemExit, match="wait for it"):
        book.main(["book", "--no-html"])


def test_parameters_reach_a_chapter_that_runs_in_its_own_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "recordings").mkdir()
    monkeypatch.chdir(project)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    given = ["-p", "seed", "3", "-p", "data_root", "recordings"]
    book.main(["book", "--no-html", "--only", "01", *given])
    seed, root, folder, progress, backend = printed(project / "output" / "01_first.ipynb").split()
    assert (seed, root, folder) == ("3", str(project / "recordings"), str(project / "book"))
    assert progress == os.environ["ASCLIB_PROGRESS"]
    assert "inline" in backend  # Agg would remove every figure


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "sed", "3"], "has a parameter 'sed'; known: data_root, profile, seed"),
        (["-p", "data_root", "nowhere"], "nowhere is not a folder"),
        (["--only", "07"], "no chapter starts with '07'; the chapters are 02_second, 01_first"),
    ],
)
def test_a_mistake_is_named_before_anything_runs(
    project: Path, arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        book.main(["book", *arguments])
    assert message in str(stopped.value.code)
    assert not (project / "output").exists()


def test_a_failing_chapter_is_named_and_the_others_are_kept(project: Path, capfd) -> None:
    source = project / "book" / "02_second.py"
    source.write_text(source.read_text().replace("seed != 13", "seed != 0"))
    book.sync([])
    with pytest.raises(SystemExit) as stopped:
        book.main(["book", "--no-html"])
    assert "1 of 2 chapters failed" in stopped.value.code
    assert "02_second, cell [3]: AssertionError: an unlucky seed" in stopped.value.code
    assert (project / "output" / "01_first.ipynb").is_file()
    assert not (project / "output" / "02_second.ipynb").exists()
    assert (project / "output" / "failed" / "02_second.ipynb").is_file()


def test_rewriting_outputs_again_changes_nothing(project: Path) -> None:
    target = project / "book" / "01_first.ipynb"
    source = project / "book" / "01_first.py"
    source.write_text(source.read_text().replace("os.getcwd(), ", ""))
    book.main(["outputs", "--only", "01"])
    first = target.read_bytes()
    assert printed(target).startswith("0 None")
    book.main(["outputs", "--only", "01"])
    assert target.read_bytes() == first


def test_synchronising_keeps_the_outputs_of_unchanged_cells_only(project: Path) -> None:
    book.main(["outputs", "--only", "01"])
    source, target = (project / "book" / f"01_first{suffix}" for suffix in (".py", ".ipynb"))
    before = target.read_bytes()
    book.main(["sync"])
    assert target.read_bytes() == before
    source.write_text(source.read_text().replace("assert seed != 13", "assert seed != 14"))
    book.main(["sync"])
    code = [c for c in nbformat.read(target, as_version=4).cells if c.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2, None]
    assert printed(target).startswith("0 None")


def test_a_chapter_that_fails_keeps_its_committed_notebook(project: Path) -> None:
    book.main(["outputs", "--only", "01"])
    source, target = (project / "book" / f"01_first{suffix}" for suffix in (".py", ".ipynb"))
    before = target.read_bytes()
    source.write_text(source.read_text().replace("seed != 13", "seed != 0"))
    with pytest.raises(SystemExit, match="01_first, cell .3.: AssertionError"):
        book.main(["outputs", "--only", "01"])
    assert target.read_bytes() == before
