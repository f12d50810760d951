"""Submits the graphs of a run to a scheduler, and tells which of their tasks have ended, and how."""

from __future__ import annotations

import contextlib
import functools
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask
from distributed import CancelledError, as_completed

from fly64dask.base import ResourceError
from fly64dask.cells import stop_run
from fly64dask.monitoring import CellProgress, CellStarted, Hear, RoomAwaited
from fly64dask.scheduling.graph import CellGraph, GraphBuilder
from fly64dask.scheduling.tasks import PROGRESS_TOPIC
from fly64dask.study import Cell, remedied_recipe

if TYPE_CHECKING:
    from distributed import Client, Future


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
    """An ended task with the value that it returned, or with the error for which Dask gave it up."""

    task: CellTask | RowsTask
    result: Any = None
    error: BaseException | None = None


class SubmittedGraphs:
    """The graphs of a builder that were submitted to a scheduler, and those of their tasks that have not ended.

    `notify` is called with the starts and epochs of cells.
    """

    def __init__(self, client: Client, builder: GraphBuilder, notify: Hear) -> None:
        self._client = client
        self._builder = builder
        self._notify = notify
        self._has_submitted = False
        # A scheduler keeps results for as long as somebody holds their futures, so those of ended tasks are dropped.
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
                # Only tasks that have not started can be cancelled; running ones are asked to end.
                self._client.cancel([future for future in self._futures if not future.done()])
                if self._has_submitted:
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
        """Whether every submitted task has ended and was returned by `take_ended`."""
        return bool(self._waiting.is_empty())

    def is_low(self, n_cells: int) -> bool:
        """Whether fewer cells than that are unfinished, and no submitted graph waits for its reducer alone."""
        if len(self._cells) >= n_cells:
            return False
        windows = {task.window for task in self._cells.values()}
        return all(task.window in windows for task in self._rows.values() if task.runs_cells)

    def submit(self, window: int, graph: CellGraph) -> None:
        """Submit a graph of the builder to the scheduler, as the window with that number, from 0."""
        self._has_submitted = self._has_submitted or bool(graph.cell_tasks)
        rows_tasks = [] if graph.rows_task is None else [graph.rows_task]
        # Fusing would drop the annotations that send cells to GPUs.
        with answered(), dask.config.set({"optimization.fuse.delayed": False}):
            futures: list[Future[Any]] = self._client.compute(
                [*graph.group_tasks.values(), *graph.cell_tasks.values(), *rows_tasks],
                # At equal priority earlier graphs go first; Dask alone would mix graphs submitted within one minute.
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

    def _n_epochs(self, cell: Cell) -> int:
        """Return the largest number of epochs that a cell may run."""
        remedy = self._builder.options.remedies.get(cell)
        return remedied_recipe(self._builder.study.recipe_of(cell), remedy).n_epochs

    def take_ended(self) -> list[EndedTask]:
        """Return the tasks that have ended since the last call, and drop their futures."""
        if not self._waiting.has_ready():
            return []
        futures: list[Future[Any]] = self._waiting.next_batch(block=False)
        with answered():
            results = self._client.gather({future.key: future for future in futures}, errors="skip")
        ended = []
        for future in futures:
            task = self._cells.pop(future.key, None) or self._rows.pop(future.key)
            # No task returns None, so None stands for one that Dask gave up.
            result = results[future.key]
            ended.append(EndedTask(task=task, result=result, error=_error_of(future) if result is None else None))
        return ended


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """Turn the errors of a question to a scheduler that is gone into one message.

    Raises
    ------
    ResourceError
        If the scheduler is gone.
    """
    try:
        yield
    except (OSError, TimeoutError, CancelledError) as error:
        raise ResourceError(
            f"cluster: the scheduler is gone, and with it what it knew of the running cells ({type(error).__name__})",
            remedy="run the same command again: committed cells are not run twice",
        ) from error


def _error_of(future: Future[Any]) -> BaseException:
    """Give the error of a task. Tasks return their own failures, so this is what the death of its workers caused."""
    with answered():
        error: BaseException | None = future.exception()
        if error is None or future.cancelled():
            raise CancelledError(future.key)
        return error


def _forward_progress(event: tuple[float, dict[str, Any]], *, n_epochs: Callable[[Cell], int], notify: Hear) -> None:
    _, message = event
    cell = Cell(**message["cell"]) if "cell" in message else None
    # Interned, because a run keeps the names of all cells' workers.
    source = {"worker": sys.intern(message["worker_name"]), "host": sys.intern(message["host"])}
    if "waits" in message or cell is None:
        notify(RoomAwaited(cell=cell, reason=message["waits"], **source))
        return
    if "epoch" not in message:
        notify(CellStarted(cell=cell, **source))
        return
    notify(CellProgress(cell=cell, epoch=message["epoch"], n_epochs=n_epochs(cell), loss=message["loss"], **source))
