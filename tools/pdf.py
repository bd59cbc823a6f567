"""The book as one PDF: its pages bound into one page, which headless Chromium prints.

`bind` takes the articles of the built pages in reading order. An id gets its page's name in front,
so that links lead to the same place as before; what leads out of the book keeps its address.
"""

from __future__ import annotations

import copy
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlparse

from bs4 import BeautifulSoup, Tag

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Chromium says those headings twice that it moved to the next page.
TWICE = re.compile(rb"(/Title (?:\(|<FEFF))([^\n]+?)\2([)>])")
PATIENCE = 3600  # seconds to print the book in, on a busy machine
FRAME = '<!doctype html><html data-theme="light"><head></head><body></body></html>'
STYLE = """
@page {
  size: A4; margin: 18mm 16mm 20mm;
  @bottom-center { content: counter(page); font: 9pt sans-serif; }
}
html { font-size: 10pt; }
body { background: #fff; }
article { break-before: page; }
article:first-of-type { break-before: auto; }
article img { max-width: 100%; max-height: 215mm; width: auto; object-fit: contain; }
figure, img, table, tr, mjx-container, .admonition, .sd-card, div.output, .cell_input {
  break-inside: avoid;
}
h1, h2, h3, h4, p:has(+ ul, + ol, + .math, + .cell) { break-after: avoid; }
.cell_input { break-after: avoid; }
p { orphans: 3; widows: 3; }
pre { font-size: 8.4pt; line-height: 1.35; white-space: pre-wrap; }
table.dataframe { font-size: 8.4pt; }
table.dataframe td { white-space: normal; }
/* stretched brackets are cut from a longer glyph */
article :not(mjx-container, mjx-container *) { overflow: visible !important; }
.sd-row { display: block; }
a { color: #1f4e8c; }
.headerlink, .copybtn, .prev-next-area { display: none; }
"""


class PrintError(Exception):
    """Why the book could not be printed, and the remedy."""


def bind(html: Path, pages: list[str]) -> str:
    """One page of the articles of built pages, beside which it must be read.

    Args: html, the folder of pages; pages, their names in the order of reading, as
        `tools.book.pages` has them.
    """
    whole = BeautifulSoup(FRAME, "html.parser")
    first = _read(html, pages[0])
    assert whole.head and whole.body and first.head
    for part in first.head.find_all(["title", "meta", "link", "style", "script"]):
        if part.name != "script" or "mathjax" in f"{part.get('src')}{part.string}".lower():
            _readdress(part, Path(pages[0]), pages)
            whole.head.append(copy.copy(part))
    assert whole.title
    whole.title.string = first.find("h1").find(string=True)
    style = whole.new_tag("style")
    style.string = STYLE
    whole.head.append(style)
    for name in pages:
        article = _read(html, name).find("article")
        assert isinstance(article, Tag)
        for part in article.find_all(True):
            _readdress(part, Path(name), pages)
            if part.name == "details":
                part["open"] = ""  # solutions
        _name_sounds(article, whole)
        article["id"] = _place(name)
        whole.body.append(article)
    return str(whole)


def _read(html: Path, name: str) -> BeautifulSoup:
    return BeautifulSoup((html / f"{name}.html").read_text(), "html.parser")


def _place(page: str, anchor: str = "") -> str:
    """The id of an anchor of a page, or of the page's beginning."""
    return f"{page}--{anchor}" if anchor else page


def _readdress(part: Tag, page: Path, pages: list[str]) -> None:
    """What an element of a page is called and leads to, seen from the folder of all pages."""
    if part.get("id"):
        part["id"] = _place(page.as_posix(), str(part["id"]))
    for attribute in ("href", "src"):
        address = urlparse(str(part.get(attribute, "")))
        if address.scheme or address.netloc or attribute not in part.attrs:
            continue
        file = os.path.normpath(page.parent / address.path) if address.path else f"{page}.html"
        if (target := file.removesuffix(".html")) in pages:
            part[attribute] = f"#{_place(target, address.fragment)}"
        elif part.name == "a":  # a download, or the listening page: the PDF goes without them
            del part[attribute]
        else:
            part[attribute] = address._replace(path=file).geturl()


def _name_sounds(article: Tag, whole: BeautifulSoup) -> None:
    """Put the names of players in their place: paper does not sound."""
    for output in article.select("div.output"):
        if output.find("audio"):
            names = [caption.get_text() for caption in output.find_all("figcaption")]
            note = whole.new_tag("p")
            note.string = f"(To be heard on the page{': ' * bool(names)}{', '.join(names)}.)"
            output.replace_with(note)


def find_chromium() -> str:
    """The path of Chromium. Raises: PrintError with the remedy where there is none."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    raise PrintError(
        f"none of {', '.join(NAMES)} is on the path, and one of them prints the book: install one"
        " (Debian: apt-get install chromium), or print single pages from your browser"
    )


def print_book(html: Path, pages: list[str], target: Path) -> Path:
    """Print the built pages to one PDF.

    Args: html, pages as for `bind`; target, the file to write.
    Raises: PrintError without Chromium, or when it writes nothing.
    """
    chromium = find_chromium()
    bound = html / ".bound.html"  # beside the pages, for their pictures
    bound.write_text(bind(html, pages))
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        printed = Path(profile) / "book.pdf"
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        command += ["--disable-dev-shm-usage", f"--user-data-dir={profile}/user"]
        command += ["--no-pdf-header-footer", "--generate-pdf-document-outline"]
        # time stands still until formulas are set and pictures are there
        command += ["--virtual-time-budget=100000000", f"--print-to-pdf={printed}", bound.as_uri()]
        own = os.environ | {"TMPDIR": profile}
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=PATIENCE, env=own
            )
        except subprocess.TimeoutExpired as error:
            raise PrintError(
                f"Chromium did not print the book in {PATIENCE} s: try again"
            ) from error
        finally:
            bound.unlink()
        if not printed.is_file():
            raise PrintError(f"Chromium printed nothing: {done.stderr.strip()[-500:]}")
        target.write_bytes(TWICE.sub(_once, printed.read_bytes()))
    return target


def _once(title: re.Match[bytes]) -> bytes:
    """A heading said once, in as many bytes as before: a PDF is read by offsets."""
    return b"".join((title[1], title[2], title[3])) + b" " * len(title[2])
