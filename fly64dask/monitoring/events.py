"""Events of a cell, its start, its epochs and its outcome, small enough to send through a scheduler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fly64dask.base import Failure
from fly64dask.study import Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOutcome:
    """The outcome of a cell's task, as it returns it; the record on disk is the result."""

    cell: Cell
    failure: Failure | None
    seconds: float
    was_done: bool = False
    committed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CellStarted:
    """A worker has begun an attempt at a cell."""

    cell: Cell
    worker: str
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellProgress:
    """The news of one epoch of one cell, as it happens."""

    cell: Cell
    epoch: int
    n_epochs: int
    loss: float
    worker: str = ""
    host: str = ""


CellEvent = CellStarted | CellProgress | CellOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomAwaited:
    """A worker waits for room on the disk, with the reason; or goes on, without one.

    `cell` is None if it is to publish what cells read.
    """

    cell: Cell | None
    reason: str | None
    worker: str
    host: str


Notify = Callable[[CellEvent], None]
# Of whoever hears of a run's tasks themselves.
Hear = Callable[[CellEvent | RoomAwaited], None]

Say = Callable[[str], None]
