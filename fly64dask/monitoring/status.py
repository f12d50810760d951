"""Reads the status of a run from its directory repeatedly, and each record once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from fly64dask.base import printable
from fly64dask.monitoring.live import LiveCell, read_live
from fly64dask.records import (
    FileVersion,
    ManifestRow,
    RowContext,
    count_states,
    newer_run_study,
    read_row,
    read_worker_jobs,
    version_of,
)
from fly64dask.store import RunLayout, holder_of
from fly64dask.study import Cell, Study, cells


class CellWithRow(NamedTuple):
    """A cell of a run with its state, and its row if a record is committed."""

    cell: Cell
    state: str
    row: ManifestRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """The states of a run's cells at one moment, read from disk, and the state of its worker jobs, if it has any."""

    study: Study
    rows: tuple[ManifestRow, ...]
    live: Mapping[Cell, LiveCell]
    now: datetime
    holder: str | None
    worker_jobs: str | None = None

    @property
    def running(self) -> list[Cell]:
        """Cells whose workers have written lately."""
        return [cell for cell, live_cell in self.live.items() if live_cell.silent_s(self.now) is None]

    @property
    def states(self) -> dict[Cell, str]:
        """The state of each cell of the study; `pending` if nothing is committed and no worker has written."""
        states = dict.fromkeys(cells(self.study), "pending") | {row.cell: row.state for row in self.rows}
        return states | dict.fromkeys(self.running, "running")

    @property
    def each(self) -> Iterator[CellWithRow]:
        """Each cell of the study with its state and its row, if it has one."""
        rows = {row.cell: row for row in self.rows}
        return (CellWithRow(cell, state, rows.get(cell)) for cell, state in self.states.items())

    @property
    def counts(self) -> dict[str, int]:
        """Number of cells per state, without zeros."""
        return count_states(self.study, self.rows, self.running)

    @property
    def words(self) -> dict[Cell, str]:
        """The state of each cell, in a few words."""
        words = {row.cell: _words_of_row(row) for row in self.rows}
        return words | {cell: _words_of_live(live_cell, self.now) for cell, live_cell in self.live.items()}


@dataclass(slots=True)
class RunReader:
    """Reads the records of a run repeatedly, each record once: reading hundreds takes a second only the first time.

    With `chosen` it reads these cells alone. If it `follows` the run, `study` becomes that of the directory when that
    changes, as rounds of an adaptive study add cells. `look` is called before each read, to bring into the directory
    what is new at an object store.
    """

    study: Study
    layout: RunLayout
    follows: bool = False
    chosen: Collection[Cell] | None = None
    look: Callable[[], object] | None = None
    _seen: dict[Cell, tuple[FileVersion, ManifestRow]] = field(default_factory=dict)
    _study_version: FileVersion | None = None

    def read(self) -> RunStatus:
        """Look at the run."""
        if self.look is not None:
            self.look()
        if self.follows:
            self.study, self._study_version = newer_run_study(self.layout, self.study, self._study_version)
        everything = [cell for cell in cells(self.study) if self.chosen is None or cell in self.chosen]
        # Before the records: a cell that ends in between is then seen as ended, never as pending.
        live = read_live(self.layout, everything)
        known_rows = {cell: row for cell in everything if (row := self._row(cell)) is not None}
        row_of = known_rows.get if self.chosen is None else self._row  # a floor or reference may be outside of `chosen`
        rows = tuple(RowContext(self.study, self.layout, row_of).complete_all(known_rows.values()))
        attempts = {row.cell: row.attempt or 0 for row in rows}
        holder = holder_of(self.layout)
        return RunStatus(
            study=self.study,
            rows=rows,
            live={cell: live_cell for cell, live_cell in live.items() if live_cell.attempt > attempts.get(cell, 0)},
            now=datetime.now(UTC),
            holder=holder,
            worker_jobs=holder and read_worker_jobs(self.layout),
        )

    def _row(self, cell: Cell) -> ManifestRow | None:
        version = version_of(self.layout.record_file(cell))
        if version is None:
            return read_row(self.layout, cell)
        if cell not in self._seen or self._seen[cell][0] != version:
            row = read_row(self.layout, cell)
            if row is None:
                return None
            self._seen[cell] = (version, row)
        return self._seen[cell][1]


def read_each(study: Study, layout: RunLayout, shown: Collection[Cell] | None = None) -> Iterator[CellWithRow]:
    """Read all or some cells of a run one after the other and keep none: there may be a hundred thousand."""
    # Before the records: a cell that ends in between is then seen as ended, never as pending.
    live, now = read_live(layout, cells(study)), datetime.now(UTC)
    context = RowContext(study, layout, functools.partial(read_row, layout))
    for cell in cells(study):
        if shown is not None and cell not in shown:
            continue
        row, live_cell = read_row(layout, cell), live.get(cell)
        attempt = row.attempt or 0 if row else 0
        is_running = live_cell is not None and live_cell.attempt > attempt and live_cell.silent_s(now) is None
        state = "running" if is_running else row.state if row else "pending"
        yield CellWithRow(cell, state, None if row is None else context.complete(row))


def _words_of_row(row: ManifestRow) -> str:
    words = str(row.state) if row.failure_kind is None else f"{row.state} {row.failure_kind}: {row.error}"
    if row.state == "interrupted":
        words = f"interrupted: {row.error}"
    return f"{words} ({row.outdated})" if row.outdated else words


def _words_of_live(live_cell: LiveCell, now: datetime) -> str:
    silent_s = live_cell.silent_s(now)
    if silent_s is not None:
        # Without the number of seconds, which would be a change at each read.
        return f"silent after epoch {live_cell.epoch} of {live_cell.n_epochs}"
    if live_cell.waits is not None:
        return f"waits for disk space: {printable(live_cell.waits)}"
    if not live_cell.epoch:
        return f"started on worker {printable(f'{live_cell.worker} on {live_cell.host}')}"
    loss = "" if live_cell.loss is None else f" loss {live_cell.loss:.4g}"
    return f"running epoch {live_cell.epoch} of {live_cell.n_epochs}{loss}"
