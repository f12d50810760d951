"""Finds the runs below a folder and says of each how far it is, how large, how old, and who runs it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field

from fly64dask.base import Fly64Error, Frozen, StorageError
from fly64dask.records import count_states, each_row, read_run_study
from fly64dask.runs.several.disk_usage import RunUsage, measure_run
from fly64dask.store import RunLayout, holder_of, is_url
from fly64dask.study import cells

RunState = Literal["running", "completed", "failed", "unfinished", "damaged"]


class RunSummary(Frozen):
    """The standing of one run.

    `state` is `running` while a process holds the directory, `damaged` if its study or a record is, `unfinished` if
    cells are pending or interrupted, `failed` if all have ended and some without a reconstruction. `cells` are numbers
    of cells by state. `changed_at` is when the newest of its files was written; `used_bytes` is the room that they take
    on disk, or at the store, of which `path` is a URL.
    """

    path: str
    study: str | None = None
    state: RunState
    n_cells: int | None = None
    cells: dict[str, int] = Field(default_factory=dict)
    changed_at: str
    used_bytes: int
    n_files: int
    holder: str | None = None
    problem: str | None = None


def find_runs(folder: str | os.PathLike[str]) -> Iterator[RunSummary]:
    """Find every run below a folder, one after the other, in order of their paths.

    Parameters
    ----------
    folder : str or path
        Where to look; it may be a run itself. Links to folders are not followed, and no run is looked for inside
        another. Or a URL of an object store: the records of the runs below it are brought into their caches.

    Yields
    ------
    RunSummary
        Of one run. Each of its records is read, and each of its files looked at.

    Examples
    --------
    >>> for run in find_runs("runs"):  # doctest: +SKIP
    ...     print(run.path, run.state, run.used_bytes)
    """
    if is_url(folder):
        from fly64dask.runs.several.at_store import find_runs_at_store

        yield from find_runs_at_store(os.fspath(folder))
    else:
        yield from (summarise_run(RunLayout(root)) for root in _run_directories(Path(os.path.realpath(folder))))


def summarise_run(layout: RunLayout) -> RunSummary:
    """Say how far the run of a directory is."""
    return summary_of(str(layout.root), lambda: layout, measure_run(layout), holder_of(layout))


def summary_of(path: str, opened: Callable[[], RunLayout], usage: RunUsage, holder: str | None) -> RunSummary:
    """Say how far a run is; one that cannot be opened, or whose study cannot be read, has a problem, and is no error.

    A store that cannot be reached is one: it raises StorageError.
    """
    problem, study_name, counts, n_cells = None, None, {}, None
    try:
        layout = opened()
        study = read_run_study(layout)
        study_name, n_cells = study.name, len(cells(study))
        counts = count_states(study, each_row(layout, cells(study)))
    except StorageError:
        raise
    except Fly64Error as error:
        problem = str(error)
    return RunSummary(
        path=path,
        study=study_name,
        state=_state(counts, is_held=holder is not None, is_readable=problem is None),
        n_cells=n_cells,
        cells=counts,
        changed_at=datetime.fromtimestamp(usage.changed_s, UTC).isoformat(timespec="seconds"),
        used_bytes=usage.total.n_bytes,
        n_files=usage.total.n_files,
        holder=holder,
        problem=problem,
    )


def _state(counts: dict[str, int], *, is_held: bool, is_readable: bool) -> RunState:
    if is_held:
        return "running"
    if not is_readable or counts.get("damaged"):
        return "damaged"
    if counts.get("pending") or counts.get("interrupted"):
        return "unfinished"
    return "completed" if set(counts) <= {"completed"} else "failed"


def _run_directories(folder: Path) -> Iterator[Path]:
    if RunLayout(folder).study_file.is_file():
        yield folder
        return
    try:
        inside = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return  # a folder of somebody else, or gone by now
    for name in inside:
        yield from _run_directories(folder / name)
