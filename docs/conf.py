"""Settings of the documentation site: ``tox -e docs``."""

from __future__ import annotations

import re
from importlib.metadata import version as installed_version

from sphinx.application import Sphinx

project = "pytest-logits"
author = "The pytest-logits maintainers"
version = release = installed_version("pytest-logits")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "pytest-logits"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_show_copyright = False

# Links to a heading of another page.
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

# The indexes are made by docs/generate.py and read on their own too, so what the menu needs of them is added here.
INDEXES = ("causes/index", "checks/index")


def add_pages_to_menu(app: Sphinx, name: str, source: list[str]) -> None:
    if name in INDEXES:
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\n*\n```\n"


def escape(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Docstrings are plain text: in a shape (N, *rest) and in a norm |x| nothing is marked up."""
    lines[:] = [re.sub(r"(?<=, )\*(?=\w)|(?<!`)\|(?=\w)|(?<=\w)\|(?!`)", r"\\\g<0>", line) for line in lines]


def setup(app: Sphinx) -> None:
    app.connect("source-read", add_pages_to_menu)
    # Before napoleon, at 500, makes markup of its own.
    app.connect("autodoc-process-docstring", escape, priority=400)
