"""Takes from the row of a cell the few numbers that limits follow from, so that rows of many cells need not be kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fly64dask.records.record import LASTING_KINDS
from fly64dask.study import Target

if TYPE_CHECKING:
    from fly64dask.metrics import Crossing
    from fly64dask.records.manifest import ManifestRow

FINEST_PX = 1.0  # the resolution of images that agree up to Nyquist: pixels show nothing finer


@dataclass(frozen=True, slots=True, kw_only=True)
class CellNumbers:
    """The numbers of one committed cell that limits follow from: a hundredth of what its row takes in memory.

    `of_targets` has for each target the number that the cell gave, infinite where the same input fails again, or in
    words why it has none that counts. The others are as in the row; `empty_rad` is the phase error of an empty object
    against the truth.
    """

    of_targets: tuple[float | str, ...]
    dose_photons: float | None
    fluence_photons_per_px2: float | None
    fluence_photons_per_nm2: float | None
    total_photons: float | None
    linear_overlap: float | None
    step_px: float | None
    n_kept: int | None
    empty_rad: float | None


def cell_numbers(row: ManifestRow, targets: Sequence[Target]) -> CellNumbers:
    """Take from a row, completed by its context, what limits for some targets follow from."""
    return CellNumbers(
        of_targets=tuple(_number(row, target) for target in targets),
        dose_photons=row.dose_photons,
        fluence_photons_per_px2=row.fluence_photons_per_px2,
        fluence_photons_per_nm2=row.fluence_photons_per_nm2,
        total_photons=row.total_photons,
        linear_overlap=row.linear_overlap,
        step_px=row.step_px,
        n_kept=row.n_kept,
        empty_rad=None if row.metrics is None else row.metrics.empty_phase_rmse_rad,
    )


def _number(row: ManifestRow, target: Target) -> float | str:
    """The number of a cell, infinite where the same input fails again; or in words why it has none that counts.

    A view that cannot be selected says nothing of a dose, and neither does a failure that may pass with time.
    """
    if row.outdated is not None:
        return "of an older study"
    if row.state == "completed":
        value = measured_value(row, target)
        return "without this number" if value is None else value
    if row.state == "failed" and row.failure_kind in LASTING_KINDS:
        return math.inf
    return "damaged" if row.state == "damaged" else str(row.failure_kind)


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
    crossing: Crossing | None = getattr(correlation, target.criterion)  # of a truth alone there is "half"
    return _resolution(crossing, row, in_nm=target.kind == "resolution_nm")


def _resolution(crossing: Crossing | None, row: ManifestRow, *, in_nm: bool) -> float | None:
    if crossing is not None:
        return crossing.resolution_nm if in_nm else crossing.resolution_px
    if not in_nm:
        return FINEST_PX
    return FINEST_PX * math.sqrt(math.prod(row.pixel_size_nm)) if row.pixel_size_nm else None
