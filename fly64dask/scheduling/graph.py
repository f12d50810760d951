"""Wanted cells of a study -> Dask graphs, a window of cells each."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dask.base import annotate
from dask.delayed import Delayed, delayed

from fly64dask.cells import RunId
from fly64dask.reconstruction import LSQML
from fly64dask.scheduling.tasks import cell_task, collect_task, expose_task, merge_task, prepare_task, select_task
from fly64dask.study import Cell, Remedy, Split, Study, cells, photons_name

# Cells of one graph (our choice): enough for any number of workers that one scheduler serves.
WINDOW_CELLS = 1024
LEAF_CELLS = 32  # records read by one reducer task: 3 ms of scheduling against about 10 ms of reading


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
    it with each task. So records are bound to the function, and the study comes from `prepare`.
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
            made.prepared(),
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
        manifest_rows=_reducer(covered, run_id, cell_tasks, token, priority=max(lengths.values(), default=0) + 1),
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

    def prepared(self) -> Any:
        work = functools.partial(prepare_task, self.study, self.run_id)
        return self._task("prepare", f"prepare-scan-{self.token}", work)

    def exposed(self, cell: Cell) -> Any:
        dose, split, repeat = cell.dose, cell.split, cell.repeat
        key = f"expose-{photons_name(dose, repeat)}-{split}-{self.token}"
        kind = ("expose", dose, split, repeat)
        work = functools.partial(expose_task, dose, split, repeat, self.run_id)
        return self._task(kind, key, work, self.prepared())

    def selected(self, cell: Cell, threshold_px: float | None = None) -> Any:
        spacing = "" if threshold_px is None else f"-spacing_{threshold_px}"
        key = f"select-view_{cell.view}{spacing}-{cell.split}-{self.token}"
        kind = ("select", cell.view, cell.split, threshold_px)
        work = functools.partial(select_task, cell.view, cell.split, threshold_px, self.run_id)
        return self._task(kind, key, work, self.prepared(), priority=self.longest[cell.view, cell.split])

    def _task(self, kind: Any, key: str, work: Callable[..., Any], *after: Any, priority: int | None = None) -> Any:
        if kind not in self.tasks:
            with annotate(priority=max(self.longest.values(), default=0) if priority is None else priority):
                self.tasks[kind] = _call(work, key, *after)
        return self.tasks[kind]


def _reducer(
    covered: Sequence[Cell], run_id: RunId, cell_tasks: dict[Cell, Delayed], token: str, *, priority: int
) -> Delayed:
    """Tree of tasks that read committed records, each after the cells it reads and before cells that wait."""
    with annotate(priority=priority):
        return _tree(covered, run_id, cell_tasks, token)


def _tree(covered: Sequence[Cell], run_id: RunId, cell_tasks: dict[Cell, Delayed], token: str) -> Delayed:
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


def batched(some: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Cut a sequence into pieces of one size, the last one shorter."""
    return (some[start : start + size] for start in range(0, len(some), size))
