"""Brings of a run at an object store what is read of one cell into the run's cache: neither other cells nor tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from fly64dask.monitoring import ignore_line
from fly64dask.records import read_kept_group
from fly64dask.runs.remote.attempts import at_once
from fly64dask.runs.remote.cache import LOOK_RETRY_S, cache_layout, name_damages, told, when_free
from fly64dask.runs.remote.files import take_files
from fly64dask.runs.remote.incoming import Incoming, Taking
from fly64dask.runs.remote.pull import pulling
from fly64dask.store import (
    ExposureAttributes,
    GroupAttributes,
    ObjectPlace,
    RunLayout,
    TruthAttributes,
    ViewAttributes,
    is_held,
    open_place,
)
from fly64dask.study import Cell, Study, realisation_of

ONE_CELL = Taking(files=False, into_cache=True)


def cached_study(url: str) -> RunLayout:
    """Bring the study of a run at an object store into the run's cache, as `cached_run` does, with its errors."""
    place, layout = open_place(url, retry_s=LOOK_RETRY_S), cache_layout(url)

    def bring_study() -> None:
        with pulling(place, layout, ONE_CELL, there={}):
            pass

    if not is_held(layout.remote_lock_file):
        when_free(bring_study)
    return layout


def bring_cell(
    url: str,
    study: Study,
    cell: Cell,
    *,
    truth: bool = False,
    reconstruction: bool = False,
    say: Callable[[str], None] = ignore_line,
) -> None:
    """Bring one cell of a run at an object store into the run's cache, as `cached_run` does, with its errors.

    Parameters
    ----------
    url : str
        The run.
    study : Study
        Its study.
    cell : Cell
        Its record is brought, the exposures of its dose and split, and the indices of those that it keeps.
    truth : bool
        Also the true object and probe.
    reconstruction : bool
        Also the archive and the log that the record names.
    say : callable
        Gets lines for a person: what is damaged at the store is left out and named.
    """
    place, layout = open_place(url, retry_s=LOOK_RETRY_S), cache_layout(url)
    groups: dict[Path, type[GroupAttributes]] = {
        layout.exposure_group(*realisation_of(study, cell)): ExposureAttributes
    }
    if truth:
        groups[layout.truth_group(cell.object_seed)] = TruthAttributes
    kept = (layout.view_group(cell.view, cell.split), layout.respaced_folder(cell.view))

    def bring_parts() -> Incoming:
        folders = (layout.cell_directory(cell), *groups, *kept)
        there = _tags_below(place, layout, folders)
        with pulling(place, layout, ONE_CELL, there) as (pull, _):
            pull.take_cell(cell)
            for group, model in (groups | {read_kept_group(layout, cell): ViewAttributes}).items():
                pull.take_group(group, model)
        return pull

    if not is_held(layout.remote_lock_file):  # else it has what the store has, but for files
        told(when_free(bring_parts), say)
    if reconstruction:
        name_damages(take_files(place, layout, [cell]), say)


def _tags_below(place: ObjectPlace, layout: RunLayout, folders: Iterable[Path]) -> dict[str, str]:
    """List the tags of all objects below some folders of a run."""
    listed = at_once(lambda folder: place.tags(folder.relative_to(layout.root).as_posix()), folders)
    return {key: tag for tags in listed for key, tag in tags.items()}
