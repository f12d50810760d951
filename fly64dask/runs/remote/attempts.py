"""Attempts at cells as objects: their keys, and the check that an attempt's files are those that its record names."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fly64dask.base import InputError, IntegrityError
from fly64dask.records import CellRecord, past_attempts, read_record
from fly64dask.runs.verify import Damage
from fly64dask.store import LOG_NAME, RECONSTRUCTION_NAME, ObjectPlace, RunLayout
from fly64dask.study import Cell

N_AT_ONCE = 8  # requests to a store (our choice)
STUDY_KEY = "study.json"
FILES = (RECONSTRUCTION_NAME, LOG_NAME)
FIND = "find what is damaged with `fly64dask verify RUN`"
_RECORD_KEY = re.compile(r"(?P<cell>.+)/attempt_(?P<number>\d{3,})\.json")

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What a copy found to do: attempts at cells and groups of exposures that are new, and that were there before.

    `left_out` says which attempts were not copied, and why; `damaged` what was brought into a cache without what is
    damaged at the store.
    """

    n_attempts: int
    n_attempts_there: int
    n_groups: int
    n_groups_there: int
    left_out: tuple[str, ...] = ()
    damaged: tuple[Damage, ...] = ()


def record_key(cell: Cell, number: int) -> str:
    """Give the key of an attempt's record; the attempt is at the store when there is an object of this key."""
    return f"{cell.name}/attempt_{number:03d}.json"


def folder_key(cell: Cell, number: int, record: bytes) -> str:
    """Give the key below which an attempt's files lie: named by its record, no other attempt's take their place."""
    return f"{cell.name}/attempt_{number:03d}-{hashlib.sha256(record).hexdigest()[:16]}"


def attempts_at_store(keys: Iterable[str]) -> dict[str, list[int]]:
    """List the numbers of committed attempts by the names of their cells, in order."""
    numbers: dict[str, list[int]] = {}
    for key in keys:
        found = _RECORD_KEY.fullmatch(key)
        if found:
            numbers.setdefault(found["cell"], []).append(int(found["number"]))
    return {name: sorted(of_cell) for name, of_cell in numbers.items()}


def attempts_on_disk(layout: RunLayout, cell: Cell) -> dict[int, Path]:
    """List the directories of a cell's committed attempts by number, in order: past ones, then the latest."""
    past = past_attempts(layout, cell)
    directory = layout.cell_directory(cell)
    return past | ({max(past, default=0) + 1: directory} if directory.exists() else {})


def stated_files(record: CellRecord) -> dict[str, str]:
    """Give the SHA-256 of each file of an attempt that its record names."""
    stated = {LOG_NAME: record.log_sha256}
    if record.state == "completed":
        stated[RECONSTRUCTION_NAME] = record.reconstruction_sha256 or ""
    return stated


def checked_record(layout: RunLayout, cell: Cell, directory: Path) -> CellRecord:
    """Read the record of an attempt and check its files; raises IntegrityError if they are not those that it names."""
    record = read_record(layout, cell, directory=directory)
    if record is None:
        raise IntegrityError(f"{directory} holds no record", remedy=FIND)
    for name, sha256 in stated_files(record).items():
        check_file(directory / name, sha256)
    return record


def check_file(path: Path, sha256: str, *, name: str = "") -> None:
    """Raise IntegrityError, with its path or another name, if a file is not there, or not what was written."""
    if not path.exists():
        raise IntegrityError(f"{name or path} is missing", remedy=FIND)
    with path.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != sha256:
            raise IntegrityError(f"{name or path} does not match its SHA-256", remedy=FIND)


def download(place: ObjectPlace, key: str, path: Path) -> None:
    """Read an object into a new file; raises IntegrityError if it is not there, as its key was listed before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not place.download(key, path):
        raise IntegrityError(
            f"pull {place.url}/{key}: it was deleted at the store while it was read", remedy="pull again"
        )


def is_same_group(metadata: bytes | None, other: bytes) -> bool:
    """Tell by the metadata of two groups whether they were made of the same and hold the same arrays."""
    if metadata is None:
        return False
    try:
        one, another = (json.loads(each)["attributes"] for each in (metadata, other))
        return all(one[name] == another[name] for name in ("array_sha256", "metadata_sha256", "source_digest"))
    except (ValueError, KeyError, TypeError):
        return False  # a damaged one is copied again


def conflict(cell: Cell, number: int, url: str) -> InputError:
    """Make the error of two results of one attempt."""
    return InputError(
        f"attempt {number} of {cell.name} here is another than at {url}: both were made from the same state",
        remedy="pull into a new directory and put both together with `fly64dask merge --first-wins`",
    )


def at_once(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Do the same for each item, several at a time; the first failure is raised when those begun have ended."""
    with ThreadPoolExecutor(N_AT_ONCE, thread_name_prefix="objects") as pool:
        return list(pool.map(work, items))  # which drops what has not begun when one fails
