"""How Sphinx builds the documentation."""

from __future__ import annotations

from importlib.metadata import version as version_of

project = "Cenote"
author = "The Cenote founders"
project_copyright = f"2026, {author}"
version = release = version_of("cenote")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "Cenote"
html_show_sphinx = False
html_copy_source = False
