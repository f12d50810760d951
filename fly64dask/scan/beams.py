"""Overlap of a scan's beams, in the words that papers on ptychography use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fly64dask.base import Frozen, Quantity
from fly64dask.scan.illumination import illuminated_area, illumination_map, total_intensity
from fly64dask.scan.positions import object_frame
from fly64dask.scan.probe_size import probe_diameters
from fly64dask.scan.spacing import median_step_px

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class BeamFields(Frozen):
    """The density of the kept exposures' beams on the sample; a value that is not known is absent.

    The beam is the starting probe, with the intensities of its modes summed. The illuminated area, in which errors are
    measured, consists of the pixels in which all beams together have at least a tenth of their sum in the brightest
    pixel.
    """

    step_px: Annotated[float | None, Quantity("scan step: median distance to the nearest neighbour", "px")] = None
    probe_fwhm_px: Annotated[float | None, Quantity("probe diameter at half of its maximum", "px")] = None
    probe_d90_px: Annotated[float | None, Quantity("probe diameter that holds 90 % of its power", "px")] = None
    linear_overlap: Annotated[
        float | None, Quantity("linear overlap: 1 - step / diameter of 90 % power", "", "higher")
    ] = None
    areal_oversampling: Annotated[
        float | None, Quantity("areal oversampling: beams on a pixel of the illuminated area", "", "higher")
    ] = None
    illuminated_area_px2: Annotated[int | None, Quantity("illuminated area", "px²")] = None
    illuminated_share: Annotated[float | None, Quantity("share of the light that falls on the illuminated area")] = None


def measure_beams(positions_px: NDArray[np.float64], probe: NDArray[np.complex64]) -> BeamFields:
    """Measure how densely the beams of some exposures lie.

    Parameters
    ----------
    positions_px : (n, 2) float64
        Kept positions, order (y, x), px; n >= 1.
    probe : (..., H, W) complex64
        Illumination; intensities of leading axes are summed.

    Returns
    -------
    BeamFields
        A single distinct position has no step and no linear overlap. A linear overlap below 0 means that the discs of
        90 % power do not touch.

    Notes
    -----
    Areal oversampling is n times the area of the probe's footprint, divided by the illuminated area. (The area of n
    footprints is the covered area times the mean number of visits to its pixels.) The footprint consists of the pixels
    with at least a tenth of the intensity of the probe's brightest one.
    """
    shape, origin = object_frame(positions_px, (probe.shape[-2], probe.shape[-1]))
    light = illumination_map(probe, positions_px, shape, origin)
    illuminated = illuminated_area(light)
    footprint_px2 = illuminated_area(total_intensity(probe)).sum()
    diameters, step_px = probe_diameters(probe), median_step_px(positions_px)
    return BeamFields(
        step_px=step_px,
        probe_fwhm_px=diameters.fwhm_px,
        probe_d90_px=diameters.d90_px,
        linear_overlap=None if step_px is None else 1 - step_px / diameters.d90_px,
        areal_oversampling=float(len(positions_px) * footprint_px2 / illuminated.sum()),
        illuminated_area_px2=int(illuminated.sum()),
        illuminated_share=float(light[illuminated].sum() / light.sum()),
    )
