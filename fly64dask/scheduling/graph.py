"""Builds the Dask graphs of a run: what publishes groups, one task for each cell, and a tree that reads their rows."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dask.base import annotate
from dask.delayed import Delayed, delayed
from toolz import partition_all

from fly64dask.cells import RunId
from fly64dask.reconstruction import LSQML
from fly64dask.scheduling.tasks import (
    CellOrder,
    cell_task,
    collect_task,
    expose_task,
    merge_task,
    prepare_task,
    select_task,
)
from fly64dask.study import Cell, Remedy, Split, Study, cells, realisation_of

if TYPE_CHECKING:
    from distributed import Future

# Cells of one graph (our choice): enough for any number of workers that one scheduler serves.
WINDOW_CELLS = 1024
LEAF_CELLS = 32  # records read by one reducer task: 3 ms of scheduling against about 10 ms of reading


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphOptions:
    """The settings with which the cells of a run are computed.

    Parameters
    ----------
    use_gpu : bool
        Whether a cell needs a worker's `GPU` resource.
    engine : str
        `module:function` of an `Engine`.
    remedies : mapping of Cell to Remedy
        Remedies of those cells that are tried again with one.
    lengths : mapping of Cell to int
        How long each cell takes, in any unit: the longest go first, so that the last ones are short and no
        worker waits long for the others at the end.
    """

    use_gpu: bool
    engine: str = LSQML
    remedies: Mapping[Cell, Remedy] = field(default_factory=dict)
    lengths: Mapping[Cell, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellGraph:
    """The tasks of some cells.

    `cell_tasks` has the task of each cell that is to run; `group_tasks` publish what these cells read and no earlier
    graph of the run has; `covered` are the cells whose manifest rows the reducer gives, those that run among them;
    `rows_task` is the reducer's root, None if no cell is covered.
    """

    cell_tasks: Mapping[Cell, Delayed]
    group_tasks: Mapping[Hashable, Delayed]
    covered: Sequence[Cell]
    rows_task: Delayed | None


class GraphBuilder:
    """Builds the graphs of one run, each when it is asked for: a scheduler keeps kilobytes for each task.

    Parameters
    ----------
    study : Study
        The study.
    requested : collection of Cell
        Cells to run.
    run_id : RunId
        The run.
    options : GraphOptions
        How its cells are computed.
    window_cells : int
        Cells of the study that each graph of `windows` covers.

    Notes
    -----
    Keys read like cells and end in a token of their graph: a scheduler that still holds an older
    graph's key would hand back its result. Dask's pages join keys by what stands before the first
    part that is no word, hence `view_`: one bar for all that selects, as for all that reconstructs.

    Dask searches each argument of a task for other tasks, in each field of each record, and sends
    it with each task. So records are bound to the function, and the study comes from `prepare`.
    """

    def __init__(
        self,
        study: Study,
        requested: Collection[Cell],
        run_id: RunId,
        options: GraphOptions,
        *,
        window_cells: int = WINDOW_CELLS,
    ) -> None:
        self.study = study
        self.requested = frozenset(requested)
        self.run_id = run_id
        self.options = options
        self._window_cells = window_cells
        self._groups: dict[Hashable, Any] = {}  # tasks, or futures of those that were submitted

    def windows(self) -> Iterator[CellGraph]:
        """Build the graphs of the whole study piece by piece.

        Yields
        ------
        CellGraph
            In the study's order. What one publishes, later ones use.
        """
        for covered in partition_all(self._window_cells, cells(self.study)):
            yield self.build([cell for cell in covered if cell in self.requested], covered=covered)

    def rebuilt(self) -> GraphBuilder:
        """Return a builder whose graphs publish what their cells read anew."""
        return GraphBuilder(self.study, self.requested, self.run_id, self.options, window_cells=self._window_cells)

    def build(self, requested: Sequence[Cell], *, covered: Sequence[Cell] = ()) -> CellGraph:
        """Build one graph.

        Parameters
        ----------
        requested : sequence of Cell
            Cells to run.
        covered : sequence of Cell
            Cells whose records the reducer reads.

        Returns
        -------
        CellGraph
            Nothing is computed.
        """
        options, token = self.options, uuid.uuid4().hex[:6]
        earlier = set(self._groups)
        groups = _GroupTasks(
            builder=self, tasks=self._groups, token=token, longest=_longest(requested, options.lengths)
        )
        cell_tasks: dict[Cell, Delayed] = {}
        for cell in requested:
            order = CellOrder(cell=cell, run_id=self.run_id, engine=options.engine, remedy=options.remedies.get(cell))
            threshold_px = order.remedy.spacing_threshold if order.remedy else None
            # Made outside of the annotation, which is for cells alone.
            needed = (
                groups.prepared(cell.object_seed),
                groups.exposed(cell),
                groups.selected(cell),
                None if threshold_px is None else groups.selected(cell, threshold_px),
            )
            key = f"reconstruct-{cell.name.replace('/', '-')}-{token}"
            gpu = {"resources": {"GPU": 1}} if options.use_gpu else {}
            with annotate(priority=options.lengths.get(cell, 0), **gpu):
                cell_tasks[cell] = _call(functools.partial(cell_task, order), key, *needed)
        # The reducer reads records after the cells it covers and before cells that wait.
        with annotate(priority=max(options.lengths.values(), default=0) + 1):
            rows_task = _reducer(covered, self.run_id, cell_tasks, token) if covered else None
        return CellGraph(
            cell_tasks=cell_tasks,
            group_tasks={kind: self._groups[kind] for kind in self._groups if kind not in earlier},
            covered=covered,
            rows_task=rows_task,
        )

    def use_futures(self, futures: Mapping[Hashable, Future[Any]]) -> None:
        """Have later graphs go on from groups that the scheduler already knows."""
        self._groups.update(futures)


def _longest(requested: Sequence[Cell], lengths: Mapping[Cell, int]) -> dict[tuple[str, Split], int]:
    """Length of the longest cell of each view and split."""
    longest: dict[tuple[str, Split], int] = {}
    for cell in requested:
        longest[cell.view, cell.split] = max(lengths.get(cell, 0), longest.get((cell.view, cell.split), 0))
    return longest


def _call(function: Callable[..., Any], key: str, *tasks: Any) -> Delayed:
    """A task that calls a function with the results of others."""
    return delayed(function, name=key, traverse=False)(*tasks, dask_key_name=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class _GroupTasks:
    """Makes each task that publishes a group when it is first asked for.

    Dask queues what waits for nothing but `prepare`, by priority, and runs a cell as soon as all that it waits for is
    there: so the selections that short cells wait for come last.
    """

    builder: GraphBuilder
    tasks: dict[Hashable, Any]
    token: str
    longest: Mapping[tuple[str, Split], int]

    def prepared(self, object_seed: int | None) -> Any:
        of_object = "" if object_seed is None else f"-object_{object_seed}"
        prepare = functools.partial(prepare_task, self.builder.study, object_seed, self.builder.run_id)
        return self._task(("prepare", object_seed), f"prepare-scan{of_object}-{self.token}", prepare)

    def exposed(self, cell: Cell) -> Any:
        drawn = realisation_of(self.builder.study, cell)
        key = f"expose-{drawn.name.replace('/', '-')}-{self.token}"
        expose = functools.partial(expose_task, drawn, self.builder.run_id)
        # The photons of an exposure that is for one view depend on what that view keeps.
        after = () if drawn.view is None else (self.selected(cell),)
        return self._task(("expose", drawn), key, expose, self.prepared(cell.object_seed), *after)

    def selected(self, cell: Cell, threshold_px: float | None = None) -> Any:
        spacing = "" if threshold_px is None else f"-spacing_{threshold_px}"
        key = f"select-view_{cell.view}{spacing}-{cell.split}-{self.token}"
        kind = ("select", cell.view, cell.split, threshold_px)
        select = functools.partial(
            select_task, cell.view, cell.split, threshold_px, cell.object_seed, self.builder.run_id
        )
        # Any object's scan has the positions: that of the cell which asks first.
        scan = self.prepared(cell.object_seed)
        return self._task(kind, key, select, scan, priority=self.longest[cell.view, cell.split])

    def _task(
        self, kind: Hashable, key: str, function: Callable[..., Any], *after: Any, priority: int | None = None
    ) -> Any:
        if kind not in self.tasks:
            with annotate(priority=max(self.longest.values(), default=0) if priority is None else priority):
                self.tasks[kind] = _call(function, key, *after)
        return self.tasks[kind]


def _reducer(covered: Sequence[Cell], run_id: RunId, cell_tasks: Mapping[Cell, Delayed], token: str) -> Delayed:
    """Tree of tasks that read committed records, each after the cells it reads."""
    level = []
    for number, leaf in enumerate(partition_all(LEAF_CELLS, covered)):
        after = [cell_tasks[cell] for cell in leaf if cell in cell_tasks]
        collect = functools.partial(collect_task, leaf, run_id)
        level.append(_call(collect, f"collect-{number * LEAF_CELLS}-{token}", *after))
    while len(level) > 1:
        level = [
            _call(merge_task, f"merge-{len(level)}-{number * LEAF_CELLS}-{token}", *branch)
            for number, branch in enumerate(partition_all(LEAF_CELLS, level))
        ]
    return level[0]
