"""Chooses the cell that a report opens on: the one that limits the answer or, without such a cell, the best one."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fly64dask.records import Answer, Outcome, number_at, quantity_of
from fly64dask.report.columns import LEADING

if TYPE_CHECKING:
    from fly64dask.records import DoseLimit, LimitCurve, ManifestRow

# Outcomes in the order of how much their cells tell.
TELLING: tuple[Outcome, ...] = ("reached", "not_monotonic", "not_reached", "reached_already")


def limiting_cell(answer: Answer) -> str | None:
    """Name the first cell at the dose that limits the first target.

    That is the last dose that misses a target which is reached; if no target is reached, the highest dose, which still
    misses; else the lowest dose, which already reaches it.
    """
    for outcome in TELLING:
        for target in answer.targets:
            for limit, curve in zip(target.doses, target.curves, strict=True):
                name = _cell_at(limit, curve) if limit.outcome == outcome else None
                if name is not None:
                    return name
    return None


def _cell_at(limit: DoseLimit, curve: LimitCurve) -> str | None:
    light = limit.highest_dose if limit.outcome == "not_reached" else limit.lowest_dose
    ends = limit.outcome in ("not_reached", "reached_already")
    dose = light.dose if ends and light is not None else limit.last_miss
    for point in curve.points:
        if dose is not None and point.cells and math.isclose(point.light.dose, dose, rel_tol=1e-9):
            return point.cells[0]
    return None


@dataclass(slots=True)
class BestCells:
    """Finds the best of the completed cells, given one after the other, by each number that may be shown first.

    Many cells agree up to Nyquist. Of equal cells the one with the most photons counts, and the first of these in the
    study.
    """

    _by_column: dict[str, tuple[tuple[float, float], str]] = field(default_factory=dict)
    _by_photons: tuple[float, str] | None = None

    @property
    def columns(self) -> Collection[str]:
        """The columns in which any of the cells has a number."""
        return self._by_column.keys()

    def add(self, row: ManifestRow) -> None:
        """Take a completed cell into account."""
        photons, name = -(row.total_photons or 0.0), row.cell.name
        if self._by_photons is None or photons < self._by_photons[0]:
            self._by_photons = (photons, name)
        for column in LEADING:
            value = number_at(row, column)
            if value is not None:
                rank = (-value if quantity_of(column).better == "higher" else value, photons)
                if column not in self._by_column or rank < self._by_column[column][0]:
                    self._by_column[column] = (rank, name)

    def cell_by(self, column: str) -> str | None:
        """Name the best cell by a column; if no cell has a number there, the one with the most photons; None without
        cells.
        """
        if column in self._by_column:
            return self._by_column[column][1]
        return None if self._by_photons is None else self._by_photons[1]
