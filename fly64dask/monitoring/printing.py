"""Prints the progress of a run, one line for each cell that ends; for notebooks and scripts."""

from __future__ import annotations

from fly64dask.monitoring.events import CellEvent, CellOutcome


class PrintedProgress:
    """Prints a line for each cell that ends.

    Parameters
    ----------
    n_cells : int
        Cells to run.
    """

    def __init__(self, n_cells: int) -> None:
        self._n_cells = n_cells
        self._n_ended = 0

    def show(self, event: CellEvent) -> None:
        """Print the end of a cell; starts and epochs are not printed."""
        if not isinstance(event, CellOutcome):
            return
        self._n_ended += 1
        self._n_cells = max(self._n_cells, self._n_ended)  # rounds add cells
        result = f"{event.failure.kind}: {event.failure.message}" if event.failure else f"{event.seconds:.1f} s"
        before = " (done before)" if event.was_done else ""
        self.say(f"[{self._n_ended}/{self._n_cells}] {event.cell.name} {result}{before}")

    def say(self, line: str) -> None:
        """Print a line."""
        print(line, flush=True)


def ignore_event(event: CellEvent) -> None:
    """Take no notice of an event."""


def ignore_epoch(epoch: int, loss: float) -> None:
    """Take no notice of an epoch."""


def ignore_line(line: str) -> None:
    """Print nothing."""
