"""Scan positions and a view's spacing rule -> kept exposures and selection metadata."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from fly64dask.base import Frozen, NotSelectableError
from fly64dask.scan.positions import bounding_box_area_px2
from fly64dask.study import BaselineView, SpacingView

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The fly64 study design: a view must keep 80 % of what its geometry allows, never more than
# 10 % and never fewer than 5 in 10 000.
MAX_ACCEPTANCE_BOUND = 0.10
BOUND_FRACTION = 0.8
MIN_ACCEPTANCE = 0.0005
# The tree rounds distances its own way: what lies within this of a threshold is decided by hypot.
ROUNDING = 1e-9
# A row of the greedy search is higher than the threshold by this part: more than rounding takes from quotients of up
# to 10^8.
ROW_MARGIN = 1e-6


class SelectionMetadata(Frozen):
    """How a spacing view came about; lengths in px, rates as fractions of the split."""

    overlap_view: str
    spacing_threshold: float
    n_accepted: int
    n_rejected: int
    acceptance_rate: float
    selection_strategy: Literal["direct", "greedy"]
    geometry_acceptance_bound: float
    effective_min_acceptance: float
    source: Literal["scan_positions"] = "scan_positions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Kept exposures of one view and split.

    `kept` holds (k,) int64 indices into the split, ascending; a baseline has no metadata.
    """

    kept: NDArray[np.int64]
    metadata: SelectionMetadata | None


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
    """Distance from each position to its nearest neighbour, as `numpy.hypot` rounds it.

    Parameters
    ----------
    positions_px : (n, 2) float64
        Order (y, x), px.
    exact_at_px : float, optional
        Distances that rounding cannot move across this one, px, stay as the tree rounds them.

    Returns
    -------
    (n,) float64
        Px; infinite for a lone position.
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
    Each kept position strikes out what comes after it within the threshold: of its own row of the
    field, at least a threshold high, and of the next one, a stretch of x. So the work is two sorts and
    two short slices per kept position, with the result of the O(n^2) definition.
    """
    order = _ordered(positions_px)
    y, x = np.ascontiguousarray(positions_px[order].T)
    # No more rows than positions, so that rounding cannot move one by a row.
    row_px = max(threshold_px * (1 + ROW_MARGIN), float(y[-1] - y[0]) / len(y))
    row = ((y - y[0]) / row_px).astype(np.int64)
    starts = np.searchsorted(row, np.arange(row[-1] + 2)).tolist()
    by_x = np.argsort(x)
    by_x = by_x[np.argsort(row[by_x].astype(np.min_scalar_type(int(row[-1]))), kind="stable")]
    rows_x, rows_y = x[by_x], y[by_x]
    open_ = bytearray(b"\x01") * len(order)
    struck = np.frombuffer(open_, dtype=np.uint8)
    kept = []
    rank = 0
    while rank >= 0:
        kept.append(rank)
        struck[rank] = 0
        ends = (x[rank] - threshold_px, x[rank] + threshold_px)
        for first, last in pairwise(starts[row[rank] : row[rank] + 3]):
            low = first + int(rows_x[first:last].searchsorted(ends[0], "left"))
            high = first + int(rows_x[first:last].searchsorted(ends[1], "right"))
            near = np.hypot(rows_y[low:high] - y[rank], rows_x[low:high] - x[rank]) < threshold_px
            struck[by_x[low:high][near]] = 0
        rank = open_.find(1, rank + 1)
    return np.sort(order[kept])


def _ordered(positions_px: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices in order of (y, x); where no two y are equal, half the time of looking at both."""
    order = np.argsort(positions_px[:, 0])
    y = positions_px[order, 0]
    if (y[1:] == y[:-1]).any():
        order = np.lexsort((positions_px[:, 1], positions_px[:, 0]))
    return order


def disc_area_px2(threshold_px: float) -> float:
    """Area that one of many positions a threshold apart has to itself, a disc of that diameter, px^2."""
    return math.pi * (threshold_px / 2) ** 2


def acceptance_needed(n_exposures: int, area_px2: float, threshold_px: float) -> tuple[float, float]:
    """Fraction of a split that a spacing view must keep.

    Parameters
    ----------
    n_exposures : int
        Exposures of the split.
    area_px2 : float
        Of the bounding box of their positions, px^2.
    threshold_px : float
        Minimum spacing, px.

    Returns
    -------
    bound : float
        What the geometry allows: min(0.10, area / (n pi (S/2)^2)).
    needed : float
        Effective minimum, max(0.0005, 0.8 bound); it never rises with the threshold.

    Notes
    -----
    Source: the fly64 study design.
    """
    bound = min(MAX_ACCEPTANCE_BOUND, area_px2 / (n_exposures * disc_area_px2(threshold_px)))
    return bound, max(MIN_ACCEPTANCE, BOUND_FRACTION * bound)


def select(positions_px: NDArray[np.float64], view: BaselineView | SpacingView) -> Selection:
    """Keep a view's exposures: direct where that keeps enough, else greedy.

    Parameters
    ----------
    positions_px : (n, 2) float64
        Positions of one split, order (y, x), px.
    view : BaselineView or SpacingView
        The rule.

    Returns
    -------
    Selection

    Raises
    ------
    NotSelectableError
        If neither strategy keeps the effective minimum; the message has both rates.

    Notes
    -----
    Enough is what `acceptance_needed` says.
    """
    n_exposures = len(positions_px)
    if isinstance(view, BaselineView):
        return Selection(kept=np.arange(n_exposures, dtype=np.int64), metadata=None)
    threshold = view.spacing_threshold_px
    bound, needed = acceptance_needed(n_exposures, bounding_box_area_px2(positions_px), threshold)
    rates = {}
    for strategy, keep in (("direct", keep_isolated), ("greedy", keep_spaced)):
        kept = keep(positions_px, threshold)
        rates[strategy] = len(kept) / n_exposures
        if rates[strategy] >= needed:
            metadata = SelectionMetadata(
                overlap_view=view.name,
                spacing_threshold=threshold,
                n_accepted=len(kept),
                n_rejected=n_exposures - len(kept),
                acceptance_rate=rates[strategy],
                selection_strategy=strategy,
                geometry_acceptance_bound=bound,
                effective_min_acceptance=needed,
            )
            return Selection(kept=kept, metadata=metadata)
    raise NotSelectableError(
        f"select view {view.name!r} at >= {threshold:g} px: of {n_exposures} exposures direct keeps "
        f"{rates['direct']:.6f} and greedy {rates['greedy']:.6f}, needed {needed:.6f} "
        f"(geometry bound {bound:.6f})",
        remedy="lower the view's spacing threshold or use `fly64dask rerun --remedy respace`",
    )
