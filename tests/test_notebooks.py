"""Claims about the committed chapters: paired, executed, clean, and shaped alike."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
from pathlib import Path

import jupytext
import nbformat
import pytest
import yaml
from nbformat import NotebookNode

from tools import book

CHAPTERS = book.chapters()
HEADINGS = ("What you will learn", "Takeaways", "Exercises", "What is next")
MACHINE_PATH = re.compile(
    r"(?<![\w.])/(?:work|root|home|tmp|Users|usr|opt|var|mnt)/[\w.-]+|\b[A-Z]:\\\w+"
)


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def source(request: pytest.FixtureRequest) -> Path:
    """The .py of one chapter."""
    return request.param


@pytest.fixture
def notebook(source: Path) -> NotebookNode:
    """The committed notebook of that chapter."""
    return nbformat.read(source.with_suffix(".ipynb"), as_version=4)


@pytest.fixture
def code(notebook: NotebookNode) -> list[NotebookNode]:
    """Its code cells, in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def beside(page: Path, link: str) -> Path:
    """The file that a page's relative link leads to."""
    return Path(os.path.normpath(page.parent / link))


def title_of(page: Path) -> str:
    """The first-level heading of a page, named without its suffix."""
    source, prose = page.with_suffix(".py"), page.with_suffix(".md")
    text = source.read_text() if source.is_file() else prose.read_text()
    return re.findall(r"^# # (.+)$" if source.is_file() else r"^# (.+)$", text, re.MULTILINE)[0]


def content(notebook: NotebookNode) -> list[tuple]:
    """What a pair must share."""
    return [
        (cell.cell_type, cell.source, cell.metadata.get("tags"), cell.metadata.get("mystnb"))
        for cell in notebook.cells
    ]


def output_texts(notebook: NotebookNode) -> str:
    """Everything readable in sources and outputs (pictures left out)."""
    texts = [cell.source for cell in notebook.cells]
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            readable = [str(data[kind]) for kind in data if not kind.startswith("image/")]
            texts += [str(output.get("text", "")), *readable]
    return "\n".join(texts)


def test_every_notebook_of_the_book_is_a_chapter_with_a_source() -> None:
    for suffix in (".ipynb", ".py"):
        found = [*book.BOOK.glob(f"*{suffix}"), *book.BOOK.glob(f"[a-z]*/*{suffix}")]
        assert {path.with_suffix(".py") for path in found} == set(CHAPTERS)


def test_a_name_means_one_page_or_one_part() -> None:
    """`--only` and links in prose go by these names, without a folder."""
    names = [Path(page).name for page in book.pages()]
    names += {path.parent.name for path in CHAPTERS}
    assert sorted(names) == sorted(set(names))


def test_the_first_page_lists_the_parts_and_their_chapters_in_order() -> None:
    text = (book.BOOK / "index.md").read_text()
    listed = re.findall(r"^\| (.*?) ?\| \[.*?\]\((\S+)\.ipynb\)", text, re.MULTILINE)
    wanted = []
    for part in yaml.safe_load((book.PROJECT / "_toc.yml").read_text())["parts"]:
        files = [book.PROJECT / f"{chapter['file']}.py" for chapter in part["chapters"]]
        captions = [part["caption"], *[""] * len(files)]
        chapters = [path for path in files if path in CHAPTERS]
        wanted += zip(captions, chapters, strict=False)
    assert [(caption, book.BOOK / f"{name}.py") for caption, name in listed] == wanted


def test_the_first_chapter_maps_the_book_as_the_pages_do() -> None:
    """A row for each part, with its pages by title, in order; this page stands there unlinked."""
    first = CHAPTERS[0]
    rows = re.findall(
        r"^# \| ([^|]+) \| [^|]+ \| ([^|]*\]\([^|]+) \|$", first.read_text(), re.MULTILINE
    )
    listed = {
        part: [
            (title, beside(first, link).with_suffix(""))
            for title, link in re.findall(r"\[(.+?)\]\((\S+?)\)", cell)
        ]
        for part, cell in rows
    }
    wanted = {}
    for part in yaml.safe_load((book.PROJECT / "_toc.yml").read_text())["parts"]:
        if part.get("numbered"):  # all but the reference
            pages = [book.PROJECT / chapter["file"] for chapter in part["chapters"]]
            others = [page for page in pages if page != first.with_suffix("")]
            wanted[part["caption"]] = [(title_of(page), page) for page in others]
    assert list(listed.items()) == list(wanted.items())


def test_the_next_chapter_is_the_next_one() -> None:
    """Where prose says so; a chapter put between two others is noticed here."""
    link = r"\[[Tt]he\s+(?:# )?next\s+(?:# )?chapter\]\((\S+)\.ipynb\)"
    for source, following in zip(CHAPTERS, [*CHAPTERS[1:], None], strict=True):
        links = re.findall(link, source.read_text())
        assert {beside(source, f"{name}.py") for name in links} <= {following}, source.stem


def test_no_chapter_is_named_by_a_number(source: Path) -> None:
    """Numbers are made when the pages are; one that is typed is wrong after the next chapter."""
    assert re.findall(r"[Cc]hapters?\s+(?:# )?\[?\d+\b|\]\([^)]*\b\d\d_", source.read_text()) == []


