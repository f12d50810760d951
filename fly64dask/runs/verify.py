"""Checks every stored byte of a run and lists what is damaged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from fly64dask.base import Frozen, IntegrityError
from fly64dask.cells import CellInputs, shared_inputs
from fly64dask.records import CellRecord, cell_key, each_row, read_cleaned, read_record
from fly64dask.runs.groups import groups_of
from fly64dask.runs.tables_check import problems_of_tables
from fly64dask.store import (
    GroupAttributes,
    ReconstructionAttributes,
    RunLayout,
    damaged_parents,
    open_group,
)
from fly64dask.study import Cell, Remedy, Study, cells, realisation_of


class Damage(Frozen):
    """A part of a run that is not as it was written: where, relative to the run, and what is wrong."""

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
        Empty if all is well. What was not made yet is not damage, nor what `clean_run` has removed; else what a record
        was made from is missed.
    """
    tables = (Damage(path=_where(path, layout), problem=problem) for path, problem in problems_of_tables(study, layout))
    return (*_damaged_groups(study, layout), *_damaged_cells(study, layout), *tables)


def _damaged_groups(study: Study, layout: RunLayout) -> Iterator[Damage]:
    cleaned = read_cleaned(layout)
    # What was removed on purpose is no damage.
    needed = _groups_of_records(study, layout) - {layout.root / name for name in (cleaned.exposures if cleaned else ())}
    parents: dict[Path, None] = {}
    for group, model in groups_of(study, layout).items():
        if group.exists():
            yield from _damaged_group(group, model, layout)
            parents |= dict.fromkeys(damaged_parents(group, store=layout.store))
        elif group in needed:
            yield Damage(path=_where(group, layout), problem="is missing, and committed cells were made from it")
    for path in parents:
        yield Damage(path=_where(path, layout), problem="is missing or altered: the store cannot be opened from there")


def _groups_of_records(study: Study, layout: RunLayout) -> set[Path]:
    """Groups without which the committed reconstructions could not have been made."""
    needed: set[Path] = set()
    for row in each_row(layout, cells(study)):
        if row.state == "completed":
            needed.add(layout.exposure_group(*realisation_of(study, row.cell)))
            needed.add(layout.kept_group(row.cell, row.remedy))
            needed |= {layout.scan_group(row.object_seed), layout.truth_group(row.object_seed)}
    return needed


def _damaged_group(
    group: Path, model: type[GroupAttributes], layout: RunLayout, stated_sha256: dict[str, str] | None = None
) -> Iterator[Damage]:
    where = _where(group, layout)
    try:
        opened = open_group(group, model)
    except IntegrityError as error:
        yield Damage(path=where, problem=str(error))
        return
    for name, sha256 in opened.array_sha256.items():
        if stated_sha256 is not None and stated_sha256.get(name) != sha256:
            yield Damage(path=f"{where}/{name}", problem="is not the array that the cell's record names")
            continue
        try:
            opened.read(name)
        except IntegrityError as error:
            yield Damage(path=f"{where}/{name}", problem=str(error))


def _damaged_cells(study: Study, layout: RunLayout) -> Iterator[Damage]:
    inputs_of = shared_inputs(study, layout)
    for cell in cells(study):
        if not layout.cell_directory(cell).exists():
            continue
        try:
            record = read_record(layout, cell)
        except IntegrityError as error:
            yield Damage(path=cell.name, problem=str(error))
            continue
        if record is None:
            yield Damage(path=cell.name, problem="directory without a record")
            continue
        yield from (Damage(path=cell.name, problem=problem) for problem in _foreign_record(study, record, inputs_of))
        if _file_sha256(layout.log_file(cell)) != record.log_sha256:
            yield Damage(path=_where(layout.log_file(cell), layout), problem="does not match its SHA-256")
        if record.state == "completed":
            yield from _damaged_reconstruction(record, layout)


def _damaged_reconstruction(record: CellRecord, layout: RunLayout) -> Iterator[Damage]:
    """Name the damaged arrays of a cell, or else its file if a byte of it differs that belongs to no array."""
    group = layout.reconstruction_group(record.cell)
    sha256 = _file_sha256(group)
    if sha256 is not None and sha256 == record.reconstruction_sha256:
        return  # every byte is as it was committed: reading each array by itself takes ten times as long
    damages = tuple(_damaged_group(group, ReconstructionAttributes, layout, stated_sha256=record.digests))
    yield from damages
    if not damages:
        yield Damage(path=_where(group, layout), problem="does not match its SHA-256")


def _foreign_record(
    study: Study, record: CellRecord, inputs_of: Callable[[Cell, Remedy | None], CellInputs]
) -> Iterator[str]:
    """Say how a record that is whole does not belong to this run: copied from another, or its exposures replaced."""
    if record.study != study.name:
        yield f"record is of study {record.study!r}, this run's is {study.name!r}"
    if record.state != "completed":
        return
    try:
        inputs = inputs_of(record.cell, record.remedy)
    except IntegrityError:
        return  # named where the groups are checked
    if any(record.digests.get(name) != sha256 for name, sha256 in inputs.sha256.items()):
        yield "record is of other exposures or another view than the run holds"
        return
    key = cell_key(
        inputs.sha256, record.recipe, seed=record.seeds.grouping, engine=record.engine, versions=record.versions
    )
    if key != record.cell_key:
        yield "record's key is not that of its own inputs, recipe and versions"


def _where(path: Path, layout: RunLayout) -> str:
    return str(path.relative_to(layout.root))


def _file_sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None
