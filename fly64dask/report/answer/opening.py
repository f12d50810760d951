"""Chooses the cell that a report opens on: the one that limits the answer, or where there is none, the best one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fly64dask.records import Answer, Outcome, quantity_of
from fly64dask.report.columns import flat_row, in_order, lead_column, mapped_numbers

if TYPE_CHECKING:
    from fly64dask.records import DoseLimit, LimitCurve, ManifestRow

# The outcomes whose cells tell most come first.
TELLING: tuple[Outcome, ...] = ("reached", "not_monotonic", "not_reached", "reached_already")


def opening_cell(rows: Sequence[ManifestRow], answer: Answer | None, *, is_measured: bool) -> str | None:
    """Name the cell that a page shows first; None if no cell has a number."""
    limiting = None if answer is None else limiting_cell(answer)
    return limiting or best_cell(rows, is_measured=is_measured)


def limiting_cell(answer: Answer) -> str | None:
    """Name the first cell at the dose that limits the first target.

    That is the last dose that misses a target which is reached; where none is, the highest dose that still misses, else
    the lowest dose, which reaches already.
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


def best_cell(rows: Sequence[ManifestRow], *, is_measured: bool) -> str | None:
    """Name the completed cell with the best number of those that a report shows first.

    Many agree up to Nyquist: of equal ones it is that with the most photons, and the first of these in the study.
    """
    numbers = {row.cell.name: mapped_numbers(flat_row(row)) for row in rows if row.state == "completed"}
    lead = lead_column(rows, in_order(key for each in numbers.values() for key in each), is_measured=is_measured)
    sign = -1 if quantity_of(lead).better == "higher" else 1

    def rank(name: str) -> tuple[float, float]:
        return sign * numbers[name].get(lead, math.inf * sign), -numbers[name].get("total_photons", 0.0)

    return min(numbers, key=rank, default=None)
