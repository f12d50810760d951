"""Counts the cells of a run that has too many to be shown one by one, in memory that does not grow with their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from fly64dask.monitoring.live import LiveCell, read_live
from fly64dask.records import (
    FileVersion,
    ManifestRow,
    StudyNow,
    newer_run_study,
    read_row,
    read_worker_jobs,
    version_of,
)
from fly64dask.store import holder_of
from fly64dask.study import Cell, cells

if TYPE_CHECKING:
    from fly64dask.store import RunLayout
    from fly64dask.study import Study

# How many cells without a reconstruction an overview names (our choice).
MAX_NAMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOverview:
    """The number of a run's cells in each state at one moment, read from disk, and the state of its worker jobs, if
    any.

    `by_view` has the number of cells per state of each view; `unreconstructed` are the first rows without a
    reconstruction; `n_outdated` cells do not belong to the study as it is now.
    """

    study: Study
    by_view: Mapping[str, Mapping[str, int]]
    unreconstructed: tuple[ManifestRow, ...]
    n_outdated: int
    live: Mapping[Cell, LiveCell]
    now: datetime
    holder: str | None
    worker_jobs: str | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Number of cells per state without zeros; states of cells that have not ended come last."""
        together = sum((Counter(states) for states in self.by_view.values()), Counter[str]())
        not_ended = {state: together.pop(state) for state in ("running", "pending") if state in together}
        return dict(together) | not_ended


class _Known(NamedTuple):
    """What is kept of a cell's row between two reads, because a whole row takes 20 to 30 kB."""

    version: FileVersion | None
    state: str
    attempt: int
    is_outdated: bool


@dataclass(slots=True)
class OverviewReader:
    """Counts the cells of a run repeatedly, and reads each record once; no row is kept.

    With `chosen` it counts these cells alone. If it `follows` the run, `study` becomes that of the directory when that
    changes. `look` is called before each read, to bring into the directory what is new at an object store.
    """

    study: Study
    layout: RunLayout
    follows: bool = False
    chosen: Collection[Cell] | None = None
    look: Callable[[], object] | None = None
    _known: dict[Cell, _Known] = field(default_factory=dict)
    _now_of_study: StudyNow | None = None
    _study_version: FileVersion | None = None

    def read(self) -> RunOverview:
        """Look at the run."""
        if self.look is not None:
            self.look()
        self._renew_study()
        shown = [cell for cell in cells(self.study) if self.chosen is None or cell in self.chosen]
        # Read before the records, so that a cell that ends in between is seen as ended and never as pending.
        live, now = read_live(self.layout, shown), datetime.now(UTC)
        by_view: dict[str, Counter[str]] = {view.name: Counter() for view in self.study.views}
        unreconstructed, n_outdated = list[Cell](), 0
        for cell in shown:
            known = self._look_at(cell)
            if known is not None and cell in live and live[cell].attempt <= known.attempt:
                del live[cell]  # it has ended in between
            is_running = cell in live and live[cell].silent_s(now) is None
            state = "running" if is_running else "pending" if known is None else known.state
            by_view[cell.view][state] += 1
            n_outdated += known is not None and known.is_outdated
            if state not in ("completed", "running", "pending") and len(unreconstructed) < MAX_NAMED:
                unreconstructed.append(cell)
        holder = holder_of(self.layout)
        return RunOverview(
            study=self.study,
            by_view=by_view,
            unreconstructed=tuple(row for cell in unreconstructed if (row := self._row(cell)) is not None),
            n_outdated=n_outdated,
            live=live,
            now=now,
            holder=holder,
            worker_jobs=holder and read_worker_jobs(self.layout),
        )

    def _renew_study(self) -> None:
        """Follow the run's study: each run writes it, and a change of it may make other cells outdated."""
        before = self._study_version
        if self.follows:
            self.study, self._study_version = newer_run_study(self.layout, self.study, before)
        if self._now_of_study is None or self._study_version != before:
            self._known, self._now_of_study = {}, StudyNow(self.study, self.layout)

    def _look_at(self, cell: Cell) -> _Known | None:
        """Return what is known of a cell's record, which is read if it has changed; None if nothing is committed."""
        known, version = self._known.get(cell), version_of(self.layout.record_file(cell))
        if known is None or version is None or known.version != version:
            row = self._row(cell)
            if row is None:
                return None
            known = _Known(version, row.state, row.attempt or 0, row.outdated is not None)
            self._known[cell] = known
        return known

    def _row(self, cell: Cell) -> ManifestRow | None:
        row = read_row(self.layout, cell)
        if row is None or self._now_of_study is None:
            return row
        return row.model_copy(update={"outdated": self._now_of_study.outdated(row)})