def test_the_opening_names_modules_of_the_library(notebook: NotebookNode) -> None:
    opening = notebook.cells[0].source.split("**In the library**:")[1].split("\n\n")[0]
    modules = re.findall(r"`([\w.]+)`", opening)
    assert modules
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []


def test_the_pair_has_the_same_content(source: Path, notebook: NotebookNode) -> None:
    assert content(notebook) == content(jupytext.read(source)), "run `make outputs`"


def test_cells_were_executed_once_in_order(code: list[NotebookNode]) -> None:
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert all(cell.source.strip() for cell in code)


def test_no_output_is_an_error_or_on_stderr(code: list[NotebookNode]) -> None:
    outputs = [output for cell in code for output in cell.outputs]
    assert [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"] == []


def test_nothing_of_the_machine_is_in_the_notebook(notebook: NotebookNode) -> None:
    text = output_texts(notebook)
    assert MACHINE_PATH.findall(text) == []
    assert str(book.PROJECT) not in text
    assert re.findall(r"\bat 0x[0-9a-f]+", text) == []  # an object's address differs every time


def test_metadata_are_the_pair_s_only(notebook: NotebookNode) -> None:
    assert notebook.metadata == book.NOTEBOOK_METADATA
    assert {key for cell in notebook.cells for key in cell.metadata} <= {"tags", "mystnb"}


def test_cell_ids_follow_from_their_text(source: Path, notebook: NotebookNode) -> None:
    assert [c.id for c in notebook.cells] == [c.id for c in book.from_source(source).cells]


def test_no_widget_and_no_progress_bar(code: list[NotebookNode]) -> None:
    outputs = [output for cell in code for output in cell.outputs]
    assert not any("widget" in kind for o in outputs for kind in o.get("data", {}))
    assert not any(re.search(r"\r|it/s|s/it", str(o.get("text", ""))) for o in outputs)


def test_figures_have_a_caption_and_a_description(code: list[NotebookNode]) -> None:
    for cell in code:
        kinds = [kind for output in cell.outputs for kind in output.get("data", {})]
        if not any(kind.startswith("image/") for kind in kinds):
            continue
        mystnb = cell.metadata.get("mystnb", {})
        assert mystnb.get("figure", {}).get("caption"), f"no caption: {cell.source}"
        assert mystnb.get("figure", {}).get("name"), f"no name: {cell.source}"
        assert len(mystnb.get("image", {}).get("alt", "")) >= 20, f"no alt text: {cell.source}"


def test_the_first_code_cell_holds_the_parameters(code: list[NotebookNode]) -> None:
    assert code[0].metadata.get("tags") == ["parameters"]
    assert [cell for cell in code[1:] if "parameters" in cell.metadata.get("tags", [])] == []
    assigned = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(code[0].source).body
        if isinstance(node, ast.Assign)
    }
    assert {"profile": "quick", "data_root": None, "seed": 0}.items() <= assigned.items()


def test_code_fits_a_page(code: list[NotebookNode]) -> None:
    assert 10 <= len(code) <= 25
    for cell in code:
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert len(lines) <= 15, f"{len(lines)} lines: {cell.source}"
        assert [line for line in lines if len(line) > 79] == []


def test_opening_and_closing_are_the_book_s(notebook: NotebookNode) -> None:
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    headings = re.findall(r"^#+ (.+?)\s*$", text, re.MULTILINE)
    assert [heading for heading in headings if heading in HEADINGS] == list(HEADINGS)
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    for word in ("**Prerequisites**", "**Data in**", "**Data out**"):
        assert word in text
    assert re.search(r"^:{3,}\{dropdown\} Solution|^`{3,}\{dropdown\} Solution", text, re.MULTILINE)


def test_an_output_that_is_not_compared_is_asserted_about(code: list[NotebookNode]) -> None:
    """The cell itself or the next one asserts what must hold of the uncompared number."""
    for cell, following in zip(code, [*code[1:], None], strict=True):
        if "nbval-ignore-output" not in cell.metadata.get("tags", []):
            continue
        checks = [cell.source] + ([following.source] if following else [])
        assert any(
            isinstance(node, ast.Assert) for text in checks for node in ast.walk(ast.parse(text))
        ), f"nothing is asserted about: {cell.source}"


def test_a_picture_leaves_no_repr(code: list[NotebookNode]) -> None:
    """It names the figure's size, which may follow from what a network has learnt."""
    data = [output.get("data", {}) for cell in code for output in cell.outputs]
    pictures = [one for one in data if "image/png" in one]
    assert [one for one in pictures if set(one) != {"image/png"}] == []


def test_glued_numbers_end_before_the_last_bits_begin(code: list[NotebookNode]) -> None:
    """These differ from processor to processor: `asclib.plotting.glue` rounds them away."""
    kind = "application/papermill.record/text/plain"
    outputs = [output for cell in code for output in cell.outputs]
    glued = [output.data[kind] for output in outputs if kind in output.get("data", {})]
    assert [text for text in glued if re.search(r"\.\d{7}|e-\d", text)] == []


def test_every_cell_is_run_by_nbval(code: list[NotebookNode]) -> None:
    tags = {tag for cell in code for tag in cell.metadata.get("tags", [])}
    assert tags & {"nbval-skip", "raises-exception", "nbval-raises-exception"} == set()
    assert not any("NBVAL_" in cell.source for cell in code)
