"""A reconstruction and a reference -> both on one grid, shift, scale, global phase and ramp removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.quality import Alignment
from fly64dask.registration import SHIFT_BOUND_PX, find_shift, neighbour_slopes, plane_wave, shifted

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Pixels that got at least this share of the brightest pixel's light count as illuminated (our choice).
ILLUMINATED_FRACTION = 0.1


def illumination(
    probe: NDArray[np.complex64],
    positions_px: NDArray[np.float64],
    shape_px: tuple[int, int],
    origin_px: tuple[int, int],
) -> NDArray[np.float64]:
    """Sum the probe's intensity over the scan, to the nearest pixel.

    Parameters
    ----------
    probe : (..., H, W) complex64
        Leading axes are summed.
    positions_px : (n, 2) float64
        Patch centres at index N / 2, order (y, x), scan frame.
    shape_px : (int, int)
        (Y, X) of the object array.
    origin_px : (int, int)
        Scan-frame (y, x) of its pixel [0, 0].

    Returns
    -------
    (Y, X) float64
        Probe intensity units.
    """
    height, width = probe.shape[-2:]
    intensity = (np.abs(probe) ** 2).reshape(-1, height, width).sum(axis=0, dtype=np.float64)
    total = np.zeros(shape_px)
    corners = np.rint(positions_px - np.asarray(origin_px) - (height // 2, width // 2)).astype(int)
    for y, x in corners:
        total[y : y + height, x : x + width] += intensity
    return total


def illuminated_area(light: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Pixels with at least a tenth of the brightest pixel's light."""
    area: NDArray[np.bool_] = light >= ILLUMINATED_FRACTION * light.max()
    return area


def crop_to_frame(
    truth: NDArray[np.complex64], shape_px: tuple[int, int], origin_px: tuple[int, int]
) -> tuple[NDArray[np.complex64], NDArray[np.bool_]]:
    """Cut the part of the truth that a reconstruction's array covers.

    Parameters
    ----------
    truth : (Y, X) complex64
        Truth in the scan frame.
    shape_px : (int, int)
        Shape of the reconstruction's array.
    origin_px : (int, int)
        Scan-frame (y, x) of its pixel [0, 0]; may be negative.

    Returns
    -------
    reference : (y, x) complex64
        Truth where there is one, 1 elsewhere.
    known : (y, x) bool
        Where there is one.
    """
    reference = np.ones(shape_px, dtype=np.complex64)
    known = np.zeros(shape_px, dtype=bool)
    low = np.maximum(origin_px, 0)
    high = np.minimum(np.add(origin_px, shape_px), truth.shape)
    if (low < high).all():
        here = tuple(slice(a - o, b - o) for a, b, o in zip(low, high, origin_px, strict=True))
        reference[here] = truth[low[0] : high[0], low[1] : high[1]]
        known[here] = True
    return reference, known


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
