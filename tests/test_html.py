"""Claims about the book as pages: built without a warning, and sound in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
import yaml
from bs4 import BeautifulSoup

from tests import browser
from tools import book, pdf, results

PAGES = (*book.pages(), "genindex", "search")  # Sphinx adds the last two
CONFIG = yaml.safe_load((book.PROJECT / "_config.yml").read_text())
MOVED = CONFIG["sphinx"]["config"]["redirects"]  # {former page: its address now, from there}

BROKEN_IMAGES = """
[...document.images].filter(i => !(i.complete && i.naturalWidth > 0)).map(i => i.src)
"""
UNSET_MATHEMATICS = """
[...document.querySelectorAll('.math')]
  .filter(m => !m.querySelector('mjx-container') || m.querySelector('mjx-merror, [data-mjx-error]'))
  .map(m => m.textContent)
"""
UNDESCRIBED_IMAGES = """
[...document.querySelectorAll('article img')].filter(i => !i.alt).map(i => i.src)
"""


# Figures in the dark theme that the theme's own filter has changed, or that have no light ground.
CHANGED_FIGURES = """
[...document.querySelectorAll('article img')].filter(i => {
  const style = getComputedStyle(i)
  return style.filter.includes('contrast') || style.backgroundColor !== 'rgb(255, 255, 255)'
}).map(i => i.src)
"""


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of pages, built from the committed notebooks with warnings as errors."""
    return book.render(book.PROJECT, tmp_path_factory.mktemp("book"), strict=True).parent


@pytest.fixture(scope="module")
def tab() -> Iterator[browser.Page]:
    """A tab of a headless Chromium."""
    if browser.CHROMIUM is None:
        pytest.skip("no chromium on the path (Debian: apt-get install chromium): pages not opened")
    with browser.page() as opened:
        yield opened


def test_every_page_is_built_and_none_is_left_untested(html: Path) -> None:
    built = {p.relative_to(html).with_suffix("").as_posix() for p in html.rglob("*.html")}
    assert {p for p in built if not p.startswith("_")} == {*PAGES, "index", *MOVED}


def test_the_first_address_leads_to_the_first_page(html: Path) -> None:
    assert f"url={PAGES[0]}.html" in (html / "index.html").read_text()


def test_the_address_of_a_moved_page_leads_to_it(html: Path) -> None:
    for former, address in MOVED.items():
        page = (html / former).parent / address
        assert page.relative_to(html).with_suffix("").as_posix() in book.pages()
        assert f'url={address}"' in (html / f"{former}.html").read_text()


def test_chapters_are_numbered_on_from_part_to_part(html: Path) -> None:
    numbers = [
        re.search(r'<h1><span class="section-number">(\d+)\.', page.read_text())
        for page in (
            html / path.relative_to(book.PROJECT).with_suffix(".html") for path in book.chapters()
        )
    ]
    assert [int(number[1]) for number in numbers] == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("size", browser.SIZES)
@pytest.mark.parametrize("name", PAGES)
def test_page_is_sound(html: Path, tab: browser.Page, name: str, size: str) -> None:
    """No console error, no other host, images and mathematics in place, no sideways scroll."""
    visit = tab.open((html / f"{name}.html").as_uri(), size)
    assert visit.errors == []
    schemes = {urlparse(address).scheme for address in visit.requests}
    assert schemes <= {"file", "data", "blob"}, visit.requests
    assert tab.evaluate(BROKEN_IMAGES) == []
    assert tab.evaluate(UNDESCRIBED_IMAGES) == []
    assert tab.evaluate(UNSET_MATHEMATICS) == []
    assert tab.evaluate(browser.TOO_WIDE) == []


def test_no_link_of_the_book_is_broken(html: Path) -> None:
    """Files and the places in them; other hosts are not asked."""
    names = (*PAGES, "index", *MOVED, "_static/listen/index")
    files = [(html / f"{name}.html").resolve() for name in names]
    built = {file: BeautifulSoup(file.read_text(), "html.parser") for file in files}
    places = {page: {part["id"] for part in soup.select("[id]")} for page, soup in built.items()}
    broken = []
    for page, soup in built.items():
        for part in soup.select("[href], [src]"):
            address = urlparse(part.get("href") or part.get("src"))
            if address.scheme or address.netloc:
                continue
            file = (page.parent / unquote(address.path)).resolve() if address.path else page
            if not file.is_file():
                broken.append((page.name, part.get("href") or part.get("src")))
            elif address.fragment and unquote(address.fragment) not in places.get(file, ()):
                broken.append((page.name, part["href"]))
    assert broken == []


