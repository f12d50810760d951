"""The end of an attempt at a cell: its record is made and committed, also for a cell whose worker was lost."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.base import METRICS, Failure, IntegrityError, host_name, is_of_edition, software_versions, utc_now
from fly64dask.cells.engine_call import Reconstructed
from fly64dask.cells.inputs import CellInputs
from fly64dask.cells.request import CellRequest, open_request
from fly64dask.monitoring import CellOutcome, forget_live
from fly64dask.records import (
    LASTING_KINDS,
    CellRecord,
    InputFacts,
    ReconstructionFacts,
    committed_attempt,
    next_attempt,
    read_record,
    state_of,
    write_record,
)
from fly64dask.store import LOG_NAME, RunLayout, note, storing
from fly64dask.study import Cell

if TYPE_CHECKING:
    from fly64dask.scan import Identifiability

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The beginning of one attempt at a cell: what its record says whatever becomes of it."""

    request: CellRequest
    number: int
    cell_key: str | None
    inputs: CellInputs | Failure
    started_at: str
    unremedied_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The end of an attempt: what was predicted of its data, and its reconstruction or why there is none."""

    result: Reconstructed | Failure
    identifiability: Identifiability | None = None


class CommittedElsewhereError(Exception):
    """While an attempt was made, another worker has committed the cell: one that Dask had given up, perhaps."""

    def __init__(self, record: CellRecord) -> None:
        super().__init__(record.cell.name)
        self.record = record


def refuse_second(attempt: Attempt) -> None:
    """Raise CommittedElsewhereError if the cell has a record by now that leaves nothing to do."""
    key = attempt.cell_key
    theirs = None if key is None else settled_record(attempt.request, key, attempt.inputs)
    if theirs is not None:
        raise CommittedElsewhereError(theirs)


def commit_record(attempt: Attempt, ending: Ending, directory: Path, *, seconds: float) -> CellRecord:
    """Write the last line of an attempt's log and its record, into a directory from `committed_attempt`."""
    result, path = ending.result, directory / LOG_NAME
    words = f"failed {result.kind}: {result.message}" if isinstance(result, Failure) else "completed"
    with path.open("a", encoding="utf-8") as stream:
        stream.write(f"{utc_now()} {words}\n")
    record = _make_record(attempt, ending, seconds, hashlib.sha256(path.read_bytes()).hexdigest())
    write_record(directory, record)
    log.info("cell=%s state=%s seconds=%.1f", record.cell.name, record.state, seconds)
    return record


def conclude(layout: RunLayout, record: CellRecord) -> None:
    """Remove the checkpoint of a cell that will not go on from it, and note in its journal how the attempt ended."""
    remove_settled_checkpoint(layout, record)
    note_event(layout, record.cell, f"ended state={record.state} kind={record.failure_kind}")


def remove_settled_checkpoint(layout: RunLayout, record: CellRecord) -> None:
    """Remove the checkpoint of a cell that will not go on from it, as when its worker died right after its record."""
    if record.failure_kind is None or record.failure_kind in LASTING_KINDS:
        layout.checkpoint_file(record.cell).unlink(missing_ok=True)


def commit_lost(request: CellRequest, failure: Failure) -> CellOutcome:
    """Commit the record of a cell whose task never came back.

    Parameters
    ----------
    request : CellRequest
        What was asked of the lost worker.
    failure : Failure
        What the scheduler said of the task.

    Returns
    -------
    CellOutcome
        That of the committed record, if a worker died after it had committed one.
    """
    layout, cell = request.layout, request.cell
    key, inputs = open_request(request)
    settled = None if isinstance(inputs, Failure) else settled_record(request, key, inputs)
    if settled is not None:
        return outcome_of(settled)
    logs = [path.read_text(errors="replace") for path in sorted(layout.cell_scratch(cell).glob(f"*/{LOG_NAME}"))]
    # Without a key: the record settles nothing, and any later run tries the cell again.
    attempt = Attempt(
        request=request, number=next_attempt(layout, cell), cell_key=None, inputs=inputs, started_at=utc_now()
    )
    with committed_attempt(layout, cell) as directory:
        (directory / LOG_NAME).write_text("".join(logs))
        record = commit_record(attempt, Ending(result=failure), directory, seconds=0.0)
    forget_live(layout, cell)
    conclude(layout, record)
    return CellOutcome(cell=cell, failure=failure, seconds=0.0)


