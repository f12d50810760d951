"""The shift between an image and a reference that are equal but for it and a phase ramp, to a fraction of a pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft
from scipy.ndimage import distance_transform_edt
from skimage.registration import phase_cross_correlation

from fly64dask.metrics.rings import soft_window
from fly64dask.scan import bounding_box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Complex = NDArray[np.complex128]

# Our choice. A probe that the engine refines wanders by less than a pixel, and takes the object with it; conventions of
# other programs differ by half a pixel or a whole one. What asks for more is noise, or another frame.
SHIFT_BOUND_PX = 4.0
UPSAMPLING = 20  # of the correlation, before the refinement
N_REFINEMENTS = 8
CONVERGED_PX = 1e-3  # each step leaves a tenth of the error at most
# An image is shifted as it is up to here beyond the area, and fades to its mean further out (our choice).
KEPT_PX, FADED_PX = 8, 16
FLAT = 1e-5  # relative deviations below this are float32's rounding


def find_shift(image: Complex, reference: Complex, inside: NDArray[np.bool_]) -> tuple[NDArray[np.float64], bool]:
    """Find the shift (y, x), px, that brings an image onto a reference of its grid, finite and with their ramp taken
    off.

    Gives zero and True where it lies beyond `SHIFT_BOUND_PX` on an axis. Cross-correlation of both under a soft window,
    upsampled (scikit-image, after M. Guizar-Sicairos et al., Opt. Lett. 33, 156 (2008)), then Gauss-Newton steps on the
    squared difference inside. All shifts are correlated: where noise decides, the peak lies anywhere, almost always
    beyond.
    """
    none = np.zeros(2)
    if is_flat(image, inside) or is_flat(reference, inside):
        return none, False
    box = bounding_box(inside)
    window = soft_window(inside[box])
    coarse = phase_cross_correlation(
        _neutral(reference[box], window), _neutral(image[box], window), upsample_factor=UPSAMPLING, normalization=None
    )[0]
    if np.abs(coarse).max() > SHIFT_BOUND_PX:
        return none, True
    shift = _refined(image, reference, inside, np.asarray(coarse, dtype=np.float64))
    return (none, True) if np.abs(shift).max() > SHIFT_BOUND_PX else (shift, False)


def shifted(image: Complex, shift_px: NDArray[np.float64], inside: NDArray[np.bool_]) -> Complex:
    """Move a finite image by a fraction of a pixel: (y, x), positive moves down and right; exact up to Nyquist.

    By the Fourier shift theorem, on the area's bounding box with a margin in which the image fades to its mean: what is
    periodic there has no edges that ring into the area. Beyond the box the image stays as it was.
    """
    if not shift_px.any():
        return image
    result = image.copy()
    result[bounding_box(inside)] = _shifter(image, inside, _fade(inside))(shift_px)
    return result


def neighbour_slopes(image: NDArray[np.number], inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Compute the mean phase step to the next row and column, rad / px, weighted by both pixels' amplitudes."""
    below, beside = inside[:-1] & inside[1:], inside[:, :-1] & inside[:, 1:]
    return (
        float(np.angle(np.vdot(image[:-1][below], image[1:][below]))),
        float(np.angle(np.vdot(image[:, :-1][beside], image[:, 1:][beside]))),
    )


def is_flat(image: Complex, inside: NDArray[np.bool_]) -> bool:
    """Tell whether an image is one plane wave inside, so that it has no position."""
    slope_y, slope_x = neighbour_slopes(image, inside)
    values = (image * plane_wave(image.shape, 0.0, slope_y, slope_x).conj())[inside]
    return bool(np.abs(values - values.mean()).max() <= FLAT * np.abs(values.mean()))


def plane_wave(shape: tuple[int, ...], offset_rad: float, ramp_y: float, ramp_x: float) -> Complex:
    """Compute exp(i (offset + ramp_y y + ramp_x x)), rad and rad / px; (y, x) complex128."""
    y, x = (np.arange(size) for size in shape)
    wave: Complex = np.exp(1j * (offset_rad + ramp_y * y))[:, None] * np.exp(1j * ramp_x * x)[None, :]
    return wave


