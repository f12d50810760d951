"""Chooses how the curves of figures of limits are told apart: by colour, marker and line style."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from fly64dask.report.figure_parts import INKS

if TYPE_CHECKING:
    from matplotlib.typing import LineStyleType

    from fly64dask.records import LimitCurve

MARKERS = ("o", "s", "^", "D", "v", "P")  # of views, in their order
# Of recipes and setups, in their order.
STYLES: tuple[LineStyleType, ...] = (
    "-",
    "--",
    "-.",
    ":",
    (0, (6, 3)),
    (0, (8, 2, 2, 2, 2, 2)),
    (0, (1, 3)),
    (0, (3, 3, 1, 3)),
)


class Look(NamedTuple):
    """The style of a curve, and its name in the legend."""

    label: str
    colour: str
    marker: str
    style: LineStyleType


def looks_of(curves: Sequence[LimitCurve], *, is_by_run: bool) -> dict[tuple[str, str], Look]:
    """Choose a look for each curve: colours tell views apart, or the runs, recipes and setups of a single view."""
    views = list(dict.fromkeys(curve.view for curve in curves))
    methods = list(dict.fromkeys(curve.made_by for curve in curves))
    looks = {}
    for (k, view), (j, method) in product(enumerate(views), enumerate(methods)):
        is_by_view = len(views) > 1 and not is_by_run
        ink, style = (k, j) if is_by_view else (j, 0)
        looks[view, method] = Look(
            label=", ".join(filter(None, (view if is_by_view or not method else "", method))),
            colour=INKS[ink % len(INKS)],
            # Markers do not repeat where colours begin again.
            marker=MARKERS[(ink + ink // len(INKS)) % len(MARKERS)],
            style=STYLES[style % len(STYLES)],
        )
    return looks
