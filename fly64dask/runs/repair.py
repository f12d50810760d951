"""Makes again what is damaged in a run, and nothing else."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.base import FailureKind, IntegrityError
from fly64dask.datasets import expose_split, prepare_scan, select_view
from fly64dask.monitoring import ignore_line
from fly64dask.reconstruction import LSQML
from fly64dask.records import ManifestRow, each_row, next_attempt, open_manifest, renew_manifest
from fly64dask.runs.comparisons import compare_with_references
from fly64dask.runs.groups import groups_of, respaced_groups
from fly64dask.runs.run import run_study
from fly64dask.runs.verify import Damage
from fly64dask.store import RunLayout, held_run, retire_directory, write_parent_groups
from fly64dask.study import Cell, Remedy, Split, Study, cells, realisation_of, realisations

if TYPE_CHECKING:
    from distributed import Client

    from fly64dask.deploy import Placement
    from fly64dask.monitoring import Notify


def repair_run(
    study: Study,
    layout: RunLayout,
    damages: Sequence[Damage],
    placement: Placement | None = None,
    *,
    client: Client | None = None,
    engine: str = LSQML,
    progress: bool = False,
    notify: Notify | None = None,
    say: Callable[[str], None] | None = None,
) -> None:
    """Simulate or thin again what was damaged of the store, run again the damaged cells, write the tables.

    Parameters
    ----------
    study : Study
        The run's study.
    layout : RunLayout
        The run.
    damages : sequence of Damage
        From `verify_run`.
    placement, client, engine, progress, notify, say
        As of `run_study`, for the cells that run again.

    Notes
    -----
    The same seeds give the same bytes, so a group that was made again carries the digests that
    the records name, and no other cell has to run. A damaged cell moves to the history.
    """
    paths = [Path(damage.path) for damage in damages]
    respaced = respaced_groups(study, layout)
    broken = [group for group in groups_of(study, layout) if _touches(paths, group, layout)]
    redone = damaged_cells(study, layout, damages)
    remedies = _remedies(study, layout)
    blocked = [cell for cell in _cells_of(study, layout, broken) if cell not in redone]
    with held_run(layout):
        for group in broken:
            _drop(group, layout)
        _rebuild(study, layout, broken, respaced)
        for group in groups_of(study, layout):
            if group.exists():
                write_parent_groups(group, store=layout.store, scratch=layout.scratch)
        for cell in redone:
            attempt = next_attempt(layout, cell) - 1
            retire_directory(layout.cell_directory(cell), to=layout.history_directory(cell, attempt))
        for path in layout.snapshots.glob("*.json"):
            if path.relative_to(layout.root) in paths:
                path.unlink()
    if redone or blocked:
        again = {*redone, *blocked}
        left_out = {cell: "is not damaged" for cell in cells(study) if cell not in again}
        run_study(
            study,
            layout.root,
            placement=placement,
            client=client,
            engine=engine,
            progress=progress,
            left_out=left_out,
            remedies=remedies,
            notify=notify,
            say=say,
        )
    with held_run(layout):
        compare_with_references(study, layout, each_row(layout, cells(study)), say or ignore_line)
        renew_manifest(study, layout)


def _cells_of(study: Study, layout: RunLayout, broken: Sequence[Path]) -> list[Cell]:
    """Cells that failed on the damaged groups, and have nothing else wrong with them."""
    return [
        row.cell
        for row in each_row(layout, cells(study))
        if row.failure_kind is FailureKind.BAD_INPUT
        and {layout.exposure_group(*realisation_of(study, row.cell)), layout.kept_group(row.cell, row.remedy)}
        & set(broken)
    ]


def _remedies(study: Study, layout: RunLayout) -> dict[Cell, Remedy]:
    """With what each cell ran, by its record; by the manifest where the record cannot say it."""
    remedies, damaged = dict[Cell, Remedy](), set[Cell]()
    for row in each_row(layout, cells(study)):
        if row.state == "damaged":
            damaged.add(row.cell)
        elif row.remedy is not None:
            remedies[row.cell] = row.remedy
    with suppress(FileNotFoundError, IntegrityError):
        for row in open_manifest(layout.manifest_file, remedy="").items("execution_results", ManifestRow):
            if row.cell in damaged and row.remedy is not None:
                remedies[row.cell] = row.remedy
    return remedies


def _touches(paths: Sequence[Path], directory: Path, layout: RunLayout) -> bool:
    where = directory.relative_to(layout.root)
    return any(path == where or where in path.parents for path in paths)


def _drop(group: Path, layout: RunLayout) -> None:
    if group.exists():
        rubbish = layout.scratch / f"damaged-{uuid.uuid4().hex}"
        retire_directory(group, to=rubbish)
        shutil.rmtree(rubbish)


def _rebuild(
    study: Study, layout: RunLayout, broken: Sequence[Path], respaced: Mapping[Path, tuple[str, Split, float]]
) -> None:
    if not broken:
        return
    for object_seed in study.object_seeds:
        prepare_scan(study, layout, object_seed=object_seed)
    of_any_object = study.object_seeds[0]
    for split in study.splits:
        for view in study.views:
            if layout.view_group(view.name, split) in broken:
                select_view(study, view.name, split, layout, object_seed=of_any_object)
    for group, (view_name, split, threshold_px) in respaced.items():
        if group in broken:
            select_view(study, view_name, split, layout, threshold_px=threshold_px, object_seed=of_any_object)
    # After the views: exposures of a view depend on what it keeps.
    for drawn in realisations(study, cells(study)):
        if layout.exposure_group(*drawn) in broken:
            expose_split(study, layout=layout, **drawn._asdict())


def damaged_cells(study: Study, layout: RunLayout, damages: Sequence[Damage]) -> list[Cell]:
    """List the cells that a repair would run again, in the study's order."""
    paths = [Path(damage.path) for damage in damages]
    return [cell for cell in cells(study) if _touches(paths, layout.cell_directory(cell), layout)]
