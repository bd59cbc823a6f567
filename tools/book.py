"""The book's driver: run the chapters in order, render them, and keep the notebooks clean.

    python -m tools.book book [-p NAME VALUE] [--only rrs]   executed copies and HTML in output/
    python -m tools.book book [...] --plan                   what that would cost, and no more
    python -m tools.book html                                the committed notebooks to _build/html
    python -m tools.book pdf                                 those pages as _build/pdf/book.pdf
    python -m tools.book outputs [--only rrs]                rewrite the committed notebooks
    python -m tools.book sync                                .py to .ipynb, executing nothing

`--only` takes the name of a chapter (rrs) or of a part, the folder of its chapters (distillation).

A chapter is a pair: the .py (py:percent) is its source, the .ipynb is what readers open. The .py
never takes anything from the .ipynb; a rewritten notebook depends on the .py and its outputs only.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import papermill
import yaml
from filelock import FileLock, Timeout
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from asclib.store import PROJECT, root, write_atomic
from tools import pdf

BOOK = PROJECT / "book"
OUTPUT = PROJECT / "output"

# The same whatever machine executed the notebook: no version of Python, no name of an environment.
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    },
}


class BookError(Exception):
    """A message for whoever typed the command."""


# ---- the chapters ----------------------------------------------------------------------------


def pages() -> list[str]:
    """The pages of _toc.yml in reading order, the root first, e.g. "book/task/challenge"."""

    def files(node: Any) -> list[str]:
        if isinstance(node, list):
            return [name for item in node for name in files(item)]
        own = [node[key] for key in ("root", "file") if key in node]
        below = [node.get(key, []) for key in ("parts", "chapters", "sections")]
        return own + files(below)

    return files(yaml.safe_load((PROJECT / "_toc.yml").read_text()))


def chapters(only: list[str] | None = None) -> list[Path]:
    """The .py files of the chapters in reading order.

    Args:
        only: names of chapters or of parts, e.g. ["rrs", "compression"]; None or [] selects all.
    Raises: BookError for a name that neither a chapter nor a part has.
    """
    every = [path for page in pages() if (path := PROJECT / f"{page}.py").is_file()]
    parts: dict[str, list[str]] = {}
    for path in every:
        parts.setdefault(path.parent.name, []).append(path.stem)
    for name in only or []:
        if not any(name == part or name in stems for part, stems in parts.items()):
            heading = f"no chapter or part is named {name!r}: parts and their chapters are"
            lines = (f"{part}: {', '.join(stems)}" for part, stems in parts.items())
            raise BookError("\n  ".join([heading, *lines]))
    return [path for path in every if not only or {path.stem, path.parent.name} & set(only)]


# ---- parameters ------------------------------------------------------------------------------


def value(text: str) -> Any:
    """A parameter's value as typed: a Python literal (3, 0.5, None) or else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def parameters(pairs: list[list[str]], declared: set[str]) -> dict[str, Any]:
    """The parameters given on the command line, ready for papermill.

    Args:
        pairs: [name, text] as typed.
        declared: the names that the selected chapters' parameters cells assign.
    Raises: BookError for a name no chapter declares, and for a data_root that is not a folder.
    """
    given = {name: value(text) for name, text in pairs}
    for name in given:
        if name not in declared:
            known = ", ".join(sorted(declared)) or "none"
            raise BookError(f"no selected chapter has a parameter {name!r}; known: {known}")
    if given.get("data_root") is not None:
        # a kernel runs in its chapter's folder and would look for a relative one there
        root = Path(dict(pairs)["data_root"]).expanduser().absolute()
        if not root.is_dir():
            raise BookError(f"data_root: {root} is not a folder")
        given["data_root"] = os.path.normpath(root)
    return given


def asked_for(only: list[str], pairs: list[list[str]]) -> list[tuple[Path, dict[str, Any]]]:
    """The selected notebooks, each with those of the parameters that it has."""
    selected = [path.with_suffix(".ipynb") for path in chapters(only)]
    declared = {path: set(papermill.inspect_notebook(path)) for path in selected}
    given = parameters(pairs, set().union(*declared.values()))
    own = {
        path: {name: given[name] for name in given if name in declared[path]} for path in selected
    }
    return list(own.items())


# ---- running ---------------------------------------------------------------------------------


@contextmanager
def unfinished(output: Path) -> Iterator[Path]:
    """The empty folder output/failed to execute in, for one run at a time; removed if left empty.

    Raises: BookError while another run writes to `output`.
    """
    output.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(output / ".lock", timeout=0):
            folder = output / "failed"
            shutil.rmtree(folder, ignore_errors=True)  # a killed or failed run's
            folder.mkdir()
            yield folder
            if not any(path.is_file() for path in folder.rglob("*")):
                shutil.rmtree(folder)
    except Timeout as error:
        raise BookError(f"another run is writing to {output}: wait for it") from error


