"""Configuration of the documentation."""

from __future__ import annotations

from importlib.metadata import version as _version

project = "MadMiner"
author = "The MadMiner developers"
copyright = "2026, the MadMiner developers"
release = _version("madminer")
version = release

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "MadMiner"
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_use_ivar = True
napoleon_use_rtype = False
