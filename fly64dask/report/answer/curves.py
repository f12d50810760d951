"""Draws curves of each target against fluence for papers: points of repeats, the target, its limit and guides."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.report.answer.looks import looks_of
from fly64dask.report.figure_parts import legend_inches, panels, set_caption
from fly64dask.study import DOSE_UNITS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fly64dask.records import Answer, DoseLimit, Light, LimitCurve, LinePoint, Slope, TargetAnswer
    from fly64dask.report.answer.looks import Look
    from fly64dask.study import DoseBy, Target

NOISE_FREE = "without noise"
TARGET_AND_GUIDES = ("target", "guide")
NO_BREAK = "\N{NO-BREAK SPACE}"
SHORT_AXIS = 30  # a fluence axis whose ends have a smaller ratio shows plain numbers, a longer one powers of ten
# Powers of the fluence: of a phase error under shot noise, and of a feature's size (dose ~ d^-4: Howells and others
# 2009, J. Electron Spectrosc. Relat. Phenom. 170, 4).
ERROR_POWER, SIZE_POWER = -0.5, -0.25


def draw_limits(answer: Answer, *, side_nm: float | None = None) -> Figure:
    """Draw what each dose gave for each target against its fluence, and where the target is reached.

    Parameters
    ----------
    answer : Answer
        From `answer_of`.
    side_nm : float, optional
        Side of a pixel, for axes in nm beside those in px.

    Returns
    -------
    matplotlib.figure.Figure
        A row for each target and a column for each split; a colour for each view and a line style for each recipe and
        setup, or a colour for each of these if there is one view. For several runs there is a column for each split and
        view, and a colour for each run; the axis is the dose if their pixels differ. The figure belongs to no window
        and no global state.
    """
    limits = [limit for target in answer.targets for limit in target.doses]
    places = list(dict.fromkeys((limit.split, limit.view if answer.runs else None) for limit in limits))
    figure, axes = panels(len(answer.targets), max(1, len(places)), 3.6, 3.0)
    for (row, target), (column, place) in product(enumerate(answer.targets), enumerate(places)):
        _draw_panel(axes[row][column], target, place, answer, side_nm)
    every = [line for axis_row in axes for axis in axis_row for line in axis.lines]
    every.sort(key=lambda line: str(line.get_label()) == NOISE_FREE)  # views stand first in the legend
    every.sort(key=lambda line: str(line.get_label()).startswith(TARGET_AND_GUIDES))
    drawn = {label: line for line in every if not (label := str(line.get_label())).startswith("_")}
    if drawn:
        figure.set_figwidth(figure.get_figwidth() + legend_inches(drawn))
        figure.legend(drawn.values(), drawn, fontsize=7, loc="outside right upper")
    set_caption(figure, list(_slope_words(answer)))
    return figure


def _draw_panel(
    axis: Axes, target: TargetAnswer, place: tuple[str, str | None], answer: Answer, side_nm: float | None
) -> None:
    split, view = place
    looks = looks_of(target.curves, is_by_run=view is not None)
    shown = [
        (limit, curve)
        for limit, curve in zip(target.doses, target.curves, strict=True)
        if curve.split == split and view in (None, curve.view)
    ]
    lights = [point.light for _, curve in shown for point in curve.points]
    sides = {None if light.side_nm is None else round(light.side_nm, 6) for light in lights}
    has_fluence = all(light.fluence_photons_per_px2 for light in lights) and (view is None or len(sides) < 2)
    axis.set(xscale="log", yscale="log")
    for limit, curve in shown:
        _draw_curve(axis, limit, curve, target.target, looks[curve.view, curve.made_by], has_fluence=has_fluence)
    axis.set_title(f"{', '.join(filter(None, (view, split)))}: {target.target.label}", fontsize=9)
    _name_axes(axis, target.target, answer.dose_by, side_nm, has_fluence=has_fluence)
    if not any(curve.points for _, curve in shown):
        axis.text(0.5, 0.5, "nothing measured", transform=axis.transAxes, ha="center", fontsize=8)
        return
    low, high = axis.get_ylim()
    axis.set_ylim(min(low, target.target.value / 1.2), max(high, target.target.value * 1.2))
    plain_ticks(axis.yaxis)
    low, high = axis.get_xlim()
    if high < SHORT_AXIS * low:
        plain_ticks(axis.xaxis)
    axis.axhline(target.target.value, color="0.3", linewidth=0.9, zorder=1, label="target")
    _draw_guide(axis, [curve for _, curve in shown], target.target, has_fluence=has_fluence)


def _draw_curve(
    axis: Axes, limit: DoseLimit, curve: LimitCurve, target: Target, look: Look, *, has_fluence: bool
) -> None:
    label, colour, marker, style = look
    line = [(_x(point, has_fluence), point.level) for point in curve.line]
    if line:
        axis.plot(*zip(*line, strict=True), linestyle=style, color=colour, linewidth=1.2)
    each = [(_x(point.light, has_fluence), value) for point in curve.points for value in point.values]
    if each:
        axis.plot(
            *zip(*each, strict=True), marker, color=colour, markersize=4, markerfacecolor="none", markeredgewidth=0.9
        )
        axis.plot(
            [],
            [],
            linestyle=style,
            color=colour,
            marker=marker,
            markersize=4,
            markerfacecolor="none",
            label=label,
        )
    if curve.noise_free is not None and target.kind != "error_over_floor":
        axis.axhline(curve.noise_free, color=colour, linewidth=0.8, linestyle=(0, (6, 3)), alpha=0.7)
        axis.plot([], [], color="0.4", linewidth=0.8, linestyle=(0, (6, 3)), label=NOISE_FREE)
    if limit.outcome == "reached" and limit.lowest is not None:
        place = _x(limit.lowest, has_fluence)
        ends = limit.interval
        low, high = (None, None) if ends is None else (ends.low, ends.high)
        axis.plot(place, target.value, marker, color=colour, markersize=6, markeredgecolor="white", zorder=4)
        if ends is not None:
            edges = axis.get_xlim()
            x = [edges[0] if low is None else _x(low, has_fluence), edges[1] if high is None else _x(high, has_fluence)]
            axis.plot(x, [target.value] * 2, color=colour, linewidth=3.5, alpha=0.55, solid_capstyle="butt", zorder=3)


def _draw_guide(axis: Axes, curves: Sequence[LimitCurve], target: Target, *, has_fluence: bool) -> None:
    """Draw how shot noise alone lowers the number, through the lowest dose of the curve that ends lowest."""
    known = [[p for p in curve.points if p.level is not None] for curve in curves]
    lowest = min((points for points in known if points), key=lambda points: points[-1].level or 0.0, default=None)
    if lowest is None:
        return
    (low, high), limits = axis.get_xlim(), axis.get_ylim()
    power, words = (
        (SIZE_POWER, r"fluence $\propto$ size$^{-4}$")
        if target.is_resolution
        else (ERROR_POWER, r"$\propto$ fluence$^{-0.5}$")
    )
    x = np.geomspace(low, high, 50)
    y = (lowest[0].level or 1.0) * (x / _x(lowest[0].light, has_fluence)) ** power
    axis.plot(x, y, color="0.6", linewidth=0.8, linestyle=":", zorder=0, label=f"guide: {words}")
    axis.set_xlim(low, high)
    axis.set_ylim(limits)


def _name_axes(axis: Axes, target: Target, dose_by: DoseBy, side_nm: float | None, *, has_fluence: bool) -> None:
    unit = target.label.partition(" ")[2]
    quantity = "resolution, half a period" if target.is_resolution else "phase error"
    axis.set_ylabel(f"{quantity} ({unit})", fontsize=8)
    axis.set_xlabel("fluence (photons/px²)" if has_fluence else f"dose ({DOSE_UNITS[dose_by]})", fontsize=8)
    axis.tick_params(labelsize=7, which="both")
    plain_ticks(axis.yaxis)
    if side_nm is None:
        return
    beside: list[Any] = []
    if has_fluence:
        area = side_nm**2
        top = axis.secondary_xaxis("top", functions=_times(1 / area))
        top.set_xlabel("fluence (photons/nm²)", fontsize=7)
        beside.append(top)
        axis.title.set_fontsize(9)
    if target.kind == "resolution_px":
        right = axis.secondary_yaxis("right", functions=_times(side_nm))
        right.set_ylabel(f"{quantity} (nm)", fontsize=7)
        plain_ticks(right.yaxis)
        beside.append(right)
    for each in beside:
        each.tick_params(labelsize=6, which="both")


def _times(factor: float) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return the functions that convert an axis to another unit, and back."""
    return (lambda value: value * factor), (lambda value: value / factor)


