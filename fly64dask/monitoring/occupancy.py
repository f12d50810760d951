"""Measures how busy the workers of a run were, from the starts and ends of its cells."""

from __future__ import annotations

import time
from dataclasses import dataclass

from fly64dask.base import counted
from fly64dask.monitoring.events import CellEvent, CellOutcome, CellStarted


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupancy:
    """How busy workers were: seconds of cells, from the first start of a cell to the last end, and of the whole run."""

    n_workers: int
    cells_s: float
    between_s: float
    whole_s: float

    @property
    def fraction(self) -> float:
        """Fraction of the workers' time that cells took, from the first cell's start to the last one's end."""
        return self.cells_s / (self.n_workers * self.between_s)

    @property
    def fraction_of_whole(self) -> float:
        """Fraction of the workers' time that cells took, with the start and the end of the cluster included."""
        return self.cells_s / (self.n_workers * self.whole_s)

    def __str__(self) -> str:
        """One line for a person."""
        return (
            f"{counted(self.n_workers, 'worker')}, {100 * self.fraction:.0f} % busy from the first cell to the last "
            f"({self.between_s:.1f} s), {100 * self.fraction_of_whole:.0f} % of the whole run ({self.whole_s:.1f} s)"
        )


class Timekeeper:
    """Records when cells start and end. Any thread may report events to it."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._first_start: float | None = None
        self._last_end: float | None = None
        self._cells_s = 0.0

    def take(self, event: CellEvent) -> None:
        """Record an event; cells that were done before are ignored."""
        if isinstance(event, CellStarted):
            if self._first_start is None:
                self._first_start = time.monotonic()
        elif isinstance(event, CellOutcome) and not event.was_done:
            self._last_end = time.monotonic()
            self._cells_s += event.seconds

    def occupancy(self, n_workers: int) -> Occupancy | None:
        """Sum up the times.

        Parameters
        ----------
        n_workers : int
            Workers of one thread each, which exist from the start to the end.

        Returns
        -------
        Occupancy or None
            None if no cell ran.
        """
        first, last = self._first_start, self._last_end
        if first is None or last is None or last <= first:
            return None
        return Occupancy(
            n_workers=n_workers,
            cells_s=self._cells_s,
            between_s=last - first,
            whole_s=time.monotonic() - self._began,
        )
