"""Copies what a run has committed to an object store; a killed copy is continued by doing it again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from pathlib import Path

from fly64dask.base import InputError, IntegrityError
from fly64dask.monitoring import ignore_line
from fly64dask.records import read_run_study
from fly64dask.runs.remote.attempts import (
    FILES,
    Copied,
    at_once,
    attempts_on_disk,
    checked_record,
    conflict,
    folder_key,
    is_same_group,
    record_key,
)
from fly64dask.runs.verify import groups_of
from fly64dask.store import (
    LEASE_S,
    METADATA_NAME,
    PARENT_METADATA,
    RECORD_NAME,
    GroupAttributes,
    Lease,
    ObjectPlace,
    RunLayout,
    held_place,
    open_group,
    open_place,
)
from fly64dask.study import Cell, Study, cells


def push_run(path: str | os.PathLike[str], url: str, *, say: Callable[[str], None] = ignore_line) -> Copied:
    """Copy exposures, committed cells and tables of a run to an object store; what is there already stays.

    Parameters
    ----------
    path : str or path
        The run directory; the run may be under way.
    url : str
        `s3://BUCKET/FOLDER` of this run alone, or `gs://...`, `az://...`.
    say : callable
        Gets lines for a person.

    Returns
    -------
    Copied
        What was new.

    Raises
    ------
    InputError
        If another study's run is there, another process copies to it, or an attempt there has another result.
    IntegrityError
        If a group of exposures is damaged here.
    StorageError
        If the store cannot be reached.

    Notes
    -----
    Killed at any line, each cell and each group is at the store whole or not: its record, or the group's own metadata,
    is put last, a record only if there is none.
    """
    return push_to(open_place(url), RunLayout(Path(path).absolute()), say=say)


def push_to(
    place: ObjectPlace, layout: RunLayout, *, say: Callable[[str], None] = ignore_line, patience_s: float = LEASE_S
) -> Copied:
    """Copy a run to where objects go, as `push_run` does; a lock that nobody renews for `patience_s` is taken."""
    study = read_run_study(layout)
    with held_place(place, patience_s=patience_s) as lease:
        _refuse_other_study(study, layout, place)
        lease.check()
        place.write(layout.study_file.name, layout.study_file)
        groups = [_push_group(group, model, layout, place, lease) for group, model in _groups_here(study, layout)]
        say(f"{sum(groups)} of {len(groups)} groups of exposures were new")
        there = frozenset(place.keys())
        attempts = at_once(partial(_push_cell, layout=layout, place=place, there=there, lease=lease), cells(study))
        _push_tables(layout, place, lease)
    left_out = tuple(words for of_cell in attempts for words in of_cell if isinstance(words, str))
    new = [is_new for of_cell in attempts for is_new in of_cell if not isinstance(is_new, str)]
    return Copied(
        n_attempts=sum(new),
        n_attempts_there=len(new) - sum(new),
        n_groups=sum(groups),
        n_groups_there=len(groups) - sum(groups),
        left_out=left_out,
    )


def _refuse_other_study(study: Study, layout: RunLayout, place: ObjectPlace) -> None:
    there = place.read(layout.study_file.name)
    if there is None:
        return
    name = json.loads(there).get("name")
    if name != study.name:
        raise InputError(
            f"push {layout.root}: {place.url} holds a run of study {name!r}, this one is of {study.name!r}",
            remedy="give a URL of its own to each run",
        )


def _groups_here(study: Study, layout: RunLayout) -> Iterator[tuple[Path, type[GroupAttributes]]]:
    return ((group, model) for group, model in groups_of(study, layout).items() if group.exists())


def _push_group(group: Path, model: type[GroupAttributes], layout: RunLayout, place: ObjectPlace, lease: Lease) -> bool:
    """Put a group's files unless the same group is there; tells whether it was new.

    One that was made from other settings disappears first, as its metadata are deleted.
    """
    key, metadata = group.relative_to(layout.root).as_posix(), (group / METADATA_NAME).read_bytes()
    if is_same_group(place.read(f"{key}/{METADATA_NAME}"), metadata):
        return False
    opened = open_group(group, model)
    for name in opened.names:
        opened.read(name)  # what is damaged is not copied
    lease.check()
    place.delete(f"{key}/{METADATA_NAME}")
    files = {path.relative_to(layout.root).as_posix(): path for path in group.rglob("*") if path.is_file()}
    del files[f"{key}/{METADATA_NAME}"]
    at_once(place.delete, [stale for stale in place.keys(key) if stale not in files])
    at_once(lambda item: place.write(*item), files.items())
    for folder in group.parents:
        if folder.is_relative_to(layout.store):
            place.write(f"{folder.relative_to(layout.root).as_posix()}/{METADATA_NAME}", PARENT_METADATA)
    lease.check()
    place.write(f"{key}/{METADATA_NAME}", metadata)
    return True


def _push_cell(
    cell: Cell, *, layout: RunLayout, place: ObjectPlace, there: Collection[str], lease: Lease
) -> list[bool | str]:
    """Put each attempt at a cell; gives whether it was new, or words why it was left out."""
    found: list[bool | str] = []
    for number, directory in attempts_on_disk(layout, cell).items():
        try:
            record = (directory / RECORD_NAME).read_bytes()
            if directory == layout.cell_directory(cell):  # past ones are copied as they are: nothing reads their arrays
                checked_record(layout, cell, directory)
            found.append(_push_attempt(cell, number, directory, record, place=place, there=there, lease=lease))
        except FileNotFoundError as error:
            # A run under way has just moved it to the history: the next copy finds it there.
            found.append(f"attempt {number} of {cell.name}: {error}")
        except IntegrityError as error:
            found.append(f"attempt {number} of {cell.name}: {error}")
    return found


def _push_attempt(
    cell: Cell,
    number: int,
    directory: Path,
    record: bytes,
    *,
    place: ObjectPlace,
    there: Collection[str],
    lease: Lease,
) -> bool:
    key, folder = record_key(cell, number), folder_key(cell, number, record)
    if key in there and place.read(key) == record:
        return False
    for name in FILES:
        if (directory / name).exists() and f"{folder}/{name}" not in there:
            place.write(f"{folder}/{name}", directory / name)
    lease.check()
    if not place.create(key, record) and place.read(key) != record:
        raise conflict(cell, number, place.url)
    return True


def _push_tables(layout: RunLayout, place: ObjectPlace, lease: Lease) -> None:
    """Put tables and pages, the manifest last: it names what is there by then."""
    paths = [path for path in _tables(layout) if path != layout.manifest_file]
    for path in [*paths, *([layout.manifest_file] if layout.manifest_file.exists() else [])]:
        lease.check()
        place.write(path.relative_to(layout.root).as_posix(), path)


def _tables(layout: RunLayout) -> Iterable[Path]:
    """List tables and pages of a run, without what only a run under way needs."""
    at_top = (path for path in layout.root.glob("[!.]*") if path != layout.dashboard_file)
    below = (path for folder in (layout.snapshots, layout.root / "reference") for path in folder.rglob("[!.]*"))
    return sorted(path for path in (*at_top, *below) if path.is_file())
