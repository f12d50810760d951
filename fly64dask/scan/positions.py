"""Checks scan positions, splits them, measures their overlap, and chooses the object array that they need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import InputError
from fly64dask.study import MAX_LENGTH_PX

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.study import Split, SplitRule, Splitting

# Rows and columns of an object array beyond what the probe touches: pty-chi's `extra=8`.
MARGIN_PX = 8


def checked_positions(positions_px: NDArray[np.generic], *, origin: str) -> NDArray[np.float64]:
    """Check scan positions and convert them to (n, 2) float64.

    Parameters
    ----------
    positions_px : (n, 2) array
        Order (y, x), px.
    origin : str
        Where they come from, for messages.

    Raises
    ------
    InputError
        If the shape is not (n, 2), n is 0, or a position is not finite or beyond any stage.
    """
    stored = np.asarray(positions_px)
    if stored.ndim != 2 or stored.shape[1] != 2 or len(stored) == 0 or stored.dtype.kind not in "uif":
        raise InputError(
            f"{origin}: scan positions have shape {stored.shape} and dtype {stored.dtype}, "
            "needed (n, 2) real numbers with n >= 1",
            remedy="give one (y, x) pair in px for each exposure",
        )
    positions = stored.astype(np.float64)
    usable = (np.abs(positions) <= MAX_LENGTH_PX).all(axis=1)  # NaN compares as False
    if not usable.all():
        bad = int(np.flatnonzero(~usable)[0])
        raise InputError(
            f"{origin}: position {bad} is {positions[bad].tolist()}, needed finite px of at most {MAX_LENGTH_PX:g}",
            remedy="correct or drop that exposure",
        )
    return positions


def split_boundary_px(positions_px: NDArray[np.float64], rule: SplitRule) -> float:
    """Compute the coordinate of the cut between train and test.

    Parameters
    ----------
    positions_px : (n, 2) float64
        Whole scan, order (y, x), px.
    rule : SplitRule
        Axis and fraction.

    Returns
    -------
    float
        min + fraction (max - min) along the axis, px (the fly64 study design).
    """
    along = positions_px[:, 0 if rule.axis == "y" else 1]
    return float(along.min() + rule.fraction * (along.max() - along.min()))


def split_indices(positions_px: NDArray[np.float64], rule: Splitting, split: Split) -> NDArray[np.int64]:
    """Find the exposures of one part of the field of view.

    Parameters
    ----------
    positions_px : (n, 2) float64
        Whole scan, order (y, x), px.
    rule : SplitRule or "none"
        Axis and fraction.
    split : "train", "test" or "whole"
        Train lies below the boundary, test at or above it; "whole" means all exposures, for a study without a split.

    Returns
    -------
    (k,) int64
        Indices into the scan, ascending: exposures keep the order they were taken in.
    """
    if rule == "none":
        return np.arange(len(positions_px), dtype=np.int64)
    along = positions_px[:, 0 if rule.axis == "y" else 1]
    below = along < split_boundary_px(positions_px, rule)
    return np.flatnonzero(below if split == "train" else ~below)


def bounding_box_area_px2(positions_px: NDArray[np.float64]) -> float:
    """Compute the area of the smallest upright rectangle around the positions, px^2."""
    height, width = np.ptp(positions_px, axis=0)
    return float(height * width)


def span_px(positions_px: NDArray[np.float64]) -> tuple[float, float]:
    """Compute the extent of the positions along (y, x), px."""
    height, width = np.ptp(positions_px, axis=0)
    return float(height), float(width)


def disc_overlap(distance_px: NDArray[np.float64], diameter_px: float) -> NDArray[np.float64]:
    """Compute the fraction of a disc's area that an equal disc at a given distance of the centres covers.

    f(d) = A / (pi R^2), A = 2 R^2 acos(d / 2R) - (d / 2) sqrt(4 R^2 - d^2); 0 for d >= 2R: the area of the lens common
    to two circles of equal radius.
    """
    ratio = np.clip(np.asarray(distance_px, dtype=np.float64) / diameter_px, 0.0, 1.0)
    fraction: NDArray[np.float64] = (2.0 / np.pi) * (np.arccos(ratio) - ratio * np.sqrt(1.0 - ratio**2))
    return fraction


def image_overlap(positions_px: NDArray[np.float64], *, n_neighbours: int, diameter_px: float) -> float:
    """Compute the mean disc overlap of each distinct position with its K nearest neighbours, in [0, 1].

    It is 0 for a single distinct position; with fewer than K neighbours, all of them count.

    Parameters
    ----------
    positions_px : (n, 2) float64
        Order (y, x), px.
    n_neighbours : int
        K.
    diameter_px : float
        Of the discs, px.
    """
    distinct = np.unique(positions_px, axis=0)
    n_found = min(n_neighbours, len(distinct) - 1)
    if n_found == 0:
        return 0.0
    from scipy.spatial import cKDTree  # 0.3 s, which `status` need not wait for

    distances, _ = cKDTree(distinct).query(distinct, k=n_found + 1)
    return float(disc_overlap(distances[:, 1:], diameter_px).mean())


def group_overlap(positions_px: NDArray[np.float64], *, diameter_px: float) -> float:
    """Compute the mean over positions of the mean disc overlap with all neighbours closer than the diameter, in [0, 1].

    A position without such a neighbour counts as 0. The sum is taken block by block, because the pairs of a dense scan
    do not fit in memory at once.

    Parameters
    ----------
    positions_px : (n, 2) float64
        Order (y, x), px.
    diameter_px : float
        Of the discs, px.
    """
    from scipy.spatial import cKDTree  # 0.3 s, which `status` need not wait for

    tree = cKDTree(positions_px)
    total = 0.0
    for start in range(0, len(positions_px), 512):
        block = positions_px[start : start + 512]
        pairs = cKDTree(block).sparse_distance_matrix(tree, diameter_px, output_type="ndarray")
        pairs = pairs[(pairs["i"] + start != pairs["j"]) & (pairs["v"] < diameter_px)]
        overlaps = np.bincount(pairs["i"], disc_overlap(pairs["v"], diameter_px), minlength=len(block))
        n_neighbours = np.bincount(pairs["i"], minlength=len(block))
        total += float((overlaps / np.maximum(n_neighbours, 1)).sum())
    return total / len(positions_px)


def object_frame(
    positions_px: NDArray[np.float64], probe_shape_px: tuple[int, int], *, drift_px: float = 0.0
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Choose the object array of a reconstruction.

    Parameters
    ----------
    positions_px : (n, 2) float64
        Kept positions, order (y, x), px.
    probe_shape_px : (int, int)
        (H, W).
    drift_px : float
        How far positions may move along each axis.

    Returns
    -------
    shape_px : (int, int)
        (Y, X), both even: pty-chi rounds half an odd shape to an even number.
    origin_px : (int, int)
        Scan-frame (y, x) of pixel [0, 0]: whole numbers, so that object and truth share a grid.

    Notes
    -----
    The array's centre, from which the engine counts positions, is at even pixels of the scan frame. Halves are rounded
    to the even pixel, so this makes them round to the same pixel from either origin.
    """
    low, high = positions_px.min(axis=0), positions_px.max(axis=0)
    centre = 2 * np.rint((low + high) / 4).astype(int)
    shape = np.ceil(high - low).astype(int) + np.asarray(probe_shape_px) + MARGIN_PX
    shape += shape % 2 + 2 * int(np.ceil(drift_px))
    origin = centre - shape // 2
    return (int(shape[0]), int(shape[1])), (int(origin[0]), int(origin[1]))


def nearest_pixels(positions_px: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round positions to the nearest pixel, a half to the even one, as pty-chi does; (n, 2) int64, order (y, x).

    The package rounds positions here alone: the simulation, the engine, the illuminated area and the prediction all cut
    patches at these pixels, and the probe is shifted by the remaining fraction of a pixel.
    """
    return np.rint(positions_px).astype(np.int64)


def patch_corners_px(
    positions_px: NDArray[np.float64],
    probe_shape_px: tuple[int, ...],
    origin_px: tuple[int, int] = (0, 0),
    *,
    oversampling: int = 1,
) -> NDArray[np.int64]:
    """Find the first object pixel of the patch at each position, rounded; (n, 2) int64, order (y, x).

    Patches are (H, W), centred at index (H // 2, W // 2) for odd sides too; the array's pixel [0, 0] is at `origin_px`
    (y, x) of the scan frame. With `oversampling` k, positions are in px of a grid k times as fine, and so are the
    corners.
    """
    centre = oversampling * np.floor_divide(probe_shape_px, 2)
    corners: NDArray[np.int64] = nearest_pixels(positions_px) - np.asarray(origin_px) - centre
    return corners
