"""Builds the Dask graphs of a run: tasks that publish groups, one for each cell, and a tree of tasks that read rows."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dask.base import annotate
from dask.delayed import Delayed
from toolz import partition_all

from fly64dask.cells import RunId
from fly64dask.reconstruction import LSQML
from fly64dask.scheduling.group_tasks import GroupTasks, longest_of_groups, task_of
from fly64dask.scheduling.tasks import (
    CellOrder,
    cell_task,
    collect_task,
    merge_task,
)
from fly64dask.study import Cell, Remedy, Study, cells

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
    resources : mapping of Cell to mapping of str to float, optional
        What each cell needs of a worker, if workers differ in more than a GPU.
    use_gpu : bool
        Whether a cell needs a worker's `GPU` resource.
    engine : str
        `module:function` of an `Engine`.
    remedies : mapping of Cell to Remedy
        The remedy of each cell that is tried again with one.
    lengths : mapping of Cell to int
        How long each cell takes, in any unit. The longest cells start first, so that the last ones are short and no
        worker waits long for the others at the end.
    """

    use_gpu: bool
    engine: str = LSQML
    remedies: Mapping[Cell, Remedy] = field(default_factory=dict)
    lengths: Mapping[Cell, int] = field(default_factory=dict)
    resources: Mapping[Cell, Mapping[str, float]] | None = None

    def needed(self, cell: Cell) -> Mapping[str, float]:
        """Give the resources that a cell needs of its worker."""
        if self.resources is not None:
            return self.resources[cell]
        return {"GPU": 1} if self.use_gpu else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class CellGraph:
    """The tasks of some cells.

    `cell_tasks` has the task of each cell that is to run. `group_tasks` publish the groups that these cells read and
    that no earlier graph of the run publishes. `covered` are the cells whose manifest rows the reducer returns, those
    that run among them. `rows_task` is the reducer's root, None if no cell is covered.
    """

    cell_tasks: Mapping[Cell, Delayed]
    group_tasks: Mapping[Hashable, Delayed]
    covered: Sequence[Cell]
    rows_task: Delayed | None


class GraphBuilder:
    """Builds the graphs of one run, one at a time, because a scheduler keeps kilobytes for each task.

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
    Keys read like cells and end in a token of their graph, because a scheduler that still holds the same key of an
    older graph would return that result. Dask's pages group keys by what stands before the first part that is not a
    word; hence `view_`, which gives one bar for all selections, as for all reconstructions.

    Dask searches each argument of a task for other tasks, down to each field of each record, and sends it with each
    task. So records are bound to the function, and the study comes from the task `prepare`.
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
            In the study's order. Groups that one graph publishes are used by later ones.
        """
        for covered in partition_all(self._window_cells, cells(self.study)):
            yield self.build([cell for cell in covered if cell in self.requested], covered=covered)

    def rebuilt(self) -> GraphBuilder:
        """Return a builder whose graphs publish again what their cells read."""
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
            The graph; nothing is computed yet.
        """
        options, token = self.options, uuid.uuid4().hex[:6]
        earlier = set(self._groups)
        groups = GroupTasks(
            study=self.study,
            run_id=self.run_id,
            tasks=self._groups,
            token=token,
            longest=longest_of_groups(requested, options.lengths),
        )
        cell_tasks: dict[Cell, Delayed] = {}
        for cell in requested:
            order = CellOrder(cell=cell, run_id=self.run_id, engine=options.engine, remedy=options.remedies.get(cell))
            threshold_px = order.remedy.spacing_threshold if order.remedy else None
            # Made outside of the annotation, which applies to cells only.
            needed = (
                groups.prepared(cell.object_seed),
                groups.exposed(cell),
                groups.selected(cell),
                None if threshold_px is None else groups.selected(cell, threshold_px),
            )
            key = f"reconstruct-{cell.name.replace('/', '-')}-{token}"
            resources = {"resources": dict(options.needed(cell))} if options.needed(cell) else {}
            with annotate(priority=options.lengths.get(cell, 0), **resources):
                cell_tasks[cell] = task_of(functools.partial(cell_task, order), key, *needed)
        # The reducer runs after the cells that it covers and before cells that still wait.
        with annotate(priority=max(options.lengths.values(), default=0) + 1):
            rows_task = _reducer(covered, self.run_id, cell_tasks, token) if covered else None
        return CellGraph(
            cell_tasks=cell_tasks,
            group_tasks={kind: self._groups[kind] for kind in self._groups if kind not in earlier},
            covered=covered,
            rows_task=rows_task,
        )

    def use_futures(self, futures: Mapping[Hashable, Future[Any]]) -> None:
        """Let later graphs use the groups that the scheduler already knows."""
        self._groups.update(futures)


def _reducer(covered: Sequence[Cell], run_id: RunId, cell_tasks: Mapping[Cell, Delayed], token: str) -> Delayed:
    """Make the tree of tasks that read committed records, each after the cells that it reads."""
    level = []
    for number, leaf in enumerate(partition_all(LEAF_CELLS, covered)):
        after = [cell_tasks[cell] for cell in leaf if cell in cell_tasks]
        collect = functools.partial(collect_task, leaf, run_id)
        level.append(task_of(collect, f"collect-{number * LEAF_CELLS}-{token}", *after))
    while len(level) > 1:
        level = [
            task_of(merge_task, f"merge-{len(level)}-{number * LEAF_CELLS}-{token}", *branch)
            for number, branch in enumerate(partition_all(LEAF_CELLS, level))
        ]
    return level[0]
