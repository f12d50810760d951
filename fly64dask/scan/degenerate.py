"""Recognises scans whose positions do not span a pixel, and refuses them or has the engine guard against them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import DegenerateScanError, counted
from fly64dask.scan.positions import span_px

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.study import Recipe

# pty-chi averages object and probe over the bounding box of the positions; a box without a
# whole pixel on an axis gives 0 / 0 in epoch 0. A span of 1 px always holds one.
MIN_SPAN_PX = 1.0

# A probe needs this many exposures to be determined together with the object (measured); with fewer it is frozen.
GUARDED_MIN_EXPOSURES_FOR_PROBE = 4


def is_degenerate(positions_px: NDArray[np.float64]) -> bool:
    """Tell whether the positions span less than one pixel on an axis."""
    return min(span_px(positions_px)) < MIN_SPAN_PX


def is_guarded(positions_px: NDArray[np.float64], recipe: Recipe) -> bool:
    """Tell whether the engine runs with the guard; the result is then underdetermined."""
    return recipe.guarded or is_degenerate(positions_px)


def optimises_probe(positions_px: NDArray[np.float64], recipe: Recipe) -> bool:
    """Tell whether the engine may change the probe: it may unless the recipe or the guard freezes it."""
    is_frozen = is_guarded(positions_px, recipe) and len(positions_px) < GUARDED_MIN_EXPOSURES_FOR_PROBE
    return recipe.optimise_probe and not is_frozen


def refuses_degenerate(recipe: Recipe) -> bool:
    """Tell whether a degenerate scan is refused before the engine starts."""
    return recipe.on_degenerate == "fail" and not recipe.guarded


def refuse_degenerate(
    positions_px: NDArray[np.float64], *, n_exposures: int, rule: str, advice: str = "lower the spacing threshold"
) -> None:
    """Refuse a scan of which the engine would silently make NaN; this takes microseconds.

    Parameters
    ----------
    positions_px : (k, 2) float64
        Kept positions, order (y, x), px.
    n_exposures : int
        Exposures before selection, for the message.
    rule : str
        What kept them, for the message: `at >= 102.4 px`.
    advice : str
        What keeps more of them, for the message.

    Raises
    ------
    DegenerateScanError
        If the positions span less than 1 px on an axis.
    """
    if is_degenerate(positions_px):
        height, width = span_px(positions_px)
        raise DegenerateScanError(
            f"kept {len(positions_px)} of {counted(n_exposures, 'exposure')} {rule}, spanning {height:.3g} px in y and "
            f"{width:.3g} px in x; a reconstruction needs {MIN_SPAN_PX:g} px on both axes",
            remedy=f"{advice} or use `fly64dask rerun --remedy guarded`",
        )
