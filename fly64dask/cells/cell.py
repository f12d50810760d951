"""One cell -> one committed record: what a worker runs."""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fly64dask.base import (
    AbandonedError,
    Failure,
    FailureKind,
    IntegrityError,
    host_name,
    result_or_failure,
    software_versions,
    utc_now,
)
from fly64dask.cells.attempt import Attempt
from fly64dask.cells.cancellation import RunId, is_stopped, new_run_id, running_cell
from fly64dask.cells.inputs import CellInputs, cell_key, failure_key
from fly64dask.cells.preload import engine_modules
from fly64dask.isolation import call_in_child
from fly64dask.monitoring import CellOutcome, LiveFile, forget_live, live_file
from fly64dask.reconstruction import LSQML, Progress
from fly64dask.records import LASTING_KINDS, CellRecord, committed_attempt, next_attempt, read_record, write_record
from fly64dask.scan import object_frame, predict_identifiability, refuse_degenerate, refuses_degenerate
from fly64dask.store import (
    LOG_NAME,
    RECONSTRUCTION_NAME,
    RunLayout,
    note,
    require_space,
    started,
    starts_in_vain,
    storing,
)
from fly64dask.study import Cell, Study, remedied_recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from fly64dask.study import Remedy

log = logging.getLogger(__name__)
# A worker may die by chance while it runs a cell, even a second one; a third time it is the cell (our choice).
MAX_STARTS = 3
# Record, log and Zarr metadata of one attempt, generously; its arrays come on top.
RECORD_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """How a failed cell is tried again, and why the groups that it reads then are not published."""

    remedy: Remedy
    blocked_by: Failure | None = None


def run_cell(
    study: Study,
    cell: Cell,
    layout: RunLayout,
    blocked_by: Failure | None,
    progress: Progress,
    *,
    engine: str = LSQML,
    run_id: RunId | None = None,
    worker: str = "",
    abandoned: Callable[[], bool] = lambda: False,
    rerun: Rerun | None = None,
) -> CellOutcome:
    """Reconstruct one cell and commit its record; never raises.

    Parameters
    ----------
    study : Study
        The study.
    cell : Cell
        One of its cells.
    layout : RunLayout
        The run; exposures and view are published.
    blocked_by : Failure or None
        Why they are not.
    progress : callable
        Called with (epochs done, loss) after each epoch.
    engine : str
        `module:function` of an `Engine`, imported in the engine's process.
    run_id : RunId, optional
        By which this cell can be stopped; then its record says so. A new one if omitted.
    worker : str
        Name of the Dask worker, for those who watch.
    abandoned : callable
        Asked while the engine runs; if nobody waits for the cell any more, it ends without a record.
    rerun : Rerun, optional
        It has failed and shall be tried again with a remedy.

    Returns
    -------
    CellOutcome
        `committed` is False only if it was abandoned or the record itself could not be written.
    """
    began = time.monotonic()
    run_id = run_id or new_run_id(layout)

    def attempt() -> CellOutcome:
        remedy = rerun.remedy if rerun else None
        running = _Running(
            study=_remedied(study, remedy),
            cell=cell,
            layout=layout,
            engine=engine,
            run_id=run_id,
            worker=worker,
            abandoned=abandoned,
            began=began,
            inputs=CellInputs(layout, cell, remedy),
            remedy=remedy,
            unremedied_key=_key(study, cell, CellInputs(layout, cell), blocked_by, engine)[0] if rerun else None,
        )
        return running.run(rerun.blocked_by if rerun else blocked_by, progress)

    with running_cell(run_id):
        outcome = result_or_failure(attempt, what=f"cell={cell.name}")
    if isinstance(outcome, Failure):
        return CellOutcome(cell=cell, failure=outcome, seconds=time.monotonic() - began, committed=False)
    return outcome


def commit_lost(
    study: Study,
    cell: Cell,
    layout: RunLayout,
    failure: Failure,
    *,
    engine: str = LSQML,
    run_id: RunId | None = None,
    remedy: Remedy | None = None,
) -> CellOutcome:
    """Commit the record of a cell whose task never came back.

    Parameters
    ----------
    study : Study
        The study.
    cell : Cell
        The cell.
    layout : RunLayout
        The run.
    failure : Failure
        What the scheduler said of its task.
    engine : str
        That it was to run.
    run_id : RunId, optional
        The run; a new one if omitted.
    remedy : Remedy, optional
        With which it was tried again.

    Returns
    -------
    CellOutcome
        That of the committed record, if a worker died after it had committed one.
    """
    run_id = run_id or new_run_id(layout)
    study = _remedied(study, remedy)
    inputs = CellInputs(layout, cell, remedy)
    key, unusable = _key(study, cell, inputs, None, engine)
    done = None if unusable else _settled_record(layout, cell, key, run_id, remedy)
    if done is not None:
        return _outcome_of(done)
    said = [path.read_text(errors="replace") for path in sorted(layout.cell_scratch(cell).glob(f"*/{LOG_NAME}"))]
    facts = inputs.facts() | _beginning(next_attempt(layout, cell), engine, run_id) | {"remedy": remedy}
    with committed_attempt(layout, cell) as directory:
        (directory / LOG_NAME).write_text("".join(said))
        _append_log(directory / LOG_NAME, failure.message)
        write_record(directory, _make_record(study, cell, None, facts, failure, 0.0, directory))
    forget_live(layout, cell)
    _note(layout, cell, f"ended state=failed kind={failure.kind}")
    return CellOutcome(cell=cell, failure=failure, seconds=0.0)


