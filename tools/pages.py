"""A Sphinx extension, for the files under `_static` and for the page of results/.

Jupyter Book puts every script and style sheet of `_static` into every page of the book, but
`_static/listen` and `_static/explore` are pages by themselves: their files are no part of the
others. And a build that finds no page changed delivers no style sheet: one that is new makes all
pages new, which name it by its checksum.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment

from tools import results

APART = ("listen/", "explore/")
PROJECT = Path(__file__).resolve().parents[1]


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx, since `_config.yml` names this module."""
    app.connect("config-inited", leave_out)
    app.connect("env-updated", with_new_files)
    app.connect("source-read", with_results)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def leave_out(app: Sphinx, config: Config) -> None:
    """Take scripts and styles of pages by themselves out of the lists for all pages."""
    config.html_js_files = [file for file in config.html_js_files if not _apart(file)]
    config.html_css_files = [file for file in config.html_css_files if not _apart(file)]


def _apart(file: str | tuple[str, dict[str, str]]) -> bool:
    """A file, or one with its attributes."""
    return (file if isinstance(file, str) else file[0]).startswith(APART)


def with_new_files(app: Sphinx, env: BuildEnvironment) -> set[str]:
    """The pages to write again: all, where a file of `_static` is not the one last delivered."""
    ours, delivered = Path(app.srcdir) / "_static", Path(app.outdir) / "_static"
    for file in ours.rglob("[!.]*"):
        copy = delivered / file.relative_to(ours)
        if file.is_file() and not (copy.is_file() and copy.read_bytes() == file.read_bytes()):
            return set(env.found_docs)
    return set()


def with_results(app: Sphinx, name: str, text: list[str]) -> None:
    """Put the table of results/ into its page, which is read again when one of them changes."""
    if name == "book/results":
        text[0] = text[0].replace("{{ results }}", results.table(PROJECT))
        for file in results.sources(PROJECT):
            app.env.note_dependency(str(file))
