"""Brings a run from an object store into a directory, every byte checked before it is put in its place."""

from __future__ import annotations

import json
import os
from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from fly64dask.base import InputError, IntegrityError
from fly64dask.monitoring import ignore_line
from fly64dask.records import read_rows, read_run_study, write_manifest
from fly64dask.runs.directory import clear_leftovers, held_directory
from fly64dask.runs.remote.attempts import (
    FILES,
    Copied,
    at_once,
    attempts_at_store,
    attempts_on_disk,
    checked_record,
    conflict,
    folder_key,
    is_same_group,
    record_key,
)
from fly64dask.runs.verify import groups_of
from fly64dask.store import (
    METADATA_NAME,
    RECORD_NAME,
    GroupAttributes,
    ObjectPlace,
    RunLayout,
    open_group,
    open_place,
    publish_bytes,
    published_directory,
    retire_directory,
    write_parent_groups,
)
from fly64dask.study import Cell, Filters, Study, cells


def pull_run(url: str, path: str | os.PathLike[str], *, say: Callable[[str], None] = ignore_line) -> Copied:
    """Bring what `push_run` has put at an object store into a run directory; what is there already stays.

    Parameters
    ----------
    url : str
        As it was given to `push_run`.
    path : str or path
        A new directory, or one of the same study's run, which is not under way.
    say : callable
        Gets lines for a person.

    Returns
    -------
    Copied
        What was new.

    Raises
    ------
    InputError
        If there is no run at the URL, the directory holds another study's run or one under way, or an attempt has
        another result here.
    IntegrityError
        If a byte of an attempt or group is not as its digest says; nothing of it is put in its place.
    StorageError
        If the store cannot be reached, or the disk is full.
    """
    return pull_from(open_place(url), RunLayout(Path(path).absolute()), say=say)


def pull_from(place: ObjectPlace, layout: RunLayout, *, say: Callable[[str], None] = ignore_line) -> Copied:
    """Bring a run from where its objects are, as `pull_run` does."""
    stored_study = place.read(layout.study_file.name)
    if stored_study is None:
        raise InputError(
            f"pull {place.url}: no {layout.study_file.name} there", remedy="give the URL of a `fly64dask push`"
        )
    with held_directory(layout):
        clear_leftovers(layout)
        study = _take_study(stored_study, layout, place)
        listed = sorted(place.keys())
        there = frozenset(listed)
        groups = [_pull_group(group, model, layout, place, listed) for group, model in groups_of(study, layout).items()]
        n_groups, n_groups_there = groups.count(True), groups.count(False)
        say(f"{n_groups} of {n_groups + n_groups_there} groups of exposures were new")
        numbers = attempts_at_store(there)
        pull_cell = partial(_pull_cell, layout=layout, place=place, there=there, numbers=numbers)
        attempts = [is_new for of_cell in at_once(pull_cell, cells(study)) for is_new in of_cell]
        _pull_tables(layout, place, there)
        if _has_more(study, layout, numbers):
            write_manifest(study, layout, Filters(), {}, read_rows(layout, cells(study)))
    return Copied(
        n_attempts=sum(attempts),
        n_attempts_there=len(attempts) - sum(attempts),
        n_groups=n_groups,
        n_groups_there=n_groups_there,
        left_out=tuple(
            f"{name}: the cell is none of the study's" for name in numbers.keys() - {cell.name for cell in cells(study)}
        ),
    )


def _take_study(stored: bytes, layout: RunLayout, place: ObjectPlace) -> Study:
    """Write the study of the store here, unless this directory holds a run of another, or of more cells."""
    if layout.study_file.exists():
        here = read_run_study(layout)
        aside = RunLayout(layout.scratch / "pulled")
        publish_bytes(aside.study_file, lambda stream: stream.write(stored))
        more = set(cells(here)) - set(cells(read_run_study(aside)))
        if here.name != json.loads(stored).get("name") or more:
            raise InputError(
                f"pull {place.url}: {layout.root} holds a run of study {here.name!r} with {len(more)} cells that the "
                "study there does not have",
                remedy="pull into a new directory, or push this one first",
            )
    publish_bytes(layout.study_file, lambda stream: stream.write(stored))
    return read_run_study(layout)