def test_the_page_of_results_has_each_file_what_writes_it_and_who_reads_it(html: Path) -> None:
    page = html / "book" / "results.html"
    rows = BeautifulSoup(page.read_text(), "html.parser").select("article tbody tr")
    shown = {row.select_one("td").get_text(strip=True): row for row in rows}
    kept = {path.name: path for path in (book.PROJECT / "results").glob("*.json")}
    assert shown.keys() == kept.keys()
    for name, row in shown.items():
        file, _, written_by, *_ = row.select("td")
        linked = page.parent / file.select_one("a")["href"]
        assert linked.read_bytes() == kept[name].read_bytes()
        assert written_by.get_text() != results.UNKNOWN, f"tools/results.py: who writes {name}?"
    commands = {name: row.select("td")[2].get_text() for name, row in shown.items()}
    options = "--data-root DIR --output results"
    assert commands["quantization_real.json"] == (
        f"python -m studies quantization --profile quick {options}/quantization_real.json"
    )
    assert commands["comparison_real.json"] == (
        f"python -m studies comparison --profile small {options}/comparison_real.json"
    )
    corpora = {name: row.select("td")[1].get_text() for name, row in shown.items()}
    for name, file in kept.items():
        own = json.loads(file.read_text()).get("corpus", "none")
        assert corpora[name] == (own if not own.startswith("given") else "given")
    chapter = [link["href"] for link in shown["quantization_real.json"].select("a[href]")]
    assert "compression/quantization.html" in chapter
    for chapter in book.chapters():
        for name in re.findall(r"results\(\"(\w+)\"\)", chapter.read_text()):
            links = [link["href"] for link in shown[f"{name}.json"].select("a[href]")]
            assert f"{chapter.parent.name}/{chapter.stem}.html" in links


def test_figures_keep_their_colours_in_the_dark_theme(html: Path, tab: browser.Page) -> None:
    """On a light ground of their own, since they are drawn for paper."""
    tab.open((html / "book/task/dataset.html").as_uri(), "desktop")
    assert tab.evaluate(CHANGED_FIGURES) != []  # the light theme has no card
    tab.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert tab.evaluate("document.querySelectorAll('article img').length") > 3
    assert tab.evaluate(CHANGED_FIGURES) == []


def test_a_new_style_sheet_reaches_every_page(tmp_path: Path) -> None:
    """Though no page was edited; pages name a sheet by its checksum, past what browsers keep."""
    source = tmp_path / "source"
    shutil.copytree(book.PROJECT / "_static", source / "_static")
    config = yaml.safe_load((book.PROJECT / "_config.yml").read_text())
    del config["sphinx"]["config"]["redirects"]
    (source / "_config.yml").write_text(yaml.safe_dump(config))
    (source / "_toc.yml").write_text(
        "format: jb-book\nroot: book/first\nchapters:\n- file: book/second\n"
    )
    (source / "book").mkdir()
    shutil.copy(book.BOOK / "references.bib", source / "book")
    for name in ("first", "second"):
        (source / "book" / f"{name}.md").write_text(f"# {name}\n")

    def sheets() -> tuple[bytes, set[str]]:
        built = book.render(source, tmp_path, strict=True).parent
        pages = [(built / "book" / f"{name}.html").read_text() for name in ("first", "second")]
        named = {name for page in pages for name in re.findall(r"book\.css[^\"]*", page)}
        return (built / "_static" / "book.css").read_bytes(), named

    before, named_before = sheets()
    (source / "_static" / "book.css").write_text("article { color: teal; }\n")
    after, named_after = sheets()
    assert after == b"article { color: teal; }\n" != before
    assert len(named_after) == 1 and named_after.isdisjoint(named_before)


# ---- the book as one PDF -------------------------------------------------------------------------


