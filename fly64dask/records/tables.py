"""Reads and writes the tables of a run directory: manifest rows, manifest and skip summary."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from fly64dask.base import Frozen, IntegrityError, compact_json, utc_now
from fly64dask.records.derived import RowContext
from fly64dask.records.history import read_past
from fly64dask.records.manifest import (
    ManifestFilters,
    ManifestHead,
    ManifestRow,
    Roots,
    damaged_row,
    jobs,
    make_skip_summary,
    row_from_record,
)
from fly64dask.records.record import past_attempts, read_record
from fly64dask.records.repeats import has_repeats, summarise
from fly64dask.records.run_files import study_digest
from fly64dask.store import LongDocument, RunLayout, publish_link, storing, write_document
from fly64dask.study import Cell, Filters, Remedy, Study, cells


def read_row(layout: RunLayout, cell: Cell) -> ManifestRow | None:
    """Read one cell's manifest row from its record; None if nothing is committed."""
    try:
        record = read_record(layout, cell)
    except IntegrityError as error:
        return damaged_row(cell, str(error), read_past(layout, cell))
    if record is None:
        return None
    # A first attempt has replaced none: no folder needs to be looked for.
    return row_from_record(record, read_past(layout, cell) if record.attempt > 1 else ())


def read_last_row(layout: RunLayout, cell: Cell) -> ManifestRow | None:
    """Read one cell's row, or that of its last replaced attempt if a killed process left only this."""
    row = read_row(layout, cell)
    past = past_attempts(layout, cell) if row is None else {}
    if not past:
        return row
    try:
        record = read_record(layout, cell, directory=past[max(past)])
    except IntegrityError as error:
        return damaged_row(cell, str(error))
    return None if record is None else row_from_record(record)


def read_kept_group(layout: RunLayout, cell: Cell) -> Path:
    """Group with the exposures that a cell's reconstruction was made from, or would be."""
    record = read_record(layout, cell)
    return layout.kept_group(cell, None if record is None else record.remedy)


def read_rows(layout: RunLayout, chosen_cells: Sequence[Cell]) -> tuple[ManifestRow, ...]:
    """Read the rows of those cells that are committed, in the given order."""
    return tuple(each_row(layout, chosen_cells))


def each_row(layout: RunLayout, chosen_cells: Iterable[Cell]) -> Iterator[ManifestRow]:
    """Read the rows of those cells that are committed, one after the other."""
    return (row for cell in chosen_cells if (row := read_row(layout, cell)) is not None)


def each_completed_row(
    study: Study, layout: RunLayout, chosen_cells: Iterable[Cell] | None = None
) -> Iterator[ManifestRow]:
    """Read the rows of a study's committed cells one after the other, each completed by its context.

    All cells in the study's order, or those that are chosen in their own. A row takes 20 to 30 kB in memory: whoever
    reads those of a hundred thousand cells keeps few of them.
    """
    context = RowContext(study, layout, functools.partial(read_row, layout))
    return context.complete_all(each_row(layout, cells(study) if chosen_cells is None else chosen_cells))


def read_completed_rows(study: Study, layout: RunLayout) -> tuple[ManifestRow, ...]:
    """Read the rows of all of a study's committed cells in its order, each completed by its context."""
    return tuple(each_completed_row(study, layout))


def open_manifest(path: Path, *, remedy: str) -> LongDocument:
    """Open a manifest, or a snapshot of one, of which one row at a time is read: all would take 20 kB each.

    Raises FileNotFoundError if there is none, IntegrityError with the remedy if a byte of it differs.
    """
    return LongDocument.opened(path, lists=("summary", "jobs", "execution_results"), remedy=remedy)


class RowFiles:
    """Rows of a run in files of its scratch, a line each: a run may have more rows than fit in memory.

    Iterating reads them one after the other, as often as wanted.

    Parameters
    ----------
    layout : RunLayout
        The run, held by this process.
    """

    def __init__(self, layout: RunLayout) -> None:
        self._folder = layout.scratch / "rows"

    def keep(self, window: int, rows: Iterable[ManifestRow]) -> None:
        """Keep the rows of one window of the cells."""
        path = self._folder / f"{window:08d}.jsonl"
        with storing(path):
            self._folder.mkdir(parents=True, exist_ok=True)
            with path.open("w", encoding="utf-8") as file:
                file.writelines(compact_json(row.model_dump(mode="json", exclude_none=True)) + "\n" for row in rows)

    def keep_all(self, rows: Iterable[ManifestRow]) -> None:
        """Keep the rows of all cells, instead of what there was."""
        self.remove()
        self.keep(0, rows)

    def remove(self) -> None:
        """Remove the files."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def __iter__(self) -> Iterator[ManifestRow]:
        """Yield the rows in the order of the windows."""
        for path in sorted(self._folder.glob("*.jsonl")):
            with path.open(encoding="utf-8") as file:
                yield from (ManifestRow.model_validate_json(line) for line in file)


def _stated(filters: Filters) -> ManifestFilters:
    """Filters as the manifest states them."""
    choices = asdict(filters)
    return ManifestFilters(**choices | {axis: choices[axis] or None for axis in ("recipe", "object", "setup")})


def write_manifest(
    study: Study,
    layout: RunLayout,
    filters: Filters,
    reasons: Mapping[Cell, str],
    rows: Iterable[ManifestRow],
    *,
    remedies: Mapping[Cell, Remedy] | None = None,
) -> None:
    """Write the manifest, this run's dated snapshot of it, and the skip summary.

    Parameters
    ----------
    study : Study
        The study.
    layout : RunLayout
        The run.
    filters : Filters
        What the run was asked for.
    reasons : mapping of Cell to str
        Cells the filters left out.
    rows : iterable of ManifestRow
        Every committed cell, in the study's order; iterated three times, and never kept whole. The manifest has them
        completed by their context.
    remedies : mapping of Cell to Remedy, optional
        Of the cells that were tried again with one.
    """
    timestamp = utc_now()
    filtered = [cell for cell in cells(study) if cell not in reasons]
    head = ManifestHead(
        timestamp=timestamp,
        study=study.name,
        study_digest=study_digest(study),
        roots=Roots(run=str(layout.root), exposures=str(layout.store)),
        filters=_stated(filters),
        total_jobs=len(cells(study)),
        filtered_jobs=len(filtered),
    )
    snapshot = layout.snapshot_file(timestamp)
    results = RowContext(study, layout, functools.partial(read_row, layout)).complete_all(rows)
    lists: dict[str, Iterable[Frozen]] = {"summary": summarise(study, rows)} if has_repeats(study) else {}
    lists |= {"jobs": jobs(study, layout, filtered, remedies or {}), "execution_results": results}
    write_document(snapshot, head, long_lists=lists)
    publish_link(layout.manifest_file, snapshot)
    write_document(layout.skip_summary_file, make_skip_summary(reasons, rows, timestamp=timestamp))


def renew_manifest(study: Study, layout: RunLayout) -> None:
    """Write the manifest anew from the records of all committed cells, of a run that this process holds."""
    rows = RowFiles(layout)
    rows.keep_all(each_row(layout, cells(study)))
    write_manifest(study, layout, Filters(), {}, rows)
    rows.remove()