def plain_ticks(axis: Any) -> None:
    """Write the numbers of a logarithmic axis plainly, such as `0.05` and `20`; between powers of ten if there is room.

    An axis whose limits now span less than a decade has more of them.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    low, high = axis.get_view_interval()
    digits = (1, 1.5, 2, 3, 4, 5, 7) if high < 10 * low else (1, 2, 5)
    axis.set_major_locator(LogLocator(subs=digits, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _x(light: Light | LinePoint, has_fluence: bool) -> float:
    return (light.fluence_photons_per_px2 or light.dose) if has_fluence else light.dose


def slope_words(slope: Slope) -> str:
    """Write the power of the fluence with which a curve falls, and half the width of its 95 % interval: `-0.4 ± 0.2`.

    Two decimals if the interval is narrower than a tenth on each side, else one; its half width is rounded up.
    """
    digits = 2 if slope.half_width_95 < 0.1 else 1
    step = 10.0**-digits
    half_width = max(1, math.ceil(slope.half_width_95 / step - 1e-9)) * step
    return f"{slope.power:z.{digits}f} ± {half_width:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _slope_words(answer: Answer) -> Iterator[str]:
    for target in answer.targets:
        has_splits = len({curve.split for curve in target.curves}) > 1
        fitted = [
            f"{' '.join(filter(None, (curve.view, curve.split if has_splits else '', curve.made_by)))} "
            f"{slope_words(curve.slope)} ({curve.slope.n_doses} doses)"
            for curve in target.curves
            if curve.slope is not None
        ]
        if fitted:
            # A name stays on the same line as its number.
            named = ", ".join(words.replace(" ", NO_BREAK) for words in fitted)
            yield f"Fitted powers of the fluence with their 95 % intervals, doses at the floor left out: {named}."
