"""State of one cell of a run under way, and how an event changes it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from fly64dask.monitoring.events import CellOutcome, CellProgress, CellStarted
from fly64dask.monitoring.loss_curve import Points, packed_course, with_loss
from fly64dask.records import ManifestRow, marks_of, resolution_words, state_of


@dataclass(frozen=True, slots=True, kw_only=True)
class CellState:
    """State of one cell. Times are seconds since 1970; numbers of the result are those of its manifest row."""

    state: str
    failure: str | None = None
    log_path: str | None = None  # of a failed cell, relative to the run
    seconds: float | None = None
    n_kept: int | None = None
    phase_rmse_rad: float | None = None
    resolution: str | None = None  # of a scan without a truth, with its unit
    error_over_empty: float | None = None
    marks: tuple[str, ...] = ()  # signs of caveats on its numbers (`records.marks`)
    ended: bool = False  # in this run
    epoch: int = 0
    n_epochs: int = 0  # epochs that it will run, known from its first epoch on
    loss: float | None = None
    points: Points = ()  # of the loss, while it runs
    course: bytes = b""  # of the loss in a sparkline (`packed_course`)
    worker: str = ""
    host: str = ""
    started_s: float | None = None
    heard_s: float | None = None
    waits: str | None = None  # why it waits for disk space


def state_from_row(row: ManifestRow) -> CellState:
    """State of a cell that earlier runs have committed."""
    return CellState(
        state=row.state,
        failure=f"{row.failure_kind}: {row.error}" if row.failure_kind else None,
        log_path=row.log_path if row.failure_kind else None,
        seconds=row.seconds,
        n_kept=row.n_kept,
        phase_rmse_rad=_finite(row.metrics.phase_rmse_rad) if row.metrics else None,
        resolution=None if row.metrics or row.state != "completed" else resolution_words(row.half_sets),
        error_over_empty=_over_empty(row),
        marks=tuple(mark.sign for mark in marks_of([row])),
        epoch=row.n_epochs or 0,
        loss=row.final_loss,
    )


def _over_empty(row: ManifestRow) -> float | None:
    metrics = row.metrics
    if metrics is None or metrics.empty_phase_rmse_rad == 0:
        return None
    return _finite(metrics.phase_rmse_rad / metrics.empty_phase_rmse_rad)


def after_start(event: CellStarted, now_s: float) -> CellState:
    """State of a cell whose task has started."""
    return CellState(state="running", worker=event.worker, host=event.host, started_s=now_s, heard_s=now_s)


def after_wait(before: CellState, reason: str | None, now_s: float) -> CellState:
    """State of a cell that waits for disk space, or that goes on again if there is no reason."""
    return replace(before, waits=reason, heard_s=now_s)


def after_epoch(before: CellState, event: CellProgress, now_s: float) -> CellState:
    """State of a cell after one more epoch."""
    points = with_loss(before.points, event.epoch, event.loss)
    return CellState(
        state="running",
        epoch=event.epoch,
        n_epochs=event.n_epochs,
        loss=_finite(event.loss),
        points=points,
        course=packed_course(points),  # at each event: at each request it would hold up the scheduler
        worker=event.worker,
        host=event.host,
        started_s=now_s if before.started_s is None else before.started_s,
        heard_s=now_s,
    )


def after_end(before: CellState, outcome: CellOutcome, row: ManifestRow | None) -> CellState:
    """State of a cell after its task: that of its record, unless this attempt could not be committed."""
    if row is not None and outcome.committed:
        after = state_from_row(row)
        # The record of a failed attempt has no epochs, so those that this process has seen are kept.
        after = replace(
            after, epoch=row.n_epochs or before.epoch, loss=before.loss if after.loss is None else after.loss
        )
    else:
        failure = f"{outcome.failure.kind}: {outcome.failure.message}" if outcome.failure else None
        state = state_of(outcome.failure.kind if outcome.failure else None)
        after = CellState(state=state, failure=failure, epoch=before.epoch)
    return replace(
        after,
        ended=True,
        course=before.course,
        worker=before.worker,
        host=before.host,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
