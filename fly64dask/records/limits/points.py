"""Gathers what the repeats of each dose gave for a target, one series for each view, split and recipe."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

from fly64dask.base import Frozen, Quantity
from fly64dask.study import Cell, DoseBy, Study, Target, cells

if TYPE_CHECKING:
    from fly64dask.metrics import Crossing
    from fly64dask.records.manifest import ManifestRow

FINEST_PX = 1.0  # the resolution of images that agree up to Nyquist: pixels show nothing finer


class Light(Frozen):
    """What falls on a sample at one dose of a view; a value that is not known is absent.

    `dose` is in the study's own unit, `photons_per_exposure` what was asked for, and total and fluence are detected
    photons of all kept exposures.
    """

    dose: float
    photons_per_exposure: Annotated[float, Quantity("photons per exposure", "photons", "lower")]
    fluence_photons_per_px2: Annotated[float | None, Quantity("fluence", "photons/px²", "lower")] = None
    fluence_photons_per_nm2: Annotated[float | None, Quantity("fluence", "photons/nm²", "lower")] = None
    total_photons: Annotated[float | None, Quantity("photons of all kept exposures", "photons", "lower")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DosePoint:
    """What the repeats at one dose of a series gave.

    `values` has for each object one tuple, with a number for each of its repeats that has ended: in the target's unit,
    infinite for a cell that failed; `cells` are theirs, in the same order. `n_pending` repeats have not ended, or are
    not of the study as it is now.
    """

    light: Light
    values: tuple[tuple[float, ...], ...]
    cells: tuple[Cell, ...]
    n_pending: int

    @property
    def pooled(self) -> tuple[float, ...]:
        """The numbers of all objects."""
        return tuple(value for of_object in self.values for value in of_object)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One view, split and recipe: its points in order of dose, and what it gives without noise.

    `cell` is the first of its cells, which stands for the coordinates that are not dose, object or repeat. Overlap and
    step are those of the kept exposures. `noise_free` is the mean number of the noise-free cells, if there are some.
    `failures` counts the kinds of failure of its cells.
    """

    cell: Cell
    points: tuple[DosePoint, ...]
    linear_overlap: float | None
    step_px: float | None
    n_kept: int | None
    noise_free: float | None
    failures: Mapping[str, int]


def series_of(study: Study, rows: Iterable[ManifestRow], target: Target) -> tuple[Series, ...]:
    """Gather the series of a study, in the order of its cells.

    Parameters
    ----------
    study : Study
        The study.
    rows : iterable of ManifestRow
        Its committed cells, completed by their context.
    target : Target
        With what it is compared with.

    Returns
    -------
    tuple of Series
        One for each view, split and recipe. Doses without a cell that has ended are left out.
    """
    row_of = {row.cell: row for row in rows}
    members: dict[Cell, list[Cell]] = {}
    for cell in cells(study):
        members.setdefault(replace(cell, dose=study.doses_photons[0], repeat=0, object_seed=None), []).append(cell)
    return tuple(_series(key, group, row_of, target, study.dose_by) for key, group in members.items())


def _series(
    key: Cell, group: Sequence[Cell], row_of: Mapping[Cell, ManifestRow], target: Target, dose_by: DoseBy
) -> Series:
    at_dose: dict[float | str, list[Cell]] = {}
    for cell in group:
        at_dose.setdefault(cell.dose, []).append(cell)
    noise_free = [
        value for cell in at_dose.pop("noise_free", []) if (value := _ended(row_of.get(cell), target)) is not None
    ]
    points = [
        point
        for dose, of_dose in at_dose.items()
        if (point := _point(dose, of_dose, row_of, target, dose_by)) is not None
    ]
    any_row = next((row_of[cell] for cell in group if cell in row_of), None)
    return Series(
        cell=key,
        points=tuple(sorted(points, key=lambda point: point.light.dose)),
        linear_overlap=any_row.linear_overlap if any_row else None,
        step_px=any_row.step_px if any_row else None,
        n_kept=any_row.n_kept if any_row else None,
        noise_free=fmean(noise_free) if noise_free else None,
        failures=Counter(str(row.failure_kind) for cell in group if (row := row_of.get(cell)) and row.failure_kind),
    )


