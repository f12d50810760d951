"""The directive `model-table`: the keys of a pydantic model as a table, with what its docstring says of each."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from docutils import nodes
from numpydoc.docscrape import NumpyDocString
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_id
from sphinx.util.typing import ExtensionMetadata

from fly64dask.base import meanings_of

WORDS = {str: "string", float: "number", int: "whole number", bool: "true or false", Path: "path"}


class ModelTable(SphinxDirective):
    """Tables of a model and of the models among its keys: key, type, default and meaning."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Make a section of each model, in the order in which they are met."""
        module, _, name = self.arguments[0].rpartition(".")
        models: list[type[BaseModel]] = [getattr(__import__(module, fromlist=[name]), name)]
        for model in models:  # grows while it is gone through
            for field in model.model_fields.values():
                models.extend(found for found in _models_in(field.annotation) if found not in models)
        return [self._section(model) for model in models]

    def _section(self, model: type[BaseModel]) -> nodes.section:
        docstring = NumpyDocString(model.__doc__ or "")
        meanings = meanings_of(model)
        name = make_id(self.env, self.state.document, "model", model.__name__)
        section = nodes.section("", nodes.title(text=model.__name__), ids=[name], names=[model.__name__])
        for paragraph in ("\n".join(docstring["Summary"]), "\n".join(docstring["Extended Summary"])):
            section.extend(self._parsed(paragraph))
        section += self._table(
            [
                (key, _type_words(field.annotation), _default(field), meanings[key])
                for key, field in model.model_fields.items()
            ]
        )
        return section

    def _table(self, rows: list[tuple[str, str, str, str]]) -> nodes.table:
        head, widths = ("key", "type", "default", "meaning"), (20, 25, 15, 40)
        group = nodes.tgroup("", *(nodes.colspec(colwidth=width) for width in widths), cols=len(head))
        group += nodes.thead("", nodes.row("", *(nodes.entry("", nodes.paragraph(text=word)) for word in head)))
        body = nodes.tbody()
        for key, kind, default, meaning in rows:
            cells = [[nodes.paragraph("", "", nodes.literal(text=key))], [nodes.paragraph(text=kind)]]
            cells.append([nodes.paragraph("", "", nodes.literal(text=default))] if default else [])
            cells.append(self._parsed(meaning))
            body += nodes.row("", *(nodes.entry("", *cell) for cell in cells))
        group += body
        return nodes.table("", group, classes=["table"])

    def _parsed(self, text: str) -> list[nodes.Node]:
        """Paragraphs of a docstring, whose code is between single or double backticks."""
        return [
            nodes.paragraph(
                "", "", *(nodes.literal(text=part) if i % 2 else nodes.Text(part) for i, part in _parts(block))
            )
            for block in text.split("\n\n")
            if block.strip()
        ]


def _parts(block: str) -> enumerate[str]:
    return enumerate(block.replace("``", "`").replace("\n", " ").split("`"))


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Models that a type names, at any depth of its arguments."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models_in(argument)


def _type_words(annotation: Any) -> str:
    """Words for a type: what a file may hold there, models by name."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _type_words(arguments[0])
    if origin is Literal:
        return " or ".join(f'"{value}"' if isinstance(value, str) else str(value) for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type_words(part) for part in arguments if part is not type(None)))
    if origin is tuple and arguments[-1] is not Ellipsis:
        return f"list of {len(arguments)}: {', '.join(dict.fromkeys(map(_type_words, arguments)))}"
    if origin in (tuple, list):
        return f"list of {_type_words(arguments[0])}"
    if origin is dict:
        return f"table of {_type_words(arguments[1])}"
    return WORDS.get(annotation) or getattr(annotation, "__name__", str(annotation))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default in (PydanticUndefined, None, ()) or isinstance(field.default, BaseModel):
        return ""
    return repr(field.default).replace("'", '"')


def setup(app: Sphinx) -> ExtensionMetadata:
    """Add the directive to Sphinx."""
    app.add_directive("model-table", ModelTable)
    return {"parallel_read_safe": True}
