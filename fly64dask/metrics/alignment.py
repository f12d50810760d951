"""Alignment of a reconstruction with a reference: shift, scale, global phase and phase ramp removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.metrics.registration import (
    SHIFT_BOUND_PX,
    find_shift,
    neighbour_slopes,
    plane_wave,
    shifted,
)
from fly64dask.metrics.results import Alignment
from fly64dask.metrics.rings import refuse_incomparable
from fly64dask.scan import ILLUMINATED_FRACTION

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_FITS = 5  # of a phase plane, in sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Aligned:
    """A reconstruction on its reference's grid, `image` (y, x) complex128, and how it came there."""

    image: NDArray[np.complex128]
    alignment: Alignment


def align(recon: NDArray[np.number], reference: NDArray[np.number], inside: NDArray[np.bool_]) -> Aligned:
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

    Raises
    ------
    InputError
        If shapes differ, the area has no pixel, or an image is not finite in it.

    Notes
    -----
    Positions are fixed, so an object may be shifted only together with its probe; a ramp on the
    object is a shift of the probe's spectrum, and a global phase or scale goes to the probe.
    In order: the ramp between both roughly (`neighbour_slopes`); the shift (`find_shift`); the
    phase plane that leaves the least squared phase (`PhasePlane`); the scale that leaves the
    least squared amplitude.

    Examples
    --------
    >>> truth = np.exp(1j * np.random.default_rng(1).normal(size=(32, 32)))
    >>> aligned = align(2 * truth * np.exp(0.5j), truth, np.ones((32, 32), dtype=bool))
    >>> round(aligned.alignment.phase_offset_rad, 6), round(aligned.alignment.amplitude_scale, 6)
    (0.5, 0.5)
    """
    refuse_incomparable({"reconstruction": recon, "reference": reference}, inside)
    image = np.where(np.isfinite(recon), recon, 1).astype(np.complex128)
    target = np.asarray(reference, dtype=np.complex128)
    slope_y, slope_x = neighbour_slopes(image * target.conj(), inside)
    image = image * plane_wave(image.shape, 0.0, slope_y, slope_x).conj()
    shift, is_beyond = find_shift(image, target, inside)
    image = shifted(image, shift, inside)
    plane = PhasePlane(inside).fit(image * target.conj())
    image = image * plane.wave(image.shape).conj()
    amplitude, target_amplitude = np.abs(image[inside]), np.abs(target[inside])
    scale = float(amplitude @ target_amplitude / (amplitude @ amplitude))
    # The first ramp was taken off before the shift; told as taken off after it, it also turns the phase.
    turned = plane.offset_rad - slope_y * shift[0] - slope_x * shift[1]
    return Aligned(
        image=scale * image,
        alignment=Alignment(
            shift_y_px=float(shift[0]),
            shift_x_px=float(shift[1]),
            shift_bound_px=SHIFT_BOUND_PX,
            shift_beyond_bound=is_beyond,
            phase_offset_rad=float(np.angle(np.exp(1j * turned))),
            ramp_y_rad_per_px=slope_y + plane.ramp_y,
            ramp_x_rad_per_px=slope_x + plane.ramp_x,
            amplitude_scale=scale,
            illuminated_fraction=ILLUMINATED_FRACTION,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """A phase of offset_rad + ramp_y y + ramp_x x, in rad and rad / px, with y, x from pixel [0, 0].

    `rest` (n,) float64 is what an image has beside it, of the pixels that count, rad, wrapped. `is_unique` is False if
    it wraps somewhere: other planes then fit about as well, and noise decides which is found.
    """

    offset_rad: float
    ramp_y: float
    ramp_x: float
    rest: NDArray[np.float64]
    is_unique: bool

    def wave(self, shape: tuple[int, ...]) -> NDArray[np.complex128]:
        """Compute exp(i phase) on a grid; (y, x) complex128."""
        return plane_wave(shape, self.offset_rad, self.ramp_y, self.ramp_x)


class PhasePlane:
    """Fits global phase and linear ramp of images of which one area counts.

    Parameters
    ----------
    inside : (y, x) bool
        Pixels that count; at least three, not in one line.

    Notes
    -----
    The least squares depend on the area alone, so they are solved once for many images.
    """

    def __init__(self, inside: NDArray[np.bool_]) -> None:
        self._inside = inside
        y, x = np.nonzero(inside)
        self._centre = y.mean(), x.mean()
        self._terms = np.stack([np.ones(len(y)), y - self._centre[0], x - self._centre[1]])
        self._solve = np.linalg.pinv(self._terms.T)

    def fit(self, ratio: NDArray[np.number]) -> Plane:
        """Fit one image.

        Parameters
        ----------
        ratio : (y, x) complex
            Reconstruction times conjugate reference; finite inside.

        Notes
        -----
        The first estimate of a ramp is the phase of neighbouring pixels' mean product, which does
        not wrap for slopes below pi rad / px; least squares on wrapped phases refine it.
        """
        slopes = np.array(neighbour_slopes(ratio, self._inside))
        # The wave of a ramp is a product of two lines.
        lines = zip(ratio.shape, self._centre, slopes, strict=True)
        down, right = (np.exp(-1j * slope * (np.arange(size) - centre)) for size, centre, slope in lines)
        unit = (ratio * down[:, None] * right)[self._inside]
        offset = float(np.angle(unit.sum()))
        rest = np.angle(unit * np.exp(-1j * offset)).astype(np.float64)
        is_unique = True
        for _ in range(N_FITS):
            step = self._solve @ rest
            offset, slopes = offset + float(step[0]), slopes + step[1:]
            rest -= step @ self._terms
            turns = np.rint(rest / (2 * np.pi))
            if not turns.any():
                break  # nothing wraps, so that the first least squares are the last
            is_unique = False
            rest -= 2 * np.pi * turns
        return Plane(
            offset_rad=offset - float(slopes @ self._centre),
            ramp_y=float(slopes[0]),
            ramp_x=float(slopes[1]),
            rest=rest,
            is_unique=is_unique,
        )


def remove_phase_ramp(ratio: NDArray[np.number], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Compute the phase of an image with its global phase and linear ramp removed; see `PhasePlane`.

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
    return np.angle(ratio * PhasePlane(inside).fit(ratio).wave(ratio.shape).conj())
