"""Completes rows by what their own records do not say: whether they are of the present study, floors, references."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from fly64dask.records.derived.currency import StudyNow
from fly64dask.records.derived.floors import relative_error
from fly64dask.records.derived.reference import ReferenceNow
from fly64dask.scan import GUARDED_MIN_EXPOSURES_FOR_PROBE
from fly64dask.study import additions_of, overridden_by_guard

if TYPE_CHECKING:
    from fly64dask.records.manifest import ManifestRow
    from fly64dask.store import RunLayout
    from fly64dask.study import Cell, Study

# Fields of a row that follow from other cells, groups and the study, and are worked out whenever rows are read.
DERIVED_FIELDS = ("outdated", "overridden", "relative", "reference", "round", "round_reason")


class RowContext:
    """The sources from which rows are completed: the study as it is now, the run's groups, and its noise-free cells.

    Parameters
    ----------
    study : Study
        The run's study.
    layout : RunLayout
        The run.
    row_of : callable
        Gives the row of a cell, or None: asked for the noise-free cells and the references, once each.
    """

    def __init__(self, study: Study, layout: RunLayout, row_of: Callable[[Cell], ManifestRow | None]) -> None:
        self._study = study
        self._has_floors = "noise_free" in study.doses_photons
        self._now = StudyNow(study, layout)
        self._reference = ReferenceNow(study, layout, row_of) if study.reference is not None else None
        self._row_of = row_of
        self._additions = additions_of(study)
        self._floors: dict[Cell, ManifestRow | None] = {}

    def complete(self, row: ManifestRow) -> ManifestRow:
        """Return the row with its derived fields as they are now."""
        outdated = self._now.outdated(row)
        relative = relative_error(row, None if outdated else self._floor_of(row))
        reference = None if self._reference is None else self._reference.metrics(row)
        overridden = None if outdated or not row.underdetermined else self._overridden(row)
        derived = {"outdated": outdated, "overridden": overridden, "relative": relative, "reference": reference}
        addition = self._additions.get(row.cell)
        of_round = {"round": addition and addition.round, "round_reason": addition and addition.reason}
        return row.model_copy(update=derived | of_round)

    def complete_all(self, rows: Iterable[ManifestRow]) -> Iterator[ManifestRow]:
        """Return rows one after the other, each completed."""
        return map(self.complete, rows)

    def _overridden(self, row: ManifestRow) -> tuple[str, ...] | None:
        """Settings of the study's recipe that a cell under the guard did not follow."""
        few = row.n_kept is not None and row.n_kept < GUARDED_MIN_EXPOSURES_FOR_PROBE
        is_remedied = row.remedy is not None and row.remedy.kind == "guarded"
        return overridden_by_guard(self._study.recipe_of(row.cell), is_probe_frozen=few or is_remedied) or None

    def _floor_of(self, row: ManifestRow) -> ManifestRow | None:
        """The row of the noise-free cell, if there is one of the study as it is now that was made as this one."""
        if row.metrics is None or not self._has_floors:
            return None
        cell = replace(row.cell, dose="noise_free", repeat=0)
        if cell not in self._floors:
            noise_free = self._row_of(cell)
            is_fine = (
                noise_free is not None and noise_free.state == "completed" and self._now.outdated(noise_free) is None
            )
            self._floors[cell] = noise_free if is_fine else None
        floor = self._floors[cell]
        return floor if floor is not None and floor.remedy == row.remedy else None
