"""A reconstruction and the truth on one grid -> numbers that say how good it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fly64dask.alignment import crop_to_frame, illuminated_area, illumination, remove_phase_ramp
from fly64dask.study import Frozen

if TYPE_CHECKING:
    from numpy.typing import NDArray


class TruthMetrics(Frozen):
    """Phase error against the truth inside the illuminated area, and a flat object's there."""

    phase_rmse_rad: float
    flat_phase_rmse_rad: float
    n_pixels: int


def compare_with_truth(
    object_recon: NDArray[np.complex64],
    object_truth: NDArray[np.complex64],
    *,
    origin_px: tuple[int, int],
    probe: NDArray[np.complex64],
    positions_px: NDArray[np.float64],
) -> TruthMetrics:
    """Measure a reconstruction's phase error.

    Parameters
    ----------
    object_recon : (Y, X) complex64
        The reconstruction.
    object_truth : (Y', X') complex64
        The truth, in the scan frame.
    origin_px : (int, int)
        Scan-frame (y, x) of the reconstruction's pixel [0, 0].
    probe : (..., H, W) complex64
        The probe that lit the scan.
    positions_px : (n, 2) float64
        Kept positions, order (y, x), px.

    Returns
    -------
    TruthMetrics
        Root mean squares in rad, global phase and ramp removed, equal weights.
    """
    shape = (object_recon.shape[0], object_recon.shape[1])
    reference, known = crop_to_frame(object_truth, shape, origin_px)
    area = illuminated_area(illumination(probe, positions_px, shape, origin_px)) & known
    errors = [
        float(np.sqrt(np.mean(remove_phase_ramp(image * np.conj(reference), area)[area] ** 2)))
        for image in (object_recon, np.ones(shape, dtype=np.complex64))
    ]
    return TruthMetrics(phase_rmse_rad=errors[0], flat_phase_rmse_rad=errors[1], n_pixels=int(area.sum()))
