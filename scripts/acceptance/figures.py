"""Draws the panels of a result side by side: points with spread, guides, and a legend below, over no curve."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from acceptance.results import Curve, Panel, shown_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

# Of Okabe and Ito, which people with any colour vision tell apart; marks differ as well.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
MARKS = "osD^vPX"
MAX_PLACES = 8
MAX_SPAN = 50.0
MAX_LABEL = 24  # of two beside each other
PANEL_SIZE = (4.4, 3.6)  # inches


def draw(panels: Sequence[Panel], path: Path) -> None:
    """Draw panels as one figure into a file whose suffix says the format."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(
        {"font.size": 9, "axes.titlesize": "medium", "svg.hashsalt": "fly64dask", "svg.fonttype": "none"}
    ):
        figure = Figure(figsize=(PANEL_SIZE[0] * len(panels), PANEL_SIZE[1]), layout="constrained")
        for axis, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            draw_panel(axis, panel)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130)


def draw_panel(axis: Axes, panel: Panel) -> None:
    """Draw one diagram, its legend below it."""
    for number, curve in enumerate(curve for curve in panel.curves if not curve.is_guide):
        draw_curve(axis, curve, COLOURS[number % len(COLOURS)], MARKS[number % len(MARKS)])
    for curve in panel.curves:
        if curve.is_guide:
            axis.plot(curve.x, [y.mean for y in curve.y], "--", color="0.5", linewidth=0.9, label=curve.label)
    if panel.band:
        axis.axvspan(*panel.band, color="0.9", zorder=0, label=panel.band_label)
    axis.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)
    if panel.x_log:
        axis.set_xscale("log")
        number_few_places(axis, panel)
    if panel.y_log:
        axis.set_yscale("log")
        number_short_range(axis)
    else:
        axis.set_ylim(bottom=0)
    axis.spines[["top", "right"]].set_visible(False)
    n_columns = 1 if max(len(curve.label) for curve in panel.curves) > MAX_LABEL else 2
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=n_columns, frameon=False, fontsize=8)


def number_few_places(axis: Axes, panel: Panel) -> None:
    """Write plain numbers at the points of a logarithmic axis that has few and spans less than two decades."""
    places = sorted({x for curve in panel.curves for x in curve.x})
    if len(places) <= MAX_PLACES and places[-1] < 100 * places[0]:
        axis.set_xticks(places, [shown_number(place) for place in places])
        axis.set_xticks([], minor=True)


def number_short_range(axis: Axes) -> None:
    """Write plain numbers at 1, 2, 3, 5 and 7 times each power of ten where the vertical axis spans few of them."""
    low, high = axis.get_ylim()
    if high > MAX_SPAN * low:
        return
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    places = [digit * 10.0**power for power in powers for digit in (1, 2, 3, 5, 7)]
    shown = [place for place in places if low <= place <= high]
    axis.set_yticks(shown, [f"{place:g}" for place in shown])
    axis.yaxis.set_minor_formatter("")


def draw_curve(axis: Axes, curve: Curve, colour: str, mark: str) -> None:
    """Draw means with the spread of their repeats."""
    means = [y.mean for y in curve.y]
    spreads = [y.standard_deviation or 0.0 for y in curve.y]
    axis.errorbar(
        curve.x,
        means,
        yerr=spreads,
        color=colour,
        marker=mark,
        markersize=4,
        linewidth=1.2,
        capsize=2,
        label=curve.label,
    )
