"""Copies what a run has committed to an object store; a killed copy is continued by doing it again."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fly64dask.base import IntegrityError, counted_of
from fly64dask.monitoring import ignore_line
from fly64dask.records import read_run_study
from fly64dask.runs.groups import groups_of
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
from fly64dask.runs.remote.refusals import refuse_foreign_place, refuse_other_study
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
    tag_of,
)
from fly64dask.study import Cell, cells


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
    refuse_foreign_place(place, study.name, doing=f"push {layout.root}")
    with held_place(place, patience_s=patience_s) as lease:
        refuse_other_study(study.name, place, doing=f"push {layout.root}")
        copy = Copy(place=place, layout=layout, lease=lease, there=place.tags())
        copy.put(layout.study_file)
        kept = [item for item in groups_of(study, layout).items() if item[0].exists()]
        groups = at_once(lambda item: copy.put_group(*item), kept)
        say(f"{counted_of(sum(groups), len(groups), 'group', 'of exposures was', 'of exposures were')} new")
        attempts = at_once(copy.put_cell, cells(study))
        copy.put_tables()
    left_out = tuple(words for of_cell in attempts for words in of_cell if isinstance(words, str))
    new = [is_new for of_cell in attempts for is_new in of_cell if not isinstance(is_new, str)]
    return Copied(
        n_attempts=sum(new),
        n_attempts_there=len(new) - sum(new),
        n_groups=sum(groups),
        n_groups_there=len(groups) - sum(groups),
        left_out=left_out,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """What puts parts of a run at a store while it holds the lock there, each part in one step.

    `there` has the tags of all objects, by key: nobody else writes meanwhile. Its methods may be called at once.
    """

    place: ObjectPlace
    layout: RunLayout
    lease: Lease
    there: dict[str, str]
    _folders: set[str] = field(init=False, default_factory=set)  # that have objects, or may have some
    _reading: threading.Lock = field(init=False, default_factory=threading.Lock)  # a whole group, one at a time

    def __post_init__(self) -> None:
        """Note in which folders there are objects."""
        for key in self.there:
            self._note_folders(key)

    def put(self, path: Path) -> None:
        """Put a file of the run unless the same one is there."""
        self._put(self._key(path), path.read_bytes())

    def delete(self, path: Path) -> None:
        """Delete the object of a file of the run, if there is one."""
        self.lease.check()
        self.place.delete(self._key(path))
        self.there.pop(self._key(path), None)

    def put_group(self, group: Path, model: type[GroupAttributes]) -> bool:
        """Put a group's files unless the same group is there; tells whether it was new.

        One that was made from other settings disappears first, as its metadata are deleted.
        """
        key, metadata = self._key(group), (group / METADATA_NAME).read_bytes()
        metadata_key = f"{key}/{METADATA_NAME}"
        tag = self.there.get(metadata_key)
        if tag == tag_of(metadata) or (tag is not None and is_same_group(self.place.read(metadata_key), metadata)):
            return False
        with self._reading:
            opened = open_group(group, model)
            for name in opened.names:
                opened.read(name)  # what is damaged is not copied
        self.lease.check()
        files = {self._key(path): path for path in group.rglob("*") if path.is_file()}
        del files[metadata_key]
        if key in self._folders:
            self.place.delete(metadata_key)
            at_once(self.place.delete, [stale for stale in self.place.keys(key) if stale not in files])
        self._note_folders(metadata_key)
        at_once(lambda item: self.place.write(*item), files.items())
        for folder in group.parents:
            if folder.is_relative_to(self.layout.store):
                self._put(self._key(folder / METADATA_NAME), PARENT_METADATA)
        self.lease.check()
        self.place.write(metadata_key, metadata)
        self.there[metadata_key] = tag_of(metadata)
        return True

    def put_cell(self, cell: Cell) -> list[bool | str]:
        """Put each attempt at a cell; gives whether it was new, or words why it was left out."""
        found: list[bool | str] = []
        for number, directory in attempts_on_disk(self.layout, cell).items():
            try:
                found.append(self._put_attempt(cell, number, directory))
            except FileNotFoundError as error:
                # A run under way has just moved it to the history: the next copy finds it there.
                found.append(f"attempt {number} of {cell.name}: {error}")
            except IntegrityError as error:
                found.append(f"attempt {number} of {cell.name}: {error}")
        return found

    def _put_attempt(self, cell: Cell, number: int, directory: Path) -> bool:
        record = (directory / RECORD_NAME).read_bytes()
        key, folder = record_key(cell, number), folder_key(cell, number, record)
        if self.place.holds(key, record, tag=self.there.get(key)):
            return False
        if directory == self.layout.cell_directory(cell):  # past ones as they are: nothing reads their arrays
            checked_record(self.layout, cell, directory)
        for name in FILES:
            if (directory / name).exists() and f"{folder}/{name}" not in self.there:
                self.place.write(f"{folder}/{name}", directory / name)
        self.lease.check()
        if not self.place.create(key, record) and self.place.read(key) != record:
            raise conflict(cell, number, self.place.url)
        self.there[key] = tag_of(record)
        return True

    def put_tables(self) -> None:
        """Put tables and pages, the manifest last: it names what is there by then."""
        manifest = self.layout.manifest_file
        for path in [path for path in _tables(self.layout) if path != manifest]:
            self.put(path)
        if manifest.exists():
            self.put(manifest)

    def _put(self, key: str, content: bytes) -> None:
        if self.there.get(key) != tag_of(content):
            self.lease.check()
            self.place.write(key, content)
            self.there[key] = tag_of(content)

    def _note_folders(self, key: str) -> None:
        while "/" in key and (key := key.rpartition("/")[0]) not in self._folders:
            self._folders.add(key)

    def _key(self, path: Path) -> str:
        return path.relative_to(self.layout.root).as_posix()


def _tables(layout: RunLayout) -> Iterable[Path]:
    """List tables and pages of a run, without what only a run under way needs."""
    at_top = (path for path in layout.root.glob("[!.]*") if path != layout.dashboard_file)
    below = (path for folder in (layout.snapshots, layout.references) for path in folder.rglob("[!.]*"))
    return sorted(path for path in (*at_top, *below) if path.is_file())
