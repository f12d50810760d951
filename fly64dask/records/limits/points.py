"""Gathers what the repeats of each dose gave for a target, one series for each view, split, recipe and setup."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

from fly64dask.base import Frozen, Quantity
from fly64dask.records.limits.cell_numbers import CellNumbers, cell_numbers
from fly64dask.study import Cell, Study, Target, cells

if TYPE_CHECKING:
    from fly64dask.records.manifest import ManifestRow


class Light(Frozen):
    """The light that falls on a sample at one dose of a view; a value that is not known is absent.

    `dose` is in the study's own unit, `photons_per_exposure` what was asked for, and total and fluence are detected
    photons of all kept exposures.
    """

    dose: float
    photons_per_exposure: Annotated[float, Quantity("photons per exposure", "photons", "lower")]
    fluence_photons_per_px2: Annotated[float | None, Quantity("fluence", "photons/px²", "lower")] = None
    fluence_photons_per_nm2: Annotated[float | None, Quantity("fluence", "photons/nm²", "lower")] = None
    total_photons: Annotated[float | None, Quantity("photons of all kept exposures", "photons", "lower")] = None

    @property
    def side_nm(self) -> float | None:
        """Side of a pixel, where both fluences are known."""
        if not self.fluence_photons_per_px2 or not self.fluence_photons_per_nm2:
            return None
        return math.sqrt(self.fluence_photons_per_px2 / self.fluence_photons_per_nm2)


@dataclass(frozen=True, slots=True, kw_only=True)
class DosePoint:
    """The values that the repeats at one dose of a series gave.

    `values` has for each object of the study one tuple, with a number for each of its repeats that has one: in the
    target's unit, infinite where the same input fails again; `cells` are theirs, in the same order. The other repeats
    are `n_pending`.
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
    """The series of one view, split, recipe and setup: its points in order of dose, and what it gives without noise.

    `cell` is the first of its cells, which stands for the coordinates that are not dose, object or repeat. Overlap and
    step are those of the kept exposures. `noise_free` is the mean number of the noise-free cells, if there are some.
    `pending` counts the cells without a number by the reason for it. `empty` is the least error of an empty object in
    these cells, of phase errors against the truth alone. `run_name` is given where several runs are asked.
    """

    cell: Cell
    points: tuple[DosePoint, ...]
    linear_overlap: float | None
    step_px: float | None
    n_kept: int | None
    noise_free: float | None
    pending: Mapping[str, int]
    empty: float | None = None
    run_name: str | None = None


def series_of(study: Study, rows: Iterable[ManifestRow], target: Target) -> tuple[Series, ...]:
    """Gather the series of a study, in the order of its cells.

    Parameters
    ----------
    study : Study
        The study.
    rows : iterable of ManifestRow
        Its committed cells, completed by their context; they are taken one after the other, and none is kept.
    target : Target
        With what it is compared with.

    Returns
    -------
    tuple of Series
        One for each view, split, recipe and setup. Doses at which no cell has a number are left out.
    """
    return series_for(study, {row.cell: cell_numbers(row, (target,)) for row in rows}, 0, target)


def series_for(study: Study, numbers_of: Mapping[Cell, CellNumbers], place: int, target: Target) -> tuple[Series, ...]:
    """Gather the series of a study for a target, whose `place` is that in the numbers of each cell (`series_of`)."""
    members: dict[Cell, list[Cell]] = {}
    for cell in cells(study):
        members.setdefault(replace(cell, dose=study.doses_photons[0], repeat=0, object_seed=None), []).append(cell)
    return tuple(_series(key, group, numbers_of, place, target, study) for key, group in members.items())


def _series(
    key: Cell, group: Sequence[Cell], numbers_of: Mapping[Cell, CellNumbers], place: int, target: Target, study: Study
) -> Series:
    at_dose: dict[float | str, list[Cell]] = {}
    numbers: dict[Cell, float] = {}
    pending: Counter[str] = Counter()
    for cell in group:
        at_dose.setdefault(cell.dose, []).append(cell)
        number = numbers_of[cell].of_targets[place] if cell in numbers_of else "not ended"
        if isinstance(number, str):
            pending[number] += 1
        else:
            numbers[cell] = number
    noise_free = [numbers[cell] for cell in at_dose.pop("noise_free", []) if cell in numbers]
    points = [
        point
        for dose, of_dose in at_dose.items()
        if (point := _point(dose, of_dose, numbers_of, numbers, study)) is not None
    ]
    committed = [numbers_of[cell] for cell in group if cell in numbers_of]
    return Series(
        cell=key,
        points=_apart(points),
        linear_overlap=committed[0].linear_overlap if committed else None,
        step_px=committed[0].step_px if committed else None,
        n_kept=committed[0].n_kept if committed else None,
        noise_free=fmean(noise_free) if noise_free else None,
        pending=pending,
        empty=_empty(committed, target),
    )


def _empty(committed: Iterable[CellNumbers], target: Target) -> float | None:
    """The least error that an empty object has in some cells, if it is an error that the target is about."""
    if target.kind != "phase_error_rad" or target.against != "truth":
        return None
    return min((each.empty_rad for each in committed if each.empty_rad is not None), default=None)


def _point(
    dose: float | str,
    of_dose: Sequence[Cell],
    numbers_of: Mapping[Cell, CellNumbers],
    numbers: Mapping[Cell, float],
    study: Study,
) -> DosePoint | None:
    """One dose of a series; None if no cell has a number, or nothing says how many photons an exposure has."""
    committed = [numbers_of[cell] for cell in of_dose if cell in numbers_of]
    measured = [cell for seed in study.object_seeds for cell in of_dose if cell.object_seed == seed and cell in numbers]
    asked = _mean([each.dose_photons for each in committed])
    if asked is None and study.dose_by == "exposure" and not isinstance(dose, str):
        asked = dose  # of cells that failed before their exposures were read
    if asked is None or not measured:
        return None
    fluence, total = (
        _mean([getattr(each, name) for each in committed]) for name in ("fluence_photons_per_px2", "total_photons")
    )
    of_word = {"exposure": asked, "fluence": fluence, "total": total}[study.dose_by]
    in_study_unit = of_word if isinstance(dose, str) else dose
    if in_study_unit is None:
        return None
    light = Light(
        dose=in_study_unit,
        photons_per_exposure=asked,
        fluence_photons_per_px2=fluence,
        fluence_photons_per_nm2=_mean([each.fluence_photons_per_nm2 for each in committed]),
        total_photons=total,
    )
    values = tuple(tuple(numbers[cell] for cell in measured if cell.object_seed == seed) for seed in study.object_seeds)
    return DosePoint(light=light, values=values, cells=tuple(measured), n_pending=len(of_dose) - len(measured))


def _apart(points: Sequence[DosePoint]) -> tuple[DosePoint, ...]:
    """Sort by dose; one that stands beside an equal one, as that of a measurement may, is left out."""
    by_dose = {point.light.dose: point for point in reversed(points)}
    return tuple(by_dose[dose] for dose in sorted(by_dose))


def _mean(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return fmean(known) if known else None
