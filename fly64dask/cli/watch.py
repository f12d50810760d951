"""Show a run on a terminal until it ends: a matrix that is redrawn, or a line for each change."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from fly64dask.cli.matrix import STYLES, failure_lines, live_table, matrix_table
from fly64dask.monitoring import CellEvent, CellOutcome, CellProgress, RunReader, Standing
from fly64dask.study import Cell


def make_console(*, stderr: bool = False) -> Console:
    """Console of this terminal; 120 columns where there is none, so that tables stay whole."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=120)


class RunDisplay:
    """Live bars on a terminal, one line per finished cell elsewhere.

    Parameters
    ----------
    console : Console
        Where to draw; standard error, so that standard output stays for results.
    n_cells : int
        Cells to run.
    """

    def __init__(self, console: Console, n_cells: int) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._all = self._bars.add_task("[bold]cells", total=n_cells, note="")
        self._running: dict[Cell, TaskID] = {}
        self._n_done = 0
        self._n_cells = n_cells

    def __enter__(self) -> RunDisplay:
        """Start drawing."""
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing."""
        self._bars.stop()

    def show(self, event: CellEvent) -> None:
        """Draw one event.

        Parameters
        ----------
        event : CellStarted, CellProgress or CellOutcome
            A cell's start, one of its epochs, or its end. A bar is drawn from the first epoch on:
            most cells of a run that is continued end without any.
        """
        if isinstance(event, CellOutcome):
            self._show_outcome(event)
        elif isinstance(event, CellProgress):
            self._show_epoch(event)

    def say(self, line: str) -> None:
        """Print a line above the bars, as it is."""
        self._bars.console.print(line, soft_wrap=True, markup=False)

    def _show_epoch(self, event: CellProgress) -> None:
        if event.cell not in self._running:
            self._running[event.cell] = self._bars.add_task(f"  {event.cell.name}", total=event.n_epochs, note="")
        self._bars.update(self._running[event.cell], completed=event.epoch, note=f"loss {event.loss:.4g}")

    def _show_outcome(self, event: CellOutcome) -> None:
        self._n_done += 1
        task = self._running.pop(event.cell, None)
        if task is not None:
            self._bars.remove_task(task)
        self._bars.update(self._all, completed=self._n_done)
        state = "failed" if event.failure else "completed"
        mark, style = STYLES[state]
        note = f"{event.failure.kind}: {event.failure.message}" if event.failure else f"{event.seconds:.1f} s"
        if event.was_done:
            note = f"done before ({note})"
        line = Text.assemble((f"{mark} ", style), f"[{self._n_done}/{self._n_cells}] {event.cell.name}  ", note)
        self._bars.console.print(line, soft_wrap=True)


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
