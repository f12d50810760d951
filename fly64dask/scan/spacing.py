"""Selects exposures that lie a threshold apart, by two strategies, and says how many a view must keep."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The fly64 study design: a view must keep 80 % of what its geometry allows, never more than
# 10 % and never fewer than 5 in 10 000.
MAX_ACCEPTANCE_BOUND = 0.10
BOUND_FRACTION = 0.8
MIN_ACCEPTANCE = 0.0005
# The tree rounds distances differently from hypot, which decides about distances this close to a threshold.
ROUNDING = 1e-9


def keep_isolated(positions_px: NDArray[np.float64], threshold_px: float) -> NDArray[np.int64]:
    """Keep every position whose nearest neighbour is at least a threshold away ("direct").

    Parameters
    ----------
    positions_px : (n, 2) float64
        Order (y, x), px.
    threshold_px : float
        Minimum spacing, px.

    Returns
    -------
    (k,) int64
        Indices, ascending; a lone position has no neighbour and is kept.
    """
    return np.flatnonzero(nearest_px(positions_px, exact_at_px=threshold_px) >= threshold_px)


def nearest_px(positions_px: NDArray[np.float64], *, exact_at_px: float | None = None) -> NDArray[np.float64]:
    """Compute the distance from each position to its nearest neighbour, px, as `numpy.hypot` rounds it; (n,) float64.

    It is infinite for a lone position. With `exact_at_px`, only distances that rounding could move across that
    threshold are computed by `numpy.hypot`.
    """
    from scipy.spatial import cKDTree  # 0.3 s, which `status` need not wait for

    tree = cKDTree(positions_px)
    distances, _ = tree.query(positions_px, k=2)
    nearest: NDArray[np.float64] = distances[:, 1]
    close = np.ones(len(nearest), dtype=np.bool_)
    if exact_at_px is not None:
        close = np.isclose(nearest, exact_at_px, rtol=ROUNDING, atol=0.0)
    rows = np.flatnonzero(close)
    if len(rows):
        balls = tree.query_ball_point(positions_px[rows], nearest[rows] * (1 + ROUNDING))
        sizes = [len(ball) for ball in balls]
        row, other = np.repeat(rows, sizes), np.concatenate(balls).astype(np.int64)
        offsets = positions_px[other] - positions_px[row]
        lengths = np.where(other == row, np.inf, np.hypot(offsets[:, 0], offsets[:, 1]))
        nearest[rows] = np.minimum.reduceat(lengths, np.cumsum([0, *sizes[:-1]]))
    return nearest


def median_step_px(positions_px: NDArray[np.float64]) -> float | None:
    """Compute the median distance of distinct positions to their nearest neighbours, px; None for a single one."""
    distinct = np.unique(positions_px, axis=0)
    # The tree's own rounding suffices, because nothing depends on the last digit.
    return float(np.median(nearest_px(distinct, exact_at_px=0.0))) if len(distinct) > 1 else None


def keep_spaced(positions_px: NDArray[np.float64], threshold_px: float) -> NDArray[np.int64]:
    """Keep positions in order of (y, x), each at least a threshold from all kept before ("greedy").

    Parameters
    ----------
    positions_px : (n, 2) float64
        Order (y, x), px.
    threshold_px : float
        Minimum spacing, px.

    Returns
    -------
    (k,) int64
        Indices, ascending.

    Notes
    -----
    This follows the definition and takes O(n k) for k kept positions, except that only positions less than a threshold
    away in y are compared. 5000 exposures at a spacing that keeps 80 take some milliseconds.
    """
    order = np.lexsort((positions_px[:, 1], positions_px[:, 0]))
    y, x = positions_px[order].T
    ends = np.searchsorted(y, y + threshold_px * (1 + ROUNDING), side="right")
    is_free = np.ones(len(order), dtype=np.bool_)
    kept_ranks = []
    for rank, end in enumerate(ends):
        if is_free[rank]:
            kept_ranks.append(rank)
            near = slice(rank + 1, end)
            is_free[near] &= np.hypot(y[near] - y[rank], x[near] - x[rank]) >= threshold_px
    return np.sort(order[kept_ranks])


def disc_area_px2(threshold_px: float) -> float:
    """Compute the area of a disc whose diameter is the threshold, px^2; the discs of kept positions do not overlap."""
    return math.pi * (threshold_px / 2) ** 2


def acceptance_needed(n_exposures: int, area_px2: float, threshold_px: float) -> tuple[float, float]:
    """Compute the fractions of a split that its geometry allows and that a spacing view must keep (the fly64 study
    design).

    Allowed are min(0.10, area / (n pi (S/2)^2)), with the area of the positions' bounding box; needed max(0.0005, 0.8
    allowed), which never rises with the threshold S.
    """
    bound = min(MAX_ACCEPTANCE_BOUND, area_px2 / (n_exposures * disc_area_px2(threshold_px)))
    return bound, max(MIN_ACCEPTANCE, BOUND_FRACTION * bound)
