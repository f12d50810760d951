"""Runs the graphs of a run to the end: each cell gets a committed record, whatever happens to workers."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
from distributed import CancelledError, as_completed

from fly64dask.base import Failure, ResourceError, describe, failure_kind, result_or_failure
from fly64dask.cells import CellRequest, Rerun, commit_lost, is_killer, stop_run
from fly64dask.monitoring import CellOutcome, CellProgress, CellStarted, Notify
from fly64dask.records import ManifestRow, read_rows
from fly64dask.scheduling.graph import CellGraph, GraphBuilder
from fly64dask.scheduling.tasks import PROGRESS_TOPIC
from fly64dask.store import RunLayout
from fly64dask.study import Cell, remedied_recipe

if TYPE_CHECKING:
    from distributed import Client, Future

    from fly64dask.scheduling.supply import WorkerSupply

log = logging.getLogger(__name__)
POLL_S = 0.1  # between two looks at what has ended; its results are fetched at once
REFILL_CELLS = 1024  # how few cells are left when the next graph is submitted (our choice)

# Gets the number of a window, from 0, and the rows of its committed cells in the study's order.
KeepRows = Callable[[int, Sequence[ManifestRow]], None]


def run_windows(
    client: Client,
    builder: GraphBuilder,
    *,
    notify: Notify,
    keep: KeepRows,
    supply: WorkerSupply,
    refill_cells: int = REFILL_CELLS,
) -> dict[Cell, CellOutcome]:
    """Run all cells of a builder to the end, whatever happens to them, few cells of them at a time.

    Parameters
    ----------
    client : distributed.Client
        Connected, with workers.
    builder : GraphBuilder
        Its next window is built when most cells of those before have ended.
    notify : callable
        Called with each start and epoch of a cell (from another thread) and each outcome.
    keep : callable
        Called once for each window, with its number and the rows of those of its cells that are committed.
    supply : WorkerSupply
        Who sees to it that there are workers.
    refill_cells : int
        The next window is submitted when fewer cells than these have not ended.

    Returns
    -------
    dict of Cell to CellOutcome
        One for each cell that the builder was to run.

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
    results = _Results(notify=notify, keep=keep, supply=supply, n_cells=len(builder.wanted))
    layout = RunLayout(Path(builder.run_id.root))
    _run_graphs(Submission(client, builder, notify), builder.windows(), results, refill_cells)
    n_ended = -1
    while results.given_up:
        # With nothing ended since the last turn, something that they all need kills the workers.
        is_moving = len(results.outcomes) > n_ended
        n_ended = len(results.outcomes)
        given_up, results.given_up = results.given_up, {}
        innocent = [cell for cell in given_up if is_moving and not is_killer(layout, cell, builder.run_id)]
        for cell, error in given_up.items():
            if cell not in innocent:
                results.end_cell(_commit_lost(builder, cell, error))
        if innocent:
            log.warning("state=again cells=%d given up by Dask, though no worker died of them", len(innocent))
            again = builder.rebuilt()
            _run_graphs(Submission(client, again, notify), [again.build(innocent)], results, refill_cells)
    for number, covered in results.unread.items():
        # The reducer of this window waited in vain for what was given up.
        keep(number, read_rows(layout, covered))
    return results.outcomes


@dataclass(slots=True, kw_only=True)
class _Results:
    """What has become of a run's cells so far.

    `given_up` are the cells whose tasks Dask gave up, each with its error; `unread` the windows whose reducer failed.
    """

    notify: Notify
    keep: KeepRows
    supply: WorkerSupply
    n_cells: int
    outcomes: dict[Cell, CellOutcome] = field(default_factory=dict)
    given_up: dict[Cell, BaseException] = field(default_factory=dict)
    unread: dict[int, Sequence[Cell]] = field(default_factory=dict)

    def take(self, ended: EndedTask) -> None:
        """Keep the result of a task, or remember that it has none."""
        if isinstance(ended.task, CellTask):
            if ended.error is None:
                self.end_cell(ended.result)
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
        """Cells that have not ended."""
        return self.n_cells - len(self.outcomes) - len(self.given_up)


def _run_graphs(submission: Submission, graphs: Iterable[CellGraph], results: _Results, refill_cells: int) -> None:
    """Submit graphs, each when few cells are left of those before, and take the results of all of their tasks."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class CellTask:
    """A submitted task that reconstructs a cell."""

    cell: Cell
    window: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsTask:
    """A submitted task that gives the rows of a window's cells."""

    window: int
    covered: Sequence[Cell]
    runs_cells: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedTask:
    """A task with what it returned, or with the error for which Dask gave it up."""

    task: CellTask | RowsTask
    result: Any = None
    error: BaseException | None = None


