"""Writes what a reader of a report must know before any number: what is missing, damaged or left out, and remedies."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from fly64dask.base import counted, counted_of
from fly64dask.records import notes_of, read_cleaned, unlisted_cells
from fly64dask.report.content import Notice
from fly64dask.store import holder_of
from fly64dask.study import MENDS, cells, dose_name

if TYPE_CHECKING:
    from pathlib import Path

    from fly64dask.records import ManifestRow
    from fly64dask.report.answer import RunTotals
    from fly64dask.report.content import CellContent
    from fly64dask.store import RunLayout
    from fly64dask.study import Study


def state_notices(study: Study, layout: RunLayout, totals: RunTotals) -> Iterator[Notice]:
    """Say which cells are missing or not finished."""
    n_cells, n_committed, n_running = len(cells(study)), totals.states.total(), len(totals.running)
    n_interrupted = totals.states["interrupted"]
    n_failed = n_committed - totals.states["completed"] - n_interrupted
    holder = holder_of(layout)
    if holder is not None:
        text = f"This run is still running ({holder}); the page shows the cells that had ended when it was made."
        yield Notice(kind="running", text=text)
    others = unlisted_cells(study, layout)
    if others:
        have = counted(len(others), "committed cell has", "committed cells have")
        text = f"{have} no place in the study's matrix as it is now, such as {others[0]}."
        yield Notice(kind="pending", text=text)
    if n_committed < n_cells:
        have = counted_of(n_cells - n_committed, n_cells, "cell", "has", "have")
        yield Notice(kind="pending", text=f"{have} no result yet.")
    if n_running and holder is None:
        were = counted(n_running, "cell was running when its", "cells were running when their")
        yield Notice(kind="failed", text=f"{were} process ended; run the study again to continue.")
    if n_interrupted:
        were = counted(n_interrupted, "cell was", "cells were")
        yield Notice(kind="interrupted", text=f"{were} interrupted; run the study again to continue.")
    if n_failed:
        have = counted(n_failed, "cell has", "cells have")
        yield Notice(kind="failed", text=f"{have} no reconstruction; the table below says why.")
    if totals.n_outdated:
        are = counted_of(totals.n_outdated, n_cells, "cell", "is", "are")
        text = f"{are} not of the study as it is now; run the study to renew what differs."
        yield Notice(kind="pending", text=text)
    for note in notes_of(study, totals.of_views.values(), has_errors=bool(totals.n_pixels)):
        yield Notice(kind="pending", text=f"{note[0].upper()}{note[1:]}.")
    if totals.n_other_dose:
        have = counted_of(totals.n_other_dose, n_cells, "cell", "has", "have")
        yield Notice(kind="pending", text=f"{have} another number of photons than asked for; each says so.")
    if totals.n_unfollowed:
        lack = counted_of(totals.n_unfollowed, n_cells, "cell", "lacks", "lack")
        text = f"{lack} the half sets or the stopping rule that the recipe asks for; each says why."
        yield Notice(kind="pending", text=text)


def cleaned_notices(layout: RunLayout) -> Iterator[Notice]:
    """Say that exposures were deleted by `clean`, if they were."""
    cleaned = read_cleaned(layout)
    if cleaned is not None:
        yield Notice(
            kind="pending", text=f"No pictures of objects whose exposures are missing. {cleaned.words(layout)}."
        )


def part_notices(part: Study, *, n_cells: int, run: str) -> Iterator[Notice]:
    """Say which part of a run's cells a page shows, if it does not show all."""
    n_shown = len(cells(part))
    if n_shown < n_cells:
        text = (
            f"This page shows {n_shown} of {n_cells} cells; its answer and its counts cover all of them. "
            f"`fly64dask report {shlex.quote(run)} --dose DOSE --view VIEW` shows others, "
            f"`fly64dask table {shlex.quote(run)}` writes the numbers of all."
        )
        yield Notice(kind="pending", text=text)


def cell_notices(contents: Sequence[CellContent], problems: Iterable[str]) -> Iterator[Notice]:
    """Say what is damaged or left out."""
    for problem in problems:
        yield Notice(kind="damaged", text=f"Damaged: {problem}")
    for cell in contents:
        for problem in cell.problems:
            yield Notice(kind="damaged", text=f"Damaged, {cell.name}: {problem}")
    if any(cell.left_out for cell in contents):
        text = "Some pictures are left out to keep this page small; `report --figures` draws them."
        yield Notice(kind="pending", text=text)


def commands_for(row: ManifestRow, root: Path) -> tuple[str, ...]:
    """List commands that try a failed cell again, the one most likely to help first."""
    run = shlex.quote(str(root))
    if row.state == "damaged":
        return (f"fly64dask verify {run} --repair",)
    options = f"--dose {dose_name(row.dose).removeprefix('dose_')} --view {row.view} --split {row.split}"
    options += f" --repeat {row.repeat}" if row.repeat else ""
    options += f" --recipe {row.recipe_name}" if row.recipe_name is not None else ""
    options += f" --object {row.object_seed}" if row.object_seed is not None else ""
    options += f" --setup {row.setup_name}" if row.setup_name is not None else ""
    kinds = [kind for kind, mended in MENDS.items() if row.failure_kind in mended]
    remedies = [kind for kind in kinds if kind != "as-is"] or kinds
    return tuple(f"fly64dask rerun {run} --failed {options} --remedy {kind}" for kind in remedies)
