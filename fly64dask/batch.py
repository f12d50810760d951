"""Wanted cells -> a Dask graph -> committed records, outcomes and manifest rows."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
from dask.base import annotate
from dask.delayed import Delayed, delayed
from distributed import CancelledError, as_completed, get_worker
from distributed.core import Status

from fly64dask.attempt import failure_of
from fly64dask.cell import LSQML, Rerun, commit_lost, is_killer, run_cell
from fly64dask.errors import ResourceError, describe, failure_kind
from fly64dask.layout import RunLayout
from fly64dask.manifest import ManifestRow
from fly64dask.outcome import CellEvent, CellOutcome, CellProgress, CellStarted, Failure
from fly64dask.provenance import host_name
from fly64dask.reconstruction import remedied_recipe
from fly64dask.remedy import Remedy
from fly64dask.runs import read_row
from fly64dask.stages import expose_split, prepare_scan, select_view
from fly64dask.stopping import RunId, stop_run
from fly64dask.study import Cell, Dose, Split, Study, cells, photons_name, photons_of

if TYPE_CHECKING:
    from distributed import Client, Future

    from fly64dask.supply import Supply

log = logging.getLogger(__name__)
PROGRESS_TOPIC = "fly64dask-progress"
GONE = {Status.closing, Status.closed, Status.failed}  # a worker that lost its scheduler
POLL_S = 0.05  # between two looks at what has ended
LEAF_CELLS = 32  # records read by one reducer task: 3 ms of scheduling against about 10 ms of reading

Notify = Callable[[CellEvent], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellGraph:
    """A study's tasks: one per wanted cell, some with a remedy, and the reducer's root."""

    run_id: RunId
    engine: str
    use_gpu: bool
    remedies: Mapping[Cell, Remedy]
    lengths: Mapping[Cell, int]
    cell_tasks: dict[Cell, Delayed]
    manifest_rows: Delayed


def build_graph(
    study: Study,
    wanted: Sequence[Cell],
    run_id: RunId,
    *,
    use_gpu: bool,
    engine: str = LSQML,
    remedies: Mapping[Cell, Remedy] | None = None,
    lengths: Mapping[Cell, int] | None = None,
) -> CellGraph:
    """Build the graph: expose and select once per dose, view and split, then cells, then a tree.

    Parameters
    ----------
    study : Study
        The study.
    wanted : sequence of Cell
        Cells to run; the reducer covers the others' records too.
    run_id : RunId
        The run.
    use_gpu : bool
        Whether a cell needs a worker's `GPU` resource.
    engine : str
        `module:function` of an `Engine`.
    remedies : mapping of Cell to Remedy, optional
        Of those cells that are tried again with one.
    lengths : mapping of Cell to int, optional
        How long each takes, in any unit: the longest go first, so that the last ones are short and no
        worker waits long for the others at the end.

    Returns
    -------
    CellGraph
        Nothing is computed.

    Notes
    -----
    Keys read like cells and end in a token of this graph: a scheduler that still holds an older
    graph's key would hand back its result. Dask's pages join keys by what stands before the first
    part that is no word, hence `view_`: one bar for all that selects, as for all that reconstructs.
    """
    token = uuid.uuid4().hex[:6]
    lengths = lengths or {}
    # Dask queues what waits for nothing but `prepare`, by priority, and runs a cell as soon as all that it waits for is
    # there: so the selections that short cells wait for come last.
    first = max(lengths.values(), default=0)
    longest: dict[tuple[str, Split], int] = {}
    for cell in wanted:
        longest[cell.view, cell.split] = max(lengths.get(cell, 0), longest.get((cell.view, cell.split), 0))
    with annotate(priority=first):
        prepared = delayed(prepare_task)(study, run_id, dask_key_name=f"prepare-scan-{token}")
    exposed: dict[tuple[Dose, Split, int], Delayed] = {}
    selected: dict[tuple[str, Split], Delayed] = {}
    respaced: dict[tuple[str, Split, float], Delayed] = {}
    cell_tasks: dict[Cell, Delayed] = {}
    remedies = remedies or {}
    for photons in photons_of(wanted):
        dose, split, repeat = photons
        key = f"expose-{photons_name(dose, repeat)}-{split}-{token}"
        with annotate(priority=first):
            exposed[photons] = delayed(expose_task)(study, dose, split, repeat, run_id, prepared, dask_key_name=key)
    for cell in wanted:
        split = cell.split
        if (cell.view, split) not in selected:
            key = f"select-view_{cell.view}-{split}-{token}"
            with annotate(priority=longest[cell.view, split]):
                selected[cell.view, split] = delayed(select_task)(
                    study, cell.view, split, run_id, prepared, dask_key_name=key
                )
        remedy = remedies.get(cell)
        threshold_px = remedy.spacing_threshold if remedy else None
        if threshold_px is not None and (cell.view, split, threshold_px) not in respaced:
            key = f"select-view_{cell.view}-spacing_{threshold_px}-{split}-{token}"
            with annotate(priority=longest[cell.view, split]):
                respaced[cell.view, split, threshold_px] = delayed(select_task)(
                    study, cell.view, split, run_id, prepared, threshold_px, dask_key_name=key
                )
        gpu = {"resources": {"GPU": 1}} if use_gpu else {}
        with annotate(priority=lengths.get(cell, 0), **gpu):
            cell_tasks[cell] = delayed(cell_task)(
                study,
                cell,
                run_id,
                engine,
                exposed[cell.dose, split, cell.repeat],
                selected[cell.view, split],
                remedy,
                None if threshold_px is None else respaced[cell.view, split, threshold_px],
                dask_key_name=f"reconstruct-{cell.name.replace('/', '-')}-{token}",
            )
    return CellGraph(
        run_id=run_id,
        engine=engine,
        use_gpu=use_gpu,
        remedies=remedies,
        lengths=lengths,
        cell_tasks=cell_tasks,
        manifest_rows=_reducer(study, run_id, cell_tasks, token),
    )


def _reducer(study: Study, run_id: RunId, cell_tasks: dict[Cell, Delayed], token: str) -> Delayed:
    """Tree of tasks that read committed records, each after the cells it reads."""
    everything = cells(study)
    level = []
    for start in range(0, len(everything), LEAF_CELLS):
        some = everything[start : start + LEAF_CELLS]
        after = [cell_tasks[cell] for cell in some if cell in cell_tasks]
        level.append(delayed(collect_task)(some, run_id, after, dask_key_name=f"collect-{start}-{token}"))
    while len(level) > 1:
        level = [
            delayed(merge_task)(level[i : i + LEAF_CELLS], dask_key_name=f"merge-{len(level)}-{i}-{token}")
            for i in range(0, len(level), LEAF_CELLS)
        ]
    return level[0]


def run_graph(
    client: Client, graph: CellGraph, study: Study, layout: RunLayout, notify: Notify, *, supply: Supply
) -> tuple[dict[Cell, CellOutcome], tuple[ManifestRow, ...]]:
    """Run a graph to the end, whatever happens to its cells.

    Parameters
    ----------
    client : distributed.Client
        Connected, with workers.
    graph : CellGraph
        From `build_graph`.
    study : Study
        The study.
    layout : RunLayout
        The run.
    notify : callable
        Called with each start and epoch of a cell (from another thread) and each outcome.
    supply : Supply
        Who sees to it that there are workers.

    Returns
    -------
    outcomes : dict of Cell to CellOutcome
        One for each cell of the graph.
    rows : tuple of ManifestRow
        Every committed cell of the study, in its order.

    Raises
    ------
    ResourceError
        If the scheduler is gone, or every worker and none will come.
    KeyboardInterrupt
        After running cells were told to stop and have committed that they did.

    Notes
    -----
    A dying worker is held against every task that the scheduler had assigned to it, not only
    against the one it ran. So a cell whose task Dask gave up is submitted again, unless workers
    died while they ran that cell itself; which ones those are stands in the cells' journals.
    """
    outcomes: dict[Cell, CellOutcome] = {}
    given_up, rows = _run_once(client, graph, study, outcomes, notify, supply)
    n_ended = -1
    while given_up:
        # With nothing ended since the last turn, something that they all need kills the workers.
        moving = len(outcomes) > n_ended
        n_ended = len(outcomes)
        innocent = [cell for cell in given_up if moving and not is_killer(layout, cell, graph.run_id)]
        for cell, error in given_up.items():
            if cell not in innocent:
                outcomes[cell] = _commit_lost(study, cell, layout, graph, error)
                notify(outcomes[cell])
        given_up = {}
        if innocent:
            log.warning("state=again cells=%d given up by Dask, though no worker died of them", len(innocent))
            again = build_graph(
                study,
                innocent,
                graph.run_id,
                use_gpu=graph.use_gpu,
                engine=graph.engine,
                remedies=graph.remedies,
                lengths=graph.lengths,
            )
            given_up, _ = _run_once(client, again, study, outcomes, notify, supply)
        # The tree waited in vain for what was given up.
        rows = None
    return outcomes, collect_task(cells(study), graph.run_id, []) if rows is None else rows


def _run_once(
    client: Client,
    graph: CellGraph,
    study: Study,
    outcomes: dict[Cell, CellOutcome],
    notify: Notify,
    supply: Supply,
) -> tuple[dict[Cell, BaseException], tuple[ManifestRow, ...] | None]:
    """Submit a graph and gather its outcomes; gives what Dask gave up with its error, and the reducer's rows."""
    given_up: dict[Cell, BaseException] = {}
    with _submitted(client, graph, study, notify) as futures:
        by_key = dict(zip([future.key for future in futures], [*graph.cell_tasks, None], strict=True))
        n_open = len(graph.cell_tasks)
        for future in _as_they_end(futures[:-1], supply):
            cell = by_key[future.key]
            assert cell is not None
            n_open -= 1
            supply.want(n_open)
            error = _error_of(future)
            if error is not None:
                given_up[cell] = error
                continue
            outcomes[cell] = future.result()
            notify(outcomes[cell])
        if given_up or _error_of(futures[-1]) is not None:
            return given_up, None
        return given_up, futures[-1].result()


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """Ask the scheduler something.

    Raises
    ------
    ResourceError
        If it is gone.
    """
    try:
        yield
    except (OSError, TimeoutError, CancelledError) as error:
        raise ResourceError(
            f"cluster: the scheduler is gone, and with it what it knew of the running cells ({type(error).__name__})",
            remedy="run the same command again: committed cells are not run twice",
        ) from error


