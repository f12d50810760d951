"""What happens in a run, event by event -> how every cell of its matrix is now, ready to be shown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fly64dask.monitoring.events import CellEvent, CellOutcome, CellProgress
from fly64dask.monitoring.loss_curve import Points, relative_heights, with_loss
from fly64dask.records import ManifestRow
from fly64dask.study import SPLITS, Cell, Study, cells, dose_name, repeats_of

# In the order of every list; `left_out` cells are not in this run and have no record either.
STATES = ("running", "completed", "failed", "skipped", "damaged", "pending", "left_out")
# Cells that an event copies: few, and with 100 000 cells not many chunks either (our choice).
CHUNK = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardCell:
    """How one cell is. Times are seconds since 1970, as the caller's clock gives them."""

    state: str
    row: ManifestRow | None = None
    failure: str | None = None
    ended: bool = False  # in this run
    epoch: int = 0
    loss: float | None = None
    points: Points = ()
    course: tuple[tuple[int, float], ...] = ()  # where they lie in a sparkline: epoch, and height from 0 to 1
    worker: str = ""
    host: str = ""
    started_s: float | None = None
    heard_s: float | None = None


class BoardCells(Mapping[Cell, BoardCell]):
    """Cells of a board in the study's order; giving one another state copies few of the others.

    Parameters
    ----------
    place : mapping of Cell to int
        Which chunk each cell is in; of the whole study, in its order.
    chunks : tuple of mapping
        The cells of each chunk.
    """

    __slots__ = ("_chunks", "_place")

    def __init__(self, place: Mapping[Cell, int], chunks: tuple[Mapping[Cell, BoardCell], ...]) -> None:
        self._place = place
        self._chunks = chunks

    @classmethod
    def of(cls, some: Iterable[tuple[Cell, BoardCell]]) -> BoardCells:
        """Cut cells into chunks."""
        everything = list(some)
        chunks = tuple(dict(everything[start : start + CHUNK]) for start in range(0, len(everything), CHUNK))
        return cls({cell: number for number, chunk in enumerate(chunks) for cell in chunk}, chunks)

    def replaced(self, cell: Cell, after: BoardCell) -> BoardCells:
        """The same cells, one of them in another state."""
        number = self._place[cell]
        chunk = {**self._chunks[number], cell: after}
        return BoardCells(self._place, (*self._chunks[:number], chunk, *self._chunks[number + 1 :]))

    def __getitem__(self, cell: Cell) -> BoardCell:
        """State of a cell."""
        return self._chunks[self._place[cell]][cell]

    def __iter__(self) -> Iterator[Cell]:
        """Cells in the study's order."""
        return iter(self._place)

    def __len__(self) -> int:
        """Number of cells."""
        return len(self._place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """How a run is; each event gives a new one."""

    study: Study
    started_s: float
    wanted: frozenset[Cell]
    cells: BoardCells
    n_epochs_done: int = 0


def new_board(study: Study, wanted: Collection[Cell], rows: Iterable[ManifestRow], *, now_s: float) -> Board:
    """Start a board with what earlier runs have committed.

    Parameters
    ----------
    study : Study
        The study.
    wanted : collection of Cell
        Cells of this run.
    rows : iterable of ManifestRow
        Committed cells.
    now_s : float
        Seconds since 1970.

    Returns
    -------
    Board
    """
    by_cell = {row.cell: row for row in rows}
    chosen = frozenset(wanted)

    def state_of(cell: Cell) -> BoardCell:
        row = by_cell.get(cell)
        return _from_row(row) if row else BoardCell(state="pending" if cell in chosen else "left_out")

    return Board(
        study=study,
        started_s=now_s,
        wanted=chosen,
        cells=BoardCells.of((cell, state_of(cell)) for cell in cells(study)),
    )


def with_event(board: Board, event: CellEvent, row: ManifestRow | None = None, *, now_s: float) -> Board:
    """Take note of an event.

    Parameters
    ----------
    board : Board
        As it was.
    event : CellStarted, CellProgress or CellOutcome
        What happened.
    row : ManifestRow, optional
        With an outcome: the cell's committed row.
    now_s : float
        Seconds since 1970.

    Returns
    -------
    Board
        The same one for an epoch of a cell that has ended: it was late on its way.
    """
    before = board.cells.get(event.cell)
    if before is None or (before.ended and not isinstance(event, CellOutcome)):
        return board
    if isinstance(event, CellOutcome):
        return _with_cell(board, event.cell, _ended(before, event, row))
    running = replace(before, state="running", failure=None, worker=event.worker, host=event.host, heard_s=now_s)
    if not isinstance(event, CellProgress):
        return _with_cell(board, event.cell, _started(running, now_s))
    points = with_loss(before.points, event.epoch, event.loss)
    running = replace(
        running,
        row=None,
        epoch=event.epoch,
        loss=_finite(event.loss),
        points=points,
        course=_course(points),
        started_s=now_s if before.started_s is None else before.started_s,
    )
    board = _with_cell(board, event.cell, running)
    return replace(board, n_epochs_done=board.n_epochs_done + 1)


def count_cells(board: Board) -> dict[str, int]:
    """Number of cells in each state, zeros included, in the order of `STATES`."""
    counts = Counter(one.state for one in board.cells.values())
    return {state: counts[state] for state in STATES}


def board_json(board: Board, *, now_s: float) -> dict[str, Any]:
    """Describe a board to a page.

    Parameters
    ----------
    board : Board
        The board.
    now_s : float
        Seconds since 1970.

    Returns
    -------
    dict
        Finite numbers, strings, lists and dicts. Values that are not known are absent.
    """
    return {
        "study": board.study.name,
        "n_epochs": board.study.recipe.n_epochs,
        "elapsed_s": round(now_s - board.started_s, 1),
        "n_wanted": len(board.wanted),
        "n_ended": sum(board.cells[cell].ended for cell in board.wanted),
        "counts": count_cells(board),
        "doses": [dose_name(dose) for dose in board.study.doses_photons],
        "n_repeats": [len(repeats_of(board.study, dose)) for dose in board.study.doses_photons],
        "views": [view.name for view in board.study.views],
        "splits": list(SPLITS),
        "cells": [_cell_json(cell, one, now_s) for cell, one in board.cells.items()],
    }


def _from_row(row: ManifestRow) -> BoardCell:
    return BoardCell(
        state=row.state,
        row=row,
        failure=f"{row.failure_kind}: {row.error}" if row.failure_kind else None,
        epoch=row.n_epochs or 0,
        loss=row.final_loss,
    )


def _ended(before: BoardCell, outcome: CellOutcome, row: ManifestRow | None) -> BoardCell:
    """How a cell is after its task: as its record says, unless this attempt could not be committed."""
    if row is not None and outcome.committed:
        after = _from_row(row)
        # A failed attempt's record has no epochs: they are what this process has seen of it.
        after = replace(
            after, epoch=row.n_epochs or before.epoch, loss=before.loss if after.loss is None else after.loss
        )
    else:
        failure = f"{outcome.failure.kind}: {outcome.failure.message}" if outcome.failure else None
        after = BoardCell(state="failed" if failure else "completed", failure=failure, epoch=before.epoch)
    return replace(
        after,
        ended=True,
        points=before.points,
        course=before.course,
        worker=before.worker,
        host=before.host,
        started_s=before.started_s,
    )


def _started(running: BoardCell, now_s: float) -> BoardCell:
    return replace(running, row=None, epoch=0, loss=None, points=(), course=(), started_s=now_s)


def _course(points: Points) -> tuple[tuple[int, float], ...]:
    # Once for each event, not for each answer: with 500 cells that would hold up the scheduler.
    heights = relative_heights([loss for _, loss in points])
    return tuple((epoch, round(height, 2)) for (epoch, _), height in zip(points, heights, strict=True))


def _with_cell(board: Board, cell: Cell, after: BoardCell) -> Board:
    return replace(board, cells=board.cells.replaced(cell, after))


def _cell_json(cell: Cell, one: BoardCell, now_s: float) -> dict[str, Any]:
    row = one.row
    known = {
        "dose": dose_name(cell.dose),
        "view": cell.view,
        "split": cell.split,
        "repeat": cell.repeat,
        "name": cell.name,
        "state": one.state,
        "ended": one.ended,
        "epoch": one.epoch,
        "loss": one.loss,
        "course": one.course,
        "worker": one.worker or None,
        "host": one.host or None,
        "failure": one.failure,
        "running_s": _since(one.started_s, now_s) if one.state == "running" else None,
        "heard_s": _since(one.heard_s, now_s) if one.state == "running" else None,
        "seconds": row and row.seconds,
        "n_kept": row and row.n_kept,
        "phase_rmse_rad": _finite(row.metrics.phase_rmse_rad) if row and row.metrics else None,
        "log": row.log_path if row and row.failure_kind else None,
    }
    return {key: value for key, value in known.items() if value is not None}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _since(then_s: float | None, now_s: float) -> float | None:
    return None if then_s is None else round(max(0.0, now_s - then_s), 1)