def settled_record(request: CellRequest, key: str, inputs: CellInputs | Failure) -> CellRecord | None:
    """Read a cell's committed record if it leaves nothing to do for a request; None if it is missing or damaged.

    What was measured in other pixels, by another measure of overlap or by other metrics has the same arrays, and is
    measured again; but not what a remedy made that is not asked for: without it the cell would fail as it did before.
    """
    try:
        record = read_record(request.layout, request.cell)
    except IntegrityError as error:
        log.warning("cell=%s state=damaged error=%s", request.cell.name, error)
        return None
    if record is None:
        return None
    token, remedy = request.run_id.token, request.remedy
    settled = record.settles_rerun(remedy, key, run=token) if remedy else record.settles(key, run=token)
    if settled and isinstance(inputs, CellInputs) and record.remedy == remedy:
        settled = _is_measured_as_now(record, inputs)
    return record if settled else None


def _is_measured_as_now(record: CellRecord, inputs: CellInputs) -> bool:
    """Whether what a record has measured is what would be measured now; without digests it has measured nothing."""
    if not record.digests:
        return True
    view, pixel_size_nm = inputs.view.attributes, inputs.exposures.attributes.pixel_size_nm
    then = (record.pixel_size_nm, record.image_overlap, record.group_overlap)
    is_by_these = record.state != "completed" or is_of_edition(record.versions, METRICS)
    return is_by_these and then == (pixel_size_nm, view.image_overlap, view.group_overlap)


def outcome_of(record: CellRecord) -> CellOutcome:
    """Say for the scheduler how a cell ended whose record was committed before."""
    failure = Failure(kind=record.failure_kind, message=record.error or "") if record.failure_kind else None
    return CellOutcome(cell=record.cell, failure=failure, seconds=record.seconds, was_done=True)


def note_event(layout: RunLayout, cell: Cell, event: str) -> None:
    """Append an event to a cell's journal."""
    path = layout.journal_file(cell)
    with storing(path):
        note(path, event)


def _make_record(attempt: Attempt, ending: Ending, seconds: float, log_sha256: str) -> CellRecord:
    request = attempt.request
    inputs, input_sha256 = InputFacts(), {}
    of_reconstruction, digests_of_reconstruction = ReconstructionFacts(), {}
    failure = None
    if isinstance(attempt.inputs, CellInputs):
        inputs, input_sha256 = attempt.inputs.facts(), attempt.inputs.sha256
    if isinstance(ending.result, Reconstructed):
        of_reconstruction, digests_of_reconstruction = ending.result.facts, ending.result.digests
        seconds += ending.result.earlier_s
    else:
        failure = ending.result
    return CellRecord(
        study=request.study.name,
        **asdict(request.cell),
        state=state_of(failure.kind if failure else None),
        returncode=1 if failure else 0,
        failure_kind=failure.kind if failure else None,
        error=failure.message if failure else None,
        attempt=attempt.number,
        run=request.run_id.token,
        cell_key=attempt.cell_key,
        started_at=attempt.started_at,
        finished_at=utc_now(),
        seconds=seconds,
        host=host_name(),
        versions=software_versions(),
        engine=request.engine,
        recipe=request.recipe,
        seeds=request.study.seeds,
        **dict(inputs),
        identifiability=ending.identifiability,
        **dict(of_reconstruction),
        digests=input_sha256 | digests_of_reconstruction,
        remedy=request.remedy,
        unremedied_key=attempt.unremedied_key,
        log_sha256=log_sha256,
    )
