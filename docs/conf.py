"""Settings of the documentation site: ``tox -e docs``."""

from __future__ import annotations

from importlib.metadata import version as installed_version

project = "pytest-logits"
author = "The pytest-logits maintainers"
version = release = installed_version("pytest-logits")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "pytest-logits"

# Links to a heading of another page.
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
