"""What Sphinx makes of the pages, which ``pages.py`` lays out."""

from __future__ import annotations

from domo_magic.version import VERSION

project = "domo_magic"
author = "The domo_magic authors"
version = release = VERSION
extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinxcontrib.mermaid"]
html_theme = "furo"
html_static_path = ["style.css"]
html_css_files = ["style.css"]
html_title = f"domo_magic {VERSION}"
nb_execution_mode = "off"  # the outputs are the committed ones, which a test holds against what comes out
myst_heading_anchors = 4
myst_heading_slug_func = "pages.slug"
myst_fence_as_directive = ["mermaid"]
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "none"  # the docstrings have them
numpydoc_show_class_members = False
