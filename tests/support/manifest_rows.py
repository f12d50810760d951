"""Manifest rows of cells that were never run, with the fields that a test is about."""

from __future__ import annotations

from dataclasses import asdict

from fly64dask.base import FailureKind
from fly64dask.metrics import TruthMetrics
from fly64dask.records import ManifestRow
from fly64dask.study import Cell


def row_of_cell(
    cell: Cell, *, failure_kind: FailureKind | None = None, metrics: TruthMetrics | None = None, **fields: object
) -> ManifestRow:
    """The row of a completed cell, or of one that failed; its metrics may have only what is looked at."""
    state = "completed" if failure_kind is None else "failed"
    stated = {"state": state, "failure_kind": failure_kind, "returncode": int(state == "failed"), "log_path": "x"}
    return ManifestRow.model_validate(asdict(cell) | stated | fields).model_copy(update={"metrics": metrics})