class Submission:
    """Graphs that a scheduler was given, and those of their tasks that have not ended.

    Parameters
    ----------
    client : distributed.Client
        Connected.
    builder : GraphBuilder
        Whose graphs are submitted.
    notify : callable
        Gets starts and epochs of cells.
    """

    def __init__(self, client: Client, builder: GraphBuilder, notify: Notify) -> None:
        self._client = client
        self._builder = builder
        self._notify = notify
        self._n_epochs: dict[Cell, int] = {}
        # Whoever holds a future has the scheduler keep its result: ended ones are let go.
        self._waiting = as_completed(loop=client.loop)
        self._futures: weakref.WeakSet[Future[Any]] = weakref.WeakSet()
        self._cells: dict[Any, CellTask] = {}
        self._rows: dict[Any, RowsTask] = {}

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Forward starts and epochs of cells while the block lasts; at an interrupt, wait until cells have stopped."""
        forward = functools.partial(_forward_progress, n_epochs=self._n_epochs, notify=self._notify)
        with answered():
            self._client.subscribe_topic(PROGRESS_TOPIC, forward)
        try:
            yield
        except KeyboardInterrupt:
            with contextlib.suppress(OSError, TimeoutError):
                # Only what has not started can be cancelled; what runs is asked to end.
                self._client.cancel([future for future in self._futures if not future.done()])
                if self._n_epochs:
                    self._client.run(stop_run, self._builder.run_id, on_error="ignore")
            raise
        finally:
            with contextlib.suppress(OSError, TimeoutError):
                self._client.unsubscribe_topic(PROGRESS_TOPIC)

    @property
    def n_cells(self) -> int:
        """Number of submitted cells that have not ended."""
        return len(self._cells)

    @property
    def has_ended(self) -> bool:
        """Whether every submitted task has ended and been taken."""
        return bool(self._waiting.is_empty())

    def is_low(self, n_cells: int) -> bool:
        """Whether fewer cells have not ended, and the scheduler keeps none for a graph that only has to be read."""
        if len(self._cells) >= n_cells:
            return False
        windows = {task.window for task in self._cells.values()}
        return all(task.window in windows for task in self._rows.values() if task.runs_cells)

    def submit(self, window: int, graph: CellGraph) -> None:
        """Give a graph to the scheduler.

        Parameters
        ----------
        window : int
            Number of the graph, from 0.
        graph : CellGraph
            From the builder.
        """
        for cell in graph.cell_tasks:
            remedy = self._builder.options.remedies.get(cell)
            self._n_epochs[cell] = remedied_recipe(self._builder.study.recipe, remedy).n_epochs
        rows_tasks = [] if graph.rows_task is None else [graph.rows_task]
        # With fusing on, the annotations that send cells to GPUs would be dropped.
        with answered(), dask.config.set({"optimization.fuse.delayed": False}):
            futures: list[Future[Any]] = self._client.compute(
                [*graph.group_tasks.values(), *graph.cell_tasks.values(), *rows_tasks],
                # Of equal priority, what came first goes first; Dask mixes graphs of the same minute.
                fifo_timeout=0,
            )
        n_groups = len(graph.group_tasks)
        self._builder.use_futures(dict(zip(graph.group_tasks, futures, strict=False)))
        del futures[:n_groups]
        for cell, future in zip(graph.cell_tasks, futures, strict=False):
            self._cells[future.key] = CellTask(cell=cell, window=window)
        for future in futures[len(graph.cell_tasks) :]:
            self._rows[future.key] = RowsTask(window=window, covered=graph.covered, runs_cells=bool(graph.cell_tasks))
        self._futures.update(futures)
        self._waiting.update(futures)

    def take_ended(self) -> list[EndedTask]:
        """Return the tasks that have ended since the last call, and let go of their futures."""
        if not self._waiting.has_ready():
            return []
        futures: list[Future[Any]] = self._waiting.next_batch(block=False)
        with answered():
            results = self._client.gather({future.key: future for future in futures}, errors="skip")
        ended = []
        for future in futures:
            task = self._cells.pop(future.key, None) or self._rows.pop(future.key)
            # No task returns None: that stands for one that Dask gave up.
            result = results[future.key]
            ended.append(EndedTask(task=task, result=result, error=_error_of(future) if result is None else None))
        return ended


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


def _error_of(future: Future[Any]) -> BaseException:
    """The error of a task: only what its workers' death made of it, as tasks return their failures."""
    with answered():
        error: BaseException | None = future.exception()
        if error is None or future.cancelled():
            raise CancelledError(future.key)
        return error


def _forward_progress(event: tuple[float, dict[str, Any]], *, n_epochs: Mapping[Cell, int], notify: Notify) -> None:
    _, message = event
    cell = Cell(**message["cell"])
    source = {"worker": message["worker_name"], "host": message["host"]}
    if "epoch" not in message:
        notify(CellStarted(cell=cell, **source))
        return
    notify(CellProgress(cell=cell, epoch=message["epoch"], n_epochs=n_epochs[cell], loss=message["loss"], **source))
