"""Rings of spatial frequency over an area of any shape, as ring correlation and spectral SNR sum over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import InputError, counted_of, mean_side_nm
from fly64dask.scan import bounding_box

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Width of the window's soft edge, as a fraction of the area's greatest depth (our choice). A wider one uses less of the
# area; a narrower one lets strong slow structure leak into fast rings, where it passes for agreement.
EDGE_FRACTION = 0.5
MIN_SIDE_PX = 4  # of the area's bounding box: two rings
ROUNDING = 1e-6  # within this two equal images correlate to 1, and an empty one has no structure


@dataclass(frozen=True, slots=True, kw_only=True)
class Rings:
    """The rings of an area's bounding box; ring k, from 1, holds the frequencies nearest to k / (its shorter side).

    `frequency_per_px` (k,) float64, cycles / px, up to Nyquist's 0.5; `n_pixels` (k,) float64, independent Fourier
    pixels of each ring. `side_nm` is that of a pixel; where pixels are known not to be square, rings are circles in
    1 / nm, px are those of a square one of the same area with this side, and the last ring is the Nyquist frequency of
    the longer side. `box` is the area's in the image, `window` (y, x) float64 its weights, `ring` (y x,) int64 the ring
    of each Fourier pixel.

    Notes
    -----
    An image is cut to the box; its mean over the window is subtracted, so that it is neutral outside, and it is
    multiplied by `soft_window`. A window w ties Fourier pixels together: of white noise the mean over many of them
    varies as if 1 in (sum w^4) (box pixels) / (sum w^2)^2 were independent, hence `n_pixels`.
    """

    frequency_per_px: NDArray[np.float64]
    n_pixels: NDArray[np.float64]
    side_nm: float | None
    box: tuple[slice, slice]
    window: NDArray[np.float64]
    ring: NDArray[np.int64]

    @classmethod
    def around(cls, inside: NDArray[np.bool_], pixel_nm: tuple[float, float] | None = None) -> Rings:
        """Lay rings around an area (y, x) of pixels with sides (y, x); InputError if it is below 4 px on a side."""
        box = _large_enough(bounding_box(inside))
        window = soft_window(inside[box])
        side_nm = mean_side_nm(pixel_nm)
        # Sides of a pixel in units of a square one of the same area.
        y, x = (1.0, 1.0) if pixel_nm is None or side_nm is None else (each / side_nm for each in pixel_nm)
        height, width = window.shape
        shorter = min(height * y, width * x)
        # The shorter side of a box has two rows of pixels for each ring; rounding shall not cost one.
        n_rings = int(shorter / (2 * max(y, x)) + ROUNDING)
        radius = np.hypot(np.fft.fftfreq(height, y)[:, None], np.fft.fftfreq(width, x)[None, :]) * shorter
        ring = np.minimum(np.rint(radius).astype(np.int64), n_rings + 1).ravel()
        independent = (window**2).sum() ** 2 / (window**4).sum() / window.size
        n_pixels = np.bincount(ring, minlength=n_rings + 2)[1 : n_rings + 1] * independent
        return cls(
            frequency_per_px=np.arange(1, n_rings + 1) / shorter,
            n_pixels=np.maximum(1.0, n_pixels),
            side_nm=side_nm,
            box=box,
            window=window,
            ring=ring,
        )

    def sums(self, values: NDArray[np.number]) -> NDArray[np.float64]:
        """Sum real numbers of the box's Fourier pixels (y, x) over each ring; (k,) float64, without frequency zero."""
        n_rings = len(self.frequency_per_px)
        sums: Any = np.bincount(self.ring, weights=values.ravel(), minlength=n_rings + 2)
        return np.asarray(sums[1 : n_rings + 1], dtype=np.float64)

    def spectrum(self, image: NDArray[np.number]) -> NDArray[np.complex128]:
        """Transform an image (y, x), of which only what is inside the area counts, to the box's Fourier pixels."""
        # Outside the area an image may hold anything, NaN too.
        values = np.where(self.window > 0, np.asarray(image)[self.box], 0).astype(np.complex128)
        mean = (self.window * values).sum() / self.window.sum()
        rest = values - mean
        rest[np.abs(rest) < ROUNDING * np.abs(mean)] = 0  # of a flat image
        import scipy.fft

        spectrum: NDArray[np.complex128] = scipy.fft.fft2(self.window * rest)
        return spectrum


def soft_window(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Compute weights that rise as sin^2 from 0 outside an area to 1 at half its greatest depth; (y, x) float64."""
    from scipy.ndimage import distance_transform_edt  # 0.1 s, which `status` need not wait for

    depth = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    weights: NDArray[np.float64] = np.sin(np.pi / 2 * np.minimum(depth / (EDGE_FRACTION * depth.max()), 1.0)) ** 2
    return weights


def _large_enough(box: tuple[slice, slice]) -> tuple[slice, slice]:
    height, width = (side.stop - side.start for side in box)
    if min(height, width) < MIN_SIDE_PX:
        raise InputError(
            f"correlate rings: the area is {height} px high and {width} px wide, needed {MIN_SIDE_PX} px each",
            remedy="compare images that share a larger illuminated area",
        )
    return box


def refuse_incomparable(images: Mapping[str, NDArray[np.number]], inside: NDArray[np.bool_]) -> None:
    """Raise InputError unless images, by name, have the shape of an area with pixels, and are finite in it."""
    if not inside.any():
        raise InputError("compare images: the area has no pixel", remedy="give one where both images are known")
    for name, image in images.items():
        if image.shape != inside.shape:
            raise InputError(
                f"compare images: the {name} has {image.shape} px, the area {inside.shape} px",
                remedy="bring them to one grid",
            )
        n_lost = int((~np.isfinite(image[inside])).sum())
        if n_lost:
            where = f"of the {name} in the area"
            lost = counted_of(n_lost, int(inside.sum()), "pixel", f"{where} is", f"{where} are")
            raise InputError(
                f"compare images: {lost} not finite",
                remedy="leave them out of the area",
            )
