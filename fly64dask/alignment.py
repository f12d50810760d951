"""A reconstruction and a reference -> both on one grid, shift, scale, global phase and ramp removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.area import ILLUMINATED_FRACTION
from fly64dask.quality import Alignment
from fly64dask.registration import SHIFT_BOUND_PX, find_shift, neighbour_slopes, plane_wave, shifted

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Aligned:
    """A reconstruction on its reference's grid, `image` (y, x) complex128, and how it came there."""

    image: NDArray[np.complex128]
    alignment: Alignment


def align(recon: NDArray[Any], reference: NDArray[Any], inside: NDArray[np.bool_]) -> Aligned:
    """Remove from a reconstruction what far-field data leave open, and what a shifted probe does.

    Parameters
    ----------
    recon : (y, x) complex
        The reconstruction; pixels that are not finite count as 1, outside the area only.
    reference : (y, x) complex
        What it shall look like, on the same grid to within a few pixels.
    inside : (y, x) bool
        The area: all steps look at its pixels alone, with equal weights.

    Returns
    -------
    Aligned

    Notes
    -----
    Positions are fixed, so an object may be shifted only together with its probe; a ramp on the
    object is a shift of the probe's spectrum, and a global phase or scale goes to the probe.
    In order: the ramp between both roughly (`neighbour_slopes`); the shift (`find_shift`); the
    phase plane that leaves the least squared phase (`fit_phase_plane`); the scale that leaves the
    least squared amplitude.
    """
    image = np.where(np.isfinite(recon), recon, 1).astype(np.complex128)
    target = np.asarray(reference, dtype=np.complex128)
    slope_y, slope_x = neighbour_slopes(image * target.conj(), inside)
    image = image * plane_wave(image.shape, 0.0, slope_y, slope_x).conj()
    shift, is_beyond = find_shift(image, target, inside)
    image = shifted(image, shift, inside)
    offset, ramp_y, ramp_x = fit_phase_plane(image * target.conj(), inside)
    image = image * plane_wave(image.shape, offset, ramp_y, ramp_x).conj()
    amplitude, wanted = np.abs(image[inside]), np.abs(target[inside])
    scale = float(amplitude @ wanted / (amplitude @ amplitude))
    # The first ramp was taken off before the shift; told as taken off after it, it also turns the phase.
    turned = offset - slope_y * shift[0] - slope_x * shift[1]
    return Aligned(
        image=scale * image,
        alignment=Alignment(
            shift_y_px=float(shift[0]),
            shift_x_px=float(shift[1]),
            shift_bound_px=SHIFT_BOUND_PX,
            shift_beyond_bound=is_beyond,
            phase_offset_rad=float(np.angle(np.exp(1j * turned))),
            ramp_y_rad_per_px=slope_y + ramp_y,
            ramp_x_rad_per_px=slope_x + ramp_x,
            amplitude_scale=scale,
            illuminated_fraction=ILLUMINATED_FRACTION,
        ),
    )


def fit_phase_plane(ratio: NDArray[Any], inside: NDArray[np.bool_], *, n_rounds: int = 5) -> tuple[float, float, float]:
    """Fit global phase and linear ramp of an image.

    Parameters
    ----------
    ratio : (y, x) complex
        Reconstruction times conjugate reference; finite inside.
    inside : (y, x) bool
        Pixels that count; at least three, not in one line.
    n_rounds : int
        Fits in sequence, each on the wrapped rest of the last.

    Returns
    -------
    offset_rad, ramp_y, ramp_x : float
        The phase is offset + ramp_y y + ramp_x x, rad and rad / px, with y, x from pixel [0, 0].

    Notes
    -----
    The first estimate of a ramp is the phase of neighbouring pixels' mean product, which does
    not wrap for slopes below pi rad / px; least squares on wrapped phases refine it.
    """
    y, x = np.nonzero(inside)
    slope_y, slope_x = neighbour_slopes(ratio, inside)
    rest: Any = np.angle(ratio[inside] * np.exp(-1j * (slope_y * y + slope_x * x)))
    offset = float(np.angle(np.sum(np.exp(1j * rest))))
    rest = np.angle(np.exp(1j * (rest - offset)))
    centre_y, centre_x = y.mean(), x.mean()
    terms = np.stack([np.ones(len(y)), y - centre_y, x - centre_x])
    solve = np.linalg.pinv(terms @ terms.T)
    for _ in range(n_rounds):
        step = solve @ (terms @ rest)
        offset += float(step[0] - step[1] * centre_y - step[2] * centre_x)
        slope_y, slope_x = slope_y + float(step[1]), slope_x + float(step[2])
        rest = rest - step @ terms
        rest -= 2 * np.pi * np.rint(rest / (2 * np.pi))
    return offset, slope_y, slope_x


def remove_phase_ramp(ratio: NDArray[Any], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Phase of an image with its global phase and linear ramp removed; see `fit_phase_plane`.

    Parameters
    ----------
    ratio : (y, x) complex
        Reconstruction times conjugate reference.
    inside : (y, x) bool
        Pixels that count.

    Returns
    -------
    (y, x) float64
        Wrapped phase, rad, with mean and slope removed inside.
    """
    return np.angle(ratio * plane_wave(ratio.shape, *fit_phase_plane(ratio, inside)).conj())
