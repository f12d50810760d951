"""How Sphinx builds the documentation: `make docs` writes docs/_build/html, and a warning is an error."""

from __future__ import annotations

import sys
from pathlib import Path

from fly64dask import __version__

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "fly64dask"
author = "The fly64dask maintainers"
copyright = author
release = version = __version__

extensions = [
    "myst_nb",  # Markdown; tutorials are run while the pages are built
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_external_toc",  # contents in _toc.yml, so that index.md stays readable as plain Markdown
    "glossary_terms",
    "model_tables",
]
exclude_patterns = ["_build"]
external_toc_path = "_toc.yml"
external_toc_exclude_missing = False

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3  # links from page to page name a heading
nb_execution_mode = "cache"
nb_execution_cache_path = str(Path(__file__).parent / "_build" / "executed")
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

autodoc_typehints = "none"  # docstrings give types, with shapes and units
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

smartquotes_action = "q"  # quotes alone: two dashes begin an option
html_theme = "pydata_sphinx_theme"
html_title = "fly64dask"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 4,
    "use_edit_page_button": False,
    # What commands print is wide, and so are some tables: pages with these have no list of headings beside the text.
    "secondary_sidebar_items": {
        "**": ["page-toc"],
        "tutorials/measured_scan": [],
        "tutorials/find_the_limit": [],
        "tutorials/slurm_night": [],
        "explanation/acceptance": [],
        "explanation/limits": [],
        "explanation/stopping": [],
        "how-to/adaptive": [],
        "how-to/ingest": [],
        "reference/command_line": [],
        "reference/gpu": [],
        "reference/performance": [],
        "reference/study/recipes": [],
        "reference/study/setups": [],
        "reference/study/simulation": [],
    },
}
