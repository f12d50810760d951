"""The comparison of a measured cell with its study's reference, kept in a file of its own beside the cells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fly64dask.base import EDITIONS, METRICS, Frozen, IntegrityError
from fly64dask.metrics import ReferenceMetrics
from fly64dask.store import RunLayout, read_document
from fly64dask.study import CellReference, FileReference

if TYPE_CHECKING:
    from fly64dask.records.manifest import ManifestRow
    from fly64dask.study import Cell, Study


class ReferenceRecord(Frozen):
    """A comparison of one cell with its reference, the digests of the two objects that it is of, and the edition of the
    metrics.

    The curve is their ring correlation: spatial frequency in cycles/px, and for each one value and how many independent
    Fourier pixels it is of; empty where the area that both illuminated is too small.
    """

    schema_version: Literal[1] = 1
    cell: str
    object_sha256: str
    reference_sha256: str
    metrics: ReferenceMetrics
    metrics_edition: int = 1
    frequency_per_px: tuple[float, ...] = ()
    correlation: tuple[float, ...] = ()
    n_pixels: tuple[float, ...] = ()


def read_reference_record(layout: RunLayout, cell: Cell) -> ReferenceRecord | None:
    """Read a cell's comparison with its reference; None if there is none, or it is damaged: a run makes it anew."""
    try:
        return read_document(layout.reference_file(cell), ReferenceRecord, remedy="run the study again")
    except (FileNotFoundError, IntegrityError):
        return None


class ReferenceNow:
    """The reference that the cells of a measured study are compared with, as it is now.

    Parameters
    ----------
    study : Study
        The run's study.
    layout : RunLayout
        The run.
    row_of : callable
        Gives the row of a cell, or None: asked for the reference cells.
    """

    def __init__(self, study: Study, layout: RunLayout, row_of: Callable[[Cell], ManifestRow | None]) -> None:
        self._reference, self._layout, self._row_of = study.reference, layout, row_of
        self._file_sha256: str | None = None
        self._rows: dict[Cell, ManifestRow | None] = {}

    def metrics(self, row: ManifestRow) -> ReferenceMetrics | None:
        """Give a cell's comparison; None if there is none of what cell and reference are now, or it is the reference.

        Where the reference has failed, it says so.
        """
        record = self.record(row)
        if record is not None:
            return record.metrics
        if not isinstance(self._reference, CellReference) or row.state != "completed":
            return None
        cell = self._reference.cell_for(row.cell)
        row_of_reference = self._row(cell)
        if cell == row.cell or row_of_reference is None or row_of_reference.state == "completed":
            return None
        return ReferenceMetrics(name=cell.name, missing=f"its reference {cell.name} is {row_of_reference.state}")

    def record(self, row: ManifestRow) -> ReferenceRecord | None:
        """Give the record of a cell's comparison, if it is of the objects and by the metrics of now."""
        sha256 = self.sha256_for(row)
        if sha256 is None or row.digests is None:
            return None
        reference = read_reference_record(self._layout, row.cell)
        of_these = (row.digests.get("object_recon"), sha256, EDITIONS[METRICS])
        is_of_these = (
            reference is not None
            and (reference.object_sha256, reference.reference_sha256, reference.metrics_edition) == of_these
        )
        return reference if is_of_these else None

    def sha256_for(self, row: ManifestRow) -> str | None:
        """Give the digest of the object that a completed cell is to be compared with; None if there is none."""
        if self._reference is None or row.state != "completed":
            return None
        if isinstance(self._reference, FileReference):
            return self._digest_of_file(Path(self._reference.path))
        cell = self._reference.cell_for(row.cell)
        row_of_reference = None if cell == row.cell else self._row(cell)
        return (
            row_of_reference.digests.get("object_recon")
            if row_of_reference is not None and row_of_reference.digests
            else None
        )

    def _row(self, cell: Cell) -> ManifestRow | None:
        if cell not in self._rows:
            self._rows[cell] = self._row_of(cell)
        return self._rows[cell]

    def _digest_of_file(self, path: Path) -> str | None:
        from fly64dask.datasets.formats import file_sha256

        if self._file_sha256 is None and path.is_file():
            self._file_sha256 = file_sha256(path)
        return self._file_sha256