@contextlib.contextmanager
def _submitted(client: Client, graph: CellGraph, study: Study, notify: Notify) -> Iterator[list[Future[Any]]]:
    """Submit a graph; when the block is interrupted, wait until its cells have stopped."""
    n_epochs = {cell: remedied_recipe(study.recipe, remedy).n_epochs for cell, remedy in graph.remedies.items()}
    n_epochs = dict.fromkeys(graph.cell_tasks, study.recipe.n_epochs) | n_epochs
    subscribed = functools.partial(_forward_progress, n_epochs=n_epochs, notify=notify)
    # With fusing on, the annotations that send cells to GPUs would be dropped.
    with answered(), dask.config.set({"optimization.fuse.delayed": False}):
        client.subscribe_topic(PROGRESS_TOPIC, subscribed)
        futures: list[Future[Any]] = client.compute([*graph.cell_tasks.values(), graph.manifest_rows])
    try:
        yield futures
    except KeyboardInterrupt:
        with contextlib.suppress(OSError, TimeoutError):
            # Only what has not started can be cancelled; what runs is asked to end.
            client.cancel([future for future in futures if not future.done()])
            client.run(stop_run, graph.run_id, on_error="ignore")
        raise
    finally:
        with contextlib.suppress(OSError, TimeoutError):
            client.unsubscribe_topic(PROGRESS_TOPIC)


