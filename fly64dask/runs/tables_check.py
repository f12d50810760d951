"""Checks the tables of a run: that those are there which it must have, whole, and that its manifest agrees with the
records.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.base import Frozen, IntegrityError
from fly64dask.records import (
    DERIVED_FIELDS,
    Job,
    ManifestHead,
    ManifestRow,
    ReferenceNow,
    ReferenceRecord,
    RepeatSummary,
    SkipSummary,
    each_row,
    open_manifest,
    read_row,
    study_digest,
)
from fly64dask.store import is_held, read_document
from fly64dask.study import cells

if TYPE_CHECKING:
    from fly64dask.store import RunLayout
    from fly64dask.study import Study

REPAIR = "write it anew with `fly64dask verify RUN --repair`"


def problems_of_tables(study: Study, layout: RunLayout) -> Iterator[tuple[Path, str]]:
    """Read every table that a run has; gives each that is not as it was written, or not what records say, and why.

    Those that an ended run must have and has not are among them. Of a manifest one row at a time is in memory.
    """
    yield from _missing(study, layout)
    for path, model, remedy in _documents(layout):
        try:
            read_document(path, model, remedy=remedy)
        except IntegrityError as error:
            yield path, str(error)
    for path in sorted(layout.snapshots.glob("*.json")):
        try:
            for _ in _read_manifest(path)[1]:
                pass
        except IntegrityError as error:
            yield path, str(error)
    if layout.manifest_file.exists():
        try:
            for problem in _differing(study, layout):
                yield layout.manifest_file, problem
        except IntegrityError as error:
            yield layout.manifest_file, str(error)


def _missing(study: Study, layout: RunLayout) -> Iterator[tuple[Path, str]]:
    """Find what is not there though the run has ended: tables, the snapshot of the manifest, comparisons of cells."""
    reason = _why_it_has_ended(study, layout)
    if reason is None:
        return
    missing = [path for path in _needed(study, layout) if not path.exists()]
    if missing and not is_held(layout.lock_file):  # a run under way writes them as it ends
        yield from ((path, f"is missing, though {reason}") for path in missing)


def _why_it_has_ended(study: Study, layout: RunLayout) -> str | None:
    """Say by what it shows that a run has ended in a directory; None if it does not: a killed one has written no table.

    A manifest is written first as a snapshot, and the other tables follow.
    """
    written = (layout.manifest_file, layout.skip_summary_file, *layout.snapshots.glob("*.json"))
    for path in written:
        if path.exists():
            return f"a run has ended here, which wrote {path.relative_to(layout.root)}"
    return "all cells have ended" if all(layout.record_file(cell).exists() for cell in cells(study)) else None


def _needed(study: Study, layout: RunLayout) -> Iterator[Path]:
    """List the tables that a run has which has ended."""
    yield layout.manifest_file
    yield layout.skip_summary_file
    try:
        head = open_manifest(layout.manifest_file, remedy=REPAIR).head(ManifestHead)
        yield layout.snapshot_file(head.timestamp)
    except (FileNotFoundError, IntegrityError):
        if not any(layout.snapshots.glob("*.json")):
            yield layout.snapshots
    if study.reference is None:
        return
    now = ReferenceNow(study, layout, partial(read_row, layout))
    for row in each_row(layout, cells(study)):
        if now.sha256_for(row) is not None:
            yield layout.reference_file(row.cell)


def _documents(layout: RunLayout) -> Iterator[tuple[Path, type[Frozen], str]]:
    """List the tables but manifests that are there, each with its model and what mends it."""
    if layout.skip_summary_file.exists():
        yield layout.skip_summary_file, SkipSummary, REPAIR
    if layout.comparison_file.exists():
        from fly64dask.runs.comparisons import RunComparison

        yield layout.comparison_file, RunComparison, "compare again with `fly64dask compare`"
    for path in sorted(layout.references.rglob("*.json")):
        yield path, ReferenceRecord, REPAIR


def _read_manifest(path: Path) -> tuple[ManifestHead, Iterator[ManifestRow]]:
    """Read a manifest's head, summary and jobs; gives the head, and what reads the rows one after the other."""
    manifest = open_manifest(path, remedy=REPAIR)
    for model, name in ((RepeatSummary, "summary"), (Job, "jobs")):
        for _ in manifest.items(name, model):
            pass
    return manifest.head(ManifestHead), manifest.items("execution_results", ManifestRow)


def _differing(study: Study, layout: RunLayout) -> Iterator[str]:
    """Compare the manifest, which is written when a run ends, with the records."""
    head, rows = _read_manifest(layout.manifest_file)
    if head.study_digest != study_digest(study):
        yield "is of another study than study.json"
    # What follows from other cells, the groups and the software may have changed since.
    underived = dict.fromkeys(DERIVED_FIELDS)
    unstated = dict.fromkeys(cell for cell in cells(study) if layout.record_file(cell).exists())
    for stated in rows:
        unstated.pop(stated.cell, None)
        if stated.model_copy(update=underived) != read_row(layout, stated.cell):
            yield f"{stated.cell.name} is not as its record has it"
    for cell in unstated:
        yield f"{cell.name} is not as its record has it"
