"""Finds the few positions that lie far beyond all others along the axis of a split and so move its cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import counted_of
from fly64dask.scan.positions import split_boundary_px
from fly64dask.scan.spacing import median_step_px

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.study import Splitting

# So few exposures beyond a gap so wide, compared with the span of all and the steps of the scan, are taken for a glitch
# (our choice): the last row of a raster has as many exposures as its others, and lies one step from them.
MOST_OUTLYING, GAP_SHARE, GAP_STEPS = 0.02, 0.1, 3.0


def doubt_split(positions_px: NDArray[np.float64], rule: Splitting) -> Iterator[str]:
    """Name the few positions that lie beyond all others along the axis of a split, and where they put its cut.

    Parameters
    ----------
    positions_px : (n, 2) float64
        Whole scan, order (y, x), px.
    rule : SplitRule or "none"
        The split; without one nothing is said.

    Yields
    ------
    str
        A sentence for a person about each end of the field that has such positions.
    """
    step = median_step_px(positions_px)
    if rule == "none" or step is None:
        return
    along = positions_px[:, 0 if rule.axis == "y" else 1]
    order = np.argsort(along, kind="stable")
    for end, ranked in (("below", order), ("above", order[::-1])):
        n_outlying = _n_beyond_gap(along[ranked], step)
        if n_outlying:
            outlying, rest = np.sort(ranked[:n_outlying]), ranked[n_outlying:]
            gap = abs(along[ranked[n_outlying]] - along[ranked[n_outlying - 1]])
            yield (
                f"{counted_of(n_outlying, len(along), 'position', 'lies', 'lie')} {gap:.4g} px or more {end} all "
                f"others in {rule.axis}: exposure {', '.join(map(str, outlying[:12]))} at {rule.axis} "
                f"{along[ranked[0]]:.6g} px, in steps of {step:.3g}; the split's cut is at "
                f"{split_boundary_px(positions_px, rule):.6g} px, without them at "
                f"{split_boundary_px(positions_px[rest], rule):.6g}: correct or drop them"
            )


def _n_beyond_gap(ranked: NDArray[np.float64], step_px: float) -> int:
    """Count the outermost values, ranked from one end, that a wide gap separates from the others; 0 if none."""
    most = max(1, int(MOST_OUTLYING * len(ranked)))
    gaps = np.abs(np.diff(ranked[: most + 1]))
    wide = np.flatnonzero(gaps > max(GAP_SHARE * abs(ranked[-1] - ranked[0]), GAP_STEPS * step_px))
    return int(wide[-1]) + 1 if len(wide) and len(ranked) > most + 1 else 0