def _as_they_end(futures: Sequence[Future[Any]], supply: Supply) -> Iterator[Future[Any]]:
    """Give futures as they end, for as long as there are workers that may end them."""
    waiting = as_completed(futures)
    while not waiting.is_empty():
        if waiting.has_ready():
            yield waiting.next()
            continue
        time.sleep(POLL_S)
        supply.check()


def _commit_lost(study: Study, cell: Cell, layout: RunLayout, graph: CellGraph, error: BaseException) -> CellOutcome:
    failure = Failure(kind=failure_kind(error), message=describe(error))
    committed: list[CellOutcome] = []

    def commit() -> None:
        remedy = graph.remedies.get(cell)
        committed.append(
            commit_lost(study, cell, layout, failure, engine=graph.engine, run_id=graph.run_id, remedy=remedy)
        )

    problem = failure_of(commit, what=f"cell={cell.name} commit")
    if problem is None:
        return committed[0]
    return CellOutcome(cell=cell, failure=failure, seconds=0.0, committed=False)


def _error_of(future: Future[Any]) -> BaseException | None:
    """What a task raised: only what its workers' death made of it, as tasks return their failures."""
    with answered():
        error: BaseException | None = future.exception()
        if future.cancelled():
            raise CancelledError(future.key)
        return error


