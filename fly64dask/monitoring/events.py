"""The events of a cell (start, epochs, outcome), small enough to be sent through a scheduler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fly64dask.base import Failure
from fly64dask.study import Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOutcome:
    """The outcome that a cell's task returns; the result itself is the record on disk."""

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
    """One epoch of one cell has ended."""

    cell: Cell
    epoch: int
    n_epochs: int
    loss: float
    worker: str = ""
    host: str = ""


CellEvent = CellStarted | CellProgress | CellOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomAwaited:
    """A worker waits for disk space, for a reason; or goes on again, without one.

    `cell` is None if the worker publishes a group that cells read.
    """

    cell: Cell | None
    reason: str | None
    worker: str
    host: str


Notify = Callable[[CellEvent], None]
# Called with the events of a run's tasks.
Hear = Callable[[CellEvent | RoomAwaited], None]

Say = Callable[[str], None]
