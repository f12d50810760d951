"""Makes the tasks that publish groups of exposures and selections, each when the first cell asks for its group."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dask.base import annotate
from dask.delayed import Delayed, delayed

from fly64dask.scheduling.tasks import expose_task, prepare_task, select_task
from fly64dask.study import Cell, Split, Study, realisation_of

if TYPE_CHECKING:
    from fly64dask.cells import RunId


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTasks:
    """Makes each task that publishes a group when it is first asked for.

    Dask queues the tasks that wait for `prepare` alone by priority, and runs a cell as soon as all that it waits for is
    there. So the selections of short cells come last.
    """

    study: Study
    run_id: RunId
    tasks: dict[Hashable, Any]
    token: str
    longest: Mapping[tuple[str, Split], int]

    def prepared(self, object_seed: int | None) -> Any:
        """Give the task that publishes the scan and the truth of an object."""
        of_object = "" if object_seed is None else f"-object_{object_seed}"
        prepare = functools.partial(prepare_task, self.study, object_seed, self.run_id)
        return self._task(("prepare", object_seed), f"prepare-scan{of_object}-{self.token}", prepare)

    def exposed(self, cell: Cell) -> Any:
        """Give the task that publishes the exposures that a cell reads."""
        drawn = realisation_of(self.study, cell)
        key = f"expose-{drawn.name.replace('/', '-')}-{self.token}"
        expose = functools.partial(expose_task, drawn, self.run_id)
        # The photons of exposures that belong to one view depend on what that view keeps.
        after = () if drawn.view is None else (self.selected(cell),)
        return self._task(("expose", drawn), key, expose, self.prepared(cell.object_seed), *after)

    def selected(self, cell: Cell, threshold_px: float | None = None) -> Any:
        """Give the task that publishes which exposures a cell keeps; `threshold_px` replaces its view's spacing."""
        spacing = "" if threshold_px is None else f"-spacing_{threshold_px}"
        key = f"select-view_{cell.view}{spacing}-{cell.split}-{self.token}"
        kind = ("select", cell.view, cell.split, threshold_px)
        select = functools.partial(select_task, cell.view, cell.split, threshold_px, cell.object_seed, self.run_id)
        # The scans of all objects have the same positions; this is the one of the cell that asks first.
        scan = self.prepared(cell.object_seed)
        return self._task(kind, key, select, scan, priority=self.longest[cell.view, cell.split])

    def _task(
        self, kind: Hashable, key: str, function: Callable[..., Any], *after: Any, priority: int | None = None
    ) -> Any:
        if kind not in self.tasks:
            with annotate(priority=max(self.longest.values(), default=0) if priority is None else priority):
                self.tasks[kind] = task_of(function, key, *after)
        return self.tasks[kind]


def longest_of_groups(requested: Sequence[Cell], lengths: Mapping[Cell, int]) -> dict[tuple[str, Split], int]:
    """Find the length of the longest cell of each view and split."""
    longest: dict[tuple[str, Split], int] = {}
    for cell in requested:
        longest[cell.view, cell.split] = max(lengths.get(cell, 0), longest.get((cell.view, cell.split), 0))
    return longest


def task_of(function: Callable[..., Any], key: str, *tasks: Any) -> Delayed:
    """Make a task that calls a function with the results of others."""
    task: Delayed = delayed(function, name=key, traverse=False)(*tasks, dask_key_name=key)
    return task