def prepare_environment() -> None:
    """Set what the kernels inherit: the project's packages are found, whether installed or not;
    figures stay inline; progress bars stay out of outputs.
    """
    paths = [str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.environ.pop("MPLBACKEND", None)  # an inherited Agg silently removes every figure
    if os.environ.get("ASCLIB_STORE"):
        os.environ["ASCLIB_STORE"] = str(root())  # in full: each kernel has a folder of its own
    if "ASCLIB_PROGRESS" not in os.environ:
        OUTPUT.mkdir(exist_ok=True)
        log = str(OUTPUT / "progress.log")
        os.environ["ASCLIB_PROGRESS"] = os.ttyname(2) if sys.stderr.isatty() else log


def execute(source: Path, target: Path, given: dict[str, Any], folder: Path, label: str) -> None:
    """Run a notebook headless in `folder` and write the executed copy to `target`.

    Args:
        folder: where the kernel runs; the chapter's own, as in Jupyter and in the tests.
    Raises: BookError naming chapter, cell and error; `target` then holds the copy up to there.
    """
    print(label, flush=True)
    start = time.monotonic()
    try:
        papermill.execute_notebook(
            source,
            target,
            given,
            kernel_name="python3",
            cwd=folder,
            start_timeout=180,
            progress_bar={"desc": label, "leave": False, "disable": None},
        )
    except PapermillExecutionError as error:
        message = f"{source.stem}, cell [{error.exec_count}]: {error.ename}: {error.evalue}"
        raise BookError(message) from error
    except DeadKernelError as error:
        raise BookError(f"{source.stem}: its kernel died (out of memory?)") from error
    print(f"{label}: {time.monotonic() - start:.1f} s", flush=True)


def run(only: list[str], pairs: list[list[str]], output: Path, html: bool = True) -> None:
    """Execute the chapters into a folder and render them to its html/.

    A chapter that fails leaves its copy in failed/ there, and the others are still run.
    Raises: BookError for the command line, or at the end when a chapter failed.
    """
    selected = asked_for(only, pairs)
    prepare_environment()
    failed = []
    with unfinished(output) as folder:
        for number, (path, own) in enumerate(selected, 1):
            place = path.relative_to(BOOK)
            target = folder / place  # moved when whole, so a kill leaves no half-run chapter
            for copy in (target, output / place):
                copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                execute(path, target, own, path.parent, f"[{number}/{len(selected)}] {path.stem}")
                target.replace(output / place)
            except BookError as error:
                print(f"FAILED {error}\n       its copy: {target}", flush=True)
                failed.append(str(error))
        if html:
            print(f"The book: {render_executed(output)}")
    if failed:
        heading = f"{len(failed)} of {len(selected)} chapters failed:"
        raise BookError("\n  ".join([heading, *failed]))
    print(f"The executed notebooks: {output}")


# ---- rendering -------------------------------------------------------------------------------


def render(source: Path, target: Path, strict: bool) -> Path:
    """Build the HTML of the book in `source` and return its first page, under target/_build/html.

    Args:
        strict: warnings are errors, missing references included.
    Raises: BookError when the build fails.
    """
    start = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", start, "build", "-q", *(("-W", "-n") if strict else ())]
    command += ["--keep-going", "--path-output", str(target), str(source)]
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.DEVNULL)  # warnings: on stderr
    if done.returncode:
        raise BookError("the HTML was not built: the lines above say why")
    return target / "_build" / "html" / "index.html"


def render_executed(output: Path) -> Path:
    """Render output/html: executed copies where there are any, committed notebooks elsewhere."""
    stage, pages = output / ".stage", output / "html"
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir()
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy2(PROJECT / name, stage)
    for name in ("_static", "book"):
        shutil.copytree(PROJECT / name, stage / name, ignore=shutil.ignore_patterns(".*", "*.py"))
    for source in chapters():
        committed = source.with_suffix(".ipynb")
        place = committed.relative_to(BOOK)
        for copy in (output / place, output / "failed" / place):
            # a copy made before the chapter last changed is no longer a copy of it
            if copy.is_file() and copy.stat().st_mtime > committed.stat().st_mtime:
                shutil.copy2(copy, stage / "book" / place)
    built = render(stage, stage, strict=False).parent
    shutil.rmtree(pages, ignore_errors=True)
    built.replace(pages)
    shutil.rmtree(stage)
    return pages / "index.html"


