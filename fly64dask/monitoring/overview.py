"""Counts the cells of a run that has too many to be shown one by one, in memory that their number does not fill."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fly64dask.monitoring.live import LiveCell, read_live
from fly64dask.records import ManifestRow, StudyNow, each_row
from fly64dask.store import holder_of
from fly64dask.study import Cell, cells

if TYPE_CHECKING:
    from fly64dask.store import RunLayout
    from fly64dask.study import Study

# Cells without a reconstruction that an overview names, the first ones (our choice).
MAX_NAMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOverview:
    """The cells of a run in numbers, at one moment, from disk alone.

    `by_view` has the number of cells per state of each view; `unreconstructed` are the first rows without a
    reconstruction; `n_outdated` cells are not of the study as it is now.
    """

    study: Study
    by_view: Mapping[str, Mapping[str, int]]
    unreconstructed: tuple[ManifestRow, ...]
    n_outdated: int
    live: Mapping[Cell, LiveCell]
    now: datetime
    holder: str | None

    @property
    def counts(self) -> dict[str, int]:
        """Number of cells per state, zero counts left out."""
        return dict(sum((Counter(states) for states in self.by_view.values()), Counter[str]()))


def read_overview(study: Study, layout: RunLayout, shown: Collection[Cell]) -> RunOverview:
    """Count some cells of a run; their records are read one after the other, and none is kept."""
    live, now = read_live(layout, cells(study)), datetime.now(UTC)
    live = {cell: live_cell for cell, live_cell in live.items() if cell in shown}
    now_of_study = StudyNow(study, layout)
    by_view: dict[str, Counter[str]] = {view.name: Counter() for view in study.views}
    pending, named, n_outdated = set(shown), list[ManifestRow](), 0
    for row in each_row(layout, (cell for cell in cells(study) if cell in shown)):
        cell, outdated = row.cell, now_of_study.outdated(row)
        pending.discard(cell)
        if cell in live and live[cell].attempt <= (row.attempt or 0):
            del live[cell]  # it has ended in between
        n_outdated += outdated is not None
        is_running = cell in live and live[cell].silent_s(now) is None
        by_view[cell.view]["running" if is_running else row.state] += 1
        if row.state != "completed" and not is_running and len(named) < MAX_NAMED:
            named.append(row.model_copy(update={"outdated": outdated}))
    for cell in pending:
        is_running = cell in live and live[cell].silent_s(now) is None
        by_view[cell.view]["running" if is_running else "pending"] += 1
    return RunOverview(
        study=study,
        by_view=by_view,
        unreconstructed=tuple(named),
        n_outdated=n_outdated,
        live=live,
        now=now,
        holder=holder_of(layout),
    )
