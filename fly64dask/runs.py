"""A run directory <-> its study, manifest rows, manifest and skip summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fly64dask.documents import read_document, write_document
from fly64dask.errors import InputError, IntegrityError
from fly64dask.history import read_past
from fly64dask.layout import RunLayout
from fly64dask.manifest import (
    Manifest,
    ManifestRow,
    damaged_row,
    make_manifest,
    make_skip_summary,
    row_from_record,
)
from fly64dask.provenance import host_name, utc_now
from fly64dask.record import past_attempts, read_record
from fly64dask.remedy import Remedy
from fly64dask.study import Cell, Filters, Frozen, Study, cells, digest


def read_run_study(layout: RunLayout) -> Study:
    """Read the study that a run directory was last used with.

    Parameters
    ----------
    layout : RunLayout
        The run.

    Returns
    -------
    Study

    Raises
    ------
    InputError
        If it is no run directory.
    IntegrityError
        If its study is damaged.
    """
    try:
        return read_document(layout.study_file, Study, remedy="run the study again: its file is written anew")
    except FileNotFoundError as error:
        raise InputError(
            f"open run {layout.root}: no {layout.study_file.name} there",
            remedy="give a directory that `fly64dask run STUDY --out RUN` made",
        ) from error


def write_run_study(layout: RunLayout, study: Study) -> None:
    """Store the resolved study with the run."""
    write_document(layout.study_file, study)


class Dashboard(Frozen):
    """Where the dashboard of the run under way listens: a port of a machine's loopback."""

    host: str
    port: int
    since: str


def write_dashboard(layout: RunLayout, port: int) -> None:
    """Say where the dashboard of this process's run is."""
    write_document(layout.dashboard_file, Dashboard(host=host_name(), port=port, since=utc_now()))


def read_dashboard(layout: RunLayout) -> Dashboard | None:
    """Where the dashboard of the run under way is; None if there is none, or the file is damaged."""
    try:
        return read_document(layout.dashboard_file, Dashboard, remedy="")
    except (FileNotFoundError, IntegrityError):
        return None


def read_row(layout: RunLayout, cell: Cell) -> ManifestRow | None:
    """Read one cell's manifest row from its record; None if nothing is committed."""
    try:
        record = read_record(layout, cell)
    except IntegrityError as error:
        return damaged_row(cell, str(error), layout, read_past(layout, cell))
    return None if record is None else row_from_record(record, layout, read_past(layout, cell))


def read_last_row(layout: RunLayout, cell: Cell) -> ManifestRow | None:
    """Read one cell's row, or that of its last replaced attempt if a killed process left only this."""
    row = read_row(layout, cell)
    past = past_attempts(layout, cell) if row is None else {}
    if not past:
        return row
    try:
        record = read_record(layout, cell, directory=past[max(past)])
    except IntegrityError as error:
        return damaged_row(cell, str(error), layout)
    return None if record is None else row_from_record(record, layout)


def read_kept_group(layout: RunLayout, cell: Cell) -> Path:
    """Group with the exposures that a cell's reconstruction was made from, or would be."""
    record = read_record(layout, cell)
    return layout.kept_group(cell, None if record is None else record.remedy)


def read_rows(layout: RunLayout, some: Sequence[Cell]) -> tuple[ManifestRow, ...]:
    """Read the rows of those cells that are committed, in the given order."""
    return tuple(row for cell in some if (row := read_row(layout, cell)) is not None)


def write_manifest(
    study: Study,
    layout: RunLayout,
    filters: Filters,
    reasons: Mapping[Cell, str],
    rows: Sequence[ManifestRow],
    *,
    remedies: Mapping[Cell, Remedy] | None = None,
) -> Manifest:
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
    rows : sequence of ManifestRow
        Every committed cell.
    remedies : mapping of Cell to Remedy, optional
        Of the cells that were tried again with one.

    Returns
    -------
    Manifest
    """
    timestamp = utc_now()
    manifest = make_manifest(
        study,
        layout,
        filters,
        [cell for cell in cells(study) if cell not in reasons],
        rows,
        timestamp=timestamp,
        study_digest=digest(study.model_dump(mode="json")),
        remedies=remedies or {},
    )
    write_document(layout.snapshot_file(timestamp), manifest)
    write_document(layout.manifest_file, manifest)
    write_document(layout.skip_summary_file, make_skip_summary(reasons, rows, timestamp=timestamp))
    return manifest
