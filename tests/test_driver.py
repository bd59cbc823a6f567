"""Claims about the driver: parameters reach the kernel, mistakes are named, copies are whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tools import book

FIRST = book.chapters()[0]
SOURCE = """# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %% tags=["nbval-ignore-output"]
import os
packages = os.environ["PYTHONPATH"].split(os.pathsep)[0]
print(seed, data_root, os.getcwd(), os.environ["ASCLIB_PROGRESS"], os.environ.get("MPLBACKEND"),
      packages)

# %%
assert seed != 13, "an unlucky seed"
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of two tiny chapters, a part each, which the driver takes for the book."""
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/index\nparts:\n- chapters:\n  - file: book/work/second\n"
        "- chapters:\n  - file: book/home/first\n  - file: book/notation\n"
    )
    for path in (tmp_path / "book" / "home" / "first.py", tmp_path / "book" / "work" / "second.py"):
        path.parent.mkdir(parents=True)
        path.write_text(f"# %% [markdown]\n# # {path.stem}\n\n{SOURCE}")
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))  # the driver adds to it
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
        [
            sys.executable,
            "-m",
            "tools.book",
            "book",
            "--only",
            FIRST.stem,
            "-p",
            "seed",
            "3",
            "--no-html",
            "--output",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        cwd=book.PROJECT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    copy = nbformat.read(tmp_path / FIRST.parent.name / f"{FIRST.stem}.ipynb", as_version=4)
    injected = next(c for c in copy.cells if "injected-parameters" in c.metadata.get("tags", []))
    assert "seed = 3" in injected.source
    assert FIRST.with_suffix(".ipynb").read_bytes() == committed


def test_plain_papermill_runs_a_chapter_from_any_folder(tmp_path: Path) -> None:
    done = subprocess.run(
        ["papermill", str(FIRST.with_suffix(".ipynb")), "out.ipynb", "-p", "seed", "3"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.ipynb").is_file()


def test_chapters_run_in_the_order_of_the_contents(project: Path, capfd) -> None:
    book.main(["book", "--no-html"])
    lines = capfd.readouterr().out.splitlines()
    started = [line for line in lines if line.startswith("[") and not line.endswith(" s")]
    assert started == ["[1/2] second", "[2/2] first"]
    output = project / "output"
    made = {path.relative_to(output).as_posix() for path in output.rglob("[!.]*")}
    assert made == {"work", "work/second.ipynb", "home", "home/first.ipynb"}


@pytest.mark.parametrize(
    ("only", "stems"),
    [
        ([], ["second", "first"]),
        (["first"], ["first"]),
        (["work"], ["second"]),
        (["home", "second"], ["second", "first"]),
    ],
)
def test_chapters_are_selected_by_their_own_name_or_their_part_s(
    project: Path, only: list[str], stems: list[str]
) -> None:
    assert [path.stem for path in book.chapters(only)] == stems


def test_pages_are_rendered_from_executed_copies_where_there_are_any(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chapter that failed is shown up to there, and one that was not run as committed."""
    (project / "_config.yml").touch()
    (project / "_static").mkdir()

    def built(source: Path, target: Path, strict: bool) -> Path:
        shutil.copytree(source / "book", target / "_build" / "html")
        return target / "_build" / "html" / "index.html"

    monkeypatch.setattr(book, "render", built)
    book.main(["book", "--only", "first"])
    pages = project / "output" / "html"
    assert printed(pages / "home" / "first.ipynb").startswith("0 None")
    assert printed(pages / "work" / "second.ipynb") == ""
    with pytest.raises(SystemExit):
        book.main(["book", "-p", "seed", "13", "--only", "second"])
    assert printed(pages / "work" / "second.ipynb").startswith("13 None")


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
    book.main(["book", "--no-html", "--only", "first", *given])
    text = printed(project / "output" / "home" / "first.ipynb")
    seed, root, folder, progress, backend, packages = text.split()
    assert (seed, root) == ("3", str(project / "recordings"))
    assert folder == str(project / "book" / "home")
    assert packages == str(project)
    assert progress == os.environ["ASCLIB_PROGRESS"]
    assert "inline" in backend  # Agg would remove every figure


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "sed", "3"], "has a parameter 'sed'; known: data_root, profile, seed"),
        (["-p", "data_root", "nowhere"], "nowhere is not a folder"),
        (
            ["--only", "fir"],
            "no chapter or part is named 'fir': parts and their chapters are\n"
            "  work: second\n  home: first",
        ),
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
    source = project / "book" / "work" / "second.py"
    source.write_text(source.read_text().replace("seed != 13", "seed != 0"))
    book.sync([])
    with pytest.raises(SystemExit) as stopped:
        book.main(["book", "--no-html"])
    assert "1 of 2 chapters failed" in stopped.value.code
    assert "second, cell [3]: AssertionError: an unlucky seed" in stopped.value.code
    assert (project / "output" / "home" / "first.ipynb").is_file()
    assert not (project / "output" / "work" / "second.ipynb").exists()
    assert (project / "output" / "failed" / "work" / "second.ipynb").is_file()


def test_rewriting_outputs_again_changes_nothing(project: Path) -> None:
    source, target = (project / "book" / "home" / f"first{suffix}" for suffix in (".py", ".ipynb"))
    source.write_text(source.read_text().replace("os.getcwd(), ", ""))
    book.main(["outputs", "--only", "first"])
    first = target.read_bytes()
    assert printed(target).startswith("0 None")
    book.main(["outputs", "--only", "first"])
    assert target.read_bytes() == first


def test_synchronising_keeps_the_outputs_of_unchanged_cells_only(project: Path) -> None:
    book.main(["outputs", "--only", "first"])
    source, target = (project / "book" / "home" / f"first{suffix}" for suffix in (".py", ".ipynb"))
    before = target.read_bytes()
    book.main(["sync"])
    assert target.read_bytes() == before
    source.write_text(source.read_text().replace("assert seed != 13", "assert seed != 14"))
    book.main(["sync"])
    code = [c for c in nbformat.read(target, as_version=4).cells if c.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2, None]
    assert printed(target).startswith("0 None")


def test_a_chapter_that_fails_keeps_its_committed_notebook(project: Path) -> None:
    book.main(["outputs", "--only", "first"])
    source, target = (project / "book" / "home" / f"first{suffix}" for suffix in (".py", ".ipynb"))
    before = target.read_bytes()
    source.write_text(source.read_text().replace("seed != 13", "seed != 0"))
    with pytest.raises(SystemExit, match="first, cell .3.: AssertionError"):
        book.main(["outputs", "--only", "first"])
    assert target.read_bytes() == before
