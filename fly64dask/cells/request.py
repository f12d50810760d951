"""What a run asks of one cell: its study, engine and remedy, and the key that names the numbers it would give."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from fly64dask.base import Failure, result_or_failure, software_versions
from fly64dask.cells.cancellation import RunId
from fly64dask.cells.inputs import CellInputs, open_inputs
from fly64dask.reconstruction import LSQML
from fly64dask.records import cell_key, failure_key
from fly64dask.store import RunLayout
from fly64dask.study import Cell, Recipe, Remedy, Study, remedied_recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """The way in which a failed cell is tried again, and why the groups that it reads then are not published."""

    remedy: Remedy
    blocked_by: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRequest:
    """The request of a run for one cell; small and picklable.

    Parameters
    ----------
    study : Study
        The study as its file says it, without a remedy.
    cell : Cell
        One of its cells.
    run_id : RunId
        The run that asks: it names the run's directory, and by it the cell can be stopped.
    engine : str
        `module:function` of an `Engine`, imported in the engine's process.
    blocked_by : Failure, optional
        Why the cell's exposures or its view are not published.
    rerun : Rerun, optional
        Given if the cell has failed and is to be tried again with a remedy.
    """

    study: Study
    cell: Cell
    run_id: RunId
    engine: str = LSQML
    blocked_by: Failure | None = None
    rerun: Rerun | None = None

    @property
    def layout(self) -> RunLayout:
        """The paths of the run's files."""
        return RunLayout(Path(self.run_id.root))

    @property
    def remedy(self) -> Remedy | None:
        """The remedy with which the cell is tried again; None for an ordinary run."""
        return self.rerun.remedy if self.rerun else None

    @property
    def recipe(self) -> Recipe:
        """The recipe that the cell is reconstructed with: its own of the study, changed by the remedy."""
        return remedied_recipe(self.study.recipe_of(self.cell), self.remedy)


def open_request(request: CellRequest) -> tuple[str, CellInputs | Failure]:
    """Open the groups that a cell reads; gives the key of its numbers with them, else that of the reason why not."""
    study, cell, recipe = request.study, request.cell, request.recipe
    blocked_by = request.rerun.blocked_by if request.rerun else request.blocked_by

    def open_groups() -> CellInputs:
        return open_inputs(study, request.layout, cell, request.remedy)

    inputs = blocked_by if blocked_by is not None else result_or_failure(open_groups, what=f"cell={cell.name} inputs")
    if isinstance(inputs, Failure):
        return failure_key(study, cell, recipe, inputs.kind), inputs
    versions, seed = software_versions(), study.seeds.grouping
    return cell_key(inputs.sha256, recipe, seed=seed, engine=request.engine, versions=versions), inputs


def unremedied_key(request: CellRequest) -> str | None:
    """Compute the key that the cell would have without its remedy; None if it is not tried with one."""
    return open_request(replace(request, rerun=None))[0] if request.rerun else None
