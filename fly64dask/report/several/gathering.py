"""Gathers what a page of several runs shows of one run: its totals, its cells and places, and notices."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fly64dask.records import legend_of
from fly64dask.report.answer import RunTotals, read_totals
from fly64dask.report.cells import CellArrays, cell_content, places_of
from fly64dask.report.columns import LEADING, is_drawn
from fly64dask.report.content import MAX_CELLS, Notice
from fly64dask.report.notices import part_notices, state_notices
from fly64dask.report.several.content import RunCell, RunHead, RunPlace
from fly64dask.study import Cell, Dose, Study, cells, part_of_study

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fly64dask.records import AskedRuns, ManifestRow, Mark
    from fly64dask.store import RunLayout

# Numbers of cells that are compared besides those of quality: their light and their cost.
LIGHT_AND_COST = (
    *("n_kept", "total_photons", "fluence_photons_per_px2", "fluence_photons_per_nm2", "linear_overlap"),
    *("n_epochs", "seconds"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatheredRun:
    """One run as the page shows it; `part` is the study reduced to the cells that are shown."""

    totals: RunTotals
    part: Study
    head: RunHead
    cells: tuple[RunCell, ...]
    places: tuple[RunPlace, ...]
    marks: tuple[Mark, ...]
    notices: tuple[Notice, ...]


def gathered_run(
    asked: AskedRuns, name: str, layout: RunLayout, page: Path, *, doses: Sequence[Dose], views: Sequence[str]
) -> GatheredRun:
    """Read the records of one run once, whether it has ended, runs now or is damaged in places.

    Parameters
    ----------
    asked : AskedRuns
        The runs, and the targets of each.
    name : str
        The name of this run.
    layout : RunLayout
        Its directory.
    page : Path
        The page, from which the run's own report is linked.
    doses, views : sequence
        Cells of these alone are shown; of all if empty.
    """
    study = asked.studies[name]
    part = part_of_study(study, MAX_CELLS, doses=doses, views=views)
    totals, row_of = read_totals(study, layout, cells(part), asked.numbers_of(name))
    contents = [_run_cell(name, cell, row, totals, layout) for cell, row in row_of.items()]
    ended = {cell: row for cell, row in row_of.items() if row is not None and cell not in totals.running}
    return GatheredRun(
        totals=totals,
        part=part,
        head=_head(name, study, layout, totals, page),
        cells=tuple(contents),
        places=tuple(RunPlace(run=name, **dict(place)) for place in places_of(part, contents, ended)),
        marks=legend_of(part, ended.values()),
        notices=tuple(_notices(name, study, layout, totals, part)),
    )


def _run_cell(name: str, cell: Cell, row: ManifestRow | None, totals: RunTotals, layout: RunLayout) -> RunCell:
    content = cell_content(cell, row, CellArrays(), is_running=cell in totals.running, root=layout.root)
    numbers = {column: value for column, value in content.numbers.items() if is_compared(column)}
    return RunCell(run=name, **dict(content) | {"numbers": numbers, "facts": {}})


def is_compared(column: str) -> bool:
    """Whether a page of several runs maps a column: those of quality, light and cost."""
    return column in LEADING or column in LIGHT_AND_COST or is_drawn(column)


def _head(name: str, study: Study, layout: RunLayout, totals: RunTotals, page: Path) -> RunHead:
    link = os.path.relpath(layout.report_file, page.absolute().parent) if layout.report_file.exists() else None
    return RunHead(
        name=name,
        path=str(layout.root),
        study=study.name,
        counts=totals.counts,
        n_cells=len(cells(study)),
        link=link,
    )


def _notices(name: str, study: Study, layout: RunLayout, totals: RunTotals, part: Study) -> list[Notice]:
    """Write the notices of one run, with its name."""
    found = [
        *part_notices(part, n_cells=len(cells(study)), run=str(layout.root)),
        *state_notices(study, layout, totals),
    ]
    return [notice.model_copy(update={"text": f"{name}: {notice.text}"}) for notice in found]
