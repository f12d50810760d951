"""Measures the width of a probe, at half maximum and as the disc of 90 % of its power, and its power."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.scan.illumination import total_intensity

if TYPE_CHECKING:
    from numpy.typing import NDArray

POWER_FRACTION = 0.9
# Single precision holds powers from 1e-38 to 1e38, and the dark rim of a probe has 1e-12 of its power or less: a probe
# this much off in either direction is in another unit (our choice), and an engine's sums of it vanish or overflow.
FAR_OFF = 1e12


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeDiameters:
    """The width of a probe's intensity, px."""

    fwhm_px: float
    d90_px: float


def probe_power(probe: NDArray[np.complexfloating]) -> float:
    """Sum |probe|^2 over modes and pixels in double precision; of several OPR modes the first is taken."""
    return float(total_intensity(probe[0] if probe.ndim == 4 else probe).sum())


def is_far_off(power: float, needed: float) -> bool:
    """Tell whether a power, above 0, is more than 12 orders of magnitude from the wanted one."""
    return not needed / FAR_OFF <= power <= needed * FAR_OFF


def in_held_unit(probe: NDArray[np.complex64], power: float) -> NDArray[np.complex64]:
    """Scale a probe to a wanted power if its own is far off; otherwise return it unchanged, to the bit.

    Parameters
    ----------
    probe : (..., H, W) complex64
        In any unit; all of it, such as several OPR modes, is scaled together. A probe without light is not scaled.
    power : float
        Wanted `probe_power`, such as the mean photons of an exposure.
    """
    own_power = probe_power(probe)
    if not (own_power > 0 and power > 0) or not is_far_off(own_power, power):
        return probe
    return np.asarray(probe.astype(np.complex128) * np.sqrt(power / own_power), dtype=np.complex64)


def probe_diameters(probe: NDArray[np.generic]) -> ProbeDiameters:
    """Measure how wide a probe's intensity is.

    Parameters
    ----------
    probe : (..., H, W) complex
        Illumination; the intensities of leading axes (modes) are summed.

    Returns
    -------
    ProbeDiameters
        `fwhm_px` is the diameter of the disc that is as large as all pixels of at least half of the brightest
        pixel's intensity. `d90_px` is the diameter of the disc around the centre of mass that holds 90 % of
        the power (the encircled power of ISO 11146-3).

    Raises
    ------
    ValueError
        If the probe holds no light, or a value that is not finite.

    Notes
    -----
    Both areas are counted in whole pixels, so a probe of a few pixels is measured to about one. For a round Gaussian
    beam of standard deviation s the two are 2.355 s and 4.292 s; for an evenly illuminated disc of radius R they are 2
    R and 1.897 R. Use the disc of 90 % to judge overlap: a bright spot inside a defocused beam makes the width at half
    maximum small, though it holds few photons.
    """
    intensity = total_intensity(np.asarray(probe))
    power = float(intensity.sum())
    if not (np.isfinite(power) and power > 0):
        raise ValueError(f"the probe's power is {power}, needed a finite number above 0; check it for zeros and NaN")
    half_maximum_px2 = int((intensity >= intensity.max() / 2).sum())
    return ProbeDiameters(fwhm_px=_disc_diameter(half_maximum_px2), d90_px=_encircling_diameter(intensity, power))


def _encircling_diameter(intensity: NDArray[np.float64], power: float) -> float:
    """Diameter of the disc around the centre of mass that holds 90 % of the power, px."""
    rows, columns = np.indices(intensity.shape)
    y, x = (float((axis * intensity).sum()) / power for axis in (rows, columns))
    distance = np.hypot(rows - y, columns - x).ravel()
    order = np.argsort(distance, kind="stable")
    encircled = np.cumsum(intensity.ravel()[order]) / power
    # The pixels nearest to the centre fill a disc whose area is their number.
    return _disc_diameter(np.interp(POWER_FRACTION, encircled, np.arange(1, len(order) + 1)))


def _disc_diameter(area_px2: float) -> float:
    return float(2 * np.sqrt(area_px2 / np.pi))
