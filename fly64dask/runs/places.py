"""Where a run lies: in a directory, or at an object store with a cache of it in a directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fly64dask.monitoring import Notify, ignore_line
from fly64dask.store import RunLayout, is_url

Say = Callable[[str], None]
# Gets what is to be told of a run's cells and lines for a person; gives what is to be told instead.
Watching = Callable[[Notify, Say], Notify]


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
