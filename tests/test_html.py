"""Claims about the book as pages: built without a warning, and sound in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import pytest
import yaml

from tests import browser
from tools import book

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


def test_the_first_page_leads_to_the_listening_page_and_it_back(
    html: Path, tab: browser.Page
) -> None:
    """Whose scripts no other page loads."""
    first = tab.open((html / f"{PAGES[0]}.html").as_uri(), "desktop")
    assert not [address for address in first.requests if "/listen/" in address]
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
