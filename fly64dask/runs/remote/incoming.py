"""Brings the parts of a run from an object store into a directory that is held, each whole or not at all."""

from __future__ import annotations

import shutil
import uuid
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fly64dask.base import InputError, IntegrityError, counted
from fly64dask.records import read_run_study
from fly64dask.runs.remote.attempts import (
    FILES,
    STUDY_KEY,
    at_once,
    attempts_at_store,
    attempts_on_disk,
    checked_record,
    conflict,
    download,
    folder_key,
    is_same_group,
    record_key,
)
from fly64dask.runs.verify import Damage
from fly64dask.store import (
    METADATA_NAME,
    RECORD_NAME,
    GroupAttributes,
    ObjectPlace,
    RunLayout,
    open_group,
    publish_bytes,
    published_directory,
    retire_directory,
    tag_of,
    write_parent_groups,
)
from fly64dask.study import Cell, Study, cells


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """What is brought of a run, and how.

    With `chunks` the arrays of exposures, else what describes them alone; with `files` each attempt's archive and log,
    else its record alone. `into_cache` has what is at the store replace what is here: another result of the same
    attempt, and the study. What is damaged at the store is then left out by name, and ends nothing.
    """

    chunks: bool = True
    files: bool = True
    into_cache: bool = False


class Incoming:
    """Brings the parts of a run from a store into a directory that is held; `there` has the tags of all objects."""

    def __init__(self, *, place: ObjectPlace, layout: RunLayout, taking: Taking, there: Mapping[str, str]) -> None:
        self._place, self._layout, self._taking, self._there = place, layout, taking, there
        self._listed = sorted(there)
        self.numbers = attempts_at_store(there)
        self.left_out: list[str] = []
        self.damaged: list[Damage] = []

    def take_study(self, stored: bytes) -> Study:
        """Write the study of the store here; refused where a run of another, or of more cells, would lose by it."""
        layout, aside = self._layout, RunLayout(self._layout.scratch / "pulled")
        publish_bytes(aside.study_file, _writer(stored))
        try:
            there = read_run_study(aside)
        except IntegrityError as error:
            words = error.message.replace(str(aside.study_file), f"{self._place.url}/{STUDY_KEY}")
            raise IntegrityError(words, remedy=error.remedy) from error
        if layout.study_file.exists():
            self._refuse_other(read_run_study(layout), there)
        publish_bytes(layout.study_file, _writer(stored))
        return there

    def _refuse_other(self, here: Study, there: Study) -> None:
        held = f"pull {self._place.url}: {self._layout.root} holds a run of study {here.name!r}"
        if here.name != there.name:
            raise InputError(
                f"{held}, and the one there is of {there.name!r}",
                remedy="delete that directory, a cache of what was there before"
                if self._taking.into_cache
                else "pull into a new directory",
            )
        more = set(cells(here)) - set(cells(there))
        if more and not self._taking.into_cache:
            raise InputError(
                f"{held} with {counted(len(more), 'cell')} that the study there does not have",
                remedy="pull into a new directory, or push this one first",
            )

    def take_group(self, group: Path, model: type[GroupAttributes]) -> bool | None:
        """Bring a group unless the same one is here; tells whether it was new, None if the store has none."""
        key = group.relative_to(self._layout.root).as_posix()
        metadata_key = f"{key}/{METADATA_NAME}"
        of_group = self._listed[bisect_left(self._listed, f"{key}/") : bisect_left(self._listed, f"{key}0")]  # / to 0
        wanted = [name for name in of_group if self._taking.chunks or name.endswith(f"/{METADATA_NAME}")]
        if metadata_key not in self._there:
            if is_hollow(group):  # it was brought without its arrays, and is of no use alone
                retire_directory(group, to=self._layout.scratch / "stale" / key)
            return None
        if self._is_here(group, metadata_key, wanted):
            return False
        try:
            with published_directory(group, scratch=self._layout.scratch) as directory:
                files = {name: directory / name.removeprefix(f"{key}/") for name in wanted}
                at_once(lambda item: download(self._place, *item), files.items())
                opened = open_group(directory, model)
                for name in opened.names if self._taking.chunks else ():
                    opened.read(name)
                write_parent_groups(group, store=self._layout.store, scratch=self._layout.scratch)
                if group.exists():
                    retire_directory(group, to=self._layout.scratch / "stale" / key)
        except IntegrityError as error:
            if not self._taking.into_cache:
                raise
            there = f"{self._place.url}/{key}"
            self.damaged.append(Damage(path=key, problem=error.message.replace(str(directory), there)))
            return None
        return True

    def _is_here(self, group: Path, metadata_key: str, wanted: Iterable[str]) -> bool:
        """Whether a group is here as it is at the store, with all of the files that are wanted of it."""
        if not group.exists() or not all((self._layout.root / name).exists() for name in wanted):
            return False
        metadata = (group / METADATA_NAME).read_bytes()
        return self._there[metadata_key] == tag_of(metadata) or is_same_group(self._place.read(metadata_key), metadata)

    def take_cell(self, cell: Cell) -> list[bool]:
        """Bring each attempt at a cell in its order, the latest into its directory; gives whether each was new."""
        here = attempts_on_disk(self._layout, cell)
        found = []
        numbers = self.numbers.get(cell.name, [])
        for number in numbers:
            key = record_key(cell, number)
            if number in here:
                kept = (here[number] / RECORD_NAME).read_bytes()
                if self._place.holds(key, kept, tag=self._there[key]):
                    found.append(False)
                    continue
                if not self._taking.into_cache:
                    raise conflict(cell, number, self._place.url)
                here = self._without(cell, here, number)
            record = self._place.read(key)
            if record is not None:
                self._take_attempt(cell, number, record, is_latest=number == numbers[-1])
                found.append(True)
        return found

    def _without(self, cell: Cell, here: Mapping[int, Path], first: int) -> dict[int, Path]:
        """Remove the attempts from one on, which the store does not have; gives those that stay."""
        for number in sorted(here, reverse=True):
            if number >= first:
                rubbish = self._layout.scratch / f"other-{uuid.uuid4().hex}"
                retire_directory(here[number], to=rubbish)
                shutil.rmtree(rubbish)
        self.left_out.append(f"{cell.name}: attempt {first} here is another than at the store, whose is taken")
        return {number: path for number, path in here.items() if number < first}

    def _take_attempt(self, cell: Cell, number: int, record: bytes, *, is_latest: bool) -> None:
        """Bring one attempt, which comes after all that are here; a past one unchecked: nothing reads its arrays."""
        layout, target = self._layout, self._layout.cell_directory(cell)
        folder = folder_key(cell, number, record)
        # A record alone is compared with the store at each look: 10 000 of them need not be waited for on the disk.
        lasting = self._taking.files
        with published_directory(target, scratch=layout.cell_scratch(cell), lasting=lasting) as directory:
            for name in FILES if self._taking.files else ():
                if f"{folder}/{name}" in self._there:
                    self._place.download(f"{folder}/{name}", directory / name)
            (directory / RECORD_NAME).write_bytes(record)
            if is_latest and self._taking.files:
                checked_record(layout, cell, directory)
            if target.exists():
                retire_directory(target, to=layout.history_directory(cell, max(attempts_on_disk(layout, cell))))

    def take_tables(self) -> None:
        """Bring tables and pages: files of the run's own directory, of snapshots and of references.

        No key leads out of the directory: obstore refuses to list one with `..` in it.
        """
        folders = (self._layout.snapshots.name, self._layout.references.name)
        for key in self._listed:
            top, *below = key.split("/")
            here = self._layout.root / key
            if here.suffix not in (".json", ".html") or key == STUDY_KEY or (below and top not in folders):
                continue
            if here.exists() and tag_of(here.read_bytes()) == self._there[key]:
                continue
            content = self._place.read(key)
            if content is not None:
                publish_bytes(here, _writer(content))

    def has_more(self, study: Study) -> bool:
        """Tell whether cells here have attempts that the store's manifest does not know, and no run is to write one."""
        if self._taking.into_cache:
            return False
        layout, numbers = self._layout, self.numbers
        return any(set(attempts_on_disk(layout, cell)) - set(numbers.get(cell.name, ())) for cell in cells(study))


def is_hollow(group: Path) -> bool:
    """Whether a group is here that was brought without its arrays."""
    return group.exists() and all(path.name == METADATA_NAME for path in group.rglob("*") if path.is_file())


def _writer(content: bytes) -> Callable[..., object]:
    return lambda stream: stream.write(content)
