"""The command `runs`: every run below a folder, with its state, age and size."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fly64dask.base import printable
from fly64dask.cli.options import (
    PlaceType,
    bytes_words,
    example,
    from_here,
    json_option,
    print_json,
    rows_json,
    without_links,
)
from fly64dask.store import is_url

if TYPE_CHECKING:
    from rich.text import Text

    from fly64dask.runs import RunSummary

STYLES = {"completed": "green", "failed": "red", "damaged": "magenta", "running": "blue", "unfinished": "yellow"}
# Seconds of each unit in which an age is told.
UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


@click.command(epilog=example("fly64dask runs runs"))
@click.argument("folder", metavar="DIR", type=PlaceType(exists=True, file_okay=False, path_type=Path))
@json_option
def runs(folder: Path | str, as_json: bool) -> None:
    """List every run below DIR with its state, cells, age and size.

    DIR is a folder, or a URL of an object store such as s3://BUCKET/FOLDER. The age is the time since the last change.
    For a run under way the table names the process that holds it.

    \b
    running     a process holds the run
    unfinished  nobody runs it, and cells are pending: run the same command again
    failed      all cells have ended, some without a reconstruction
    damaged     its study or a record is damaged: see `fly64dask verify`
    """  # noqa: D301
    from fly64dask.runs import find_runs

    found = list(find_runs(folder if isinstance(folder, str) else without_links(folder)))
    if as_json:
        print_json({"runs": rows_json(found)})
        return
    if not found:
        click.echo(f"no run below {folder}")
        return
    from rich.table import Table

    from fly64dask.cli.terminal import make_console

    table = Table()
    for heading in ("run", "study", "state", "cells", "changed", "size", "run by"):
        table.add_column(heading, justify="right" if heading in ("changed", "size") else "left", overflow="fold")
    for run in found:
        words = [_place_words(run), run.study or "", run.state, _cells_words(run), _age_words(run)]
        words += [bytes_words(run.used_bytes), run.holder or ""]
        style = STYLES[run.state]
        table.add_row(*(_plain(word, style if n == 2 else "") for n, word in enumerate(words)))
    make_console().print(table)
    for run in found:
        if run.problem:
            click.echo(f"{_place_words(run)}: {run.problem}")


def _plain(word: str, style: str) -> Text:
    """Make a text of a word, in which nothing is taken for markup."""
    from rich.text import Text

    return Text(printable(word), style=style)


def _place_words(run: RunSummary) -> str:
    return run.path if is_url(run.path) else str(from_here(Path(run.path)))


def _cells_words(run: RunSummary) -> str:
    if run.n_cells is None:
        return ""
    done = run.cells.get("completed", 0)
    others = ", ".join(f"{number} {state}" for state, number in run.cells.items() if state != "completed")
    return f"{done} of {run.n_cells}" + (f", {others}" if others else "")


def _age_words(run: RunSummary) -> str:
    seconds = max(0.0, (datetime.now(UTC) - datetime.fromisoformat(run.changed_at)).total_seconds())
    unit, length_s = next((each for each in UNITS if seconds >= each[1]), UNITS[-1])
    return f"{int(seconds // length_s)} {unit} ago"
