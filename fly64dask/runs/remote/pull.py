"""Brings a run from an object store into a directory, every byte checked before it is put in its place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fly64dask.base import InputError, counted_of
from fly64dask.monitoring import ignore_line
from fly64dask.records import renew_manifest
from fly64dask.runs.directory import clear_leftovers, held_directory
from fly64dask.runs.groups import groups_of_study, respaced_groups
from fly64dask.runs.places import refuse_foreign_directory
from fly64dask.runs.remote.attempts import STUDY_KEY, Copied, at_once
from fly64dask.runs.remote.incoming import Incoming, Taking
from fly64dask.store import ObjectPlace, RunLayout, ViewAttributes, open_place
from fly64dask.study import Study, cells


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
        If there is no run at the URL, the directory holds another study's run, one under way, or other things and no
        run, or an attempt has another result here.
    IntegrityError
        If a byte of an attempt or group is not as its digest says; nothing of it is put in its place.
    StorageError
        If the store cannot be reached, or the disk is full.
    """
    return pull_from(open_place(url), RunLayout(Path(path).absolute()), say=say)


def pull_from(
    place: ObjectPlace,
    layout: RunLayout,
    taking: Taking | None = None,
    there: Mapping[str, str] | None = None,
    *,
    say: Callable[[str], None] = ignore_line,
) -> Copied:
    """Bring a run from where its objects are, as `pull_run` does; `there` are their tags, where these are known."""
    with pulling(place, layout, taking or Taking(), there) as (pull, study):
        known = groups_of_study(study, layout)
        groups = at_once(lambda item: pull.take_group(*item), known.items())
        attempts = [is_new for of_cell in at_once(pull.take_cell, cells(study)) for is_new in of_cell]
        # Views at the spacing of a remedy, which the records name.
        groups += at_once(lambda group: pull.take_group(group, ViewAttributes), respaced_groups(study, layout))
        n_groups, n_groups_there = groups.count(True), groups.count(False)
        say(f"{counted_of(n_groups, n_groups + n_groups_there, 'group', 'of exposures was', 'of exposures were')} new")
        pull.take_tables()
        if pull.has_more(study):
            renew_manifest(study, layout)
    others = pull.numbers.keys() - {cell.name for cell in cells(study)}
    pull.left_out += [f"{name}: the cell is none of the study's" for name in sorted(others)]
    return Copied(
        n_attempts=sum(attempts),
        n_attempts_there=len(attempts) - sum(attempts),
        n_groups=n_groups,
        n_groups_there=n_groups_there,
        left_out=tuple(pull.left_out),
        damaged=tuple(pull.damaged),
    )


@contextmanager
def pulling(
    place: ObjectPlace, layout: RunLayout, taking: Taking, there: Mapping[str, str] | None = None
) -> Iterator[tuple[Incoming, Study]]:
    """Hold a directory for as long as the block lasts, and bring the study there; gives what brings the rest.

    `there` are the tags of all objects that the block asks for, where these are known.
    """
    refuse_foreign_directory(layout, f"pull into {layout.root}", place.url.rpartition("/")[2])
    stored_study = place.read(STUDY_KEY)
    if stored_study is None:
        raise _no_run(place)
    with held_directory(layout):
        clear_leftovers(layout)
        pull = Incoming(place=place, layout=layout, taking=taking, there=place.tags() if there is None else there)
        yield pull, pull.take_study(stored_study)


def _no_run(place: ObjectPlace) -> InputError:
    below = next((facts.key for facts in place.facts() if facts.key.endswith(f"/{STUDY_KEY}")), None)
    remedy = "give the URL of a `fly64dask push` or of a `fly64dask run STUDY --out URL`"
    if below is not None:
        run = f"{place.url}/{below.removesuffix(f'/{STUDY_KEY}')}"
        remedy = f"give one of the runs below it, such as {run}; `fly64dask runs {place.url}` lists them"
    return InputError(f"open run {place.url}: no {STUDY_KEY} there", remedy=remedy)
