"""Shows the progress of a run of this process: bars on a terminal, one line for each finished cell elsewhere."""

from __future__ import annotations

from contextlib import suppress

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from fly64dask.cli.terminal.running import STATE_STYLES
from fly64dask.monitoring import CellEvent, CellOutcome, CellProgress
from fly64dask.records import STATE_SIGNS, state_of
from fly64dask.study import Cell


class RunDisplay:
    """Draws bars on a terminal, or a line for each finished cell elsewhere; on standard error, apart from results."""

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

    def __exit__(self, *exception: object) -> None:
        """Stop drawing."""
        self._bars.stop()

    def show(self, event: CellEvent) -> None:
        """Draw an epoch or the end of a cell; its bar appears with the first epoch.

        Most cells of a continued run end without an epoch.
        """
        if isinstance(event, CellOutcome):
            self._show_outcome(event)
        elif isinstance(event, CellProgress):
            self._show_epoch(event)

    def say(self, line: str) -> None:
        """Print a line above the bars, as it is."""
        self._print(Text(line))

    def _show_epoch(self, event: CellProgress) -> None:
        if event.cell not in self._running:
            self._running[event.cell] = self._bars.add_task(f"  {event.cell.name}", total=event.n_epochs, note="")
        self._bars.update(self._running[event.cell], completed=event.epoch, note=f"loss {event.loss:.4g}")

    def _show_outcome(self, event: CellOutcome) -> None:
        self._n_done += 1
        task = self._running.pop(event.cell, None)
        if task is not None:
            self._bars.remove_task(task)
        self._n_cells = max(self._n_cells, self._n_done)  # rounds of an adaptive study add cells
        self._bars.update(self._all, completed=self._n_done, total=self._n_cells)
        state = state_of(event.failure.kind if event.failure else None)
        sign, style = STATE_SIGNS[state], STATE_STYLES[state]
        note = f"{event.failure.kind}: {event.failure.message}" if event.failure else f"{event.seconds:.1f} s"
        if event.was_done:
            note = f"done before ({note})"
        line = Text.assemble((f"{sign} ", style), f"[{self._n_done}/{self._n_cells}] {event.cell.name}  ", note)
        self._print(line)

    def _print(self, line: Text) -> None:
        """Print a line, or lose it: a log on a full disk, or one that nobody reads any more, ends no run."""
        with suppress(OSError):
            self._bars.console.print(line, soft_wrap=True)
