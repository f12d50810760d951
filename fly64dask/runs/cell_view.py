"""One cell of an opened run: its state, its record, its arrays as labelled datasets, and a figure of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fly64dask.base import Failure
from fly64dask.monitoring import read_live
from fly64dask.records import CellRecord, ManifestRow, read_record, read_row
from fly64dask.store import RunLayout
from fly64dask.study import Cell, Study

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True)
class CellView:
    """One cell of a run as it is on disk now.

    A failed cell is no error: `state` and `failure` say what happened; only to ask for its reconstruction is one.
    Made by `Run.sel` and `Run.cells`.

    Parameters
    ----------
    study : Study
        The run's study.
    layout : RunLayout
        Paths of the run's files.
    cell : Cell
        Dose, view, split and repeat.

    Examples
    --------
    >>> cell = open_run("runs/demo").sel(dose=1e4, view="dense", split="train")  # doctest: +SKIP
    >>> cell.reconstruction.object_recon.isel(slice=0).compute()  # doctest: +SKIP
    """

    study: Study
    layout: RunLayout
    cell: Cell

    @property
    def name(self) -> str:
        """The cell as its directory below the run: `dose_10000/dense/train`."""
        return self.cell.name

    @property
    def state(self) -> str:
        """One of completed, failed, skipped, damaged, running and pending."""
        # Before the record: a cell that ends in between is then seen as ended.
        live = read_live(self.layout, [self.cell]).get(self.cell)
        row = self.row
        n_attempts = row.attempt or 0 if row else 0
        if live is not None and live.attempt > n_attempts and live.silent_s(datetime.now(UTC)) is None:
            return "running"
        return row.state if row else "pending"

    @property
    def row(self) -> ManifestRow | None:
        """The cell's row of the manifest, read from its record; None if nothing is committed."""
        return read_row(self.layout, self.cell)

    @property
    def record(self) -> CellRecord | None:
        """The cell's committed record; None if there is none.

        Raises
        ------
        IntegrityError
            If the record is damaged.
        """
        return read_record(self.layout, self.cell)

    @property
    def failure(self) -> Failure | None:
        """Why the cell has no reconstruction, with its kind; None if it has one, or has not ended."""
        row = self.row
        if row is None or row.failure_kind is None:
            return None
        return Failure(kind=row.failure_kind, message=row.error or "")

    @property
    def log(self) -> str:
        """What the engine wrote; empty if the cell has not ended."""
        try:
            return self.layout.log_file(self.cell).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def __repr__(self) -> str:
        failure = self.failure
        return f"<CellView {self.name}: {self.state}{f' {failure.kind}' if failure else ''}>"
