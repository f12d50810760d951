"""Parts of figures: panels, titles, curves, captions with the meaning of marks, and scale bars."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from fly64dask.base import mean_side_nm
from fly64dask.records import resolution_words, signs_of
from fly64dask.store import storing
from fly64dask.study import DOSE_UNITS, dose_name, doses_of, sections

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from fly64dask.records import ManifestRow, Mark
    from fly64dask.report.images import Curve
    from fly64dask.study import Cell, Section, Study

CURVE_NAMES = {"frc_truth": "with the truth", "frc_empty": "empty object", "frc_halves": "half sets"}
CURVE_NAMES |= {"frc_reference": "with the reference"}
THRESHOLDS = {"half_bit": "half-bit threshold", "one_bit": "1-bit threshold"}
CURVE_STYLES = {"frc_truth": "-", "frc_empty": ":", "frc_halves": "--", "frc_reference": "-."}
CURVE_STYLES |= {"half_bit": "-", "one_bit": "--"}
GREYS = {"frc_empty": "0.45", "half_bit": "0.7", "one_bit": "0.7"}
MOST_FLOWING = 3  # panels in a row if there is only one column
TITLE_LETTER_INCHES = 0.085
LEGEND_INCHES = 2.0  # room beside the panels
CAPTION_POINTS = 6.5
# Width of a letter of DejaVu Sans at 6.5 and 7 points, at least the mean of English text; height of a line of a
# caption.
LETTER_INCHES, LINE_INCHES = 0.057, 0.12
CRITERIA = ("half_bit", "one_bit", "half")  # fields that hold where a ring correlation crosses each threshold
MOST_WHOLE = 1e6  # larger whole numbers are written with a power of ten
INKS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # of Okabe and Ito


def panels(n_rows: int, n_columns: int, width: float, height: float) -> tuple[Figure, NDArray[np.object_]]:
    """Make a figure, which belongs to no window or global state, and its axes (row, column); sizes in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * n_columns, height * n_rows), layout="constrained")
    return figure, figure.subplots(n_rows, n_columns, squeeze=False)


