"""The illuminated area of a scan, its bounding box, and the part of the truth that lies in a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fly64dask.scan.positions import patch_corners_px

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Pixels with at least this fraction of the brightest pixel's illumination count as illuminated (our choice).
ILLUMINATED_FRACTION = 0.1


def total_intensity(waves: NDArray[np.complexfloating]) -> NDArray[np.float64]:
    """Sum |wave|^2 over all axes except the last two, such as a probe's modes; (H, W) float64."""
    intensity = np.abs(waves).astype(np.float64) ** 2
    return np.asarray(intensity.reshape(-1, *waves.shape[-2:]).sum(axis=0))


def illumination_map(
    probe: NDArray[np.complex64],
    positions_px: NDArray[np.float64],
    shape_px: tuple[int, int],
    origin_px: tuple[int, int],
) -> NDArray[np.float64]:
    """Sum the probe's intensity over the scan, each position rounded to a pixel; (Y, X) float64, in the probe's units.

    Parameters
    ----------
    probe : (..., H, W) complex64
        Leading axes are summed.
    positions_px : (n, 2) float64
        Patch centres at index N / 2, order (y, x), scan frame.
    shape_px, origin_px : (int, int)
        (Y, X) of the object array, and the scan-frame (y, x) of its pixel [0, 0].
    """
    height, width = probe.shape[-2:]
    intensity = total_intensity(probe)
    total = np.zeros(shape_px)
    for y, x in patch_corners_px(positions_px, (height, width), origin_px):
        total[y : y + height, x : x + width] += intensity
    return total


def illuminated_area(illumination: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Find the pixels with at least a tenth of the brightest pixel's illumination; (y, x) bool."""
    area: NDArray[np.bool_] = illumination >= ILLUMINATED_FRACTION * illumination.max()
    return area


def bounding_box(area: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Find the smallest range of rows and of columns that hold an area; empty slices if the area is empty.

    Parameters
    ----------
    area : (y, x) bool
        True in the pixels of the area.

    Returns
    -------
    rows, columns : slice
        Index an array of the same shape as `area`.
    """
    rows, columns = (np.flatnonzero(area.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def crop_to_frame(
    truth: NDArray[np.complex64], shape_px: tuple[int, int], origin_px: tuple[int, int]
) -> tuple[NDArray[np.complex64], NDArray[np.bool_]]:
    """Cut the part of the truth that a reconstruction's array covers.

    Parameters
    ----------
    truth : (Y, X) complex64
        Truth in the scan frame.
    shape_px, origin_px : (int, int)
        Shape of the reconstruction's array, and the scan-frame (y, x) of its pixel [0, 0], which may be negative.

    Returns
    -------
    reference : (y, x) complex64
        Truth where there is one, 1 elsewhere.
    is_known : (y, x) bool
        True where the truth is known.
    """
    reference = np.ones(shape_px, dtype=np.complex64)
    is_known = np.zeros(shape_px, dtype=bool)
    low = np.maximum(origin_px, 0)
    high = np.minimum(np.add(origin_px, shape_px), truth.shape)
    if (low < high).all():
        here = tuple(slice(a - o, b - o) for a, b, o in zip(low, high, origin_px, strict=True))
        reference[here] = truth[low[0] : high[0], low[1] : high[1]]
        is_known[here] = True
    return reference, is_known
