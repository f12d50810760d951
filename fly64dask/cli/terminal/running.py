"""Draws the cells that run now: their marks in the matrix, a table of them, and what they wait for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from rich.table import Table
from rich.text import Text

from fly64dask.base import printable
from fly64dask.cli.terminal.console import line_about, number_text
from fly64dask.monitoring import LiveCell, sparkline
from fly64dask.records import STATE_SIGNS
from fly64dask.study import Cell

STATE_STYLES = {
    **{"completed": "green", "failed": "bold red", "interrupted": "bold yellow", "skipped": "yellow"},
    "damaged": "bold magenta",
    **{"running": "blue", "silent": "bold yellow", "pending": "dim"},
}
SPARK_WIDTH = 16


def live_table(live: Mapping[Cell, LiveCell], now: datetime) -> Table:
    """Draw a row for each cell that runs, or that ran when its worker died, which `now` distinguishes.

    The row has the epoch, the loss and its course, and where and for how long the cell runs.
    """
    table = Table()
    for heading in ("running", "epoch", "loss", "course", "worker", "for"):
        table.add_column(heading, justify="right" if heading in ("epoch", "loss", "for") else "left")
    for cell, live_cell in live.items():
        silent_s = live_cell.silent_s(now)
        state = "running" if silent_s is None else "silent"
        sign, style = STATE_SIGNS[state], STATE_STYLES[state]
        seconds = (now - live_cell.started_at).total_seconds()
        table.add_row(
            Text(f"{sign} {cell.name}", style=style),
            f"{live_cell.epoch} of {live_cell.n_epochs}",
            number_text(live_cell.loss, ".4g"),
            Text(sparkline(live_cell.points, width=SPARK_WIDTH), style=style),
            Text(printable(f"{live_cell.worker} on {live_cell.host}")),
            f"{seconds:.0f} s" if silent_s is None else f"silent for {silent_s:.0f} s",
        )
    return table


def live_mark(live_cell: LiveCell, now: datetime) -> Text:
    """Make the mark in the matrix of a cell that runs, or that ran when its worker died."""
    silent_s = live_cell.silent_s(now)
    state = "running" if silent_s is None else "silent"
    note = f"epoch {live_cell.epoch}/{live_cell.n_epochs}" if live_cell.epoch else "started"
    if live_cell.waits is not None:
        note = "waits for disk space"
    if silent_s is not None:
        note = f"silent for {silent_s:.0f} s"
    return Text(f"{STATE_SIGNS[state]} {note}", style=STATE_STYLES[state])


def waiting_lines(live: Mapping[Cell, LiveCell]) -> Iterator[Text]:
    """Write one line for each cell that waits for disk space, with the reason."""
    for cell, live_cell in live.items():
        if live_cell.waits is not None:
            yield line_about(cell.name, f"waits for disk space: {printable(live_cell.waits)}")
