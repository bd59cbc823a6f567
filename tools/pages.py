"""A Sphinx extension: `_static/listen` is a page by itself, its scripts are no part of the others.

Jupyter Book puts every script and style sheet under `_static` into every page of the book.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

APART = "listen/"


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx, since `_config.yml` names this module."""
    app.connect("config-inited", leave_out)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def leave_out(app: Sphinx, config: Config) -> None:
    """Take the listening page's scripts and styles out of the lists for all pages."""
    config.html_js_files = [file for file in config.html_js_files if not _apart(file)]
    config.html_css_files = [file for file in config.html_css_files if not _apart(file)]


def _apart(file: str | tuple[str, dict[str, str]]) -> bool:
    """A file, or one with its attributes."""
    return (file if isinstance(file, str) else file[0]).startswith(APART)
