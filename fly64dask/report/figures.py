"""Draws the figures of a run for papers, as PNG and SVG: maps of numbers, phases, ring correlations."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import mean_side_nm
from fly64dask.records import (
    each_completed_row,
    legend_of,
    quantity_of,
    signs_of,
)
from fly64dask.report.answer import RepeatSnr, answer_figures
from fly64dask.report.cells import CellReader
from fly64dask.report.columns import flat_row, in_order, is_drawn, mapped_numbers
from fly64dask.report.content import MAX_CELLS
from fly64dask.report.figure_parts import (
    CURVE_NAMES,
    THRESHOLDS,
    caption_of,
    draw_rings,
    draw_scale_bar,
    explain_marks,
    finest_resolution,
    flowing_panels,
    panels,
    save_figure,
    three_digits,
    title_inches,
    titled,
)
from fly64dask.report.pictures import shrink
from fly64dask.store import storing
from fly64dask.study import DOSE_UNITS, Cell, Section, Split, Study, cells, dose_name, doses_of, part_of_study, sections

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from fly64dask.records import ManifestRow
    from fly64dask.report.answer import SnrCurve
    from fly64dask.report.cells import CellArrays
    from fly64dask.report.images import Curve, Image
    from fly64dask.store import RunLayout

# Pixels of all phases that are kept for the gallery (our choice): 48 MB in float32.
GALLERY_PIXELS = 12_000_000
MOST_SIDE_PX = 512
# Above this ratio of the largest to the smallest value a map has a logarithmic scale (our choice).
LOG_RATIO = 50
LABEL_CHARACTERS_PER_INCH = 13  # of a colour bar's label


@dataclass(slots=True)
class Gallery:
    """Keeps phases and ring correlations of cells, at the size of a figure, and draws the figures."""

    n_cells: int
    _phases: dict[Cell, tuple[Image, NDArray[np.floating]]] = field(default_factory=dict)
    _curves: dict[Cell, tuple[Curve, ...]] = field(default_factory=dict)

    def add(self, row: ManifestRow, arrays: CellArrays) -> None:
        """Keep what the figures need of a cell."""
        side = min(MOST_SIDE_PX, math.isqrt(GALLERY_PIXELS // max(1, self.n_cells)))
        for image in arrays.images:
            if image.key == "phase":
                self._phases[row.cell] = (image, shrink(image.values, side, cyclic=True).astype(np.float32))
        curves = tuple(curve for curve in arrays.curves if curve.key in CURVE_NAMES or curve.key in THRESHOLDS)
        if curves:
            self._curves[row.cell] = curves

    def write(self, study: Study, rows: Sequence[ManifestRow], snr: Sequence[SnrCurve], folder: Path) -> None:
        """Write every figure of a study and its committed cells as PNG and SVG into a folder, made if missing."""
        with storing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        save_figure(draw_phases(study, rows, self._phases), folder / "phases")
        side_nm = mean_side_nm(next((row.pixel_size_nm for row in rows if row.pixel_size_nm), None))
        numbers = {row.cell: mapped_numbers(flat_row(row)) for row in rows}
        for column in in_order(column for of_cell in numbers.values() for column in of_cell):
            if is_drawn(column):
                save_figure(draw_map(study, rows, numbers, column), folder / f"map-{column}")
        if self._curves:
            save_figure(draw_rings(study, self._curves, side_nm), folder / "frc")
        for name, figure in answer_figures(study, rows, snr, side_nm):
            save_figure(figure, folder / name)


def write_figures(study: Study, layout: RunLayout, folder: Path) -> tuple[str, ...]:
    """Write the figures of a run as PNG and SVG, without its page.

    Parameters
    ----------
    study : Study
        The run's study.
    layout : RunLayout
        The run, which may be finished, under way or damaged: the figures show what is there. If it has more than
        `MAX_CELLS` cells, they show some of its doses, views, objects and repeats.
    folder : Path
        The folder of the figures, made if missing.

    Returns
    -------
    tuple of str
        Damage, because of which something is not drawn; a sentence each.
    """
    part = part_of_study(study, MAX_CELLS)
    shown_rows = list(each_completed_row(study, layout, cells(part)))
    reader, gallery = CellReader(study, layout, shown_rows), Gallery(n_cells=len(cells(part)))
    snr, problems = RepeatSnr(), list[str]()
    for row in shown_rows:
        arrays = reader.read(row)
        gallery.add(row, arrays)
        snr.add(row, arrays)
        problems += arrays.problems
    snr.finish()
    gallery.write(part, shown_rows, snr.curves, folder)
    return (*reader.problems, *problems)


def draw_phases(
    study: Study, rows: Sequence[ManifestRow], phases: dict[Cell, tuple[Image, NDArray[np.floating]]]
) -> Figure:
    """Draw the phases on one scale, rad: a column for each dose and split, a row for each view of each section."""
    columns = list(product(doses_of(study), study.splits))
    lines = list(product(study.views, sections(study)))
    figure, axes = panels(len(lines), len(columns), 2.3, 2.0 if any(section.label for _, section in lines) else 1.75)
    rows_at: dict[Cell, list[ManifestRow]] = {}
    for row in rows:
        rows_at.setdefault(row.cell.first_repeat, []).append(row)
    shown = None
    for axis_row, (view, section) in zip(axes, lines, strict=True):
        for axis, (dose, split) in zip(axis_row, columns, strict=True):
            repeats = rows_at.get(section.cell(dose, view.name, split), [])
            axis.set(xticks=[], yticks=[])
            axis.set_title(titled(f"{dose_name(dose)} {view.name} {split}", section), fontsize=7)
            # The caption describes the repeat that is drawn.
            drawn = next((row for row in repeats if row.cell in phases), repeats[0] if repeats else None)
            axis.set_xlabel(caption_of(drawn), fontsize=7)
            axis.set_frame_on(drawn is not None and drawn.cell in phases)
            if drawn is not None and drawn.cell in phases:
                image, values = phases[drawn.cell]
                scale = image.scale
                height, width = image.values.shape
                extent = (-0.5, width - 0.5, height - 0.5, -0.5)
                shown = axis.imshow(values, cmap=scale.colours, vmin=scale.low, vmax=scale.high, extent=extent)
                sides_nm = drawn.pixel_size_nm
                if sides_nm is not None:
                    draw_scale_bar(axis, (0, height), width, sides_nm[1])
    if shown is not None:
        figure.colorbar(shown, ax=axes, shrink=0.6, label="phase (rad)")
    explain_marks(figure, legend_of(study, rows))
    return figure


def draw_map(study: Study, rows: Sequence[ManifestRow], numbers: dict[Cell, dict[str, float]], column: str) -> Figure:
    """Draw a map of a number over dose and view, train beside test, a row for each section; repeats by their mean."""
    from matplotlib.colors import LogNorm, Normalize

    quantity = quantity_of(column)
    places = list(product(sections(study), study.splits))
    height = 1.2 + 0.55 * len(doses_of(study))
    titles = [titled(split, section) for section, split in places]
    width = max(1.6 + 0.9 * len(study.views), 0.7 + title_inches(titles))
    figure, axes = flowing_panels(len(sections(study)), len(study.splits), width, height)
    numbers, finest = _with_finest(rows, numbers, column)
    tables = [_table(study, rows, numbers, column, section, split) for section, split in places]
    finite = np.concatenate([table[np.isfinite(table)] for table in tables])
    low, high = float(finite.min()), float(finite.max())
    norm = LogNorm(low, high) if low > 0 and high / low > LOG_RATIO else Normalize(low, high)
    shown = None
    for axis, title, (section, split), table in zip(axes, titles, places, tables, strict=True):
        shown = axis.imshow(table, cmap="viridis", norm=norm, aspect="auto")
        axis.set_title(title, fontsize=9)
        axis.set_xticks(range(len(study.views)), [view.name for view in study.views], fontsize=8)
        doses = [dose_name(dose).removeprefix("dose_") for dose in doses_of(study)]
        axis.set_yticks(range(len(doses)), doses, fontsize=8)
        axis.set_ylabel(f"dose ({DOSE_UNITS[study.dose_by]})", fontsize=8)
        for (y, x), value in np.ndenumerate(table):
            bright = np.isfinite(value) and norm(value) > 0.6
            first = section.cell(doses_of(study)[y], study.views[x].name, split)
            text = ("≤ " if first in finest else "") + three_digits(value)
            colour = "black" if bright or not np.isfinite(value) else "white"
            axis.text(x, y, text, ha="center", va="center", fontsize=8, color=colour)
            signs = signs_of([row for row in rows if row.cell.first_repeat == first])
            axis.annotate(
                signs, (x, y), (0, -5), textcoords="offset points", ha="center", va="top", fontsize=6, color=colour
            )
    assert shown is not None
    unit = f" ({quantity.unit})" if quantity.unit else ""
    bar = figure.colorbar(shown, ax=axes)
    # A label longer than the figure's height would be cut off.
    width = round(LABEL_CHARACTERS_PER_INCH * figure.get_figheight())
    bar.set_label(textwrap.fill(f"{quantity.label}{unit}", width), fontsize=8)
    bar.ax.tick_params(labelsize=7)
    explain_marks(figure, legend_of(study, rows))
    return figure


def _with_finest(
    rows: Sequence[ManifestRow], numbers: dict[Cell, dict[str, float]], column: str
) -> tuple[dict[Cell, dict[str, float]], set[Cell]]:
    """Give images that agree up to Nyquist the resolution of a pixel; also return the places where all repeats do."""
    finest_of = {
        row.cell: finest
        for row in rows
        if column not in numbers[row.cell] and (finest := finest_resolution(row, column)) is not None
    }
    completed = numbers | {cell: numbers[cell] | {column: finest} for cell, finest in finest_of.items()}
    others = {row.cell.first_repeat for row in rows if row.cell not in finest_of and column in numbers[row.cell]}
    return completed, {cell.first_repeat for cell in finest_of} - others


def _table(
    study: Study,
    rows: Sequence[ManifestRow],
    numbers: dict[Cell, dict[str, float]],
    column: str,
    section: Section,
    split: Split,
) -> NDArray[np.floating]:
    """(dose, view) float64, NaN where nothing is known."""
    table = np.full((len(doses_of(study)), len(study.views)), np.nan)
    for y, dose in enumerate(doses_of(study)):
        for x, view in enumerate(study.views):
            first = section.cell(dose, view.name, split)
            same = [row.cell for row in rows if row.cell.first_repeat == first]
            values = [numbers[cell][column] for cell in same if column in numbers[cell]]
            if values:
                table[y, x] = np.mean(values)
    return table