def test_the_bound_pages_lead_to_each_other_and_to_no_file_of_this_machine(html: Path) -> None:
    bound = BeautifulSoup(pdf.bind(html, book.pages()), "html.parser")
    ids = [part["id"] for part in bound.select("[id]")]
    assert len(ids) == len(set(ids))
    assert [article["id"] for article in bound.select("body > article")] == book.pages()
    links = [urlparse(link["href"]) for link in bound.select("a[href]")]
    assert {link.scheme for link in links} == {"", "https"}
    inside = [link for link in links if not link.scheme]
    assert {link.fragment for link in inside} <= set(ids) and not any(i.path for i in inside)
    linked = {link.fragment.split("--")[0] for link in inside}
    assert {p for p in book.pages() if (book.PROJECT / f"{p}.py").is_file()} <= linked
    for picture in bound.select("img"):
        assert (html / picture["src"]).is_file()


def test_the_pdf_has_every_chapter_on_a_page_of_its_own(html: Path, tmp_path: Path) -> None:
    try:
        pdf.find_chromium()
    except pdf.PrintError as error:
        pytest.skip(str(error))
    printed = pdf.print_book(html, book.pages(), tmp_path / "book.pdf")
    content = printed.read_bytes()
    pages = len(re.findall(rb"/Type /Page\b", content))
    assert pages > 10 * len(book.chapters())
    links = set(re.findall(rb"/Dest /(\S+)", content))
    named = re.search(rb"/Dests (\d+) 0 R", content)
    assert named is not None
    table = re.search(rb"\n%s 0 obj\n<<(.*?)>>\nendobj" % named[1], content, re.DOTALL)
    assert table is not None and links <= set(re.findall(rb"/(\S+) \[", table[1]))
    assert b"file://" not in content
    if shutil.which("pdftotext") is None:
        pytest.skip("no pdftotext on the path (Debian: apt-get install poppler-utils): not read")
    command = ["pdftotext", "-layout", printed, "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "\\(" not in text and "\\begin{" not in text  # formulas are set
    firsts = ["".join(page.split()) for page in text.split("\f")]
    for name in book.pages():
        soup = BeautifulSoup((html / f"{name}.html").read_text(), "html.parser")
        title = "".join(soup.select_one("article h1").get_text().rstrip("#").split())
        assert [page for page in firsts if page.startswith(title)], title


def test_without_chromium_the_remedy_is_said_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(book, "render", lambda *_, **__: pytest.fail("pages were built"))
    with pytest.raises(SystemExit, match=r"chromium.*is on the path.*install"):
        book.main(["pdf"])


def test_the_first_page_leads_to_the_listening_page_and_it_back(
    html: Path, tab: browser.Page
) -> None:
    """Whose scripts and styles no other page loads."""
    first = tab.open((html / f"{PAGES[0]}.html").as_uri(), "desktop")
    apart = [folder.name for folder in (book.PROJECT / "_static").iterdir() if folder.is_dir()]
    assert {"explore", "listen"} <= set(apart)
    loaded = [address for address in first.requests if any(f"/{f}/" in address for f in apart)]
    assert loaded == []
    assert tab.evaluate("document.querySelector('article').clientWidth") > 650  # of 1280
    address = tab.evaluate("document.querySelector('article a[href*=_static]').href")
    visit = tab.open(address, "desktop")
    assert visit.errors == []
    assert {urlparse(asked).scheme for asked in visit.requests} == {"file"}
    assert tab.evaluate("document.querySelector('h1').textContent") == "Listen with the network"
    assert tab.evaluate("$('back').hidden") is False
    tab.open(tab.evaluate("$('back').querySelector('a').href"), "desktop")
    assert "A small network listens" in tab.evaluate("document.querySelector('h1').textContent")


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ('<script src="missing.js"></script>', "errors"),
        ("<script>throw new Error('broken')</script>", "errors"),
        ('<img src="https://elsewhere.invalid/x.png">', "requests"),
        ('<img src="missing.png">', BROKEN_IMAGES),
        ('<article><img src="missing.png"></article>', UNDESCRIBED_IMAGES),
        ('<span class="math">x</span>', UNSET_MATHEMATICS),
        ('<div style="width: 600px">wide</div>', browser.TOO_WIDE),
    ],
)
def test_a_faulty_page_is_caught(tmp_path: Path, tab: browser.Page, fault: str, check: str) -> None:
    viewport = '<meta name="viewport" content="width=device-width">'
    (tmp_path / "faulty.html").write_text(f"<!doctype html>{viewport}{fault}")
    visit = tab.open((tmp_path / "faulty.html").as_uri(), "phone")
    if check == "errors":
        assert visit.errors
    elif check == "requests":
        assert any(address.startswith("https:") for address in visit.requests)
    else:
        assert len(tab.evaluate(check)) == 1
