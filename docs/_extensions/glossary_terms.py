"""Puts the words of `fly64dask.base.glossary` into the page that asks for them, each under a heading to link to."""

from __future__ import annotations

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from fly64dask.base import glossary

PLACE = "<!-- the terms of fly64dask.base.glossary -->"


def insert_terms(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replace the comment `PLACE` in a page by the glossary as Markdown."""
    if PLACE in source[0]:
        app.env.note_dependency(glossary.__file__)
        up = "../" * docname.count("/")
        source[0] = source[0].replace(
            PLACE,
            "\n\n".join(
                f"## {name}\n\n{term.meaning} [More]({up}{term.page})" for name, term in glossary.GLOSSARY.items()
            ),
        )


def setup(app: Sphinx) -> ExtensionMetadata:
    """Add the words to pages as they are read."""
    app.connect("source-read", insert_terms)
    return {"parallel_read_safe": True}
