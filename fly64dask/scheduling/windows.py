"""Runs all windows of a run to the end: each cell gets a committed record, whatever happens to workers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.base import Failure, describe, failure_kind, result_or_failure
from fly64dask.cells import CellRequest, Rerun, commit_lost, is_killer
from fly64dask.monitoring import CellOutcome, Hear
from fly64dask.records import ManifestRow, read_rows
from fly64dask.scheduling.graph import CellGraph, GraphBuilder
from fly64dask.scheduling.submission import CellTask, EndedTask, SubmittedGraphs
from fly64dask.store import RunLayout
from fly64dask.study import Cell

if TYPE_CHECKING:
    from distributed import Client

    from fly64dask.scheduling.supply import WorkerSupply

log = logging.getLogger(__name__)
POLL_S = 0.1  # between two looks for tasks that have ended, whose results are then fetched together
REFILL_CELLS = 1024  # the next graph is submitted when fewer cells than these are left (our choice)

# Called with the number of a window, from 0, and the rows of its committed cells in the study's order.
KeepRows = Callable[[int, Sequence[ManifestRow]], None]


def run_windows(
    client: Client,
    builder: GraphBuilder,
    *,
    notify: Hear,
    keep: KeepRows,
    supply: WorkerSupply,
    refill_cells: int = REFILL_CELLS,
) -> dict[Cell, CellOutcome]:
    """Run all cells of a builder to the end, whatever happens to them, one window of cells after the other.

    Parameters
    ----------
    client : distributed.Client
        Connected, with workers.
    builder : GraphBuilder
        Its next window is built when most cells of the earlier windows have ended.
    notify : callable
        Called with each start and epoch of a cell (from another thread) and each outcome.
    keep : callable
        Called once for each window, with its number and the rows of its committed cells.
    supply : WorkerSupply
        The provider of workers.
    refill_cells : int
        The next window is submitted when fewer cells than these have not ended.

    Returns
    -------
    dict of Cell to CellOutcome
        One for each cell that the builder was to run.

    Raises
    ------
    ResourceError
        If the scheduler is gone, or if all workers are gone and none will come.
    KeyboardInterrupt
        After running cells were told to stop and have committed that they were interrupted.

    Notes
    -----
    Dask blames the death of a worker on every task that was assigned to it, not only on the one that it ran. So a cell
    whose task Dask gave up is submitted again, unless workers died while they ran that very cell, as its journal tells.
    """
    results = _Results(notify=notify, keep=keep, supply=supply, n_cells=len(builder.requested))
    layout = RunLayout(Path(builder.run_id.root))
    _run_graphs(SubmittedGraphs(client, builder, notify), builder.windows(), results, refill_cells)
    n_ended = -1
    while results.given_up:
        # If nothing has ended since the last round, something that all of them need kills the workers.
        is_moving = len(results.outcomes) > n_ended
        n_ended = len(results.outcomes)
        given_up, results.given_up = results.given_up, {}
        innocent = [cell for cell in given_up if is_moving and not is_killer(layout, cell, builder.run_id)]
        for cell, error in given_up.items():
            if cell not in innocent:
                results.end_cell(_commit_lost(builder, cell, error))
        if innocent:
            log.warning(
                "state=again cells=%d were given up by Dask although no worker died while running them", len(innocent)
            )
            again = builder.rebuilt()
            _run_graphs(SubmittedGraphs(client, again, notify), [again.build(innocent)], results, refill_cells)
    for number, covered in results.unread.items():
        # The reducer of this window failed because Dask gave up tasks that it waited for.
        keep(number, read_rows(layout, covered))
    return results.outcomes


@dataclass(slots=True, kw_only=True)
class _Results:
    """The outcomes of a run's cells so far.

    `given_up` are the cells whose tasks Dask gave up, each with its error; `unread` the windows whose reducer failed.
    """

    notify: Hear
    keep: KeepRows
    supply: WorkerSupply
    n_cells: int
    outcomes: dict[Cell, CellOutcome] = field(default_factory=dict)
    given_up: dict[Cell, BaseException] = field(default_factory=dict)
    unread: dict[int, Sequence[Cell]] = field(default_factory=dict)

    def take(self, ended: EndedTask) -> None:
        """Keep the result of a task, or note that it has none."""
        if isinstance(ended.task, CellTask):
            if ended.error is None:
                # Use the cell object of this process, so that the copy which came back is freed.
                self.end_cell(replace(ended.result, cell=ended.task.cell))
            else:
                self.given_up[ended.task.cell] = ended.error
        elif ended.error is None:
            self.keep(ended.task.window, ended.result)
        else:
            self.unread[ended.task.window] = ended.task.covered

    def end_cell(self, outcome: CellOutcome) -> None:
        """Note the outcome of a cell."""
        self.outcomes[outcome.cell] = outcome
        self.notify(outcome)

    @property
    def n_left(self) -> int:
        """Number of cells that have not ended."""
        return self.n_cells - len(self.outcomes) - len(self.given_up)


def _run_graphs(submission: SubmittedGraphs, graphs: Iterable[CellGraph], results: _Results, refill_cells: int) -> None:
    """Submit graphs, each when few cells of the earlier ones are left, and take the results of all their tasks."""
    waiting_graphs = enumerate(graphs)
    with submission.listening():
        while True:
            while submission.is_low(refill_cells) and (numbered := next(waiting_graphs, None)) is not None:
                submission.submit(*numbered)
            if submission.has_ended:
                return
            ended = submission.take_ended()
            for task in ended:
                results.take(task)
            if ended:
                results.supply.want(max(submission.n_cells, results.n_left))
            else:
                time.sleep(POLL_S)
                results.supply.check()


def _commit_lost(builder: GraphBuilder, cell: Cell, error: BaseException) -> CellOutcome:
    """Commit the record of a cell whose task Dask gave up."""
    failure = Failure(kind=failure_kind(error), message=describe(error))
    remedy = builder.options.remedies.get(cell)
    request = CellRequest(
        study=builder.study,
        cell=cell,
        run_id=builder.run_id,
        engine=builder.options.engine,
        rerun=Rerun(remedy=remedy) if remedy else None,
    )
    committed = result_or_failure(lambda: commit_lost(request, failure), what=f"cell={cell.name} commit")
    if isinstance(committed, Failure):
        return CellOutcome(cell=cell, failure=failure, seconds=0.0, committed=False)
    return committed