def _padded_box(inside: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Bounding box of an area and its margin, as an index of an array padded by `FADED_PX` on each side."""
    rows, columns = bounding_box(inside)
    return slice(rows.start, rows.stop + 2 * FADED_PX), slice(columns.start, columns.stop + 2 * FADED_PX)


def _fade(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights on the area's box with its margin: 1 up to `KEPT_PX` outside the area, 0 from `FADED_PX` on."""
    area = np.pad(inside, FADED_PX)[_padded_box(inside)]
    far = np.clip((distance_transform_edt(~area) - KEPT_PX) / (FADED_PX - KEPT_PX), 0, 1)
    return np.asarray(np.cos(np.pi / 2 * far) ** 2)


def _shifter(image: Complex, inside: NDArray[np.bool_], fade: NDArray[np.float64]) -> Callable[..., Complex]:
    """A function of a shift that gives the image's part in the area's bounding box, shifted; see `shifted`.

    With `along` given it is the derivative along that axis, per px. In the image's own precision.
    """
    mean = image[inside].mean()
    faded = fade * (np.pad(image, FADED_PX, mode="edge")[_padded_box(inside)] - mean)
    spectrum = scipy.fft.fft2(faded.astype(image.dtype))
    waves = [2j * np.pi * np.fft.fftfreq(size) for size in spectrum.shape]

    def move(shift_px: NDArray[np.float64], along: int | None = None) -> Complex:
        turns = [np.exp(-step * wave) for step, wave in zip(shift_px, waves, strict=True)]
        if along is not None:
            turns[along] = turns[along] * waves[along]
        down, right = (turn.astype(image.dtype) for turn in turns)
        moved = scipy.fft.ifft2(spectrum * down[:, None] * right, overwrite_x=True)
        moved = moved[FADED_PX:-FADED_PX, FADED_PX:-FADED_PX]
        return np.asarray(moved + mean if along is None else moved)

    return move


def _neutral(image: Complex, window: NDArray[np.float64]) -> Complex:
    return np.asarray(window * (image - (window * image).sum() / window.sum()))


def _refined(
    image: Complex, reference: Complex, inside: NDArray[np.bool_], shift: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Gauss-Newton steps on shift, global phase, ramp and scale together, from a shift near the best one.

    Derivatives are the reference's: the image's own would hold its noise, and the steps would stall.
    """
    # Single precision takes half the time and is good to 1e-6 px.
    fade = _fade(inside)
    move, derive = (_shifter(each.astype(np.complex64), inside, fade) for each in (image, reference))
    area, target = inside[bounding_box(inside)], reference[inside].astype(np.complex64)
    y, x = ((axis / max(area.shape)).astype(np.float32) for axis in np.nonzero(area))
    changes = np.stack(
        [-derive(np.zeros(2), along=axis)[area] for axis in (0, 1)]
        + [1j * target, 1j * y * target, 1j * x * target, target]
    )
    weights = changes.conj()
    solve = np.linalg.pinv((weights @ changes.T).real.astype(np.float64), rcond=1e-6, hermitian=True)
    values = move(shift)[area]
    factor: Any = np.vdot(values, target) / np.vdot(values, values)
    for _ in range(N_REFINEMENTS):
        step_y, step_x, offset, ramp_y, ramp_x, growth = solve @ (weights @ (values * factor - target)).real
        turns = np.float32(offset) + np.float32(ramp_y) * y + np.float32(ramp_x) * x
        factor = factor * np.exp(np.complex64(-growth) - np.complex64(1j) * turns)
        shift = shift - np.clip([step_y, step_x], -1, 1)
        if max(abs(step_y), abs(step_x)) < CONVERGED_PX or np.abs(shift).max() > SHIFT_BOUND_PX:
            break
        values = move(shift)[area]
    return shift