def is_killer(layout: RunLayout, cell: Cell, run_id: RunId) -> bool:
    """Whether workers of this run have died of a cell: started as often as allowed, it never got anywhere."""
    checkpoint = _checkpoint_of(layout, cell)
    in_vain = starts_in_vain(layout.journal_file(cell), run=run_id.token, checkpoint=checkpoint)
    return in_vain >= MAX_STARTS


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    """One call of `run_cell`: what stays the same from its first line to its last."""

    study: Study
    cell: Cell
    layout: RunLayout
    engine: str
    run_id: RunId
    worker: str
    abandoned: Callable[[], bool]
    began: float
    inputs: CellInputs
    remedy: Remedy | None
    unremedied_key: str | None

    def run(self, blocked_by: Failure | None, progress: Progress) -> CellOutcome:
        """Do what is missing and commit it."""
        cell, layout = self.cell, self.layout
        key, failure = _key(self.study, cell, self.inputs, blocked_by, self.engine)
        done = _settled_record(layout, cell, key, self.run_id, self.remedy)
        if done is not None:
            return _outcome_of(done)
        if is_stopped(self.run_id):
            return CellOutcome(cell=cell, failure=_interrupted("before it started"), seconds=0.0, committed=False)
        attempt = next_attempt(layout, cell)
        facts = self.inputs.facts() | _beginning(attempt, self.engine, self.run_id)
        facts |= {"remedy": self.remedy, "unremedied_key": self.unremedied_key}
        failure = failure or self._refuse_killer()
        _note(layout, cell, started(attempt, run=self.run_id.token, checkpoint=_checkpoint_of(layout, cell)))
        with self._live(attempt) as live, committed_attempt(layout, cell) as directory:
            failure = failure or result_or_failure(lambda: self._foresee(facts), what=f"cell={cell.name}")
            if failure is None:
                result = self._reconstruct(directory, key, progress, live)
                if isinstance(result, Failure):
                    failure = result
                    # A killed engine may have been writing.
                    shutil.rmtree(directory / RECONSTRUCTION_NAME, ignore_errors=True)
                else:
                    facts |= result
            seconds = time.monotonic() - self.began
            record = self._commit(directory, key, facts, failure, seconds)
        if failure is None or failure.kind in LASTING_KINDS:
            layout.checkpoint_file(cell).unlink(missing_ok=True)
        _note(layout, cell, f"ended state={record.state} kind={record.failure_kind}")
        return CellOutcome(cell=cell, failure=failure, seconds=seconds)

    def _refuse_killer(self) -> Failure | None:
        """Refuse a cell that workers have died of."""
        if not is_killer(self.layout, self.cell, self.run_id):
            return None
        return Failure(
            kind=FailureKind.WORKER_LOST,
            message=f"{MAX_STARTS} workers died one after the other while they ran this cell, none of them after a "
            "new checkpoint; check the memory, the wall time and the logs of workers, then run again",
        )

    def _live(self, attempt: int) -> AbstractContextManager[LiveFile]:
        return live_file(
            self.layout,
            self.cell,
            attempt=attempt,
            run=self.run_id.token,
            n_epochs=self.study.recipe.n_epochs,
            worker=self.worker,
        )

    def _foresee(self, facts: dict[str, Any]) -> None:
        """Predict what the data determine, then refuse what would fail after the engine's work.

        That is a degenerate scan, unless guarded, or a full disk.
        """
        assert self.inputs.view is not None and self.inputs.exposures is not None
        view = self.inputs.view
        positions, probe = self.inputs.read_positions(), self.inputs.read_probe()
        facts["identifiability"] = predict_identifiability(
            positions, probe, self.study.recipe, dose_photons=self.inputs.exposures.dose_photons
        )
        if refuses_degenerate(self.study.recipe):
            rule = f"at >= {view.selection.spacing_threshold:g} px" if view.selection else "of the baseline"
            refuse_degenerate(positions, n_exposures=view.n_exposures, rule=rule, is_baseline=view.selection is None)
        shape, _ = object_frame(positions, (probe.shape[-2], probe.shape[-1]))
        require_space(self.layout.root, shape[0] * shape[1] * probe.itemsize + probe.nbytes + RECORD_BYTES)

    def _reconstruct(self, directory: Path, key: str, progress: Progress, live: LiveFile) -> dict[str, Any] | Failure:
        work = Attempt(
            study=self.study,
            cell=self.cell,
            root=str(self.layout.root),
            directory=str(directory),
            engine=self.engine,
            cell_key=key,
            remedy=self.remedy,
        )
        epochs = [0]

        def report(epoch: int, loss: float) -> None:
            epochs[0] = epoch
            live.report(epoch, loss)
            progress(epoch, loss)

        result = call_in_child(
            work,
            log_file=directory / LOG_NAME,
            limits=self.study.limits,
            on_report=report,
            stopped=lambda: is_stopped(self.run_id) or self.abandoned(),
            preload=engine_modules(self.engine),
        )
        if result is None and self.abandoned():
            raise AbandonedError(
                f"reconstruct {self.cell.name}: the worker lost its scheduler after epoch {epochs[0]}",
                remedy="run again to continue",
            )
        if result is None:
            return _interrupted(f"after epoch {epochs[0]} of {self.study.recipe.n_epochs}")
        return result

    def _commit(
        self, directory: Path, key: str, facts: dict[str, Any], failure: Failure | None, seconds: float
    ) -> CellRecord:
        state = "completed" if failure is None else f"failed {failure.kind}: {failure.message}"
        log.info("cell=%s state=%s seconds=%.1f", self.cell.name, state.partition(" ")[0], seconds)
        _append_log(directory / LOG_NAME, state)
        record = _make_record(self.study, self.cell, key, facts, failure, seconds, directory)
        write_record(directory, record)
        return record


