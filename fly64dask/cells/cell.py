"""What a worker runs for one cell: decide what is left to do, run the engine in its own process, commit the record."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fly64dask.base import AbandonedError, Failure, FailureKind, result_or_failure, utc_now
from fly64dask.cells.cancellation import RunId, is_stopped, running_cell
from fly64dask.cells.commit import (
    Attempt,
    CommittedElsewhereError,
    Ending,
    commit_record,
    conclude,
    note_event,
    outcome_of,
    refuse_second,
    remove_settled_checkpoint,
    settled_record,
)
from fly64dask.cells.engine_call import EngineCall, Reconstructed
from fly64dask.cells.inputs import CellInputs
from fly64dask.cells.isolation import Failed, Returned, call_in_child
from fly64dask.cells.preload import engine_modules, leaves_nothing
from fly64dask.cells.request import CellRequest, open_request, unremedied_key
from fly64dask.cells.room import RoomWait
from fly64dask.cells.waiting import shown_waiting
from fly64dask.monitoring import CellOutcome, LiveFile, live_file
from fly64dask.reconstruction import Progress
from fly64dask.records import committed_attempt, next_attempt
from fly64dask.scan import object_frame, predict_identifiability, refuse_degenerate, refuses_degenerate, rule_and_advice
from fly64dask.store import LOG_NAME, RECONSTRUCTION_NAME, RunLayout, require_space, started, starts_in_vain
from fly64dask.study import Cell

# A worker may die by chance while it runs a cell, even a second one; a third time it is the cell (our choice).
MAX_STARTS = 3
# Record, log and Zarr metadata of one attempt, generously; its arrays come on top.
RECORD_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The process that runs a cell, and what it wants to be told and asked meanwhile.

    Parameters
    ----------
    begun : callable
        Called when an attempt begins; never for a cell that is done.
    progress : callable
        Called with (epochs done, loss) after each epoch.
    worker : str
        Name of the Dask worker, for those who watch.
    abandoned : callable
        Asked while the engine runs; if nobody waits for the cell any more, it ends without a record.
    waiting : callable
        Called with the reason when the cell has to wait for disk space, and with None when it continues.
    """

    begun: Callable[[], None] = lambda: None
    progress: Progress = lambda epoch, loss: None
    worker: str = ""
    abandoned: Callable[[], bool] = lambda: False
    waiting: Callable[[str | None], None] = lambda reason: None


def run_cell(request: CellRequest, caller: Caller) -> CellOutcome:
    """Reconstruct one cell and commit its record; never raises.

    Parameters
    ----------
    request : CellRequest
        What is asked; exposures and view are published unless it says why they are not.
    caller : Caller
        Who asks.

    Returns
    -------
    CellOutcome
        `committed` is False only if the cell was abandoned or the record itself could not be written.
    """
    began = time.monotonic()
    what = f"cell={request.cell.name}"

    def run() -> CellOutcome:
        attempt = plan_attempt(request)
        return _run_attempt(attempt, caller, room) if isinstance(attempt, Attempt) else attempt

    with (
        running_cell(request.run_id),
        shown_waiting(request, worker=caller.worker, tell=caller.waiting) as wait,
    ):
        room = RoomWait(
            folder=request.layout.root,
            patience_s=request.study.limits.room_wait_s,
            what=what,
            say=wait,
            stopped=lambda: is_stopped(request.run_id) or caller.abandoned(),
        )
        outcome = result_or_failure(run, what=what)
        while room.helps(outcome):
            outcome = result_or_failure(run, what=what)
    if isinstance(outcome, Failure):
        return CellOutcome(cell=request.cell, failure=outcome, seconds=time.monotonic() - began, committed=False)
    return outcome


def plan_attempt(request: CellRequest) -> Attempt | CellOutcome:
    """Find what is left to do for a cell: one more attempt, or nothing if a record settles it or the run is stopped."""
    layout, cell = request.layout, request.cell
    key, inputs = open_request(request)
    settled = settled_record(request, key, inputs)
    if settled is not None:
        remove_settled_checkpoint(layout, settled)
        return outcome_of(settled)
    if is_stopped(request.run_id):
        return CellOutcome(cell=cell, failure=_interrupted("before it started"), seconds=0.0, committed=False)
    if not isinstance(inputs, Failure) and is_killer(layout, cell, request.run_id):
        inputs = Failure(
            kind=FailureKind.WORKER_LOST,
            message=f"{MAX_STARTS} workers died one after the other while they ran this cell, none of them after a "
            "new checkpoint; check the memory, the wall time and the logs of workers, then run again",
        )
    return Attempt(
        request=request,
        number=next_attempt(layout, cell),
        cell_key=key,
        inputs=inputs,
        started_at=utc_now(),
        unremedied_key=unremedied_key(request),
    )


