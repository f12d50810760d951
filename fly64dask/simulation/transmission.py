"""The fraction of a simulation's incident light that is detected, from its patterns or before any is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fly64dask.scan import illumination_map, total_intensity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.simulation.forward import Pair


def detected_share(mean_total_intensity: float, probe: NDArray[np.complex64]) -> float:
    """Compute the share of the incident light that is detected, mean over the scan.

    Parameters
    ----------
    mean_total_intensity : float
        Sum of a noise-free pattern, mean over the scan, in the probe's units.
    probe : (..., H, W) complex64
        What the scan was illuminated with.

    Returns
    -------
    float
        What is missing of 1 was absorbed, or scattered beyond the detector. Incident photons of an exposure are the
        detected ones over it.
    """
    return mean_total_intensity / _power(probe)


def transmitted_share(pair: Pair, positions_px: NDArray[np.float64]) -> float:
    """Predict the share of the incident light that the object lets through, mean over a scan.

    Parameters
    ----------
    pair : Pair
        Object and probe.
    positions_px : (n, 2) float64
        The whole scan, order (y, x), taken to the nearest pixel.

    Returns
    -------
    float
        What `detected_share` is, but for what is scattered beyond the detector and for fractions of a pixel.
    """
    shape = (pair.object_truth.shape[0], pair.object_truth.shape[1])
    light = illumination_map(pair.probe, positions_px, shape, (0, 0))
    return float((light * np.abs(pair.object_truth) ** 2).sum()) / (len(positions_px) * _power(pair.probe))


def _power(probe: NDArray[np.complex64]) -> float:
    return float(total_intensity(probe).sum())