def _checkpoint_of(layout: RunLayout, cell: Cell) -> str:
    """Which checkpoint a cell has, in a word; empty without one."""
    try:
        return str(layout.checkpoint_file(cell).stat().st_mtime_ns)
    except FileNotFoundError:
        return ""


def _beginning(attempt: int, engine: str, run_id: RunId) -> dict[str, Any]:
    return {"attempt": attempt, "started_at": utc_now(), "engine": engine, "run": run_id.token}


def _interrupted(when: str) -> Failure:
    return Failure(kind=FailureKind.INTERRUPTED, message=f"stopped on request {when}; run again to continue")


def _remedied(study: Study, remedy: Remedy | None) -> Study:
    """The study as a remedied cell runs it: only the recipe differs."""
    return study.model_copy(update={"recipe": remedied_recipe(study.recipe, remedy)})


def _key(
    study: Study, cell: Cell, inputs: CellInputs, blocked_by: Failure | None, engine: str
) -> tuple[str, Failure | None]:
    """Key of a cell's numbers; or of the reason why there can be none, with that reason."""
    failure = blocked_by or result_or_failure(inputs.open, what=f"cell={cell.name} inputs")
    if failure is not None:
        return failure_key(study, cell, failure.kind), failure
    versions, seed = software_versions(), study.seeds.grouping
    return cell_key(inputs.sha256, study.recipe, seed=seed, engine=engine, versions=versions), None


def _settled_record(layout: RunLayout, cell: Cell, key: str, run_id: RunId, remedy: Remedy | None) -> CellRecord | None:
    try:
        record = read_record(layout, cell)
    except IntegrityError as error:
        log.warning("cell=%s state=damaged error=%s", cell.name, error)
        return None
    if record is None:
        return None
    token = run_id.token
    settled = record.settles_rerun(remedy, key, run=token) if remedy else record.settles(key, run=token)
    return record if settled else None


def _outcome_of(done: CellRecord) -> CellOutcome:
    kept = Failure(kind=done.failure_kind, message=done.error or "") if done.failure_kind else None
    return CellOutcome(cell=done.cell, failure=kept, seconds=done.seconds, was_done=True)


def _note(layout: RunLayout, cell: Cell, event: str) -> None:
    path = layout.journal_file(cell)
    with storing(path):
        note(path, event)


def _append_log(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(f"{utc_now()} {line}\n")


def _make_record(
    study: Study,
    cell: Cell,
    key: str | None,
    facts: dict[str, Any],
    failure: Failure | None,
    seconds: float,
    directory: Path,
) -> CellRecord:
    state = "completed"
    if failure is not None:
        state = "skipped" if failure.kind is FailureKind.NOT_SELECTABLE else "failed"
    return CellRecord.model_validate(
        {
            "study": study.name,
            **asdict(cell),
            "state": state,
            "returncode": 0 if failure is None else 1,
            "failure_kind": failure.kind if failure else None,
            "error": failure.message if failure else None,
            "cell_key": key,
            "finished_at": utc_now(),
            "seconds": seconds,
            "host": host_name(),
            "versions": software_versions(),
            "recipe": study.recipe,
            "seeds": study.seeds,
            "log_sha256": hashlib.sha256((directory / LOG_NAME).read_bytes()).hexdigest(),
        }
        | facts
    )
