"""The tasks of a run's graphs, each a function that a Dask worker calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from distributed import get_worker
from distributed.core import Status

from fly64dask.base import Failure, host_name, result_or_failure
from fly64dask.cells import Caller, CellRequest, Rerun, RoomWait, RunId, is_stopped, run_cell
from fly64dask.datasets import expose_split, prepare_scan, select_view
from fly64dask.monitoring import CellOutcome
from fly64dask.records import ManifestRow, read_rows
from fly64dask.store import RunLayout
from fly64dask.study import Cell, Realisation, Remedy, Split, Study, object_name

PROGRESS_TOPIC = "fly64dask-progress"
GONE = {Status.closing, Status.closed, Status.failed}  # a worker that lost its scheduler


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The result of preparation, which every later task reads: the study, and why the scan could not be published, if
    so.
    """

    study: Study
    failure: Failure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOrder:
    """An order to reconstruct a cell, with its run, engine and remedy."""

    cell: Cell
    run_id: RunId
    engine: str
    remedy: Remedy | None = None


def prepare_task(study: Study, object_seed: int | None, run_id: RunId) -> Prepared:
    """Publish the scan and the truth of an object, on a worker."""
    failure = _published(
        lambda: prepare_scan(study, _layout(run_id), object_seed=object_seed),
        study,
        run_id,
        object_name("prepare", object_seed),
    )
    return Prepared(study=study, failure=failure)


def _published(publish: Callable[[], None], study: Study, run_id: RunId, stage: str) -> Failure | None:
    """Publish a group once there is room for it; returns the failure if it could not be published."""
    worker, what = get_worker(), f"stage={stage}"

    def say(reason: str | None) -> None:
        worker.log_event(PROGRESS_TOPIC, {"waits": reason, "worker_name": str(worker.name), "host": host_name()})

    room = RoomWait(
        folder=Path(run_id.root),
        patience_s=study.limits.room_wait_s,
        what=what,
        say=say,
        stopped=lambda: worker.status in GONE or is_stopped(run_id),
    )
    failure = result_or_failure(publish, what=what)
    while room.helps(failure):
        failure = result_or_failure(publish, what=what)
    return failure


def expose_task(
    drawn: Realisation, run_id: RunId, prepared: Prepared, selected: Failure | None = None
) -> Failure | None:
    """Publish the exposures of one noise realisation, on a worker; `selected` is given if they belong to one view."""
    return (
        prepared.failure
        or selected
        or _published(
            lambda: expose_split(prepared.study, layout=_layout(run_id), **drawn._asdict()),
            prepared.study,
            run_id,
            f"expose {drawn.name}",
        )
    )


def select_task(
    view: str, split: Split, threshold_px: float | None, object_seed: int | None, run_id: RunId, prepared: Prepared
) -> Failure | None:
    """Publish the selection of one view and split, on a worker; `threshold_px` replaces the study's spacing if given.

    The positions are read from the scan of one object; those of all objects are the same.
    """
    return prepared.failure or _published(
        lambda: select_view(
            prepared.study, view, split, _layout(run_id), threshold_px=threshold_px, object_seed=object_seed
        ),
        prepared.study,
        run_id,
        f"select {view}/{split}",
    )


def cell_task(
    order: CellOrder,
    prepared: Prepared,
    exposed: Failure | None,
    selected: Failure | None,
    respaced: Failure | None,
) -> CellOutcome:
    """Reconstruct one cell and commit its record, as a worker's task.

    `exposed`, `selected` and `respaced` hold the failure if the exposures, the view, or the view at the spacing of a
    remedy could not be published.
    """
    worker = get_worker()
    # Dask itself uses the key `worker`, for the worker's address.
    source = {"cell": asdict(order.cell), "worker_name": str(worker.name), "host": host_name()}

    def begun() -> None:
        worker.log_event(PROGRESS_TOPIC, source)

    def report(epoch: int, loss: float) -> None:
        worker.log_event(PROGRESS_TOPIC, source | {"epoch": epoch, "loss": loss})

    def wait(reason: str | None) -> None:
        worker.log_event(PROGRESS_TOPIC, source | {"waits": reason})

    rerun = None
    if order.remedy is not None:
        selection = selected if order.remedy.spacing_threshold is None else respaced
        rerun = Rerun(remedy=order.remedy, blocked_by=exposed or selection)
    request = CellRequest(
        study=_on_device(prepared.study, offers_gpu=worker.state.total_resources.get("GPU", 0) >= 1),
        cell=order.cell,
        run_id=order.run_id,
        engine=order.engine,
        blocked_by=exposed or selected,
        rerun=rerun,
    )
    caller = Caller(
        begun=begun,
        progress=report,
        worker=str(worker.name),
        abandoned=lambda: worker.status in GONE,
        waiting=wait,
    )
    return run_cell(request, caller)


def _on_device(study: Study, *, offers_gpu: bool) -> Study:
    """Resolve `auto` to cuda on a worker that offers a GPU: if its GPU is lost, cells fail instead of becoming slow."""
    return study.with_recipe(device="cuda") if offers_gpu and study.recipe.device != "cpu" else study


def collect_task(covered: Sequence[Cell], run_id: RunId, *after: CellOutcome) -> tuple[ManifestRow, ...]:
    """Read the committed records of cells after those that run have ended; on a worker or in the driver."""
    return read_rows(_layout(run_id), covered)


def merge_task(*parts: tuple[ManifestRow, ...]) -> tuple[ManifestRow, ...]:
    """Join rows on a worker, keeping their order."""
    return tuple(row for part in parts for row in part)


def _layout(run_id: RunId) -> RunLayout:
    return RunLayout(Path(run_id.root))
