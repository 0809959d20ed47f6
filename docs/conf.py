"""How Sphinx makes the site of these pages: `python -m sphinx -W docs docs/_build/html`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import stemzarr
from stemzarr import errors

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_ext"))

from inventories import fetch_inventories  # noqa: E402 - it is beside this file

project = "stemzarr"
author = "The stemzarr developers"
project_copyright = f"{author}, GPL-3.0-or-later"
release = version = stemzarr.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "numpydoc",
    "one_template",
    "myst_parser",
    "cli_help",
    "mermaid",
    "whole_site",
]
exclude_patterns = ["_build", "_ext"]

public_packages = [
    "stemzarr",
    "stemzarr.accessor",
    "stemzarr.errors",
    "stemzarr.model",
    "stemzarr.registry",
    "stemzarr.testing",
    "stemzarr.torch",
    "stemzarr_catalog",
]
"""Modules whose `__all__` is documented, each name on one page."""

autodoc_default_options = {"members": True}
autodoc_type_aliases = {"ArrayLike": "ArrayLike"}
autodoc_member_order = "groupwise"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
numpydoc_xref_param_type = True  # what is returned and raised leads to what it is
numpydoc_xref_aliases = {name: f"stemzarr.errors.{name}" for name in errors.__all__}
autosummary_generate = False

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]

intersphinx_mapping = fetch_inventories(
    {
        "python": "https://docs.python.org/3/",
        "numpy": "https://numpy.org/doc/stable/",
        "xarray": "https://docs.xarray.dev/en/stable/",
        "zarr": "https://zarr.readthedocs.io/en/stable/",
        "dask": "https://docs.dask.org/en/stable/",
        "hyperspy": "https://hyperspy.org/hyperspy-doc/current/",
        "torch": "https://docs.pytorch.org/docs/stable/",
    },
    DOCS / "_build" / "inventories",
)

default_role = "py:obj"  # a name in single backticks, as docstrings have them
html_sidebars = {"index": [], "cookbook": []}
html_theme = "pydata_sphinx_theme"
html_title = "stemzarr"
html_static_path = ["_static"]
html_logo = html_favicon = "_static/logo.svg"
html_css_files = ["site.css"]
html_theme_options = {
    "logo": {"text": "stemzarr", "alt_text": "stemzarr, home"},
    "show_prev_next": False,
    "navigation_with_keys": False,
    # wide tables and screens of a terminal take the space of the table of contents
    "secondary_sidebar_items": {"**": ["page-toc"], "formats": [], "day": [], "trust": []},
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_copy_source = False
html_show_sourcelink = False


def simplify_signature(*of: Any) -> tuple[str, str] | None:
    """Return a signature that Sphinx can parse: names of types, and no defaults in brackets."""
    *_, signature, returned = of
    if signature is None:
        return None
    named = re.sub(r"TypeAliasForwardRef\('(\w+)'\)", r"\1", signature)
    return named.replace("<factory>", "..."), returned


def setup(app: Sphinx) -> None:
    """Connect what has no setting."""
    app.connect("autodoc-process-signature", simplify_signature)
