"""Sets a cell's error beside that of an empty object and beside its floor, and says what limits it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from fly64dask.base import Frozen, Quantity

if TYPE_CHECKING:
    from fly64dask.records.manifest import ManifestRow

# An error above so many times its floor is one of photons (our choice).
PHOTON_LIMITED_RATIO = 1.5
# A noise-free cell whose loss falls by this share from the third to the last quarter of its epochs has not converged
# (our choice, measured: docs/explanation/floors.md).
STILL_FALLING = 0.03

Limit = Literal["photons", "convergence", "model", "unknown"]


class RelativeError(Frozen):
    """The phase error of a cell in units of others: that of an empty object, and of the same cell without noise.

    That cell has the same view, split, recipe, object and setup; its error is the floor, which the forward model and
    the number of epochs leave. `limited_by` is `photons` above 1.5 times the floor, else `convergence` or `model`:
    whether the noise-free loss still falls at the end; `unknown` without a floor.
    """

    error_over_empty: Annotated[float, Quantity("phase error over that of an empty object", "", "lower")] = Field(
        ge=0, allow_inf_nan=False
    )
    floor_rad: Annotated[float | None, Quantity("floor: phase error without noise", "rad")] = None
    error_over_floor: Annotated[float | None, Quantity("phase error over its floor", "", "lower")] = None
    limited_by: Limit


def relative_error(row: ManifestRow, floor: ManifestRow | None) -> RelativeError | None:
    """Compare a cell's error with those of an empty object and of the noise-free cell.

    Parameters
    ----------
    row : ManifestRow
        The cell's row.
    floor : ManifestRow or None
        The row of the noise-free cell, if there is one that was made as this cell: of the same remedy and study.

    Returns
    -------
    RelativeError or None
        None if the cell was not compared with a truth, or an empty object has no error.
    """
    metrics = row.metrics
    if metrics is None or metrics.empty_phase_rmse_rad == 0:
        return None
    error, over_empty = metrics.phase_rmse_rad, metrics.phase_rmse_rad / metrics.empty_phase_rmse_rad
    if floor is None or floor.metrics is None or floor.metrics.phase_rmse_rad == 0:
        return RelativeError(error_over_empty=over_empty, limited_by="unknown")
    floor_rad = floor.metrics.phase_rmse_rad
    return RelativeError(
        error_over_empty=over_empty,
        floor_rad=floor_rad,
        error_over_floor=error / floor_rad,
        limited_by=_limit(error / floor_rad, floor.late_loss_fall),
    )


def _limit(over_floor: float, late_loss_fall: float | None) -> Limit:
    if over_floor > PHOTON_LIMITED_RATIO:
        return "photons"
    if late_loss_fall is None:
        return "unknown"
    return "convergence" if late_loss_fall >= STILL_FALLING else "model"
