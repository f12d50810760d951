"""Opens the arrays of one cell of a run as labelled datasets, or says why there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fly64dask.base import InputError, IntegrityError, NoReconstructionError
from fly64dask.records import ManifestRow, read_kept_group
from fly64dask.study import Cell, Study, realisation_of

if TYPE_CHECKING:
    import xarray

    from fly64dask.store import RunLayout

REPAIR = "make it again with `run.repair()` or `fly64dask verify RUN --repair`"


def open_truth(study: Study, layout: RunLayout, object_seed: int | None) -> xarray.Dataset:
    """Open the truth of one object of a run; raises InputError if there is none."""
    from fly64dask.store import open_dataset

    group = layout.truth_group(object_seed)
    if study.source.kind == "measured" or not group.exists():
        raise InputError(
            f"open the truth of {layout.root}: a {study.source.kind} study's run holds none",
            remedy="use runs of simulated studies that have begun",
        )
    return open_dataset(group)


def open_exposures(study: Study, layout: RunLayout, cell: Cell) -> xarray.Dataset:
    """Open the exposures that a cell's reconstruction was made from, or would be; InputError if there are none."""
    from fly64dask.store import open_dataset

    group = layout.exposure_group(*realisation_of(study, cell))
    view_group = read_kept_group(layout, cell)
    for path in (group, view_group):
        if not path.exists():
            raise InputError(
                f"open the exposures of {cell.name}: there is no {path} yet",
                remedy="run the study, or wait until this run has made it",
            )
    kept_indices = open_dataset(view_group)["kept_indices"].values
    return open_dataset(group).isel(exposure=kept_indices).assign_attrs(cell=cell.name)


def completed_row(cell: Cell, row: ManifestRow | None, doing: str) -> ManifestRow:
    """Return the row of a cell that has a reconstruction, or raise with the reason why it has none."""
    if row is not None and row.state == "completed":
        return row
    if row is None or row.failure_kind is None:
        raise NoReconstructionError(
            f"{doing} {cell.name}: the cell has not ended yet", remedy="run the study, or wait for the cell"
        )
    if row.state == "damaged":
        raise IntegrityError(f"{doing} {cell.name}: {row.error}", remedy=REPAIR)
    raise NoReconstructionError(
        f"{doing} {cell.name}: the cell is {row.state} with {row.failure_kind}: {row.error}",
        remedy="",
        kind=row.failure_kind,
    )
