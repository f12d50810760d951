"""Deletes at an object store what can be made again of a run or is not needed any more, and then in the run's cache."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fly64dask.base import InputError
from fly64dask.records import note_cleaned, read_run_study
from fly64dask.runs.remote import (
    LOOK_RETRY_S,
    Taking,
    at_once,
    attempts_at_store,
    bring,
    cache_layout,
    cached_study,
    held_cache,
)
from fly64dask.runs.several.cleaning import (
    CLEANED_KINDS,
    CleanedKind,
    Cleaning,
    clean_run,
    measured,
    plan_cleaning,
    reasons_to_keep,
    unfinished_cells,
)
from fly64dask.runs.several.disk_usage import Usage
from fly64dask.store import (
    LEASE_S,
    LOCK_KEY,
    METADATA_NAME,
    Lease,
    ObjectPlace,
    RunLayout,
    held_place,
    holder_at,
    open_place,
    publish_bytes,
)
from fly64dask.study import Study, cells, realisations

DESCRIPTIONS = Taking(chunks=False, files=False, into_cache=True)
_ATTEMPT_FOLDER = re.compile(r"(?P<folder>(?P<cell>.+)/attempt_(?P<number>\d{3,})-[^/]+)/[^/]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class CleaningAtStore:
    """What a cleaning frees of a run at an object store, and what in the cache of this machine.

    The paths of what is at the store are those that it has, or would have, in the cache.
    """

    cache: RunLayout
    at_store: tuple[Cleaning, ...]
    in_cache: tuple[Cleaning, ...]


def plan_cleaning_at_store(
    url: str, kinds: Collection[CleanedKind] = CLEANED_KINDS, *, unfinished: bool = False
) -> CleaningAtStore:
    """Say what a cleaning of a run at an object store would free; kinds and errors as of `clean_at_store`."""
    place, cache = open_place(url, retry_s=LOOK_RETRY_S), cache_layout(url)
    _refuse_held(place)
    bring(place, cache, DESCRIPTIONS)
    study = read_run_study(cache)
    return CleaningAtStore(
        cache=cache,
        at_store=_planned(study, cache, _Objects(place), kinds, unfinished=unfinished),
        in_cache=plan_cleaning(study, cache, kinds, unfinished=unfinished),
    )


def clean_at_store(
    url: str, kinds: Collection[CleanedKind] = CLEANED_KINDS, *, unfinished: bool = False
) -> CleaningAtStore:
    """Free what `plan_cleaning_at_store` finds, while no other process can use the run.

    Parameters
    ----------
    url : str
        The run.
    kinds, unfinished
        As of `plan_cleaning`. Checkpoints are in the cache alone.

    Returns
    -------
    CleaningAtStore
        What was freed.

    Raises
    ------
    InputError
        If there is no run at the URL, or a process holds it.
    StorageError
        If the store cannot be reached; what was freed until then stays so.
    """
    place, cache = open_place(url, retry_s=LOOK_RETRY_S), cache_layout(url)
    _refuse_held(place)
    cached_study(url)  # which says if there is no run, before a lock is put there
    with held_cache(cache, url) as cache_name:
        return clean_place(place, cache, kinds, unfinished=unfinished, directory=cache_name)


def clean_place(
    place: ObjectPlace,
    cache: RunLayout,
    kinds: Collection[CleanedKind] = CLEANED_KINDS,
    *,
    unfinished: bool = False,
    directory: str = "",
    patience_s: float = LEASE_S,
) -> CleaningAtStore:
    """Clean a run where its objects are, as `clean_at_store` does, and a cache that is held.

    `directory` and `patience_s` are those of `held_place`.

    Notes
    -----
    Which exposures go is noted at the store before. Of each group the metadata go first, and with them the group: a
    reader finds a whole one or none. Killed at any line, the same call frees the rest.
    """
    with held_place(place, patience_s=patience_s, directory=directory) as lease:
        bring(place, cache, DESCRIPTIONS)
        study, objects = read_run_study(cache), _Objects(place)
        at_store = _planned(study, cache, objects, kinds, unfinished=unfinished)
        for cleaning in at_store:
            if cleaning.kind == "exposures" and cleaning.paths:
                _note_cleaned(place, lease, cache, cleaning.paths)
            _delete(place, lease, objects, [_key(path, cache) for path in cleaning.paths])
        in_cache = clean_run(study, cache, kinds, unfinished=unfinished)
    return CleaningAtStore(cache=cache, at_store=at_store, in_cache=in_cache)


class _Objects:
    """The objects of a run, listed once."""

    def __init__(self, place: ObjectPlace) -> None:
        self._n_bytes = {facts.key: facts.n_bytes for facts in place.facts()}
        self.keys = sorted(self._n_bytes)

    def below(self, folder: str) -> list[str]:
        """List the keys below a folder."""
        return self.keys[bisect_left(self.keys, f"{folder}/") : bisect_left(self.keys, f"{folder}0")]  # / to 0

    def usage(self, folder: str) -> Usage:
        """Give the size and the number of the objects below a folder."""
        below = self.below(folder)
        return Usage(sum(self._n_bytes[key] for key in below), len(below))


def _refuse_held(place: ObjectPlace) -> None:
    """Refuse a run that a process holds, as soon as that is known."""
    holder = next((holder_at(place, facts) for facts in place.facts() if facts.key == LOCK_KEY), None)
    if holder is not None:
        raise InputError(
            f"clean {place.url}: another process is using it ({holder})", remedy="wait for it, or stop that process"
        )


def _planned(
    study: Study, cache: RunLayout, objects: _Objects, kinds: Collection[CleanedKind], *, unfinished: bool
) -> tuple[Cleaning, ...]:
    """Plan the cleaning of a run's objects; records and descriptions of exposures are in its cache."""
    found: Mapping[CleanedKind, Iterable[tuple[Path, str | None]]] = {
        "exposures": _exposures(study, cache, objects, unfinished=unfinished),
        "checkpoints": (),
        "history": _history(study, cache, objects),
    }
    return tuple(
        measured(kind, found[kind], lambda path: objects.usage(_key(path, cache)))
        for kind in CLEANED_KINDS
        if kind in kinds
    )


