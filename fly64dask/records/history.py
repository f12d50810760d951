"""Reads how the attempts at a cell ended, those too that a later one has replaced."""

from __future__ import annotations

import functools
from typing import Any

from fly64dask.base import FailureKind, Frozen, IntegrityError
from fly64dask.records.fields import EndingFields
from fly64dask.records.record import CellRecord, past_attempts, read_record
from fly64dask.scan import SelectionFields, SelectionMetadata
from fly64dask.store import RunLayout
from fly64dask.study import Cell


class AttemptLine(SelectionFields, EndingFields):
    """The end of one attempt at a cell, and what it kept of the exposures."""

    attempt: int
    started_at: str | None = None
    finished_at: str | None = None


def fields_of(record: CellRecord, model: type[Frozen]) -> dict[str, Any]:
    """Take the values of a record and of its selection for those fields of another model that have the same names."""
    of_record, of_selection = _shared_names(model)
    values = {name: getattr(record, name) for name in of_record}
    if record.selection is not None:
        values |= {name: getattr(record.selection, name) for name in of_selection}
    return values


@functools.cache
def _shared_names(model: type[Frozen]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the fields that a model shares with records, and with their selections."""
    of_record, of_selection = (
        tuple(name for name in model.model_fields if name in other.model_fields)
        for other in (CellRecord, SelectionMetadata)
    )
    return of_record, of_selection


def read_past(layout: RunLayout, cell: Cell) -> tuple[AttemptLine, ...]:
    """Read how the attempts at a cell ended that a later one has replaced, oldest first.

    A record that cannot be trusted is named as such. A cell without history costs one look for its directory.
    """
    lines = []
    for number, directory in past_attempts(layout, cell).items():
        try:
            record = read_record(layout, cell, directory=directory)
        except IntegrityError as error:
            # A run may be moved or copied: where it lies is no part of its tables.
            lines.append(damaged_line(number, str(error).replace(f"{layout.root}/", "")))
            continue
        if record is None:
            lines.append(damaged_line(number, f"{directory.relative_to(layout.root)} holds no record"))
        else:
            lines.append(AttemptLine(**fields_of(record, AttemptLine)))
    return tuple(lines)


def damaged_line(attempt: int, error: str) -> AttemptLine:
    """Make the line of an attempt whose record cannot be trusted."""
    return AttemptLine(attempt=attempt, state="damaged", failure_kind=FailureKind.BAD_INPUT, error=error)
