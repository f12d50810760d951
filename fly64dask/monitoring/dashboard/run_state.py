"""Keeps the states of all cells of a run under way, event by event, and describes them to a page."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fly64dask.monitoring.dashboard.cell_state import (
    CellState,
    after_end,
    after_epoch,
    after_start,
    after_wait,
    state_from_row,
)
from fly64dask.monitoring.dashboard.paging import pages_of
from fly64dask.monitoring.events import CellEvent, CellOutcome, CellProgress, CellStarted, RoomAwaited
from fly64dask.monitoring.loss_curve import unpacked_course
from fly64dask.records import STATE_SIGNS, ManifestRow, marks_of_signs
from fly64dask.study import (
    DOSE_UNITS,
    Addition,
    Cell,
    Study,
    additions_of,
    dose_name,
    section_of,
)

if TYPE_CHECKING:
    from fly64dask.records import Mark

# The order in which states are always listed; `left_out` cells are not part of this run and have no record.
STATES = ("running", "completed", "failed", "interrupted", "skipped", "damaged", "pending", "left_out")

STATE_DIGITS = {state: str(place) for place, state in enumerate(STATES)}
# Characters of a failure's message on the page; the log and the record have all of it.
MAX_FAILURE = 600


class RunState:
    """The states of all cells of a run. Several threads report events to it while the scheduler's thread reads.

    `rows` are those of cells that earlier runs have committed, completed by their context; times are seconds since
    1970.
    """

    def __init__(self, study: Study, requested: Collection[Cell], rows: Iterable[ManifestRow], *, now_s: float) -> None:
        self.study = study
        self.n_epochs_done = 0
        self._started_s = now_s
        self._requested = frozenset(requested)
        self._additions = additions_of(study)
        self._lock = threading.Lock()
        self._waiting: set[Cell | str] = set()  # wait for disk space: cells, and workers that publish groups
        self._pages = pages_of(study)
        self._states = {
            cell: CellState(state="pending" if cell in self._requested else "left_out")
            for page in self._pages
            for cell in page.cells
        }
        self._states |= {row.cell: state_from_row(row) for row in rows}
        # Kept up to date, so that an answer costs no more if there are many cells.
        self._counts = Counter(cell_state.state for cell_state in self._states.values())
        self._n_ended = 0

    def wait(self, event: RoomAwaited, *, now_s: float) -> str | None:
        """Note what waits for disk space; returns a line for a person when the first wait begins or the last ends."""
        waited, who = bool(self._waiting), event.cell or event.worker
        with self._lock:
            (self._waiting.discard if event.reason is None else self._waiting.add)(who)
            before = None if event.cell is None else self._states.get(event.cell)
            if event.cell is not None and before is not None and before.state == "running":
                self._put(event.cell, before, after_wait(before, event.reason, now_s))
        if waited == bool(self._waiting):
            return None
        if event.reason is None:
            return "disk: the wait for space is over"
        return f"disk: {event.reason}; the run waits until there is space, and then continues by itself"

    def take(self, event: CellEvent, row: ManifestRow | None = None, *, now_s: float) -> None:
        """Update the state of the cell that an event is about; with an outcome comes the cell's committed row.

        An epoch of a cell that has ended arrived late and is ignored.
        """
        with self._lock:
            before = self._states.get(event.cell)
            if before is None or (before.ended and not isinstance(event, CellOutcome)):
                return
            if isinstance(event, CellStarted):
                after = after_start(event, now_s)
            elif isinstance(event, CellProgress):
                after = after_epoch(before, event, now_s)
                self.n_epochs_done += 1
            else:
                after = after_end(before, event, row)
            self._put(event.cell, before, after)

    def complete(self, row: ManifestRow) -> None:
        """Take over the row of a completed cell after its context, such as a floor, was added.

        A cell that meanwhile runs again keeps its state.
        """
        with self._lock:
            before = self._states.get(row.cell)
            if before is not None and before.state == "completed" == row.state:
                after = state_from_row(row)
                self._states[row.cell] = replace(before, marks=after.marks)

    def _put(self, cell: Cell, before: CellState, after: CellState) -> None:
        self._states[cell] = after
        self._counts[before.state] -= 1
        self._counts[after.state] += 1
        self._n_ended += (after.ended - before.ended) * (cell in self._requested)

    def counts(self) -> dict[str, int]:
        """Count the cells in each state, zeros included, in the order of `STATES`."""
        with self._lock:
            return {state: self._counts[state] for state in STATES}

    def as_json(self, page: int = 0, *, now_s: float) -> dict[str, Any]:
        """Describe the run, and the cells of one page of its matrix, in finite numbers, strings, lists and dicts.

        Unknown values are absent. A page number beyond the last one gives the last page. If there are several pages,
        `map` has a digit for each cell of the run, page after page: the index of its state in `states`.
        """
        page = min(max(page, 0), len(self._pages) - 1)
        of_page = self._pages[page]
        with self._lock:
            states = {cell: self._states[cell] for cell in of_page.cells}
            counts, n_ended = dict(self._counts), self._n_ended
            state_map = self._map() if len(self._pages) > 1 else None
        several = {} if state_map is None else {"map": state_map, "page_sizes": [len(p.cells) for p in self._pages]}
        return {
            "study": self.study.name,
            "elapsed_s": round(now_s - self._started_s, 1),
            "n_wanted": len(self._requested),
            "n_ended": n_ended,
            "counts": {state: counts.get(state, 0) for state in STATES},
            "dose_unit": DOSE_UNITS[self.study.dose_by],
            "views": [view.name for view in self.study.views],
            "states": STATES,
            "signs": STATE_SIGNS,
            "marks": [mark.model_dump() for mark in _legend(states.values())],
            "round": max((each.round for each in self._additions.values()), default=0),
            "page": page,
            "n_pages": len(self._pages),
            **several,
            "lines": [line._asdict() for line in of_page.lines],
            "cells": [
                _cell_json(cell, cell_state, now_s, self._additions.get(cell)) for cell, cell_state in states.items()
            ],
        }

    def _map(self) -> str:
        """Write a digit for each cell, in the order of the pages: the index of its state."""
        return "".join([STATE_DIGITS[cell_state.state] for cell_state in self._states.values()])


def _legend(states: Iterable[CellState]) -> tuple[Mark, ...]:
    return marks_of_signs(sign for cell_state in states for sign in cell_state.marks)


def _cell_json(cell: Cell, cell_state: CellState, now_s: float, addition: Addition | None) -> dict[str, Any]:
    values = {
        "dose": dose_name(cell.dose),
        "view": cell.view,
        "split": cell.split,
        "repeat": cell.repeat,
        "section": section_of(cell).label or None,
        "name": cell.name,
        "state": cell_state.state,
        "ended": cell_state.ended,
        "epoch": cell_state.epoch,
        "n_epochs": cell_state.n_epochs or None,
        "loss": cell_state.loss,
        "course": unpacked_course(cell_state.course),
        "worker": cell_state.worker or None,
        "host": cell_state.host or None,
        "failure": _short(cell_state.failure),
        "running_s": _since(cell_state.started_s, now_s) if cell_state.state == "running" else None,
        "heard_s": _since(cell_state.heard_s, now_s) if cell_state.state == "running" else None,
        "seconds": cell_state.seconds,
        "n_kept": cell_state.n_kept,
        "phase_rmse_rad": cell_state.phase_rmse_rad,
        "resolution": cell_state.resolution,
        "error_over_empty": cell_state.error_over_empty,
        "marks": cell_state.marks or None,
        "log": cell_state.log_path,
        "waits": cell_state.waits,
        "added": addition and f"added in round {addition.round}: {addition.reason}",
    }
    return {key: value for key, value in values.items() if value is not None}


def _short(words: str | None) -> str | None:
    return words if words is None or len(words) <= MAX_FAILURE else f"{words[: MAX_FAILURE - 2]} …"


def _since(then_s: float | None, now_s: float) -> float | None:
    return None if then_s is None else round(max(0.0, now_s - then_s), 1)
