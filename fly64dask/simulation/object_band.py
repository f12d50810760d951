"""How a finely given object fits the detector's grid: what the fine model assumes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from fly64dask.base import Frozen, Quantity
from fly64dask.scan import illuminated_area, illumination_map
from fly64dask.simulation.forward import Pair, resample

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Below the floor of error that the fine model has, some 0.004 rad (docs/explanation/closed_loop.md; our choice).
NO_MATTER = 3e-3
MIRRORED_PX = 32  # of the detector's grid, on each side


class ObjectBand(Frozen):
    """The part of an object that the detector's grid cannot hold, and what its border does to the rest."""

    beyond_grid: Annotated[float, Quantity("share of the object's structure that is finer than the grid")] = Field(
        ge=0, le=1
    )
    border_error: Annotated[float, Quantity("rms change of the truth by what lies beyond its borders")] = Field(ge=0)

    def warnings(self) -> list[str]:
        """Say what is against the assumptions, with numbers; empty if nothing is."""
        if self.border_error <= NO_MATTER:
            return []
        return [
            f"what lies beyond the object's borders changes its truth where it is illuminated by "
            f"{self.border_error:.2g} (rms, rad for a pure phase), needed {NO_MATTER:g} at most; enlarge the object or "
            "move the scan inwards"
        ]


def measure_object_band(pair: Pair, positions_px: NDArray[np.float64]) -> ObjectBand | None:
    """Measure how an object fits the detector's grid; None in the grid model, whose object lies on that grid.

    Parameters
    ----------
    pair : Pair
        Object and probe.
    positions_px : (n, 2) float64
        Patch centres, order (y, x), px; all patches lie on the object.

    Returns
    -------
    ObjectBand
        `beyond_grid` is a share of the object's power without its mean. `border_error` is the rms change of the truth
        over the illuminated area if the object goes on beyond its borders as in a mirror, where `resample` takes the
        opposite border for the neighbour.
    """
    fine, truth = pair.object_fine, pair.object_truth
    if fine is None:
        return None
    structure = float(np.var(fine.astype(np.complex128)))
    resolved = float(np.var(truth.astype(np.complex128)))
    around = [(min(MIRRORED_PX, size), min(MIRRORED_PX, size)) for size in truth.shape]
    mirrored = np.pad(fine, [(pair.oversampling * low, pair.oversampling * high) for low, high in around], "symmetric")
    shape = tuple(size + low + high for size, (low, high) in zip(truth.shape, around, strict=True))
    (top, _), (left, _) = around
    height, width = truth.shape
    unwrapped = resample(mirrored, (shape[0], shape[1]))[top : top + height, left : left + width]
    area = illuminated_area(illumination_map(pair.probe, positions_px, (height, width), (0, 0)))
    return ObjectBand(
        beyond_grid=min(1.0, max(0.0, 1 - resolved / structure)) if structure else 0.0,
        border_error=float(np.sqrt(np.mean(np.abs(truth - unwrapped)[area] ** 2))),
    )
