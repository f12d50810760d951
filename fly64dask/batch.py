"""Wanted cells -> a Dask graph -> committed records, outcomes and manifest rows."""

from __future__ import annotations

import contextlib
import functools
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
from dask.base import annotate
from dask.delayed import Delayed, delayed
from distributed import as_completed, get_worker

from fly64dask.cell import commit_lost, failure_of, run_cell
from fly64dask.errors import failure_kind
from fly64dask.layout import RunLayout
from fly64dask.manifest import ManifestRow
from fly64dask.outcome import CellOutcome, CellProgress, Failure
from fly64dask.runs import read_row
from fly64dask.stages import expose_split, prepare_scan, select_view
from fly64dask.study import Cell, Dose, Split, Study, cells, dose_name

if TYPE_CHECKING:
    from distributed import Client, Future

PROGRESS_TOPIC = "fly64dask-progress"
LEAF_CELLS = 32  # records read by one reducer task: 3 ms of scheduling against about 10 ms of reading


Notify = Callable[[CellProgress | CellOutcome], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellGraph:
    """A study's tasks: one per wanted cell, and the reducer's root."""

    cell_tasks: dict[Cell, Delayed]
    manifest_rows: Delayed


def build_graph(study: Study, wanted: Sequence[Cell], layout: RunLayout, *, use_gpu: bool) -> CellGraph:
    """Build the graph: expose and select once per dose, view and split, then cells, then a tree.

    Parameters
    ----------
    study : Study
        The study.
    wanted : sequence of Cell
        Cells to run; the reducer covers the others' records too.
    layout : RunLayout
        The run.
    use_gpu : bool
        Whether a cell needs a worker's `GPU` resource.

    Returns
    -------
    CellGraph
        Nothing is computed.

    Notes
    -----
    Keys read like cells and end in a token of this graph: a scheduler that still holds an older
    run's key would hand back that run's result.
    """
    token = uuid.uuid4().hex[:6]
    root = str(layout.root)
    prepared = delayed(prepare_task)(study, root, dask_key_name=f"prepare-scan-{token}")
    exposed: dict[tuple[Dose, Split], Delayed] = {}
    selected: dict[tuple[str, Split], Delayed] = {}
    cell_tasks: dict[Cell, Delayed] = {}
    for cell in wanted:
        dose, split = cell.dose, cell.split
        if (dose, split) not in exposed:
            key = f"expose-{dose_name(dose)}-{split}-{token}"
            exposed[dose, split] = delayed(expose_task)(study, dose, split, root, prepared, dask_key_name=key)
        if (cell.view, split) not in selected:
            key = f"select-{cell.view}-{split}-{token}"
            selected[cell.view, split] = delayed(select_task)(
                study, cell.view, split, root, prepared, dask_key_name=key
            )
        with annotate(resources={"GPU": 1}) if use_gpu else contextlib.nullcontext():
            cell_tasks[cell] = delayed(cell_task)(
                study,
                cell,
                root,
                exposed[dose, split],
                selected[cell.view, split],
                dask_key_name=f"reconstruct-{cell.name.replace('/', '-')}-{token}",
            )
    return CellGraph(cell_tasks=cell_tasks, manifest_rows=_reducer(study, root, cell_tasks, token))


def _reducer(study: Study, root: str, cell_tasks: dict[Cell, Delayed], token: str) -> Delayed:
    """Tree of tasks that read committed records, each after the cells it reads."""
    everything = cells(study)
    level = []
    for start in range(0, len(everything), LEAF_CELLS):
        some = everything[start : start + LEAF_CELLS]
        after = [cell_tasks[cell] for cell in some if cell in cell_tasks]
        level.append(delayed(collect_task)(some, root, after, dask_key_name=f"collect-{start}-{token}"))
    while len(level) > 1:
        level = [
            delayed(merge_task)(level[i : i + LEAF_CELLS], dask_key_name=f"merge-{len(level)}-{i}-{token}")
            for i in range(0, len(level), LEAF_CELLS)
        ]
    return level[0]


def run_graph(
    client: Client, graph: CellGraph, study: Study, layout: RunLayout, notify: Notify
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
        Called with each epoch (from another thread) and each outcome.

    Returns
    -------
    outcomes : dict of Cell to CellOutcome
        One for each cell of the graph.
    rows : tuple of ManifestRow
        Every committed cell of the study, in its order.
    """
    subscribed = functools.partial(_forward_progress, n_epochs=study.recipe.n_epochs, notify=notify)
    client.subscribe_topic(PROGRESS_TOPIC, subscribed)
    # With fusing on, the annotations that send cells to GPUs would be dropped.
    with dask.config.set({"optimization.fuse.delayed": False}):
        futures: list[Future[Any]] = client.compute([*graph.cell_tasks.values(), graph.manifest_rows])
    try:
        by_key = dict(zip([future.key for future in futures], [*graph.cell_tasks, None], strict=True))
        outcomes: dict[Cell, CellOutcome] = {}
        for future in as_completed(futures[:-1]):
            cell = by_key[future.key]
            assert cell is not None
            outcomes[cell] = _take_outcome(future, study, cell, layout)
            notify(outcomes[cell])
        if futures[-1].exception() is None:
            return outcomes, futures[-1].result()
        # A lost cell fails the reducer that waits for it; its record is committed now, so read again.
        return outcomes, collect_task(cells(study), str(layout.root), [])
    finally:
        client.cancel(futures)
        client.unsubscribe_topic(PROGRESS_TOPIC)


def prepare_task(study: Study, root: str) -> Failure | None:
    """Worker task: publish the scan group."""
    return failure_of(lambda: prepare_scan(study, RunLayout(Path(root))), what="stage=prepare")


def expose_task(study: Study, dose: Dose, split: Split, root: str, prepared: Failure | None) -> Failure | None:
    """Worker task: publish one dose and split."""
    return prepared or failure_of(
        lambda: expose_split(study, dose, split, RunLayout(Path(root))), what=f"stage=expose {dose_name(dose)}/{split}"
    )


def select_task(study: Study, view: str, split: Split, root: str, prepared: Failure | None) -> Failure | None:
    """Worker task: publish one view and split."""
    return prepared or failure_of(
        lambda: select_view(study, view, split, RunLayout(Path(root))), what=f"stage=select {view}/{split}"
    )


def cell_task(study: Study, cell: Cell, root: str, exposed: Failure | None, selected: Failure | None) -> CellOutcome:
    """Worker task: reconstruct one cell and commit its record."""
    worker = get_worker()

    def report(epoch: int, loss: float) -> None:
        event = {"dose": cell.dose, "view": cell.view, "split": cell.split, "epoch": epoch, "loss": loss}
        worker.log_event(PROGRESS_TOPIC, event)

    return run_cell(study, cell, RunLayout(Path(root)), exposed or selected, report)


def collect_task(some: Sequence[Cell], root: str, after: Sequence[CellOutcome]) -> tuple[ManifestRow, ...]:
    """Worker task: read the committed records of some cells, once those that run have ended."""
    layout = RunLayout(Path(root))
    return tuple(row for cell in some if (row := read_row(layout, cell)) is not None)


def merge_task(parts: Sequence[tuple[ManifestRow, ...]]) -> tuple[ManifestRow, ...]:
    """Worker task: join rows, keeping their order."""
    return tuple(row for part in parts for row in part)


def _take_outcome(future: Future[Any], study: Study, cell: Cell, layout: RunLayout) -> CellOutcome:
    error = future.exception()
    if error is None:
        outcome: CellOutcome = future.result()
        return outcome
    failure = Failure(kind=failure_kind(error), message=f"{type(error).__name__}: {error}")
    problem = failure_of(lambda: commit_lost(study, cell, layout, failure), what=f"cell={cell.name} commit")
    return CellOutcome(cell=cell, failure=failure, seconds=0.0, committed=problem is None)


def _forward_progress(event: tuple[float, dict[str, Any]], *, n_epochs: int, notify: Notify) -> None:
    _, message = event
    cell = Cell(dose=message["dose"], view=message["view"], split=message["split"])
    notify(CellProgress(cell=cell, epoch=message["epoch"], n_epochs=n_epochs, loss=message["loss"]))