# ---- the committed notebooks -----------------------------------------------------------------


def from_source(source: Path) -> NotebookNode:
    """The notebook of a chapter's .py, without outputs; a cell's id follows from its text."""
    notebook = jupytext.read(source)
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        text = f"{cell.cell_type}\n{cell.source}"
        seen[text] = seen.get(text, 0) + 1
        cell.id = hashlib.sha256(f"{seen[text]}\n{text}".encode()).hexdigest()[:12]
    notebook.metadata = nbformat.from_dict(NOTEBOOK_METADATA)
    notebook.nbformat_minor = 5  # the first with cell ids
    return notebook


def clean(executed: NotebookNode) -> NotebookNode:
    """A notebook without traces of the run: outputs, counts and the cells' own metadata remain."""
    for cell in executed.cells:
        cell.metadata = {k: v for k, v in cell.metadata.items() if k in ("tags", "mystnb") and v}
    executed.metadata = nbformat.from_dict(NOTEBOOK_METADATA)
    return executed


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook whole or not at all."""
    nbformat.validate(notebook)
    write_atomic(path, (nbformat.writes(notebook).rstrip("\n") + "\n").encode())


def outputs(only: list[str]) -> None:
    """Execute chapters from their .py with default parameters; rewrite the committed notebooks.

    Raises: BookError at the first chapter that fails; its committed notebook stays as it was.
    """
    prepare_environment()
    selected = chapters(only)
    with tempfile.TemporaryDirectory() as folder:
        for number, source in enumerate(selected, 1):
            copy = Path(folder) / f"{source.stem}.ipynb"
            write(from_source(source), copy)
            label = f"[{number}/{len(selected)}] {source.stem}"
            execute(copy, copy, {}, source.parent, label)
            write(clean(nbformat.read(copy, as_version=4)), source.with_suffix(".ipynb"))


def sync(only: list[str]) -> None:
    """Bring notebooks up to date with their .py; a cell whose text changed loses its outputs."""
    for source in chapters(only):
        target = source.with_suffix(".ipynb")
        notebook = from_source(source)
        old = nbformat.read(target, as_version=4).cells if target.is_file() else []
        known = {cell.id: cell for cell in old if cell.cell_type == "code"}
        for cell in notebook.cells:
            if cell.id in known:
                cell.outputs = known[cell.id].outputs
                cell.execution_count = known[cell.id].execution_count
        write(clean(notebook), target)


def main(arguments: list[str] | None = None) -> None:
    """Read the command line; a BookError becomes its message and exit status 1."""
    parser = argparse.ArgumentParser(prog="tools.book", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    selection = argparse.ArgumentParser(add_help=False)
    selection.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="a chapter or a part; repeatable",
    )
    book = commands.add_parser("book", parents=[selection], help="run and render the chapters")
    book.add_argument(
        "-p",
        dest="pairs",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="e.g. -p seed 3",
    )
    book.add_argument("--output", type=Path, default=OUTPUT, metavar="FOLDER", help="of the pages")
    book.add_argument(
        "--plan",
        type=float,
        nargs="?",
        const=0.0,
        metavar="CLIPS",
        help="only say what it would cost, at so many of a student's clips a second; or timed",
    )
    book.add_argument("--no-html", dest="html", action="store_false", help="do not render")
    commands.add_parser("html", help="render the committed notebooks, warnings are errors")
    commands.add_parser("pdf", help="print those pages to one PDF, by headless Chromium")
    commands.add_parser("outputs", parents=[selection], help="rewrite the committed notebooks")
    commands.add_parser("sync", parents=[selection], help=".py to .ipynb, executing nothing")
    options = parser.parse_args(arguments)
    try:
        if options.command == "book" and options.plan is not None:
            from tools import plan  # torch and all of asclib, which a run leaves to its kernels

            print(plan.report(asked_for(options.only, options.pairs), options.plan))
        elif options.command == "book":
            run(options.only, options.pairs, options.output.absolute(), options.html)
        elif options.command == "html":
            print(f"The book: {render(PROJECT, PROJECT, strict=True)}")
        elif options.command == "pdf":
            pdf.find_chromium()  # before the pages, which take longer
            folder = render(PROJECT, PROJECT, strict=True).parent
            target = PROJECT / "_build" / "pdf" / "book.pdf"
            print(f"The book: {pdf.print_book(folder, pages(), target)}")
        elif options.command == "outputs":
            outputs(options.only)
        else:
            sync(options.only)
    except (BookError, pdf.PrintError) as error:
        sys.exit(f"tools.book: {error}")


if __name__ == "__main__":
    main()
