"""Exit codes, JSON on standard output, and paths and sizes as people read them."""

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

# A cell or a check failed; the command itself could not be carried out.
EXIT_FAILED, EXIT_BAD_INPUT = 1, 2
BYTE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def without_links(path: Path) -> Path:
    """Make a path absolute and follow its links; unlike Path.resolve, leave a loop of links to its opener."""
    return Path(os.path.realpath(path))


def from_here(path: Path) -> Path:
    """Make a path relative to the current directory if it lies below that."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def bytes_words(n_bytes: int) -> str:
    """Write a number of bytes in powers of 1000, as disks are sold and `du --si` tells: `0 B`, `4.1 kB`, `12 GB`."""
    number, unit = float(n_bytes), 0
    while number >= 999.5 and unit < len(BYTE_UNITS) - 1:
        number, unit = number / 1000, unit + 1
    return f"{number:.3g} {BYTE_UNITS[unit]}"


def rows_json(rows: Iterable[BaseModel]) -> list[dict[str, Any]]:
    """Turn records into JSON objects, without unknown values."""
    return [row.model_dump(mode="json", exclude_none=True) for row in rows]


def print_json(document: object) -> None:
    """Print one JSON document on standard output."""
    click.echo(json.dumps(document, indent=2, allow_nan=False))


def print_long_json(
    before: Mapping[str, object], name: str, items: Iterable[object], after: Callable[[], Mapping[str, object]]
) -> None:
    """Print one JSON document with a long list, item by item; `after` is called at the end of the list."""
    click.echo(json.dumps(before, indent=2, allow_nan=False).removesuffix("\n}") + f',\n  "{name}": [', nl=False)
    separator = "\n"
    for item in items:
        click.echo(separator + indent(json.dumps(item, indent=2, allow_nan=False), "    "), nl=False)
        separator = ",\n"
    click.echo("\n  ],\n" + json.dumps(after(), indent=2, allow_nan=False).removeprefix("{\n"))