def prepare_task(study: Study, run_id: RunId) -> Failure | None:
    """Worker task: publish the scan group."""
    return failure_of(lambda: prepare_scan(study, _layout(run_id)), what="stage=prepare")


def expose_task(
    study: Study, dose: Dose, split: Split, repeat: int, run_id: RunId, prepared: Failure | None
) -> Failure | None:
    """Worker task: publish one dose, split and repeat."""
    return prepared or failure_of(
        lambda: expose_split(study, dose, split, _layout(run_id), repeat=repeat),
        what=f"stage=expose {photons_name(dose, repeat)}/{split}",
    )


def select_task(
    study: Study,
    view: str,
    split: Split,
    run_id: RunId,
    prepared: Failure | None,
    threshold_px: float | None = None,
) -> Failure | None:
    """Worker task: publish one view and split, at another spacing than the study's if one is given."""
    return prepared or failure_of(
        lambda: select_view(study, view, split, _layout(run_id), threshold_px=threshold_px),
        what=f"stage=select {view}/{split}",
    )


def cell_task(
    study: Study,
    cell: Cell,
    run_id: RunId,
    engine: str,
    exposed: Failure | None,
    selected: Failure | None,
    remedy: Remedy | None,
    respaced: Failure | None,
) -> CellOutcome:
    """Worker task: reconstruct one cell and commit its record."""
    worker = get_worker()
    # Dask puts the worker's address under `worker`.
    source = {"cell": asdict(cell), "worker_name": str(worker.name), "host": host_name()}

    def report(epoch: int, loss: float) -> None:
        worker.log_event(PROGRESS_TOPIC, source | {"epoch": epoch, "loss": loss})

    worker.log_event(PROGRESS_TOPIC, source)
    rerun = None
    if remedy is not None:
        kept = selected if remedy.spacing_threshold is None else respaced
        rerun = Rerun(remedy=remedy, blocked_by=exposed or kept)
    return run_cell(
        study,
        cell,
        _layout(run_id),
        exposed or selected,
        report,
        engine=engine,
        run_id=run_id,
        worker=str(worker.name),
        abandoned=lambda: worker.status in GONE,
        rerun=rerun,
    )


def collect_task(some: Sequence[Cell], run_id: RunId, after: Sequence[CellOutcome]) -> tuple[ManifestRow, ...]:
    """Worker task: read the committed records of some cells, once those that run have ended."""
    layout = _layout(run_id)
    return tuple(row for cell in some if (row := read_row(layout, cell)) is not None)


def merge_task(parts: Sequence[tuple[ManifestRow, ...]]) -> tuple[ManifestRow, ...]:
    """Worker task: join rows, keeping their order."""
    return tuple(row for part in parts for row in part)


def _layout(run_id: RunId) -> RunLayout:
    return RunLayout(Path(run_id.root))


def _forward_progress(event: tuple[float, dict[str, Any]], *, n_epochs: Mapping[Cell, int], notify: Notify) -> None:
    _, message = event
    cell = Cell(**message["cell"])
    source = {"worker": message["worker_name"], "host": message["host"]}
    if "epoch" not in message:
        notify(CellStarted(cell=cell, **source))
        return
    notify(CellProgress(cell=cell, epoch=message["epoch"], n_epochs=n_epochs[cell], loss=message["loss"], **source))
