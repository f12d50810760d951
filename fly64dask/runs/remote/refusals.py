"""Refuses a place at an object store that holds something else than the run which shall be there."""

from __future__ import annotations

import json

from fly64dask.base import InputError
from fly64dask.runs.places import foreign_names
from fly64dask.runs.remote.attempts import STUDY_KEY
from fly64dask.store import LOCK_KEY, ObjectPlace


def refuse_foreign_place(place: ObjectPlace, name: str, *, doing: str) -> None:
    """Raise InputError if a place at which a run shall begin holds other objects, and no run.

    A URL below it with the given name is proposed instead. Nothing has been written then.
    """
    if place.read(STUDY_KEY) is not None:
        return
    names = (facts.key.partition("/")[0] for facts in place.facts())
    others = foreign_names(name for name in names if name != LOCK_KEY)
    if others:
        raise InputError(
            f"{doing}: {place.url} holds {others}, and no run",
            remedy=f"give a URL of its own to each run, such as {place.url}/{name}",
        )


def refuse_other_study(name: str, place: ObjectPlace, *, doing: str) -> None:
    """Raise InputError if a run of a study of another name is at a place."""
    there = place.read(STUDY_KEY)
    if there is None:
        return
    other = json.loads(there).get("name")
    if other != name:
        raise InputError(
            f"{doing}: {place.url} holds a run of study {other!r}, this one is of {name!r}",
            remedy="give a URL of its own to each run",
        )
