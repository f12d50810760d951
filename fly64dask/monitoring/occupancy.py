"""Measures how busy the workers of a run were, from the starts and ends of its cells."""

from __future__ import annotations

import time
from dataclasses import dataclass

from fly64dask.base import counted
from fly64dask.monitoring.events import CellEvent, CellOutcome, CellStarted


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupancy:
    """The work of a run's workers: seconds of cells, of the time between the first and the last, of the whole run."""

    n_workers: int
    cells_s: float
    between_s: float
    whole_s: float

    @property
    def fraction(self) -> float:
        """Fraction of the workers' time, from the first cell's start to the last one's end, that cells took."""
        return self.cells_s / (self.n_workers * self.between_s)

    @property
    def fraction_of_whole(self) -> float:
        """Fraction of the workers' time, start and end of the cluster included, that cells took."""
        return self.cells_s / (self.n_workers * self.whole_s)

    def __str__(self) -> str:
        """One line for a person."""
        return (
            f"{counted(self.n_workers, 'worker')}, {100 * self.fraction:.0f} % busy from the first cell to the last "
            f"({self.between_s:.1f} s), {100 * self.fraction_of_whole:.0f} % of the whole run ({self.whole_s:.1f} s)"
        )


class Timekeeper:
    """Notes when cells start and end. Any thread may tell it of events."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._first_start: float | None = None
        self._last_end: float | None = None
        self._cells_s = 0.0

    def take(self, event: CellEvent) -> None:
        """Note an event; cells that were done before count for nothing."""
        if isinstance(event, CellStarted):
            if self._first_start is None:
                self._first_start = time.monotonic()
        elif isinstance(event, CellOutcome) and not event.was_done:
            self._last_end = time.monotonic()
            self._cells_s += event.seconds

    def occupancy(self, n_workers: int) -> Occupancy | None:
        """Sum up.

        Parameters
        ----------
        n_workers : int
            Workers of one thread, there from the start to the end.

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
