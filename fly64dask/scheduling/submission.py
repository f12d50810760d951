"""Dask graphs -> committed records, outcomes and manifest rows, whatever happens to workers."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask
from dask.delayed import Delayed
from distributed import CancelledError, as_completed

from fly64dask.base import Failure, ResourceError, describe, failure_kind, result_or_failure
from fly64dask.cells import CellRequest, Rerun, RunId, commit_lost, is_killer, stop_run
from fly64dask.monitoring import CellOutcome, CellProgress, CellStarted, Notify
from fly64dask.records import ManifestRow
from fly64dask.scheduling.graph import CellGraph, build_graph
from fly64dask.scheduling.tasks import PROGRESS_TOPIC, collect_task
from fly64dask.store import RunLayout
from fly64dask.study import Cell, Study, remedied_recipe

if TYPE_CHECKING:
    from distributed import Client, Future

    from fly64dask.scheduling.supply import Supply

log = logging.getLogger(__name__)
POLL_S = 0.1  # between two looks at what has ended; its results are fetched at once
REFILL_CELLS = 1024  # how few cells are left when the next graph is submitted (our choice)


def run_graph(
    client: Client, graph: CellGraph, study: Study, layout: RunLayout, notify: Notify, *, supply: Supply
) -> tuple[dict[Cell, CellOutcome], tuple[ManifestRow, ...]]:
    """Run one graph to the end; gives its outcomes, and the rows of the cells that it covers. See `run_windows`."""
    kept: dict[int, Sequence[ManifestRow]] = {}
    outcomes = run_windows(client, [graph], study, layout, notify, kept.__setitem__, supply=supply)
    return outcomes, tuple(kept[0])


def run_windows(
    client: Client,
    graphs: Iterable[CellGraph],
    study: Study,
    layout: RunLayout,
    notify: Notify,
    keep: Callable[[int, Sequence[ManifestRow]], None],
    *,
    supply: Supply,
    n_cells: int = 0,
    refill_cells: int = REFILL_CELLS,
) -> dict[Cell, CellOutcome]:
    """Run graphs to the end, whatever happens to their cells, few cells of them at a time.

    Parameters
    ----------
    client : distributed.Client
        Connected, with workers.
    graphs : iterable of CellGraph
        From `build_windows`; the next one is taken when most cells of those before have ended, and the
        records of each of which all cells have ended are read.
    study : Study
        The study.
    layout : RunLayout
        The run.
    notify : callable
        Called with each start and epoch of a cell (from another thread) and each outcome.
    keep : callable
        Called once for each graph, with its place among them and the rows of the cells it covers
        that are committed, in the study's order.
    supply : Supply
        Who sees to it that there are workers.
    n_cells : int
        Cells of all graphs, if known.
    refill_cells : int
        The next graph is submitted when fewer cells than these have not ended.

    Returns
    -------
    dict of Cell to CellOutcome
        One for each cell of the graphs.

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
    pace = _Pace(supply=supply, n_cells=n_cells, refill_cells=refill_cells)
    given_up, unread, last = _run_once(client, graphs, study, outcomes, notify, keep, pace)
    n_ended = -1
    while given_up:
        assert last is not None
        # With nothing ended since the last turn, something that they all need kills the workers.
        moving = len(outcomes) > n_ended
        n_ended = len(outcomes)
        innocent = [cell for cell in given_up if moving and not is_killer(layout, cell, last.run_id)]
        for cell, error in given_up.items():
            if cell not in innocent:
                outcomes[cell] = _commit_lost(study, cell, last, error)
                notify(outcomes[cell])
        given_up = {}
        if innocent:
            log.warning("state=again cells=%d given up by Dask, though no worker died of them", len(innocent))
            again = build_graph(
                study,
                innocent,
                last.run_id,
                use_gpu=last.use_gpu,
                engine=last.engine,
                remedies=last.remedies,
                lengths=last.lengths,
                covered=innocent,
            )
            given_up, _, _ = _run_once(client, [again], study, outcomes, notify, lambda *_: None, pace)
    for number, graph in unread.items():
        # Its tree waited in vain for what was given up.
        keep(number, collect_task(graph.covered, graph.run_id))
    return outcomes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pace:
    """How many cells there are, how few of them are left when more are submitted, and who sees to the workers."""

    supply: Supply
    n_cells: int
    refill_cells: int


