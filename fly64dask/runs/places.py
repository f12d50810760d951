"""Where a run lies: in a directory, or at an object store with a cache of it in a directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fly64dask.base import InputError, IntegrityError
from fly64dask.monitoring import Notify, ignore_line
from fly64dask.records import read_run_study
from fly64dask.store import RECORDS_PATTERN, RunLayout, is_name_in_run, is_url, storing

Say = Callable[[str], None]
# Gets what is to be told of a run's cells and lines for a person; gives what is to be told instead.
Watching = Callable[[Notify, Say], Notify]
MAX_NAMED = 3  # of the things that are found where a run shall begin


@contextmanager
def run_place(out: str | os.PathLike[str], name: str, say: Say = ignore_line) -> Iterator[tuple[RunLayout, Watching]]:
    """Give the directory in which a run is to be computed, for as long as the block lasts.

    Parameters
    ----------
    out : str or path
        The run directory, or the URL of a run at an object store, with which the directory is its cache: what is
        committed in it, as the wrapped `notify` is told, is committed there.
    name : str
        Name of the study.
    say : callable
        Gets lines for a person.

    Yields
    ------
    tuple of RunLayout and callable
        Of a URL as of `run_at_store`, with its errors.
    """
    if not is_url(out):
        yield RunLayout(Path(os.path.realpath(out))), lambda notify, say: notify
        return
    from fly64dask.runs.remote import run_at_store

    with run_at_store(os.fspath(out), name, say=say) as mirror:
        yield mirror.layout, mirror.watching


def read_place(path: str | os.PathLike[str], *, files: bool = True, say: Say = ignore_line) -> RunLayout:
    """Give the directory in which a run can be read; of a URL its cache, as of `cached_run`, with its errors."""
    if not is_url(path):
        return RunLayout(Path(os.path.realpath(path)))
    from fly64dask.runs.remote import cached_run

    return cached_run(os.fspath(path), files=files, say=say)


def refuse_foreign_directory(layout: RunLayout, doing: str, name: str) -> None:
    """Raise InputError if a directory in which a run shall begin holds other things, and no run yet.

    One that is missing or empty is none, nor one that has parts of a run alone: a submitted run has not begun, and a
    run may have lost its study. Its live files are none by themselves, which a run that begins would empty. `doing`
    begins the error, and a directory of this name in it is proposed instead.
    """
    with storing(layout.root):
        names = sorted(os.listdir(layout.root)) if layout.root.is_dir() else []
    others = layout.live.name if names == [layout.live.name] else foreign_names(names)
    if others and not _is_run(layout):
        raise InputError(
            f"{doing}: it holds {others}, and no run",
            remedy=f"give a directory of its own to each run, such as {layout.root / name}",
        )


def foreign_names(names: Iterable[str]) -> str:
    """Say which of the names in a place are of no part of a run, the first few; empty if none are."""
    others: dict[str, None] = {}
    for name in names:
        if not is_name_in_run(name):
            others[name] = None
            if len(others) > MAX_NAMED:
                break
    listed = list(others)
    return ", ".join(listed[:MAX_NAMED]) + (" and more" if len(listed) > MAX_NAMED else "")


def _is_run(layout: RunLayout) -> bool:
    try:
        read_run_study(layout)
    except (InputError, IntegrityError):
        return any(True for _ in layout.root.glob(RECORDS_PATTERN))
    return True
