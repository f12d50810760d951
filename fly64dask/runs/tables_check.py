"""Checks the tables of a run: that they are whole, and that its manifest says what the records say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.base import IntegrityError
from fly64dask.records import (
    DERIVED_FIELDS,
    Job,
    ManifestHead,
    ManifestRow,
    RepeatSummary,
    SkipSummary,
    open_manifest,
    read_row,
    study_digest,
)
from fly64dask.store import read_document
from fly64dask.study import cells

if TYPE_CHECKING:
    from fly64dask.store import RunLayout
    from fly64dask.study import Study

REPAIR = "write it anew with `fly64dask verify RUN --repair`"


def problems_of_tables(study: Study, layout: RunLayout) -> Iterator[tuple[Path, str]]:
    """Read every table that a run has; gives each that is not as it was written, or not what records say, and why.

    Of a manifest one row at a time is in memory.
    """
    if layout.skip_summary_file.exists():
        try:
            read_document(layout.skip_summary_file, SkipSummary, remedy=REPAIR)
        except IntegrityError as error:
            yield layout.skip_summary_file, str(error)
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