def _run_once(
    client: Client,
    graphs: Iterable[CellGraph],
    study: Study,
    outcomes: dict[Cell, CellOutcome],
    notify: Notify,
    keep: Callable[[int, Sequence[ManifestRow]], None],
    pace: _Pace,
) -> tuple[dict[Cell, BaseException], dict[int, CellGraph], CellGraph | None]:
    """Submit graphs and gather their outcomes; gives what Dask gave up with its error, and graphs without rows."""
    given_up: dict[Cell, BaseException] = {}
    unread: dict[int, CellGraph] = {}
    with _Submission(client, study, notify).open() as submitted:
        coming = enumerate(graphs)
        graph = None
        waiting = as_completed(loop=client.loop)
        while True:
            while submitted.is_low(pace.refill_cells) and (following := next(coming, None)) is not None:
                number, graph = following
                waiting.update(submitted.submit(number, graph))
            if waiting.is_empty():
                return given_up, unread, graph
            if not waiting.has_ready():
                time.sleep(POLL_S)
                pace.supply.check()
                continue
            ended = waiting.next_batch(block=False)
            for future, found in zip(ended, _results(client, ended), strict=True):
                error = _error_of(future) if found is None else None
                of, place = submitted.cells.pop(future.key, None), submitted.roots.pop(future.key, None)
                if of is not None:
                    cell, _ = of
                    pace.supply.want(max(len(submitted.cells), pace.n_cells - len(outcomes) - len(given_up)))
                    if error is not None:
                        given_up[cell] = error
                        continue
                    outcomes[cell] = found
                    notify(found)
                elif place is not None and error is not None:
                    unread[place[0]] = place[1]
                elif place is not None:
                    keep(place[0], found)
            # Whoever holds a future has the scheduler keep its result.
            del ended, future


def _results(client: Client, ended: Sequence[Future[Any]]) -> list[Any]:
    """What tasks gave, fetched at once; None for those that have no result."""
    with answered():
        found = client.gather({future.key: future for future in ended}, errors="skip")
    return [found[future.key] for future in ended]


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


class _Submission:
    """What a scheduler has of a run; when its block is interrupted, it waits until the cells have stopped."""

    def __init__(self, client: Client, study: Study, notify: Notify) -> None:
        self._client = client
        self._study = study
        self._notify = notify
        self._n_epochs: dict[Cell, int] = {}
        self._open: weakref.WeakSet[Future[Any]] = weakref.WeakSet()
        self._run_id: RunId | None = None
        self.cells: dict[Any, tuple[Cell, int]] = {}
        self.roots: dict[Any, tuple[int, CellGraph]] = {}

    @contextlib.contextmanager
    def open(self) -> Iterator[_Submission]:
        """Listen to what cells say for as long as the block lasts."""
        subscribed = functools.partial(_forward_progress, n_epochs=self._n_epochs, notify=self._notify)
        with answered():
            self._client.subscribe_topic(PROGRESS_TOPIC, subscribed)
        try:
            yield self
        except KeyboardInterrupt:
            with contextlib.suppress(OSError, TimeoutError):
                # Only what has not started can be cancelled; what runs is asked to end.
                self._client.cancel([future for future in self._open if not future.done()])
                if self._run_id is not None:
                    self._client.run(stop_run, self._run_id, on_error="ignore")
            raise
        finally:
            with contextlib.suppress(OSError, TimeoutError):
                self._client.unsubscribe_topic(PROGRESS_TOPIC)

    def is_low(self, n_cells: int) -> bool:
        """Whether fewer cells have not ended, and the scheduler keeps none for a graph that only has to be read."""
        if len(self.cells) >= n_cells:
            return False
        left = {number for _, number in self.cells.values()}
        return all(number in left for number, graph in self.roots.values() if graph.cell_tasks)

    def submit(self, number: int, graph: CellGraph) -> list[Future[Any]]:
        """Give a graph to the scheduler; gives the futures of its cells and of its rows."""
        self._run_id = graph.run_id
        for cell in graph.cell_tasks:
            self._n_epochs[cell] = remedied_recipe(self._study.recipe, graph.remedies.get(cell)).n_epochs
        new = {kind: task for kind, task in graph.groups.items() if isinstance(task, Delayed)}
        # With fusing on, the annotations that send cells to GPUs would be dropped.
        with answered(), dask.config.set({"optimization.fuse.delayed": False}):
            futures: list[Future[Any]] = self._client.compute(
                [*graph.cell_tasks.values(), graph.manifest_rows, *new.values()],
                # Of equal priority, what came first goes first; Dask mixes graphs of the same minute.
                fifo_timeout=0,
            )
        n_cells = len(graph.cell_tasks)
        # Later graphs go on from what this one publishes.
        graph.groups.update(zip(new, futures[n_cells + 1 :], strict=True))
        futures = futures[: n_cells + 1]
        self.cells |= {future.key: (cell, number) for future, cell in zip(futures, graph.cell_tasks, strict=False)}
        self.roots[futures[-1].key] = (number, graph)
        self._open.update(futures)
        return futures


def _commit_lost(study: Study, cell: Cell, graph: CellGraph, error: BaseException) -> CellOutcome:
    failure = Failure(kind=failure_kind(error), message=describe(error))
    remedy = graph.remedies.get(cell)
    request = CellRequest(
        study=study,
        cell=cell,
        run_id=graph.run_id,
        engine=graph.engine,
        rerun=Rerun(remedy=remedy) if remedy else None,
    )
    committed = result_or_failure(
        lambda: commit_lost(request, failure),
        what=f"cell={cell.name} commit",
    )
    if isinstance(committed, Failure):
        return CellOutcome(cell=cell, failure=failure, seconds=0.0, committed=False)
    return committed


def _error_of(future: Future[Any]) -> BaseException | None:
    """What a task raised: only what its workers' death made of it, as tasks return their failures."""
    with answered():
        error: BaseException | None = future.exception()
        if future.cancelled():
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
