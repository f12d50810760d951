"""Draws lines of equal resolution or error on a map of fluence and overlap, for studies of three views or more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import counted
from fly64dask.records import apart
from fly64dask.report.figure_parts import panels, set_caption

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from fly64dask.records import CurvePoint, DoseLimit, LimitCurve, TargetAnswer

    Segments = Sequence[NDArray[np.float64]]  # pieces of a line, each (k, 2): fluence and overlap

LINE_COLOUR = "#0072b2"  # of Okabe and Ito
MIN_VIEWS = 3  # between two overlaps there is a line, and no map
MIN_POINTS = 2  # of a view
N_FLUENCES = 200  # fluences from the lowest to the highest, enough for smooth lines


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One view: its linear overlap, the fluence and the level of each dose, (k,) float64, and the cells behind them."""

    overlap: float
    fluence: NDArray[np.float64]
    level: NDArray[np.float64]
    n_cells: int


def draw_overlap_map(target: TargetAnswer) -> Figure | None:
    """Draw lines of equal resolution or error over fluence and linear overlap.

    Parameters
    ----------
    target : TargetAnswer
        From `answer_of`.

    Returns
    -------
    matplotlib.figure.Figure or None
        A panel for each split, recipe and setup; None if fewer than three views have different overlaps and two doses
        with numbers.

    Notes
    -----
    Logarithms of levels are interpolated linearly between cells: over the logarithm of the fluence in a view, and over
    the overlap between views. Dots are the doses of views from which the lines are drawn.
    """
    groups: dict[tuple[str, str], list[_Row]] = {}
    for limit, curve in zip(target.doses, target.curves, strict=True):
        row = _row(limit, curve)
        if row is not None:
            groups.setdefault((curve.split, curve.made_by), []).append(row)
    drawn = {
        key: rows for key, found in groups.items() if len(rows := apart(found, lambda row: row.overlap)) >= MIN_VIEWS
    }
    if not drawn:
        return None
    figure, axes = panels(1, len(drawn), 4.0, 3.4)
    for axis, ((split, made_by), rows) in zip(axes[0], drawn.items(), strict=True):
        _draw_panel(axis, rows, target)
        axis.set_title(f"{split}{f', {made_by}' if made_by else ''}: {target.target.label}", fontsize=9)
    n_cells = sum(row.n_cells for rows in drawn.values() for row in rows)
    n_points = sum(len(row.fluence) for rows in drawn.values() for row in rows)
    quantity = "resolution, half a period" if target.target.is_resolution else "phase error"
    unit = target.target.label.partition(" ")[2]
    words = (
        f"Lines of equal {quantity} ({unit}); the thick one is the target. Drawn from {counted(n_cells, 'cell')} at "
        f"the {n_points} dots, straight in logarithms between them: a line is no more certain than the dots beside it."
    )
    set_caption(figure, [words])
    return figure


def _row(limit: DoseLimit, curve: LimitCurve) -> _Row | None:
    known: list[tuple[float, float, CurvePoint]] = [
        (point.light.fluence_photons_per_px2, point.level, point)
        for point in curve.points
        if point.light.fluence_photons_per_px2 is not None and point.level is not None
    ]
    if limit.linear_overlap is None or len(known) < MIN_POINTS:
        return None
    return _Row(
        overlap=limit.linear_overlap,
        fluence=np.array([fluence for fluence, _, _ in known]),
        level=np.array([level for _, level, _ in known]),
        n_cells=sum(len(point.cells) for _, _, point in known),
    )


def _draw_panel(axis: Axes, rows: Sequence[_Row], target: TargetAnswer) -> None:
    goal = target.target.value
    every = np.concatenate([row.fluence for row in rows])
    fluence = np.geomspace(every.min(), every.max(), N_FLUENCES)
    logs = np.stack(
        [
            np.interp(np.log(fluence), np.log(row.fluence), np.log(row.level), left=math.nan, right=math.nan)
            for row in rows
        ]
    )
    overlaps = np.array([100 * row.overlap for row in rows])
    levels = [level for level in round_levels(*np.exp([np.nanmin(logs), np.nanmax(logs)])) if level != goal]
    z = np.ma.masked_invalid(logs)
    labelled: list[tuple[str, str, Segments]] = []
    for names, colour, width in (
        ({math.log(level): f"{level:g}" for level in levels}, LINE_COLOUR, 1.0),
        ({math.log(goal): f"{goal:g}"}, "black", 2.0),
    ):
        inside = [level for level in sorted(names) if z.min() < level < z.max()]
        if inside:
            # Matplotlib would dash lines of negative values, which the logarithms of levels below 1 are.
            lines = axis.contour(fluence, overlaps, z, inside, colors=colour, linewidths=width, linestyles="solid")
            labelled += [(names[level], colour, found) for level, found in zip(inside, lines.allsegs, strict=True)]
    for row in rows:
        axis.plot(row.fluence, [100 * row.overlap] * len(row.fluence), "o", color="0.25", markersize=3)
    room = 0.05 * (overlaps[-1] - overlaps[0])
    axis.set(xscale="log", xlim=(fluence[0] / 1.3, fluence[-1] * 1.3), ylim=(overlaps[0] - room, overlaps[-1] + room))
    axis.set_xlabel("fluence (photons/px²)", fontsize=8)
    axis.set_ylabel("linear overlap (%)", fontsize=8)
    axis.tick_params(labelsize=7, which="both")
    _label_lines(axis, labelled)


def _label_lines(axis: Axes, lines: Sequence[tuple[str, str, Segments]]) -> None:
    """Write the level of each line on it, as far as possible from earlier labels; that of the target comes first."""
    from matplotlib.patheffects import withStroke

    to_panel = (axis.transData - axis.transAxes).transform
    taken: list[NDArray[np.float64]] = []
    for name, colour, segments in reversed(lines):  # in units of the panel, whose shape is nearly square
        longest = max((to_panel(segment) for segment in segments), key=_length, default=np.empty((0, 2)))
        if not len(longest):
            continue
        ends = len(longest) // 8  # a label at the end of a line would hide that it ends
        places = longest[ends : len(longest) - ends]
        apart = [np.hypot(*(places - other).T) for other in taken] or [-np.hypot(*(places - 0.5).T)]
        place = places[int(np.argmax(np.min(apart, axis=0)))]
        taken.append(place)
        x, y = place.tolist()
        axis.text(
            x,
            y,
            name,
            transform=axis.transAxes,
            color=colour,
            fontsize=7,
            ha="center",
            va="center",
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )


def _length(line: NDArray[np.float64]) -> float:
    return float(np.hypot(*np.diff(line, axis=0).T).sum())


def round_levels(low: float, high: float) -> list[float]:
    """List round numbers (1, 1.5, 2, 3, 5 and 7 times powers of ten) between two positive ones."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    levels = [float(f"{digit * 10.0**power:.2g}") for power in powers for digit in (1, 1.5, 2, 3, 5, 7)]
    return [level for level in levels if low < level < high]
