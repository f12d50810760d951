"""Exit codes, JSON on standard output, and paths as people read them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pydantic import BaseModel

EXIT_FAILED_CELL, EXIT_BAD_INPUT = 1, 2


def without_links(path: Path) -> Path:
    """Give the absolute path; unlike Path.resolve, one of a loop of links too, for its opener to refuse."""
    return Path(os.path.realpath(path))


def from_here(path: Path) -> Path:
    """Give a path as people like to read it: relative where it lies below the directory that they are in."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def rows_json(rows: Iterable[BaseModel]) -> list[dict[str, Any]]:
    """Turn records into JSON objects, without what they do not know."""
    return [row.model_dump(mode="json", exclude_none=True) for row in rows]


def print_json(document: object) -> None:
    """Print one JSON document on standard output."""
    click.echo(json.dumps(document, indent=2, allow_nan=False))


def print_long_json(
    before: Mapping[str, object], name: str, items: Iterable[object], after: Callable[[], Mapping[str, object]]
) -> None:
    """Print one JSON document with a list of any length, item by item; what comes after it is asked for at its end."""
    click.echo(json.dumps(before, indent=2, allow_nan=False).removesuffix("\n}") + f',\n  "{name}": [', nl=False)
    separator = "\n"
    for item in items:
        click.echo(separator + indent(json.dumps(item, indent=2, allow_nan=False), "    "), nl=False)
        separator = ",\n"
    click.echo("\n  ],\n" + json.dumps(after(), indent=2, allow_nan=False).removeprefix("{\n"))