def _exposures(
    study: Study, cache: RunLayout, objects: _Objects, *, unfinished: bool
) -> Iterator[tuple[Path, str | None]]:
    why_kept = reasons_to_keep(study, cache, frozenset() if unfinished else unfinished_cells(study, cache))
    for drawn in realisations(study, cells(study)):
        group = cache.exposure_group(*drawn)
        keys = objects.below(_key(group, cache))
        if keys:
            # Without its metadata it is what a cleaning or a push that was killed has left: nobody can read it.
            is_group = f"{_key(group, cache)}/{METADATA_NAME}" in keys
            yield group, why_kept(drawn) if is_group else None


def _history(study: Study, cache: RunLayout, objects: _Objects) -> Iterator[tuple[Path, None]]:
    """Find the folders of attempts before the latest; their records, which are no folders, stay."""
    latest = {name: numbers[-1] for name, numbers in attempts_at_store(objects.keys).items()}
    names = {cell.name for cell in cells(study)}
    folders: dict[str, None] = {}
    for key in objects.keys:
        found = _ATTEMPT_FOLDER.fullmatch(key)
        if found and found["cell"] in names and int(found["number"]) < latest.get(found["cell"], 0):
            folders[found["folder"]] = None
    yield from ((cache.root / folder, None) for folder in folders)


def _note_cleaned(place: ObjectPlace, lease: Lease, cache: RunLayout, groups: Iterable[Path]) -> None:
    """Note at the store which groups of exposures are about to be removed, beside those of earlier times."""
    aside = RunLayout(cache.scratch / "cleaned")
    before = place.read(aside.cleaned_file.name)
    if before is not None:
        publish_bytes(aside.cleaned_file, lambda stream: stream.write(before))
    note_cleaned(aside, [aside.root / group.relative_to(cache.root) for group in groups])
    lease.check()
    place.write(aside.cleaned_file.name, aside.cleaned_file.read_bytes())


def _delete(place: ObjectPlace, lease: Lease, objects: _Objects, folders: Sequence[str]) -> None:
    """Delete the objects below folders, first those that make them groups."""

    def delete(key: str) -> None:
        lease.check()
        place.delete(key)

    first = {f"{folder}/{METADATA_NAME}" for folder in folders}.intersection(objects.keys)
    at_once(delete, sorted(first))
    at_once(delete, [key for folder in folders for key in objects.below(folder) if key not in first])


def _key(path: Path, cache: RunLayout) -> str:
    return path.relative_to(cache.root).as_posix()
