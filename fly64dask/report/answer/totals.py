"""Gathers row by row what a report says about all cells of a run, so that the rows of many cells need not be kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fly64dask.monitoring import read_live
from fly64dask.records import AnswerNumbers, ComparedNumbers, each_completed_row, unfollowed
from fly64dask.report.answer.opening import BestCells
from fly64dask.report.columns import lead_column
from fly64dask.study import cells

if TYPE_CHECKING:
    from fly64dask.records import Answer, ManifestRow, RunDifferences
    from fly64dask.store import RunLayout
    from fly64dask.study import Cell, Study


@dataclass(slots=True)
class RunTotals:
    """The numbers about all cells of a run, of which a report shows only some cells.

    `states` counts the committed cells in each state, `ended` those of them that do not run again. Of the committed
    cells, `n_outdated` do not belong to the study as it is now, `n_other_dose` hold another number of photons than the
    study asks for, and `n_unfollowed` did not follow all of their recipe. `versions` and `devices` count cells by the
    software and device that computed them. `n_pixels` has the smallest and the largest number of pixels on which a cell
    was compared, if any was. `of_views` has one row of each view and split.

    Parameters
    ----------
    study : Study
        The study.
    running : collection of Cell
        Cells that run now, whether or not a record of them is committed.
    answer_numbers : AnswerNumbers, optional
        Gathers the answer, instead of one for the study's own targets.
    """

    study: Study
    running: Collection[Cell] = ()
    answer_numbers: AnswerNumbers | None = None
    n_outdated: int = 0
    n_other_dose: int = 0
    n_unfollowed: int = 0
    states: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    versions: Counter[tuple[str, str]] = field(default_factory=Counter)
    devices: Counter[str] = field(default_factory=Counter)
    n_pixels: tuple[int, ...] = ()
    of_views: dict[tuple[str, str], ManifestRow] = field(default_factory=dict)
    _compared: ComparedNumbers = field(init=False)
    _best: BestCells = field(default_factory=BestCells)

    def __post_init__(self) -> None:
        """Begin without a cell."""
        if self.answer_numbers is None and self.study.targets:
            self.answer_numbers = AnswerNumbers(self.study)
        self._compared = ComparedNumbers(self.study)

    def add(self, row: ManifestRow) -> None:
        """Add a committed cell, whose row is completed by its context."""
        self.states[row.state] += 1
        self.ended[row.state] += row.cell not in self.running
        if row.n_kept is not None:
            self.of_views.setdefault((row.view, row.split), row)
        self.n_outdated += row.outdated is not None
        self.n_other_dose += row.dose_deviation is not None
        self.n_unfollowed += bool(unfollowed(row))
        self.versions.update((row.versions or {}).items())
        self.devices.update([row.device] if row.device else [])
        if row.metrics is not None:
            pixels = (*self.n_pixels, row.metrics.n_pixels)
            self.n_pixels = (min(pixels), max(pixels))
        self._compared.add(row)
        if self.answer_numbers is not None:
            self.answer_numbers.add(row)
        if row.state == "completed":
            self._best.add(row)

    @property
    def counts(self) -> dict[str, int]:
        """Number of cells per state with `running` and `pending`, without zeros."""
        n_running = len(self.running)
        n_pending = len(cells(self.study)) - self.ended.total() - n_running
        counts = {**self.ended, "running": n_running, "pending": n_pending}
        return {state: number for state, number in counts.items() if number}

    def answer(self) -> Answer | None:
        """Find the limits of the study's targets; None if it has none."""
        return None if self.answer_numbers is None else self.answer_numbers.answer()

    def differences(self) -> RunDifferences:
        """Compare views, recipes and setups."""
        return self._compared.differences()

    def lead(self, columns: Collection[str]) -> str:
        """Choose the number to show first among some columns."""
        return lead_column(self.n_pixels, columns, is_measured=self.study.source.kind == "measured")

    def best_cell(self) -> str | None:
        """Name the completed cell with the best number of those that a report shows first; None without any."""
        return self._best.cell_by(self.lead(self._best.columns))


def read_totals(
    study: Study, layout: RunLayout, shown: Iterable[Cell], answer_numbers: AnswerNumbers | None = None
) -> tuple[RunTotals, dict[Cell, ManifestRow | None]]:
    """Read the rows of a run once; returns its totals, and the row of each cell that is shown, None if it has none."""
    # Read before the rows, so that a cell that ends in between is counted as running and never as pending.
    totals = RunTotals(study, set(read_live(layout, cells(study))), answer_numbers)
    row_of: dict[Cell, ManifestRow | None] = dict.fromkeys(shown)
    for committed in each_completed_row(study, layout):
        totals.add(committed)
        if committed.cell in row_of:
            row_of[committed.cell] = committed
    return totals, row_of
