"""A run directory -> every stored byte checked, and a list of what is damaged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from fly64dask.attributes import (
    ExposureAttributes,
    GroupAttributes,
    ReconstructionAttributes,
    ScanAttributes,
    TruthAttributes,
    ViewAttributes,
)
from fly64dask.dataset import read_array, read_attributes
from fly64dask.errors import IntegrityError
from fly64dask.layout import RunLayout
from fly64dask.manifest import Manifest
from fly64dask.record import read_record
from fly64dask.runs import read_rows
from fly64dask.study import SPLITS, Cell, Frozen, Study, cells


class Damage(Frozen):
    """One thing that is not as it was written: where, relative to the run, and what is wrong."""

    path: str
    problem: str


def verify_run(study: Study, layout: RunLayout) -> tuple[Damage, ...]:
    """Read everything a run has stored and check it against its digests.

    Parameters
    ----------
    study : Study
        The run's study.
    layout : RunLayout
        The run.

    Returns
    -------
    tuple of Damage
        Empty if all is well. What was not made yet is not damage.
    """
    return (*_damaged_groups(study, layout), *_damaged_cells(study, layout), *_damaged_manifest(study, layout))


def _damaged_groups(study: Study, layout: RunLayout) -> Iterator[Damage]:
    groups: list[tuple[Path, type[GroupAttributes]]] = [
        (layout.scan_group, ScanAttributes),
        (layout.truth_group, TruthAttributes),
    ]
    for split in SPLITS:
        groups += [(layout.exposure_group(dose, split), ExposureAttributes) for dose in study.doses_photons]
        groups += [(layout.view_group(view.name, split), ViewAttributes) for view in study.views]
    for group, model in groups:
        if group.exists():
            yield from _damaged_group(group, model, layout)


def _damaged_group(
    group: Path, model: type[GroupAttributes], layout: RunLayout, wanted: dict[str, str] | None = None
) -> Iterator[Damage]:
    where = str(group.relative_to(layout.root))
    try:
        _, sha256 = read_attributes(group, model)
    except IntegrityError as error:
        yield Damage(path=where, problem=str(error))
        return
    for name, found in sha256.items():
        if wanted is not None and wanted.get(name) != found:
            yield Damage(path=f"{where}/{name}", problem="is not the array that the cell's record names")
            continue
        try:
            read_array(group, name, sha256=found)
        except IntegrityError as error:
            yield Damage(path=f"{where}/{name}", problem=str(error))


def _damaged_cells(study: Study, layout: RunLayout) -> Iterator[Damage]:
    for cell in cells(study):
        yield from _damaged_cell(cell, layout)


def _damaged_cell(cell: Cell, layout: RunLayout) -> Iterator[Damage]:
    if not layout.cell_directory(cell).exists():
        return
    try:
        record = read_record(layout, cell)
    except IntegrityError as error:
        yield Damage(path=cell.name, problem=str(error))
        return
    if record is None:
        yield Damage(path=cell.name, problem="directory without a record")
    elif record.state == "completed":
        yield from _damaged_group(
            layout.reconstruction_group(cell), ReconstructionAttributes, layout, wanted=record.digests
        )


def _damaged_manifest(study: Study, layout: RunLayout) -> Iterator[Damage]:
    """A manifest must say what the records say; it is written when a run ends."""
    path = layout.manifest_file
    if not path.exists():
        return
    where = str(path.relative_to(layout.root))
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        yield Damage(path=where, problem=f"cannot be read ({type(error).__name__})")
        return
    stated = {row.cell: row for row in manifest.execution_results}
    for row in read_rows(layout, cells(study)):
        if stated.get(row.cell) != row:
            yield Damage(path=where, problem=f"{row.cell.name} is not as its record has it")
