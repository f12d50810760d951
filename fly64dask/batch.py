"""Wanted cells -> a Dask graph -> committed records, outcomes and manifest rows."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
import uuid
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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
from fly64dask.study import Cell, Dose, Split, Study, cells, photons_name

if TYPE_CHECKING:
    from distributed import Client, Future

    from fly64dask.supply import Supply

log = logging.getLogger(__name__)
PROGRESS_TOPIC = "fly64dask-progress"
GONE = {Status.closing, Status.closed, Status.failed}  # a worker that lost its scheduler
POLL_S = 0.1  # between two looks at what has ended; its results are fetched at once
# Cells of one graph, and how few are left when the next one is submitted (our choice): enough for any number of
# workers that one scheduler serves.
WINDOW_CELLS, REFILL_CELLS = 1024, 1024
LEAF_CELLS = 32  # records read by one reducer task: 3 ms of scheduling against about 10 ms of reading

Notify = Callable[[CellEvent], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellGraph:
    """Tasks of a study, or of a window of it: one per wanted cell, some with a remedy, and the reducer's root.

    `covered` are the cells whose rows the reducer gives; `groups` the tasks that publish what cells read.
    """

    run_id: RunId
    engine: str
    use_gpu: bool
    remedies: Mapping[Cell, Remedy]
    lengths: Mapping[Cell, int]
    cell_tasks: dict[Cell, Delayed]
    manifest_rows: Delayed
    covered: Sequence[Cell]
    groups: dict[Any, Any]


def build_windows(
    study: Study,
    wanted: Collection[Cell],
    run_id: RunId,
    *,
    use_gpu: bool,
    engine: str = LSQML,
    remedies: Mapping[Cell, Remedy] | None = None,
    lengths: Mapping[Cell, int] | None = None,
    window_cells: int = WINDOW_CELLS,
) -> Iterator[CellGraph]:
    """Build a study's graph piece by piece, each when it is asked for: a scheduler keeps kilobytes for each task.

    Parameters
    ----------
    study, wanted, run_id, use_gpu, engine, remedies, lengths
        As of `build_graph`.
    window_cells : int
        Cells of the study that each covers.

    Yields
    ------
    CellGraph
        In the study's order. What one publishes, later ones use.
    """
    chosen = frozenset(wanted)
    groups: dict[Any, Any] = {}
    for covered in batched(cells(study), window_cells):
        some = [cell for cell in covered if cell in chosen]
        yield build_graph(
            study,
            some,
            run_id,
            use_gpu=use_gpu,
            engine=engine,
            remedies=remedies,
            lengths=lengths,
            covered=covered,
            groups=groups,
        )


def build_graph(
    study: Study,
    wanted: Sequence[Cell],
    run_id: RunId,
    *,
    use_gpu: bool,
    engine: str = LSQML,
    remedies: Mapping[Cell, Remedy] | None = None,
    lengths: Mapping[Cell, int] | None = None,
    covered: Sequence[Cell] | None = None,
    groups: dict[Any, Any] | None = None,
) -> CellGraph:
    """Build the graph: expose and select once per dose, view and split, then cells, then a tree.

    Parameters
    ----------
    study : Study
        The study.
    wanted : sequence of Cell
        Cells to run.
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
    covered : sequence of Cell, optional
        Cells whose records the reducer reads, the wanted ones among them; all of the study if omitted.
    groups : dict, optional
        Tasks, or their futures, of earlier graphs of this run that publish groups; this one's are added.

    Returns
    -------
    CellGraph
        Nothing is computed.

    Notes
    -----
    Keys read like cells and end in a token of this graph: a scheduler that still holds an older
    graph's key would hand back its result. Dask's pages join keys by what stands before the first
    part that is no word, hence `view_`: one bar for all that selects, as for all that reconstructs.

    Dask searches each argument of a task for other tasks, in each field of each record, and sends
    it with each task. So records are bound to the function, and the study is a task of its own.
    """
    token = uuid.uuid4().hex[:6]
    groups = {} if groups is None else groups
    remedies = remedies or {}
    lengths = lengths or {}
    made = _Groups(study=study, run_id=run_id, token=token, tasks=groups, longest=_longest(wanted, lengths))
    cell_tasks: dict[Cell, Delayed] = {}
    for cell in wanted:
        remedy = remedies.get(cell)
        threshold_px = remedy.spacing_threshold if remedy else None
        # Made outside of the annotation, which is for cells alone.
        needed = (
            made.study_task(),
            made.exposed(cell),
            made.selected(cell),
            None if threshold_px is None else made.selected(cell, threshold_px),
        )
        key = f"reconstruct-{cell.name.replace('/', '-')}-{token}"
        gpu = {"resources": {"GPU": 1}} if use_gpu else {}
        with annotate(priority=lengths.get(cell, 0), **gpu):
            cell_tasks[cell] = _call(functools.partial(cell_task, cell, run_id, engine, remedy), key, *needed)
    covered = cells(study) if covered is None else covered
    return CellGraph(
        run_id=run_id,
        engine=engine,
        use_gpu=use_gpu,
        remedies=remedies,
        lengths=lengths,
        cell_tasks=cell_tasks,
        manifest_rows=_reducer(covered, run_id, cell_tasks, token),
        covered=covered,
        groups=groups,
    )


def _longest(wanted: Iterable[Cell], lengths: Mapping[Cell, int]) -> dict[tuple[str, Split], int]:
    """Length of the longest cell of each view and split."""
    longest: dict[tuple[str, Split], int] = {}
    for cell in wanted:
        longest[cell.view, cell.split] = max(lengths.get(cell, 0), longest.get((cell.view, cell.split), 0))
    return longest


def _call(work: Callable[..., Any], key: str, *tasks: Any) -> Delayed:
    """A task that calls a function with the results of others."""
    return delayed(work, name=key, traverse=False)(*tasks, dask_key_name=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Groups:
    """Makes each task that publishes a group when it is first asked for.

    Dask queues what waits for nothing but `prepare`, by priority, and runs a cell as soon as all that it waits for is
    there: so the selections that short cells wait for come last.
    """

    study: Study
    run_id: RunId
    token: str
    tasks: dict[Any, Any]
    longest: Mapping[tuple[str, Split], int]

    def study_task(self) -> Any:
        if "study" not in self.tasks:
            self.tasks["study"] = delayed(self.study, name=f"study-{self.token}", traverse=False)
        return self.tasks["study"]

    def prepared(self) -> Any:
        return self._task("prepare", f"prepare-scan-{self.token}", functools.partial(prepare_task, self.run_id))

    def exposed(self, cell: Cell) -> Any:
        dose, split, repeat = cell.dose, cell.split, cell.repeat
        key = f"expose-{photons_name(dose, repeat)}-{split}-{self.token}"
        kind = ("expose", dose, split, repeat)
        work = functools.partial(expose_task, dose, split, repeat, self.run_id)
        return self._task(kind, key, work, after=self.prepared())

    def selected(self, cell: Cell, threshold_px: float | None = None) -> Any:
        spacing = "" if threshold_px is None else f"-spacing_{threshold_px}"
        key = f"select-view_{cell.view}{spacing}-{cell.split}-{self.token}"
        kind = ("select", cell.view, cell.split, threshold_px)
        work = functools.partial(select_task, cell.view, cell.split, threshold_px, self.run_id)
        return self._task(kind, key, work, after=self.prepared(), priority=self.longest[cell.view, cell.split])

    def _task(
        self, kind: Any, key: str, work: Callable[..., Any], *, after: Any = None, priority: int | None = None
    ) -> Any:
        if kind not in self.tasks:
            needed = (self.study_task(),) if after is None else (self.study_task(), after)
            with annotate(priority=max(self.longest.values(), default=0) if priority is None else priority):
                self.tasks[kind] = _call(work, key, *needed)
        return self.tasks[kind]


def _reducer(covered: Sequence[Cell], run_id: RunId, cell_tasks: dict[Cell, Delayed], token: str) -> Delayed:
    """Tree of tasks that read committed records, each after the cells it reads."""
    level = []
    for number, some in enumerate(batched(covered, LEAF_CELLS)):
        after = [cell_tasks[cell] for cell in some if cell in cell_tasks]
        work = functools.partial(collect_task, some, run_id)
        level.append(_call(work, f"collect-{number * LEAF_CELLS}-{token}", *after))
    while len(level) > 1:
        level = [
            _call(merge_task, f"merge-{len(level)}-{number * LEAF_CELLS}-{token}", *some)
            for number, some in enumerate(batched(level, LEAF_CELLS))
        ]
    return level[0]


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
        From `build_windows`; the next one is taken when most cells of those before have ended.
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
                outcomes[cell] = _commit_lost(study, cell, layout, last, error)
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
            while len(submitted.cells) < pace.refill_cells and (following := next(coming, None)) is not None:
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
                cell, place = submitted.cells.pop(future.key, None), submitted.roots.pop(future.key, None)
                if cell is not None:
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
        self.cells: dict[Any, Cell] = {}
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

    def submit(self, number: int, graph: CellGraph) -> list[Future[Any]]:
        """Give a graph to the scheduler; gives the futures of its cells and of its rows."""
        self._run_id = graph.run_id
        for cell in graph.cell_tasks:
            self._n_epochs[cell] = remedied_recipe(self._study.recipe, graph.remedies.get(cell)).n_epochs
        new = {kind: task for kind, task in graph.groups.items() if isinstance(task, Delayed)}
        # With fusing on, the annotations that send cells to GPUs would be dropped.
        with answered(), dask.config.set({"optimization.fuse.delayed": False}):
            futures: list[Future[Any]] = self._client.compute(
                [*graph.cell_tasks.values(), graph.manifest_rows, *new.values()]
            )
        n_cells = len(graph.cell_tasks)
        # Later graphs go on from what this one publishes.
        graph.groups.update(zip(new, futures[n_cells + 1 :], strict=True))
        futures = futures[: n_cells + 1]
        self.cells |= {future.key: cell for future, cell in zip(futures, graph.cell_tasks, strict=False)}
        self.roots[futures[-1].key] = (number, graph)
        self._open.update(futures)
        return futures


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


def prepare_task(run_id: RunId, study: Study) -> Failure | None:
    """Worker task: publish the scan group."""
    return failure_of(lambda: prepare_scan(study, _layout(run_id)), what="stage=prepare")


def expose_task(
    dose: Dose, split: Split, repeat: int, run_id: RunId, study: Study, prepared: Failure | None
) -> Failure | None:
    """Worker task: publish one dose, split and repeat."""
    return prepared or failure_of(
        lambda: expose_split(study, dose, split, _layout(run_id), repeat=repeat),
        what=f"stage=expose {photons_name(dose, repeat)}/{split}",
    )


def select_task(
    view: str, split: Split, threshold_px: float | None, run_id: RunId, study: Study, prepared: Failure | None
) -> Failure | None:
    """Worker task: publish one view and split, at another spacing than the study's if one is given."""
    return prepared or failure_of(
        lambda: select_view(study, view, split, _layout(run_id), threshold_px=threshold_px),
        what=f"stage=select {view}/{split}",
    )


def cell_task(
    cell: Cell,
    run_id: RunId,
    engine: str,
    remedy: Remedy | None,
    study: Study,
    exposed: Failure | None,
    selected: Failure | None,
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


def collect_task(some: Sequence[Cell], run_id: RunId, *after: CellOutcome) -> tuple[ManifestRow, ...]:
    """Worker task: read the committed records of some cells, once those that run have ended."""
    layout = _layout(run_id)
    return tuple(row for cell in some if (row := read_row(layout, cell)) is not None)


def merge_task(*parts: tuple[ManifestRow, ...]) -> tuple[ManifestRow, ...]:
    """Worker task: join rows, keeping their order."""
    return tuple(row for part in parts for row in part)


def batched(some: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Cut a sequence into pieces of one size, the last one shorter."""
    return (some[start : start + size] for start in range(0, len(some), size))


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
