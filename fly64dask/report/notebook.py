"""Draws the matrix of a run as a piece of HTML for a notebook."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fly64dask.records import (
    STATE_SIGNS,
    ManifestRow,
    caveats_of,
    count_states,
    legend_of,
    marks_of,
    notes_of,
    quantity_of,
    repeat_groups,
    signs_of,
    spread_of,
)
from fly64dask.report.columns import flat_row, lead_column, mapped_numbers
from fly64dask.report.page import render_template
from fly64dask.report.pictures import hex_colours
from fly64dask.study import DOSE_UNITS, Cell, Study, dose_name, doses_of, sections

if TYPE_CHECKING:
    from fly64dask.records import Spread

# Above this ratio of the largest to the smallest value the scale is logarithmic (our choice).
LOG_RATIO = 50
N_COLOURS = 64
INK_LUMINANCE = 0.179  # luminance of a ground on which black and white text have the same contrast, 4.58


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """One dose, view and split of the matrix: a text, its colours, and the words on hovering."""

    text: str
    words: str
    ink: str = "inherit"
    ground: str = "transparent"


@dataclass(frozen=True, slots=True)
class _ColourScale:
    """Colours for values from the smallest to the largest."""

    values: Sequence[float]
    # cividis looks the same to people who are colour-blind and to others.
    colours: Sequence[str] = field(default_factory=lambda: hex_colours("cividis", N_COLOURS))

    @property
    def ends(self) -> tuple[float, float] | None:
        return (min(self.values), max(self.values)) if self.values else None

    def colour(self, value: float) -> str:
        low, high = min(self.values), max(self.values)
        if high == low:
            return self.colours[N_COLOURS // 2]
        is_logarithmic = low > 0 and high / low > LOG_RATIO
        fraction = math.log(value / low, high / low) if is_logarithmic else (value - low) / (high - low)
        return self.colours[round(fraction * (N_COLOURS - 1))]


@dataclass(frozen=True, slots=True)
class _Matrix:
    """A run's cells, the rows of committed cells that do not run now, and one number of each completed cell."""

    column: str
    state_of: dict[Cell, str]
    reason_of: dict[Cell, str]
    value_of: dict[Cell, float]
    row_of: dict[Cell, ManifestRow]

    def spread(self, repeats: Iterable[Cell]) -> Spread | None:
        """Compute mean and spread of the number over the repeats that have it."""
        values = [self.value_of[cell] for cell in repeats if cell in self.value_of]
        return spread_of(values) if values else None

    def place(self, repeats: Sequence[Cell], scale: _ColourScale) -> _Place:
        """Describe the cells that share a place; it is empty if a run has added this dose to other views only."""
        if not repeats:
            return _Place(text="", words="")
        lines = [f"{cell.name}: {self.state_of[cell]}{self._reason(cell)}" for cell in repeats]
        spread = self.spread(repeats)
        rows = [self.row_of[cell] for cell in repeats if cell in self.row_of]
        if spread is None:
            worst = next((cell for cell in repeats if self.state_of[cell] != "completed"), repeats[0])
            text = (
                f"{STATE_SIGNS[self.state_of[worst]]} {self.reason_of.get(worst, self.state_of[worst])}{signs_of(rows)}"
            )
            words = [*lines, *(f"{row.cell.name}: {row.outdated}" for row in rows if row.outdated)]
            return _Place(text=text, words="\n".join(words))
        deviation = spread.standard_deviation
        number = f"{spread.mean:.3g}" + ("" if deviation is None else f" ± {deviation:.2g}")
        quantity = quantity_of(self.column)
        count = f", mean of {spread.n} of {len(repeats)} repeats" if len(repeats) > 1 else ""
        lines.append(f"{quantity.label}: {number} {quantity.unit}".rstrip() + count)
        ground = scale.colour(spread.mean)
        n_missing = sum(cell not in self.value_of for cell in repeats)
        lines += [mark.words for mark in marks_of(rows)]
        lines += [f"{row.cell.name}: {caveat}" for row in rows for caveat in caveats_of(row)]
        text = number + signs_of(rows) + (f" ({n_missing} missing)" if n_missing else "")
        return _Place(text=text, words="\n".join(lines), ink=_ink_on(ground), ground=ground)

    def _reason(self, cell: Cell) -> str:
        return f" ({self.reason_of[cell]})" if cell in self.reason_of else ""


def matrix_html(
    study: Study, rows: Sequence[ManifestRow], *, column: str | None = None, running: Collection[Cell] = ()
) -> str:
    """Draw the matrix of a study as self-contained HTML: inline styles, no script, all text escaped.

    Parameters
    ----------
    study : Study
        The study.
    rows : sequence of ManifestRow
        Its committed cells.
    column : str, optional
        The number to show, such as `metrics.phase.ssim`; by default that of `lead_column`.
    running : collection of Cell
        Cells that run now.

    Returns
    -------
    str
        One table of doses and views for each split, recipe, object and setup. A number and a colour show the value,
        marks (`records.marks`) with a legend its caveats, a sign and a word why there is no value. Repeats show their
        mean and sample standard deviation.
    """
    matrix = _matrix(study, rows, column, running)
    groups = repeat_groups(study)
    spreads = (matrix.spread(repeats) for repeats in groups.values())
    scale = _ColourScale([spread.mean for spread in spreads if spread is not None])
    tables = {
        ", ".join(filter(None, (split, section.label))): {
            dose_name(dose).removeprefix("dose_"): [
                matrix.place(groups.get(section.cell(dose, view.name, split), ()), scale) for view in study.views
            ]
            for dose in doses_of(study)
        }
        for split in study.splits
        for section in sections(study)
    }
    counts = count_states(study, rows, running)
    return render_template(
        "matrix.html",
        study=study.name,
        dose_unit=DOSE_UNITS[study.dose_by],
        counts=[(STATE_SIGNS[state], n_cells, state) for state, n_cells in counts.items()],
        views=[view.name for view in study.views],
        tables=tables,
        quantity=quantity_of(matrix.column),
        ends=scale.ends,
        legend=legend_of(study, matrix.row_of.values()),
        note="; ".join(notes_of(study, rows, has_errors=any(row.metrics for row in rows))),
        gradient=", ".join(scale.colours[::9]),
    )


def _matrix(study: Study, rows: Sequence[ManifestRow], column: str | None, running: Collection[Cell]) -> _Matrix:
    numbers = {row.cell: mapped_numbers(flat_row(row)) for row in rows if row.state == "completed"}
    if column is None:
        present = {name for of_cell in numbers.values() for name in of_cell}
        n_pixels = [row.metrics.n_pixels for row in rows if row.metrics]
        column = lead_column(n_pixels, present, is_measured=study.source.kind == "measured")
    states = {cell: "pending" for group in repeat_groups(study).values() for cell in group}
    states |= {row.cell: str(row.state) for row in rows} | dict.fromkeys(running, "running")
    return _Matrix(
        column=column,
        state_of=states,
        reason_of={row.cell: str(row.failure_kind) for row in rows if row.failure_kind and row.cell not in running},
        value_of={cell: of_cell[column] for cell, of_cell in numbers.items() if column in of_cell},
        row_of={row.cell: row for row in rows if row.cell not in running},
    )


def _ink_on(colour: str) -> str:
    """Choose black or white, whichever has the higher contrast on a colour (relative luminance of WCAG 2.2)."""
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return "#000" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > INK_LUMINANCE else "#fff"
