"""A run on a terminal until it ends: a matrix that is redrawn, or a line for each change."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from fly64dask.cli.terminal.matrix import failure_lines, live_table, matrix_table
from fly64dask.monitoring import RunReader, Standing
from fly64dask.study import Cell


def watch_run(
    reader: RunReader, console: Console, *, interval_s: float, goes_on: Callable[[], bool] | None = None
) -> Standing:
    """Show a run until no cell is pending or running any more, or the process that ran it has ended in order.

    Parameters
    ----------
    reader : RunReader
        The run.
    console : rich.console.Console
        Where to show it: a terminal is redrawn, anything else gets a line for each change.
    interval_s : float
        Between two looks.
    goes_on : callable, optional
        Asked instead whether somebody still runs it, where that is known better than from its lock.

    Returns
    -------
    Standing
        How it was at the end.
    """
    ended = _HasEnded(goes_on)
    show = _redraw if console.is_terminal else _print_changes
    return show(reader, console, interval_s, ended)


def _redraw(reader: RunReader, console: Console, interval_s: float, ended: _HasEnded) -> Standing:
    standing = reader.read()
    with Live(_picture(standing), console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
        while not ended(standing):
            time.sleep(interval_s)
            standing = reader.read()
            live.update(_picture(standing), refresh=True)
    return standing


def _print_changes(reader: RunReader, console: Console, interval_s: float, ended: _HasEnded) -> Standing:
    before: dict[Cell, str] = {}
    while True:
        standing = reader.read()
        for cell, words in standing.words.items():
            if before.get(cell) != words:
                console.print(Text(f"{standing.now:%H:%M:%S} {cell.name} {words}"), soft_wrap=True)
        before = standing.words
        if ended(standing):
            console.print(Text(f"{standing.now:%H:%M:%S} {_counts(standing)}"), soft_wrap=True)
            return standing
        time.sleep(interval_s)


@dataclass(slots=True)
class _HasEnded:
    """Tells when there is nothing more to see."""

    goes_on: Callable[[], bool] | None
    was_held: bool = False

    def __call__(self, standing: Standing) -> bool:
        """Nothing is left to do; or a run of some of the cells alone was under way, and is no longer."""
        if self.goes_on is not None:
            return not self.goes_on()
        ended = self.was_held and standing.holder is None
        self.was_held = self.was_held or standing.holder is not None
        return ended or not {"pending", "running"} & standing.counts.keys()


def _picture(standing: Standing) -> Group:
    who = f"held by {standing.holder}" if standing.holder else "no run is under way on this directory"
    # What runs comes first: a terminal that is too small cuts off the end.
    parts = [live_table(standing.live, standing.now)] if standing.live else []
    table = matrix_table(standing.study, standing.rows, standing.live, standing.now)
    return Group(Text(who, style="dim"), *parts, table, *failure_lines(standing.rows))


def _counts(standing: Standing) -> str:
    return ", ".join(f"{number} {state}" for state, number in standing.counts.items())
