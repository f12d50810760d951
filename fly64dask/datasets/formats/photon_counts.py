"""Turn the diffraction patterns of a file into photon counts with the zero frequency at the centre."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import InputError
from fly64dask.datasets.formats.scan_file import Quantity, ZeroFrequency

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_COUNT = np.iinfo(np.uint32).max


def to_counts(
    patterns: NDArray[Any], quantity: Quantity, scale: float | None, path: Path
) -> tuple[NDArray[Any], float]:
    """Turn amplitudes (roots of intensity) or intensities, (n, H, W) in any unit, into photons, uint16 or uint32.

    Gives the photons per unit of intensity as well; if that is None it is found from the data, whose dimmest lit pixel
    is then one photon. Raises InputError if values are not finite, negative or not whole photons, or nothing is lit.
    """
    _refuse_unusable(patterns, scale, path)
    # Values near the ends of float64 overflow or vanish here; the checks refuse what becomes of them.
    with np.errstate(all="ignore"):
        intensity = patterns.astype(np.float64)
        if quantity == "amplitude":
            np.square(intensity, out=intensity)
        if not 0 < intensity.max() < np.inf:
            raise InputError(
                f"read {path}: brightest {quantity} is {patterns.max()}, which as intensity is no number above 0",
                remedy="store it in another unit",
            )
        if scale is None:
            whole = quantity == "intensity" and not (intensity % 1).any()
            scale = 1.0 if whole or np.issubdtype(patterns.dtype, np.integer) else _quantum_scale(intensity)
        intensity *= scale
        counts = np.rint(intensity)
        off = np.abs(intensity - counts, out=intensity).max()
    # float32 amplitudes hold a count c to 1.2e-7 c, 0.13 photons at 2^20; a fifth tells counts from reals.
    if not (off <= 0.2 and 1 <= counts.max() <= MAX_COUNT):
        raise InputError(
            f"read {path}: at {scale:.9g} photons per unit of intensity values are up to {off:.2g} photons off a "
            f"whole number, brightest {counts.max():.3g}; needed counts of 1 to {MAX_COUNT}",
            remedy="give --photons-per-intensity, or store counts",
        )
    dtype = np.uint16 if counts.max() <= np.iinfo(np.uint16).max else np.uint32
    return counts.astype(dtype), scale


def _refuse_unusable(patterns: NDArray[Any], scale: float | None, path: Path) -> None:
    """Refuse patterns that are not finite, not lit or negative, and a scale that is none."""
    if not np.isfinite(patterns).all():
        bad = tuple(map(int, np.argwhere(~np.isfinite(patterns))[0]))
        raise InputError(
            f"read {path}: pixel {bad} is {patterns[bad]}, needed finite values", remedy="mask or drop that exposure"
        )
    refuse_darkness(patterns, path)
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        raise InputError(
            f"read {path}: photons_per_intensity is {scale!r}, needed a finite number above 0",
            remedy="give --photons-per-intensity",
        )
    if patterns.min() < 0:
        raise InputError(
            f"read {path}: dimmest pixel is {patterns.min()}, needed values >= 0",
            remedy="clip the background subtraction at 0 and round to counts",
        )


def refuse_darkness(patterns: NDArray[Any], path: Path) -> None:
    """Refuse patterns without any light, before anyone asks what their zeros mean."""
    if patterns.size == 0 or not patterns.any():
        raise InputError(f"read {path}: every pixel is 0 or there is none", remedy="check which array holds the scan")


def _quantum_scale(intensity: NDArray[np.float64]) -> float:
    """Find the photons per intensity if the dimmest lit pixel holds one photon, refined on dim pixels."""
    quantum = float(intensity[intensity > 0].min())
    dim = intensity[(intensity > 0) & (intensity < 30.5 * quantum)]
    photons = np.rint(dim / quantum)
    return float((photons * photons).sum() / (photons * dim).sum())


def centre_zero_frequency(
    counts: NDArray[Any], claimed: ZeroFrequency | None, default: ZeroFrequency, path: Path
) -> NDArray[Any]:
    """Put the zero frequency of counts (n, H, W) at index (H // 2, W // 2).

    A person's claim is taken as it is; the default of a format is checked against where the light is. Raises InputError
    if those two disagree: shifted data reconstruct to a bad object without an error.
    """
    where = claimed or default
    if claimed is None:
        mean = counts.mean(axis=0, dtype=np.float64)
        height, width = mean.shape
        inner = np.s_[height // 4 : height - height // 4, width // 4 : width - width // 4]
        at_centre, at_corner = mean[inner].sum(), np.fft.fftshift(mean)[inner].sum()
        brighter: ZeroFrequency = "centre" if at_centre >= at_corner else "corner"
        if brighter != where:
            raise InputError(
                f"read {path}: this format has the zero frequency at the {where}, but more light is at the {brighter} "
                f"({at_centre:.3g} against {at_corner:.3g} photons in the middle half)",
                remedy=f"give --zero-frequency {brighter} (or {where} if you are sure)",
            )
    return np.fft.fftshift(counts, axes=(-2, -1)) if where == "corner" else counts