def flowing_panels(n_rows: int, n_columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Make the axes of a figure's panels, row by row; a single column is broken into rows of at most three."""
    n_panels = n_rows * n_columns
    if n_columns == 1:
        n_columns = min(MOST_FLOWING, n_panels)
        n_rows = -(-n_panels // n_columns)
    figure, axes = panels(n_rows, n_columns, width, height)
    flat = [axis for axis_row in axes for axis in axis_row]
    for spare in flat[n_panels:]:
        spare.remove()
    return figure, flat[:n_panels]


def title_inches(titles: Iterable[str]) -> float:
    """Compute the width, in inches, of the longest line of titles at 9 points: wider than a panel, it is cut off."""
    return max((len(line) for title in titles for line in title.splitlines()), default=0) * TITLE_LETTER_INCHES


def legend_inches(labels: Iterable[str]) -> float:
    """Compute the room, in inches, that a legend with these labels needs beside the panels."""
    return max(LEGEND_INCHES, 0.8 + max(map(len, labels), default=0) * LETTER_INCHES)


def set_caption(figure: Figure, paragraphs: Sequence[str]) -> None:
    """Write paragraphs below the panels, wrapped to the figure's width; the figure grows by their height."""
    if not paragraphs:
        return
    width = max(20, round(figure.get_figwidth() / LETTER_INCHES))
    lines = [line for paragraph in paragraphs for line in _wrapped(paragraph, width)]
    figure.set_figheight(figure.get_figheight() + LINE_INCHES * len(lines))
    figure.supxlabel("\n".join(lines), fontsize=CAPTION_POINTS, x=0.01, horizontalalignment="left")


def _wrapped(paragraph: str, width: int) -> list[str]:
    return textwrap.wrap(paragraph, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def titled(title: str, section: Section) -> str:
    """Write a title with the recipe and the object, if a study has several."""
    return f"{title}\n{section.label}" if section.label else title


def explain_marks(figure: Figure, marks: Sequence[Mark]) -> None:
    """Write what marks mean below a figure's panels, a paragraph for each."""
    set_caption(figure, [f"{mark.sign}  {mark.words}" for mark in marks])


def caption_of(row: ManifestRow | None) -> str:
    """Write the number of exposures and the error of a cell, or why it has no reconstruction."""
    if row is None:
        return "pending"
    if row.state != "completed":
        return f"{row.failure_kind}{signs_of([row])}"
    quality = f"error {row.metrics.phase_rmse_rad:.3f} rad" if row.metrics else resolution_words(row.half_sets)
    return "\n".join(filter(None, (f"n = {row.n_kept}, {quality}", signs_of([row]).strip())))


def three_digits(value: float) -> str:
    """Write a number to three digits, a whole one in full: `0.130`, `12.0`, `300`, `1.2e+05`; a dash for None."""
    if not math.isfinite(value):
        return "–"
    if value == round(value) and abs(value) < MOST_WHOLE:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) >= 1000 or abs(value) < 1e-4 else f"{value:#.3g}".rstrip(".")


def finest_resolution(row: ManifestRow, column: str) -> float | None:
    """Return the size of a pixel if a column is a crossing and the ring correlation stays above it up to Nyquist, else
    None.
    """
    *holders, criterion, name = ["", *column.split(".")]
    if row.state != "completed" or criterion not in CRITERIA or not name.startswith("resolution_"):
        return None
    measured: Any = row
    for holder in holders[1:]:
        measured = getattr(measured, holder, None)
    if measured is None or getattr(measured, criterion) is not None:
        return None
    # Images that share too small an area were not correlated.
    if getattr(measured, "resolution_px", 1.0) is None or getattr(measured, "n_pixels", 1) is None:
        return None
    return 1.0 if name == "resolution_px" else mean_side_nm(row.pixel_size_nm)


def draw_rings(study: Study, curves: Mapping[Cell, tuple[Curve, ...]], side_nm: float | None) -> Figure:
    """Draw ring correlations: one panel for each view, split and section, one colour for each dose."""
    places = list(product(study.splits, sections(study), study.views))
    of_side = "" if side_nm is None else f" of {side_nm:.3g} nm"
    titles = [titled(f"{view.name} {split}", section) for split, section, view in places]
    n_columns = len(study.views)
    figure, axes = flowing_panels(len(places) // n_columns, n_columns, max(3.2, title_inches(titles)), 2.4)
    figure.set_figwidth(figure.get_figwidth() + LEGEND_INCHES)
    for axis, title, (split, section, view) in zip(axes, titles, places, strict=True):
        of_panel: tuple[Curve, ...] = ()
        for i, dose in enumerate(doses_of(study)):
            first = section.cell(dose, view.name, split)
            repeats = [of_cell for cell, of_cell in curves.items() if cell.first_repeat == first]
            for of_cell in repeats:
                draw_correlations(axis, of_cell, INKS[i % len(INKS)], width=1.0 if len(repeats) == 1 else 0.6)
            of_panel = of_panel or next(iter(repeats), ())
        # Cells of a panel have the same area, and so the same thresholds and the same empty object.
        draw_thresholds(axis, of_panel)
        axis.set(xlim=(0, 0.5), ylim=(-0.2, 1.05), title=title)
        axis.set_xlabel(f"spatial frequency\n(cycles/px{of_side})", fontsize=8)
        axis.set_ylabel("ring correlation", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.title.set_fontsize(9)
    _explain_rings(figure, study, curves)
    return figure


def _explain_rings(figure: Figure, study: Study, curves: Mapping[Cell, tuple[Curve, ...]]) -> None:
    """Write one legend (doses, kinds, thresholds) beside all panels, because within one it would cover the curves."""
    from matplotlib.lines import Line2D

    drawn = {curve.key for of_cell in curves.values() for curve in of_cell}
    colours = {dose_name(dose).removeprefix("dose_"): INKS[i % len(INKS)] for i, dose in enumerate(doses_of(study))}
    entries = [Line2D([], [], color=colour, label=name) for name, colour in colours.items()]
    for key, name in (CURVE_NAMES | THRESHOLDS).items():
        if key in drawn:
            grey = GREYS.get(key, "0.2")
            entry = Line2D([], [], color=grey, linewidth=1, label=name)
            entry.set(linestyle=CURVE_STYLES[key])
            entries.append(entry)
    title = f"dose ({DOSE_UNITS[study.dose_by]})"
    figure.legend(handles=entries, fontsize=7, title=title, title_fontsize=7, loc="outside right upper")


def draw_correlations(axis: Axes, curves: Iterable[Curve], colour: str, *, width: float) -> None:
    """Draw the ring correlations of one cell in the colour of its dose, each kind with a line style; width in points.

    A dot shows where a curve falls below the half-bit threshold, an open dot where it falls below the 1-bit threshold.
    The curve of an empty object is grey, because it does not depend on the dose.
    """
    for curve in curves:
        if curve.key in CURVE_NAMES:
            ink = GREYS.get(curve.key, colour)
            axis.plot(curve.x, curve.y, CURVE_STYLES[curve.key], color=ink, linewidth=width, label=f"_{curve.key}")
            draw_crossings(axis, curve, ink)


def draw_crossings(axis: Axes, curve: Curve, colour: str) -> None:
    """Mark where a ring correlation first falls below the half-bit threshold; open dots, the 1-bit threshold."""
    for criterion, place in curve.crossings:
        fill = colour if criterion == "half_bit" else "white"
        axis.plot(*place, "o", color=colour, markerfacecolor=fill, markersize=3.5, label="_crossing")


def draw_thresholds(axis: Axes, curves: Iterable[Curve]) -> None:
    """Draw the half-bit and the 1-bit threshold in grey."""
    for curve in curves:
        if curve.key in THRESHOLDS:
            axis.plot(
                curve.x,
                curve.y,
                CURVE_STYLES[curve.key],
                color=GREYS[curve.key],
                linewidth=0.8,
                label=THRESHOLDS[curve.key],
            )


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
        figure.set_layout_engine("none")  # it is laid out already; a second layout takes as long as the drawing
        figure.savefig(stem.with_name(stem.name + ".svg"), metadata={"Date": None})
