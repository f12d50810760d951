"""The resolution of a cell without a truth, in words: what the terminal, the page and figures show of it first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fly64dask.metrics import HalfSetMetrics

UNKNOWN_RESOLUTION = "no resolution"


def resolution_words(half_sets: HalfSetMetrics | None) -> str:
    """Write the resolution by half sets in px, and in nm where a pixel has a size.

    Parameters
    ----------
    half_sets : HalfSetMetrics or None
        Of the cell.

    Returns
    -------
    str
        Such as `2.56 px = 21.5 nm`, with `≤` where the halves agree up to what pixels can show; `no resolution` where
        none was measured.
    """
    if half_sets is None or half_sets.resolution_px is None:
        return UNKNOWN_RESOLUTION
    finest = "≤ " if half_sets.half_bit is None else ""
    nm = "" if half_sets.resolution_nm is None else f" = {half_sets.resolution_nm:.3g} nm"
    return f"{finest}{half_sets.resolution_px:.3g} px{nm}"
