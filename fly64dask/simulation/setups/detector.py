"""A detector that is not ideal: where its photons arrive, what else it counts, and how it is read out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.study import Setup


def spread_points(patterns: NDArray[np.floating], point_spread_px: float) -> NDArray[np.float64]:
    """Spread the light of each detector pixel over its neighbours.

    Parameters
    ----------
    patterns : (n, H, W) float
        Expected intensities.
    point_spread_px : float
        Rms radius of the point spread along each axis, detector pixels; above 0.

    Returns
    -------
    (n, H, W) float64
        What leaves the detector at its edges is lost.

    Notes
    -----
    A Gaussian around each pixel's centre, integrated over the pixels: the share of a pixel k away is
    Phi((k + 1/2) / sigma) - Phi((k - 1/2) / sigma) along each axis. Every photon is counted once, somewhere near, so
    that counts stay Poisson.
    """
    import scipy.ndimage  # 0.1 s, which workers that simulate nothing need not wait for
    import scipy.special

    radius = math.ceil(6 * point_spread_px)
    edges = (np.arange(-radius, radius + 2) - 0.5) / point_spread_px
    shares = np.diff(scipy.special.ndtr(edges))
    along_y = scipy.ndimage.convolve1d(patterns.astype(np.float64), shares, axis=1, mode="constant")
    spread: NDArray[np.float64] = scipy.ndimage.convolve1d(along_y, shares, axis=2, mode="constant")
    return spread


def read_out(photons: NDArray[np.int64], setup: Setup, *, rng: np.random.Generator) -> NDArray[np.int64]:
    """Read photons out with noise, in digital units, up to the full well.

    Parameters
    ----------
    photons : (n, H, W) int64
        Photons that arrived.
    setup : Setup
        Its read noise, gain and full well.
    rng : numpy.random.Generator
        Source of the read noise; advanced.

    Returns
    -------
    (n, H, W) int64
        Whole photons, as who takes the detector's offset off and divides by its gain has them; what is negative is 0.

    Notes
    -----
    The linear camera model of EMVA Standard 1288, release 4.0, section 2: additive normal noise of the sensor, then
    quantisation to whole digital units, then saturation.
    """
    if setup.reads_out:
        values = photons + rng.normal(scale=setup.read_noise_photons, size=photons.shape)
        if setup.gain_photons:
            values = np.rint(values / setup.gain_photons) * setup.gain_photons
        photons = np.rint(np.maximum(values, 0)).astype(np.int64)
    ceiling = saturated_count(setup)
    return photons if ceiling is None else np.minimum(photons, ceiling)


def saturated_count(setup: Setup) -> int | None:
    """Give the count of a pixel that holds as much as it can; None if there is no limit."""
    if not setup.full_well_photons:
        return None
    if not setup.gain_photons:
        return math.floor(setup.full_well_photons)
    return round(math.floor(setup.full_well_photons / setup.gain_photons) * setup.gain_photons)
