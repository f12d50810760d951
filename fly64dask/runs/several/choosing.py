"""Chooses, of several runs, the one from which a merge takes each cell and each group of exposures."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fly64dask.base import InputError, IntegrityError, counted
from fly64dask.records import CellRecord, read_record
from fly64dask.store import RunLayout, read_attributes
from fly64dask.study import Cell, Remedy, Study, cells, realisation_of

# Of all conflicts, those that an error names.
MAX_NAMED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The run from which a cell is taken, and the remedy with which it was tried there: a record would take 20 kB."""

    layout: RunLayout
    remedy: Remedy | None


Found = tuple[RunLayout, CellRecord]


def choose_cells(study: Study, layouts: Sequence[RunLayout], *, first_wins: bool) -> dict[Cell, Chosen]:
    """Choose for each cell that any of the runs has committed the run that it is taken from, in the study's order.

    A completed one comes before a failed one, else the first run that has it.

    Raises
    ------
    InputError
        If a cell is completed in several runs with other results, unless the first wins.
    IntegrityError
        If a record is damaged.
    """
    chosen, conflicts = {}, []
    for cell in cells(study):
        found = [(layout, record) for layout in layouts if (record := read_record(layout, cell)) is not None]
        completed = [each for each in found if each[1].state == "completed"]
        if not found:
            continue
        layout, record = (completed or found)[0]
        chosen[cell] = Chosen(layout=layout, remedy=record.remedy)
        conflicts += [_conflict(cell, completed[0], other) for other in completed[1:]]
    named = [conflict for conflict in conflicts if conflict is not None]
    if named and not first_wins:
        raise InputError(
            f"merge: {_listed(named, 'cell has different results', 'cells have different results')}",
            remedy="leave one of the runs out, or take the results of the run named first with --first-wins",
        )
    return chosen


def choose_groups(study: Study, chosen: Mapping[Cell, Chosen], layouts: Sequence[RunLayout]) -> dict[Path, RunLayout]:
    """Choose for each group that the chosen cells read, relative to a run, the run that it is taken from.

    That is the cell's own, or another where it was removed there, as it can be made again; else it is left out.

    Raises
    ------
    InputError
        If cells of several runs were made from other arrays of the same group.
    """
    arrays_of = functools.cache(_arrays_of)
    groups: dict[Path, RunLayout] = {}
    differing: dict[Path, str] = {}
    for cell, each in chosen.items():
        for group in _groups_of(study, cell, each):
            holders = [layout for layout in (each.layout, *layouts) if arrays_of(layout, group) is not None]
            if not holders:
                continue
            taken = groups.setdefault(group, holders[0])
            if arrays_of(taken, group) != arrays_of(holders[0], group):
                differing[group] = f"{group} in {taken.root} and {holders[0].root}"
    if differing:
        raise InputError(
            f"merge: {_listed([*differing.values()], 'group holds different arrays', 'groups hold different arrays')}",
            remedy="their cells were made from other data: merge runs of the same data, made by the same version",
        )
    return groups


def _conflict(cell: Cell, taken: Found, other: Found) -> str | None:
    """Say in what two results of a cell differ; None if they are the same."""
    (layout, record), (other_layout, other_record) = taken, other
    where = f"{cell.name} in {layout.root} and {other_layout.root}"
    if record.cell_key != other_record.cell_key:
        return f"{where}: other inputs, recipe or versions"
    if record.digests != other_record.digests:
        devices = f"{record.device} and {other_record.device}"
        return f"{where}: other arrays from the same inputs and recipe (devices {devices})"
    return None


def _groups_of(study: Study, cell: Cell, each: Chosen) -> Iterator[Path]:
    """Name the groups that a cell reads, relative to its run."""
    layout = each.layout
    yield from (
        group.relative_to(layout.root)
        for group in (
            layout.scan_group(cell.object_seed),
            layout.truth_group(cell.object_seed),
            layout.kept_group(cell, each.remedy),
            layout.view_group(cell.view, cell.split),
            layout.exposure_group(*realisation_of(study, cell)),
        )
    )


def _arrays_of(layout: RunLayout, group: Path) -> tuple[tuple[str, str], ...] | None:
    """Digests of a group's arrays by name; None if there is none."""
    path = layout.root / group
    if not path.exists():
        return None
    try:
        return tuple(sorted(read_attributes(path, f"merge {layout.root}")["array_sha256"].items()))
    except IntegrityError as error:
        raise IntegrityError(str(error), remedy=f"`fly64dask verify {layout.root} --repair`") from error


def _listed(named: Sequence[str], singular: str, plural: str) -> str:
    more = f"; and {len(named) - MAX_NAMED} more" if len(named) > MAX_NAMED else ""
    return f"{counted(len(named), singular, plural)}: {'; '.join(named[:MAX_NAMED])}{more}"
