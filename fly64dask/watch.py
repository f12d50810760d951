"""A run directory, looked at again and again -> a matrix that keeps itself up to date, or a line for each change."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from fly64dask.errors import printable
from fly64dask.layout import RunLayout
from fly64dask.live import LiveCell, read_live
from fly64dask.lock import holder_of
from fly64dask.manifest import ManifestRow, count_states
from fly64dask.runs import read_row
from fly64dask.study import Cell, Study, cells
from fly64dask.terminal import failure_lines, live_table, matrix_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a run's cells are at one moment, from disk alone."""

    study: Study
    rows: tuple[ManifestRow, ...]
    live: Mapping[Cell, LiveCell]
    now: datetime
    holder: str | None

    @property
    def running(self) -> list[Cell]:
        """Cells whose workers have written lately."""
        return [cell for cell, one in self.live.items() if one.silent_s(self.now) is None]

    @property
    def counts(self) -> dict[str, int]:
        """Number of cells per state, zero counts left out."""
        return count_states(self.study, self.rows, self.running)

    @property
    def words(self) -> dict[Cell, str]:
        """How each cell is, in a few words."""
        said = {row.cell: _words_of_row(row) for row in self.rows}
        return said | {cell: _words_of_live(one, self.now) for cell, one in self.live.items()}


@dataclass(slots=True)
class RunReader:
    """Reads a run's records, each one once: hundreds are read in a second only the first time."""

    study: Study
    layout: RunLayout
    _seen: dict[Cell, tuple[tuple[int, int], ManifestRow]] = field(default_factory=dict)

    def read(self) -> Standing:
        """Look at the run."""
        everything = cells(self.study)
        # Before the records: a cell that ends in between is then seen as ended, never as pending.
        live = read_live(self.layout, everything)
        rows = tuple(row for cell in everything if (row := self._row(cell)) is not None)
        attempts = {row.cell: row.attempt or 0 for row in rows}
        return Standing(
            study=self.study,
            rows=rows,
            live={cell: one for cell, one in live.items() if one.attempt > attempts.get(cell, 0)},
            now=datetime.now(UTC),
            holder=holder_of(self.layout),
        )

    def _row(self, cell: Cell) -> ManifestRow | None:
        try:
            status = self.layout.record_file(cell).stat()
        except OSError:
            return read_row(self.layout, cell)
        version = (status.st_ino, status.st_mtime_ns)
        if cell not in self._seen or self._seen[cell][0] != version:
            row = read_row(self.layout, cell)
            if row is None:
                return None
            self._seen[cell] = (version, row)
        return self._seen[cell][1]


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


def _words_of_row(row: ManifestRow) -> str:
    return row.state if row.failure_kind is None else f"{row.state} {row.failure_kind}: {row.error}"


def _words_of_live(one: LiveCell, now: datetime) -> str:
    silent_s = one.silent_s(now)
    if silent_s is not None:
        # Without the number, which would be a change each time.
        return f"silent after epoch {one.epoch} of {one.n_epochs}"
    if not one.epoch:
        return f"started on worker {printable(f'{one.worker} on {one.host}')}"
    loss = "" if one.loss is None else f" loss {one.loss:.4g}"
    return f"running epoch {one.epoch} of {one.n_epochs}{loss}"
