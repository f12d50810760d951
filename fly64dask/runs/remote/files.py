"""Brings the archives and logs of cells whose records are in a directory from an object store."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from fly64dask.base import IntegrityError
from fly64dask.records import read_record
from fly64dask.runs.remote.attempts import at_once, check_file, download, folder_key, stated_files
from fly64dask.runs.verify import Damage
from fly64dask.store import RECORD_NAME, ObjectPlace, RunLayout, replaced_file
from fly64dask.study import Cell


def take_files(place: ObjectPlace, layout: RunLayout, chosen_cells: Iterable[Cell]) -> tuple[Damage, ...]:
    """Bring the archives and logs that cells' records here name and that are not here, each whole and checked or not.

    Returns
    -------
    tuple of Damage
        What is damaged or missing at the store.

    Notes
    -----
    Nobody need hold the directory: a file appears beside its record, and none is replaced.
    """
    return tuple(damage for of_cell in at_once(partial(_files_of, place, layout), chosen_cells) for damage in of_cell)


def _files_of(place: ObjectPlace, layout: RunLayout, cell: Cell) -> list[Damage]:
    directory, damaged = layout.cell_directory(cell), list[Damage]()
    try:
        content, record = (directory / RECORD_NAME).read_bytes(), read_record(layout, cell)
    except (FileNotFoundError, IntegrityError):
        return []  # of a damaged record nothing is known
    if record is None:
        return []
    for name, sha256 in stated_files(record).items():
        key = f"{folder_key(cell, record.attempt, content)}/{name}"
        try:
            if not (directory / name).exists():
                with replaced_file(directory / name) as unfinished:
                    download(place, key, unfinished)
                    check_file(unfinished, sha256, name=f"{place.url}/{key}")
        except (FileNotFoundError, IntegrityError) as error:
            what = error.message if isinstance(error, IntegrityError) else str(error)
            damaged.append(Damage(path=f"{cell.name}/{name}", problem=what))
    return damaged