def _point(
    dose: float | str, of_dose: Sequence[Cell], row_of: Mapping[Cell, ManifestRow], target: Target, dose_by: DoseBy
) -> DosePoint | None:
    """One dose of a series; None if nothing has ended, or nothing says how many photons an exposure has."""
    rows = [row_of[cell] for cell in of_dose if cell in row_of]
    by_object: dict[int | None, dict[Cell, float]] = {}
    for row in rows:
        value = _ended(row, target)
        if value is not None:
            by_object.setdefault(row.object_seed, {})[row.cell] = value
    values = tuple(tuple(numbers.values()) for numbers in by_object.values())
    if not values:
        return None
    asked = _mean([row.dose_photons for row in rows])
    if asked is None and dose_by == "exposure" and not isinstance(dose, str):
        asked = dose  # of cells that failed before their exposures were read
    if asked is None:
        return None
    fluence, total = (
        _mean([getattr(row, name) for row in rows]) for name in ("fluence_photons_per_px2", "total_photons")
    )
    in_study_unit = {"exposure": asked, "fluence": fluence, "total": total}[dose_by] if isinstance(dose, str) else dose
    if in_study_unit is None:
        return None
    light = Light(
        dose=in_study_unit,
        photons_per_exposure=asked,
        fluence_photons_per_px2=fluence,
        fluence_photons_per_nm2=_mean([row.fluence_photons_per_nm2 for row in rows]),
        total_photons=total,
    )
    ended = tuple(cell for of_object in by_object.values() for cell in of_object)
    return DosePoint(light=light, values=values, cells=ended, n_pending=len(of_dose) - len(ended))


def _mean(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return fmean(known) if known else None


def _ended(row: ManifestRow | None, target: Target) -> float | None:
    """The number of a cell; infinite if it failed, None if it has not ended or is not of the study as it is now.

    A view that cannot be selected says nothing of a dose.
    """
    if row is None or row.outdated is not None or row.state == "skipped":
        return None
    return measured_value(row, target) if row.state == "completed" else math.inf


def measured_value(row: ManifestRow, target: Target) -> float | None:
    """Give the number of a completed cell that a target is about, in the target's unit.

    Parameters
    ----------
    row : ManifestRow
        The cell's row, completed by its context.
    target : Target
        With what it is compared with.

    Returns
    -------
    float or None
        None where it was not measured: two images that agree up to Nyquist have the resolution of a pixel.
    """
    if target.kind == "error_over_floor":
        return row.relative.error_over_floor if row.relative else None
    if target.kind == "phase_error_rad":
        compared = row.metrics if target.against == "truth" else row.reference
        return compared.phase_rmse_rad if compared else None
    correlation = {
        "truth": row.metrics.frc if row.metrics else None,
        "reference": row.reference if row.reference and row.reference.n_pixels is not None else None,
        "half_sets": row.half_sets if row.half_sets and row.half_sets.resolution_px is not None else None,
    }[target.against or "truth"]
    if correlation is None:
        return None
    crossing = correlation.one_bit if target.criterion == "one_bit" else correlation.half_bit
    return _resolution(crossing, row, in_nm=target.kind == "resolution_nm")


def _resolution(crossing: Crossing | None, row: ManifestRow, *, in_nm: bool) -> float | None:
    if crossing is not None:
        return crossing.resolution_nm if in_nm else crossing.resolution_px
    if not in_nm:
        return FINEST_PX
    return FINEST_PX * math.sqrt(math.prod(row.pixel_size_nm)) if row.pixel_size_nm else None
