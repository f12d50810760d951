"""Tries failed cells of a run again: what each would be tried with, what that changes, and the run itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from fly64dask.base import FailureKind, NotSelectableError
from fly64dask.datasets import read_inputs
from fly64dask.reconstruction import LSQML
from fly64dask.records import read_last_row
from fly64dask.scan import MIN_EXPOSURES, respace, split_indices
from fly64dask.study import (
    MENDS,
    CellCoordinates,
    Filters,
    Remedy,
    RemedyKind,
    SpacingView,
    Split,
    Study,
    View,
    cells,
    remedied_recipe,
    skip_reasons,
)

if TYPE_CHECKING:
    import numpy as np
    from distributed import Client
    from numpy.typing import NDArray

    from fly64dask.deploy import Placement
    from fly64dask.monitoring import Notify
    from fly64dask.records import ManifestRow
    from fly64dask.runs.opened import Run
    from fly64dask.store import RunLayout


class PlannedRerun(CellCoordinates):
    """A failed cell before it is tried again: what ran and what would run; or `hopeless`, why nothing would."""

    state: Literal["failed", "interrupted", "skipped", "damaged"]
    failure_kind: FailureKind
    remedy: Remedy | None = None
    hopeless: str | None = None
    n_kept: int | None = None
    n_kept_after: int | None = None
    spacing_threshold: float | None = None
    spacing_threshold_after: float | None = None
    n_epochs: int
    n_epochs_after: int | None = None
    probe_frozen: bool
    probe_frozen_after: bool | None = None


def plan_rerun(
    study: Study,
    rows: Sequence[ManifestRow],
    remedy_kind: RemedyKind,
    read_positions: Callable[[], NDArray[np.float64]],
    *,
    n_min: int = MIN_EXPOSURES,
) -> tuple[PlannedRerun, ...]:
    """Decide for every failed cell among rows of any state what it is tried again with, in the order of the rows.

    The remedy is that of the failures that it mends. Others may pass with time and are tried as they were. Positions of
    the whole scan are asked for to respace only; the search for a spacing runs once for each view and split.
    """
    respaced: dict[tuple[str, Split], dict[str, object]] = {}
    plan = []
    for row in rows:
        if row.state == "completed" or (row.state == "skipped" and remedy_kind != "respace"):
            continue
        if row.state == "damaged":
            outlook: dict[str, object] = {"hopeless": "its record is damaged; run `fly64dask verify RUN --repair`"}
        elif remedy_kind == "respace" and row.failure_kind in MENDS[remedy_kind]:
            if (row.view, row.split) not in respaced:
                respaced[row.view, row.split] = _respaced(study, row.view, row.split, read_positions, n_min)
            outlook = respaced[row.view, row.split]
        elif row.failure_kind in MENDS[remedy_kind]:
            outlook = {"remedy": Remedy(kind=remedy_kind)}
        else:
            outlook = {"remedy": row.remedy or Remedy(kind="as-is")}
        plan.append(_planned(study, row, outlook))
    return tuple(plan)


def plan_failed(
    study: Study,
    layout: RunLayout,
    *,
    filters: Filters,
    kinds: Collection[FailureKind] = tuple(FailureKind),
    remedy: RemedyKind = "as-is",
    min_exposures: int | None = None,
) -> tuple[PlannedRerun, ...]:
    """Plan a rerun of the failed cells that a run has on disk.

    Parameters
    ----------
    study : Study
        The run's study.
    layout : RunLayout
        The run.
    filters : Filters
        Which cells; empty means all.
    kinds : collection of FailureKind
        Only cells that failed in one of these ways.
    remedy : "as-is", "guarded" or "respace"
        Remedy of the failures that it mends.
    min_exposures : int, optional
        Exposures that a respaced view keeps, at least.

    Returns
    -------
    tuple of PlannedRerun
    """
    left_out = skip_reasons(study, filters)
    rows = [read_last_row(layout, cell) for cell in cells(study) if cell not in left_out]
    failed = [row for row in rows if row is not None and row.failure_kind in kinds]
    n_min = min_exposures or MIN_EXPOSURES
    return plan_rerun(study, failed, remedy, lambda: read_inputs(study).positions_px, n_min=n_min)


def run_planned(
    study: Study,
    layout: RunLayout,
    plan: Sequence[PlannedRerun],
    *,
    filters: Filters,
    placement: Placement | None = None,
    client: Client | None = None,
    engine: str = LSQML,
    progress: bool = False,
    notify: Notify | None = None,
    say: Callable[[str], None] | None = None,
) -> Run:
    """Run the planned cells that have a remedy.

    Parameters
    ----------
    study : Study
        The run's study.
    layout : RunLayout
        The run.
    plan : sequence of PlannedRerun
        Failed cells; at least one has a remedy.
    filters : Filters
        As for the plan; cells that they leave out stand in the skip summary with that reason.
    placement, client, engine, progress, notify, say
        As of `run_study`.
    """
    # Dask takes a second to load, and a plan needs none of it.
    from fly64dask.runs.run import run_study

    remedies = {planned.cell: planned.remedy for planned in plan if planned.remedy is not None}
    hopeless = {planned.cell: planned.hopeless for planned in plan if planned.hopeless}
    left_out = dict.fromkeys(cells(study), "is no failed cell that this rerun was asked for") | hopeless
    left_out |= skip_reasons(study, filters)
    return run_study(
        study,
        layout.root,
        placement=placement,
        client=client,
        engine=engine,
        progress=progress,
        filters=filters,
        left_out={cell: reason for cell, reason in left_out.items() if cell not in remedies},
        remedies=remedies,
        notify=notify,
        say=say,
    )


def _respaced(
    study: Study, view_name: str, split: Split, read_positions: Callable[[], NDArray[np.float64]], n_min: int
) -> dict[str, object]:
    view = _view(study, view_name)
    if not isinstance(view, SpacingView):
        return {
            "hopeless": f"respace lowers the spacing of a view, and {view.name!r} of rule {view.rule} has none; "
            "change the view in the study file, or use --remedy guarded for a degenerate scan"
        }
    if study.dose_by != "exposure":
        return {
            "hopeless": f"respace changes how many exposures share a dose, which this study counts by {study.dose_by}; "
            "use --remedy guarded, or lower the spacing in the study file"
        }
    positions = read_positions()
    try:
        selection = respace(positions[split_indices(positions, study.split, split)], view, n_min=n_min)
    except NotSelectableError as error:
        return {"hopeless": str(error)}
    assert selection.metadata is not None
    remedy = Remedy(
        kind="respace",
        spacing_threshold=selection.metadata.spacing_threshold,
        study_spacing_threshold=view.spacing_threshold_px,
        min_exposures=n_min,
    )
    return {"remedy": remedy, "n_kept_after": len(selection.kept)}


def _planned(study: Study, row: ManifestRow, outlook: Mapping[str, object]) -> PlannedRerun:
    remedy = outlook.get("remedy")
    assert remedy is None or isinstance(remedy, Remedy)
    recipe = study.recipe_of(row.cell)
    before, after = remedied_recipe(recipe, row.remedy), remedied_recipe(recipe, remedy)
    view = _view(study, row.view)
    own_px = view.spacing_threshold_px if isinstance(view, SpacingView) else None
    facts: dict[str, object] = {
        **asdict(row.cell),
        "state": row.state,
        "failure_kind": row.failure_kind,
        "n_kept": row.n_kept,
        "spacing_threshold": row.spacing_threshold or own_px,
        "n_epochs": before.n_epochs,
        "probe_frozen": not before.optimise_probe,
    }
    if remedy is not None:
        # What the study's own spacing keeps is known unless the cell was tried at another one.
        facts["n_kept_after"] = None if row.spacing_threshold not in (None, own_px) else row.n_kept
        facts["spacing_threshold_after"] = remedy.spacing_threshold or own_px
        facts["n_epochs_after"] = after.n_epochs
        facts["probe_frozen_after"] = not after.optimise_probe
    return PlannedRerun.model_validate({**facts, **outlook})


def _view(study: Study, name: str) -> View:
    return next(view for view in study.views if view.name == name)
