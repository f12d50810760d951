"""Describes cells, places of the matrix and the quantities that pages map, from the rows of a run."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from fly64dask.records import ManifestRow, caveats_of, marks_of, quantity_of, repeat_groups, spread_of
from fly64dask.report.columns import flat_row, in_order, mapped_numbers
from fly64dask.report.content import CellContent, CellPictures, CurvePoints, PlaceContent, QuantityContent
from fly64dask.report.notices import commands_for
from fly64dask.report.pictures import evenly_taken
from fly64dask.study import Cell, Study, dose_name, section_of

if TYPE_CHECKING:
    from pathlib import Path

    from fly64dask.report.cells.reading import CellArrays
    from fly64dask.report.columns import Value
    from fly64dask.report.images import Curve

# Columns that a cell's table leaves out, because they are the same for the run or too long; the downloads have them.
NOT_SHOWN = ("versions", "digests", "seeds.", "attempts", "error", "log_path")
MAX_CURVE_POINTS = 240


def cell_content(
    cell: Cell,
    row: ManifestRow | None,
    arrays: CellArrays,
    pictures: CellPictures | None = None,
    *,
    is_running: bool,
    root: Path,
) -> CellContent:
    """Describe one cell: its state, its numbers, and why it has no reconstruction, with commands to try next."""
    flat = flat_row(row) if row else {}
    numbers = mapped_numbers(flat)
    is_completed = row is not None and row.state == "completed"
    has_failed = row is not None and not is_completed
    return CellContent(
        **(dict(pictures) if pictures else {}),
        name=cell.name,
        dose=dose_name(cell.dose),
        view=cell.view,
        split=cell.split,
        section=section_of(cell).label,
        state="running" if is_running and not is_completed else row.state if row else "pending",
        prediction=row.identifiability.prediction if row and row.identifiability else None,
        numbers=numbers,
        facts=_facts(flat, numbers, {} if row is None else row.digests or {}),
        curves={curve.key: _curve_points(curve) for curve in arrays.curves},
        problems=arrays.problems,
        caveats=tuple(caveats_of(row)) if row else (),
        kind=row.failure_kind if row and has_failed else None,
        error=row.error if row and has_failed else None,
        log=row.log_path if row and has_failed else None,
        commands=commands_for(row, root) if row and has_failed else (),
    )


def _facts(flat: Mapping[str, Value], numbers: Collection[str], digests: Mapping[str, str]) -> dict[str, Value]:
    """Return what a row holds besides its numbers, with each digest by itself."""
    facts = {name: value for name, value in flat.items() if name not in numbers and not name.startswith(NOT_SHOWN)}
    return facts | {f"digests.{name}": sha256 for name, sha256 in digests.items()}


def _curve_points(curve: Curve) -> CurvePoints:
    """Take points of a curve, evenly if there are many, to five digits."""
    shown = evenly_taken(len(curve.x), MAX_CURVE_POINTS)
    x, y = (
        tuple(float(f"{value:.5g}") if math.isfinite(value) else None for value in values[shown].tolist())
        for values in (curve.x, curve.y)
    )
    return CurvePoints(x=x, y=y)


def quantities_of(contents: Iterable[CellContent], lead: str) -> tuple[QuantityContent, ...]:
    """Describe the columns in which cells have numbers; the one to be shown first comes first."""
    columns = in_order(key for cell in contents for key in cell.numbers)
    described = [(column, quantity_of(column)) for column in sorted(columns, key=lambda column: column != lead)]
    return tuple(
        QuantityContent(key=column, label=quantity.label, unit=quantity.unit, better=quantity.better)
        for column, quantity in described
    )


def places_of(
    study: Study, contents: Iterable[CellContent], row_of: Mapping[Cell, ManifestRow]
) -> tuple[PlaceContent, ...]:
    """Join repeats to places, with their marks, and with mean and spread of every number that several of them have."""
    content_of = {content.name: content for content in contents}
    places = []
    for first, repeats in repeat_groups(study).items():
        values: dict[str, list[float]] = {}
        for cell in repeats:
            for column, value in content_of[cell.name].numbers.items():
                values.setdefault(column, []).append(value)
        spreads = {column: spread_of(several) for column, several in values.items() if len(several) > 1}
        names = tuple(cell.name for cell in repeats)
        place = PlaceContent(
            dose=dose_name(first.dose),
            view=first.view,
            split=first.split,
            section=section_of(first).label,
            cells=names,
            marks=tuple(mark.sign for mark in marks_of([row_of[cell] for cell in repeats if cell in row_of])),
            numbers=spreads,
        )
        places.append(place)
    return tuple(places)
