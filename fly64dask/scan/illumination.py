"""A probe and scan positions -> the area that they lit, and the part of the truth that lies there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Pixels that got at least this share of the brightest pixel's light count as illuminated (our choice).
ILLUMINATED_FRACTION = 0.1


def illumination_map(
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
