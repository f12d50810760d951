"""Parts of figures: panels, titles, curves, the meaning of marks, and a bar of a round length in a picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from fly64dask.records import resolution_words, signs_of
from fly64dask.store import storing

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from fly64dask.records import ManifestRow, Mark
    from fly64dask.report.images import Curve
    from fly64dask.study import Section

CURVE_NAMES = {"frc_truth": "with the truth", "frc_empty": "empty object", "frc_halves": "half sets"}
CURVE_NAMES |= {"frc_reference": "with the reference"}
THRESHOLDS = {"half_bit": "half a bit a pixel", "one_bit": "a bit a pixel"}
INKS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # of Okabe and Ito


def panels(n_rows: int, n_columns: int, width: float, height: float) -> tuple[Figure, NDArray[np.object_]]:
    """Make a figure of panels that no window or global state knows of, and its axes (row, column); sizes in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * n_columns, height * n_rows), layout="constrained")
    return figure, figure.subplots(n_rows, n_columns, squeeze=False)


def titled(title: str, section: Section) -> str:
    """Write a title with the recipe and the object, where a study has several."""
    return f"{title}\n{section.label}" if section.label else title


def explain_marks(figure: Figure, marks: Sequence[Mark]) -> None:
    """Write what marks mean below a figure's panels, a line for each."""
    if marks:
        lines = "\n".join(f"{mark.sign}  {mark.words}" for mark in marks)
        figure.set_figheight(figure.get_figheight() + 0.12 * len(marks))
        figure.supxlabel(lines, fontsize=6.5, x=0.01, horizontalalignment="left")


def caption_of(row: ManifestRow | None) -> str:
    """Number of exposures and error, or why there is no reconstruction."""
    if row is None:
        return "pending"
    if row.state != "completed":
        return f"{row.failure_kind}{signs_of([row])}"
    quality = f"error {row.metrics.phase_rmse_rad:.3f} rad" if row.metrics else resolution_words(row.half_sets)
    return "\n".join(filter(None, (f"n = {row.n_kept}, {quality}", signs_of([row]).strip())))


def draw_correlations(axis: Axes, curves: Iterable[Curve], colour: str, dose: str) -> None:
    """Draw ring correlations of one cell in the colour of its dose, each kind in a style of its own.

    A dot is where one falls below half a bit a pixel, and an open one below a bit.
    """
    shown = [curve for curve in curves if curve.key in CURVE_NAMES]
    for curve, style in zip(shown, ("-", "--", ":", "-."), strict=False):
        axis.plot(curve.x, curve.y, style, color=colour, linewidth=1, label=f"{dose}, {CURVE_NAMES[curve.key]}")
        draw_crossings(axis, curve, colour)


def draw_crossings(axis: Axes, curve: Curve, colour: str) -> None:
    """Mark where a ring correlation first falls below half a bit a pixel, and with an open dot below a bit."""
    for criterion, place in curve.crossings:
        fill = colour if criterion == "half_bit" else "white"
        axis.plot(*place, "o", color=colour, markerfacecolor=fill, markersize=3.5, label="_crossing")


def draw_thresholds(axis: Axes, curves: Iterable[Curve]) -> None:
    """Draw the correlations that half a bit and a bit a pixel ask for, in grey."""
    for curve in curves:
        if curve.key in THRESHOLDS:
            style = "-" if curve.key == "half_bit" else "--"
            axis.plot(curve.x, curve.y, style, color="0.55", linewidth=0.8, label=THRESHOLDS[curve.key])


def draw_scale_bar(axis: Any, corner: tuple[float, float], width_px: int, side_nm: float) -> None:
    """Draw a bar of a round length, at most a third of the width, above the lower left corner (x, y) of an image."""
    most_nm = width_px * side_nm / 3
    power = 10.0 ** math.floor(math.log10(most_nm))
    length_nm = next(step * power for step in (5, 2, 1) if step * power <= most_nm)
    x, y = corner[0] + 0.05 * width_px, corner[1] - 0.07 * width_px
    for line_width, colour in ((4.5, "black"), (3, "white")):
        axis.plot([x, x + length_nm / side_nm], [y, y], color=colour, linewidth=line_width, solid_capstyle="butt")
    words = f"{length_nm / 1000:g} µm" if length_nm >= 1000 else f"{length_nm:g} nm"
    box = {"facecolor": "black", "alpha": 0.5, "pad": 1, "linewidth": 0}
    middle = x + length_nm / side_nm / 2
    axis.text(middle, y - 0.03 * width_px, words, color="white", fontsize=6, ha="center", va="bottom", bbox=box)


def save_figure(figure: Figure, stem: Path) -> None:
    """Save a figure as PNG and SVG."""
    with storing(stem):
        figure.savefig(stem.with_name(stem.name + ".png"), dpi=110)
        # The SVG has no date, so that it changes only with the run.
        figure.set_layout_engine("none")  # it is laid out; to do so again takes as long as the drawing
        figure.savefig(stem.with_name(stem.name + ".svg"), metadata={"Date": None})
