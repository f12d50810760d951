"""The record that an attempt at a cell leaves in the cell's directory, and its atomic commit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import Field

from fly64dask.base import FailureKind, IntegrityError
from fly64dask.records.fields import AttemptState, EndingFields, ExposureFields, ReconstructionFields
from fly64dask.scan import Identifiability, SelectionMetadata
from fly64dask.store import (
    RECORD_NAME,
    RECORDS_PATTERN,
    RunLayout,
    document_text,
    published_directory,
    read_document,
    retire_directory,
)
from fly64dask.study import Cell, CellCoordinates, Recipe, Remedy, Seeds, Study, cells

# Kinds that the same input gives again; a later `run` keeps them. The others may pass with time.
LASTING_KINDS = frozenset(
    {
        FailureKind.DEGENERATE_SCAN,
        FailureKind.NOT_FINITE,
        FailureKind.NOT_SELECTABLE,
        FailureKind.SINGULAR_MATRIX,
    }
)


class InputFacts(ExposureFields):
    """The part of a cell's record that is of the exposures it reads; empty if they could not be opened."""

    selection: SelectionMetadata | None = None


class ReconstructionFacts(ReconstructionFields):
    """The part of a cell's record that is of its reconstruction; empty if there is none.

    `reconstruction_sha256` is the SHA-256 of the file that holds its arrays.
    """

    resumed_from_epoch: int | None = None
    acceleration: str | None = None
    reconstruction_sha256: str | None = None


class CellRecord(ReconstructionFacts, InputFacts, EndingFields, CellCoordinates):
    """The record of one attempt at one cell. A value that was not computed is absent.

    `seconds` are those of the attempt, and of earlier ones as far as it goes on from their checkpoint.
    """

    schema_version: Literal[1] = 1
    study: str
    state: AttemptState
    returncode: Literal[0, 1]
    attempt: int = Field(ge=1)
    run: str
    cell_key: str | None = None
    started_at: str
    finished_at: str
    seconds: float = Field(ge=0, allow_inf_nan=False)
    host: str
    versions: dict[str, str]
    engine: str
    recipe: Recipe
    seeds: Seeds
    identifiability: Identifiability | None = None
    digests: dict[str, str] = Field(default_factory=dict)
    unremedied_key: str | None = None
    log_sha256: str

    def settles(self, cell_key: str, *, run: str) -> bool:
        """Whether a run of the study with this key has nothing left to do for the cell.

        Parameters
        ----------
        cell_key : str
            Digest of what determines the cell's numbers, without a remedy.
        run : str
            Token of the run.

        Returns
        -------
        bool
            True for the same key, unless the failure may pass with time; within one run it does
            not, though Dask asks again for what a worker had told when it died. What a remedy made
            of the same key stays.
        """
        own = self.cell_key if self.remedy is None else self.unremedied_key
        return own == cell_key and (self._lasts or self.run == run)

    def settles_rerun(self, remedy: Remedy, cell_key: str, *, run: str) -> bool:
        """Whether a rerun with a remedy has nothing left to do for the cell.

        Parameters
        ----------
        remedy : Remedy
            What it shall be tried with.
        cell_key : str
            Digest of what determines its numbers then.
        run : str
            Token of the run.

        Returns
        -------
        bool
            True if the cell is completed, was tried by this run, or failed for good in the same
            numbers; but as-is tries these again too.
        """
        same = remedy.kind != "as-is" and self.cell_key == cell_key and self._lasts
        return self.state == "completed" or self.run == run or same

    @property
    def _lasts(self) -> bool:
        return self.failure_kind is None or self.failure_kind in LASTING_KINDS


def read_record(layout: RunLayout, cell: Cell, *, directory: Path | None = None) -> CellRecord | None:
    """Read a cell's committed record.

    Parameters
    ----------
    layout : RunLayout
        The run.
    cell : Cell
        The cell.
    directory : Path, optional
        Of another attempt than the latest.

    Returns
    -------
    CellRecord or None
        None if nothing is committed.

    Raises
    ------
    IntegrityError
        If there is a record that is damaged, or belongs to another cell.
    """
    path = (directory or layout.cell_directory(cell)) / RECORD_NAME
    remedy = "run the study again: the cell is redone, this one kept in history"
    try:
        record = read_document(path, CellRecord, remedy=remedy)
    except FileNotFoundError:
        return None
    if record.cell != cell:
        raise IntegrityError(f"{path} is the record of {record.cell.name}", remedy=remedy)
    return record


def unlisted_cells(study: Study, layout: RunLayout) -> tuple[str, ...]:
    """Name the committed cells of a run directory that are none of the study's, in order of their names.

    They are there where a study has changed: a dose or a view was left out, or it got its first named recipe. No record
    is read.
    """
    listed = {cell.name for cell in cells(study)}
    begin = len(f"{layout.root}{os.sep}")
    names = (str(path.parent)[begin:] for path in layout.root.glob(RECORDS_PATTERN))
    return tuple(sorted(name for name in names if name not in listed))


def next_attempt(layout: RunLayout, cell: Cell) -> int:
    """Number of the attempt that comes after all committed ones, from 1."""
    return max(past_attempts(layout, cell), default=0) + 1 + layout.cell_directory(cell).exists()


def past_attempts(layout: RunLayout, cell: Cell) -> dict[int, Path]:
    """List the directories of the attempts that a later one has replaced, by number, in order."""
    history = layout.history_directory(cell, 1).parent
    return dict(sorted((int(path.name.removeprefix("attempt_")), path) for path in history.glob("attempt_*")))


@contextmanager
def committed_attempt(layout: RunLayout, cell: Cell) -> Iterator[Path]:
    """Build an attempt's directory aside and commit it when the block ends well.

    Parameters
    ----------
    layout : RunLayout
        The run.
    cell : Cell
        The cell.

    Yields
    ------
    Path
        An empty directory; `write_record` must be called on it.

    Notes
    -----
    The attempt it replaces moves to the history just before the rename. Killed between the
    two, the cell has no committed record and the next run does it again.
    """
    with published_directory(layout.cell_directory(cell), scratch=layout.cell_scratch(cell)) as directory:
        yield directory
        if layout.cell_directory(cell).exists():
            replaced = next_attempt(layout, cell) - 1
            retire_directory(layout.cell_directory(cell), to=layout.history_directory(cell, replaced))


def write_record(directory: Path, record: CellRecord) -> None:
    """Write `record.json` into an attempt's directory, which is made to last as a whole when it is committed."""
    (directory / RECORD_NAME).write_text(document_text(record), encoding="utf-8")
