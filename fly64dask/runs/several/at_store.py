"""Finds the runs below a URL of an object store, and says of each the same as of one in a directory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from fly64dask.runs.remote import LOOK_RETRY_S, STUDY_KEY, cached_run
from fly64dask.runs.several.disk_usage import RunUsage, Usage
from fly64dask.runs.several.listing import RunSummary, summary_of
from fly64dask.store import LOCK_KEY, ObjectFacts, ObjectPlace, holder_at, open_place


def find_runs_at_store(url: str) -> Iterator[RunSummary]:
    """Find every run below a URL, which may be a run itself, one after the other in order of their URLs.

    All keys are listed once. The records of each run are brought into its cache, as `cached_run` does it.

    Raises StorageError if the store cannot be reached.
    """
    place = open_place(url, retry_s=LOOK_RETRY_S)
    objects = list(place.facts())
    roots = _roots(facts.key for facts in objects)
    of_run: dict[str, list[ObjectFacts]] = {root: [] for root in sorted(roots)}
    for facts in objects:
        for folder in _folders(facts.key):
            if folder in roots:
                of_run[folder].append(facts)
                break
    for root, its_objects in of_run.items():
        yield _summary(place, root, its_objects)


def _folders(key: str) -> Iterator[str]:
    """Give the folders that a key lies in, the deepest first, each with its last slash; the last one is empty."""
    while key:
        key = key.rstrip("/").rpartition("/")[0]
        key += "/" if key else ""
        yield key


def _roots(keys: Iterable[str]) -> frozenset[str]:
    """Find the folders that are runs, and lie in no other."""
    found = {key.removesuffix(STUDY_KEY) for key in keys if key.rpartition("/")[2] == STUDY_KEY}
    return frozenset(root for root in found if found.isdisjoint(_folders(root)))


def _summary(place: ObjectPlace, root: str, objects: Iterable[ObjectFacts]) -> RunSummary:
    url = f"{place.url}/{root}".rstrip("/")
    usage, holder = RunUsage(total=Usage(), changed_s=0.0), None
    for facts in objects:
        if facts.key == f"{root}{LOCK_KEY}":
            holder = holder_at(place, facts)
        else:
            total = usage.total.plus(Usage(facts.n_bytes, 1))
            usage = RunUsage(total=total, changed_s=max(usage.changed_s, facts.changed_s))
    return summary_of(url, partial(cached_run, url), usage, holder)