def is_killer(layout: RunLayout, cell: Cell, run_id: RunId) -> bool:
    """Tell whether workers of this run have died of a cell: started as often as allowed, it never got anywhere."""
    checkpoint = _checkpoint_of(layout, cell)
    in_vain = starts_in_vain(layout.journal_file(cell), run=run_id.token, checkpoint=checkpoint)
    return in_vain >= MAX_STARTS


def _run_attempt(attempt: Attempt, caller: Caller, room: RoomWait) -> CellOutcome:
    began = time.monotonic()
    request = attempt.request
    cell, layout, run = request.cell, request.layout, request.run_id.token
    caller.begun()
    live_cell = live_file(
        layout, cell, attempt=attempt.number, run=run, n_epochs=request.recipe.n_epochs, worker=caller.worker
    )
    note_event(layout, cell, started(attempt.number, run=run, checkpoint=_checkpoint_of(layout, cell)))
    try:
        with live_cell as live, committed_attempt(layout, cell) as directory:
            ending = _reconstruct(attempt, caller, live, directory)
            refuse_second(attempt)
            room.refuse_to_end(ending.result)
            seconds = time.monotonic() - began
            record = commit_record(attempt, ending, directory, seconds=seconds)
    except CommittedElsewhereError as other:
        note_event(layout, cell, f"dropped attempt={attempt.number}, as another worker has committed the cell")
        return outcome_of(other.record)
    conclude(layout, record)
    failure = ending.result if isinstance(ending.result, Failure) else None
    return CellOutcome(cell=cell, failure=failure, seconds=record.seconds)


def _reconstruct(attempt: Attempt, caller: Caller, live: LiveFile, directory: Path) -> Ending:
    """Predict what the data determine, refuse what would fail after the engine's work, else run the engine."""
    request, inputs = attempt.request, attempt.inputs
    if isinstance(inputs, Failure):
        return Ending(result=inputs)
    cell_label = f"cell={request.cell.name}"
    identifiability = result_or_failure(
        lambda: predict_identifiability(
            inputs.positions_px,
            inputs.probe_guess,
            request.recipe,
            dose_photons=inputs.exposures.attributes.dose_photons,
            valid_pixels=inputs.read_valid_pixels(),
        ),
        what=cell_label,
    )
    if isinstance(identifiability, Failure):
        return Ending(result=identifiability)
    result = result_or_failure(lambda: _refuse_in_vain(request, inputs), what=cell_label) or _call_engine(
        attempt, caller, live, directory
    )
    if isinstance(result, Failure):
        # A killed engine may have been writing.
        (directory / RECONSTRUCTION_NAME).unlink(missing_ok=True)
    return Ending(result=result, identifiability=identifiability)


def _refuse_in_vain(request: CellRequest, inputs: CellInputs) -> None:
    """Refuse damaged numbers of photons, a degenerate scan, unless it is guarded, and a full disk."""
    _ = inputs.exposure_photons  # read and checked: the record says their mean
    view, positions, probe = inputs.view.attributes, inputs.positions_px, inputs.probe_guess
    if refuses_degenerate(request.recipe):
        rule, advice = rule_and_advice(view.selection)
        refuse_degenerate(positions, n_exposures=view.n_exposures, rule=rule, advice=advice)
    shape, _ = object_frame(positions, (probe.shape[-2], probe.shape[-1]))
    require_space(request.layout.root, shape[0] * shape[1] * probe.itemsize + probe.nbytes + RECORD_BYTES)


def _call_engine(attempt: Attempt, caller: Caller, live: LiveFile, directory: Path) -> Reconstructed | Failure:
    request = attempt.request
    assert attempt.cell_key is not None
    n_epochs_done = 0

    def report(epoch: int, loss: float) -> None:
        nonlocal n_epochs_done
        n_epochs_done = epoch
        live.report(epoch, loss)
        caller.progress(epoch, loss)

    call = call_in_child(
        EngineCall(request=request, directory=directory, cell_key=attempt.cell_key),
        log_file=directory / LOG_NAME,
        limits=request.study.limits,
        on_report=report,
        stopped=lambda: is_stopped(request.run_id) or caller.abandoned(),
        preload=engine_modules(request.engine),
        leaves_nothing=leaves_nothing(request.engine),
    )
    if isinstance(call, Returned):
        return call.value
    if isinstance(call, Failed):
        return call.failure
    if caller.abandoned():
        raise AbandonedError(
            f"reconstruct {request.cell.name}: the worker lost its scheduler after epoch {n_epochs_done}",
            remedy="run again to continue",
        )
    return _interrupted(f"after epoch {n_epochs_done} of {request.recipe.n_epochs}")


def _checkpoint_of(layout: RunLayout, cell: Cell) -> str:
    """Name the checkpoint that a cell has, by its time; empty without one."""
    try:
        return str(layout.checkpoint_file(cell).stat().st_mtime_ns)
    except FileNotFoundError:
        return ""


def _interrupted(when: str) -> Failure:
    return Failure(kind=FailureKind.INTERRUPTED, message=f"stopped on request {when}; run again to continue")