def _pull_group(
    group: Path, model: type[GroupAttributes], layout: RunLayout, place: ObjectPlace, listed: Sequence[str]
) -> bool | None:
    """Bring a group unless the same one is here; tells whether it was new, None if the store has none.

    `listed` are the keys of all objects in their order.
    """
    key = group.relative_to(layout.root).as_posix()
    of_group = listed[bisect_left(listed, f"{key}/") : bisect_left(listed, f"{key}0")]  # "0" comes after "/"
    metadata_key = f"{key}/{METADATA_NAME}"
    metadata = place.read(metadata_key) if metadata_key in of_group else None
    if metadata is None:
        return None
    if group.exists():
        if is_same_group((group / METADATA_NAME).read_bytes(), metadata):
            return False
        retire_directory(group, to=layout.scratch / "stale" / key)
    with published_directory(group, scratch=layout.scratch) as directory:
        files = {name: directory / name.removeprefix(f"{key}/") for name in of_group}
        at_once(lambda item: _download(place, *item), files.items())
        opened = open_group(directory, model)
        for name in opened.names:
            opened.read(name)
        write_parent_groups(group, store=layout.store, scratch=layout.scratch)
    return True


def _pull_cell(
    cell: Cell, *, layout: RunLayout, place: ObjectPlace, there: Collection[str], numbers: Mapping[str, Sequence[int]]
) -> list[bool]:
    """Bring each attempt at a cell in its order, the latest into its directory; gives whether each was new."""
    here = attempts_on_disk(layout, cell)
    found = []
    for number in numbers.get(cell.name, ()):
        record = place.read(record_key(cell, number))
        if record is None:
            continue
        if number in here:
            if (here[number] / RECORD_NAME).read_bytes() != record:
                raise conflict(cell, number, place.url)
            found.append(False)
            continue
        is_latest = number == numbers[cell.name][-1]
        _pull_attempt(cell, number, record, layout=layout, place=place, there=there, is_latest=is_latest)
        found.append(True)
    return found


def _pull_attempt(
    cell: Cell,
    number: int,
    record: bytes,
    *,
    layout: RunLayout,
    place: ObjectPlace,
    there: Collection[str],
    is_latest: bool,
) -> None:
    """Bring one attempt, which comes after all that are here; past ones as they are, as nothing reads their arrays."""
    folder, target = folder_key(cell, number, record), layout.cell_directory(cell)
    with published_directory(target, scratch=layout.cell_scratch(cell)) as directory:
        for name in FILES:
            if f"{folder}/{name}" in there:
                place.download(f"{folder}/{name}", directory / name)
        (directory / RECORD_NAME).write_bytes(record)
        if is_latest:
            checked_record(layout, cell, directory)
        if target.exists():
            retire_directory(target, to=layout.history_directory(cell, max(attempts_on_disk(layout, cell))))


def _pull_tables(layout: RunLayout, place: ObjectPlace, there: Collection[str]) -> None:
    """Bring tables and pages: files of the run's own directory, of snapshots and of references.

    No key leads out of the directory: obstore refuses to list one with `..` in it.
    """
    for key in sorted(there):
        path = PurePosixPath(key)
        folders = (layout.snapshots.name, "reference")
        if key != layout.study_file.name and (len(path.parts) == 1 or path.parts[0] in folders):
            content = place.read(key)
            if content is not None and path.suffix in (".json", ".html"):
                publish_bytes(layout.root / key, _writer(content))


def _writer(content: bytes) -> Callable[..., object]:
    return lambda stream: stream.write(content)


def _has_more(study: Study, layout: RunLayout, numbers: Mapping[str, Sequence[int]]) -> bool:
    """Tell whether cells here have attempts that the store's manifest does not know."""
    return any(set(attempts_on_disk(layout, cell)) - set(numbers.get(cell.name, ())) for cell in cells(study))


def _download(place: ObjectPlace, key: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not place.download(key, path):
        raise IntegrityError(f"pull {place.url}/{key}: it was there and is not any more", remedy="pull again")
