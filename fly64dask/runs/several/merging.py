"""Merges runs of one study, of other doses or from other machines, into one run; every cell is checked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from fly64dask.base import InputError, IntegrityError, counted
from fly64dask.monitoring import ignore_line
from fly64dask.records import (
    each_row,
    note_cleaned,
    past_attempts,
    read_cleaned,
    read_run_study,
    renew_manifest,
    write_run_study,
)
from fly64dask.runs.comparisons import compare_with_references
from fly64dask.runs.directory import held_directory
from fly64dask.runs.opened import Run
from fly64dask.runs.places import read_place
from fly64dask.runs.several.choosing import Chosen, choose_cells, choose_groups
from fly64dask.runs.several.studies import merged_study
from fly64dask.runs.verify import verify_run
from fly64dask.store import RunLayout, published_directory, unchanging_run, write_parent_groups
from fly64dask.study import Cell, Study, cells


def merge_runs(
    paths: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    first_wins: bool = False,
    say: Callable[[str], None] = ignore_line,
) -> Run:
    """Put the cells of several runs of one study into a new run; the runs stay as they are.

    Parameters
    ----------
    paths : sequence of str or path
        Two runs or more: directories, or URLs of runs at an object store, which are brought into their caches first and
        of which the cells are taken that are committed by then. Their studies may differ in doses, number of repeats,
        device, and in where the files of their source lie.
    out : str or path
        The new run directory; it must not exist, or be empty.
    first_wins : bool
        Of a cell with other results in several runs, take that of the run that is named first, instead of refusing.
    say : callable
        Gets lines for a person: how many cells each run gave.

    Returns
    -------
    Run
        The new run, opened: what is pending can be run there.

    Raises
    ------
    InputError
        If the studies differ in anything else, the same cell has other results, or a run is under way; all that
        differs is named, and nothing is written.
    IntegrityError
        If a record is damaged, or a byte of what was copied.

    Examples
    --------
    >>> merge_runs(["runs/low", "runs/high"], "runs/both").report()  # doctest: +SKIP
    """
    target = RunLayout(Path(os.path.realpath(out)))
    _check_target(target)
    names = {read_place(path, say=say): os.fspath(path) for path in paths}
    layouts = tuple(names)
    if len(layouts) < max(2, len(paths)):
        found = counted(len(layouts), "different run")
        raise InputError(f"merge into {target.root}: got {found}", remedy="give two or more, each once")
    studies = {layout: read_run_study(layout) for layout in layouts}
    study = merged_study(studies)
    with ExitStack() as held:
        for layout in layouts:
            held.enter_context(unchanging_run(layout))
        chosen = choose_cells(study, layouts, first_wins=first_wins)
        groups = choose_groups(study, chosen, layouts)
        for layout in layouts:
            n_cells = sum(each.layout == layout for each in chosen.values())
            say(f"{n_cells} of {len(cells(study))} cells from {names[layout]}")
        with held_directory(target):
            _fill(study, target, chosen, groups, say)
    return Run(study, target)


def _check_target(target: RunLayout) -> None:
    if target.root.exists() and (not target.root.is_dir() or any(target.root.iterdir())):
        words = f"merge into {target.root}: it is there already, and not empty"
        raise InputError(words, remedy="give another directory")


def _fill(
    study: Study,
    target: RunLayout,
    chosen: Mapping[Cell, Chosen],
    groups: Mapping[Path, RunLayout],
    say: Callable[[str], None],
) -> None:
    """Copy groups and cells, check every byte, and write the tables: the study last but them, so that it is a run."""
    for group, layout in groups.items():
        _copy_group(layout.root / group, target.root / group, target)
    for cell, each in chosen.items():
        _copy_cell(cell, each.layout, target)
    _note_missing(target, (each.layout for each in chosen.values()))
    damages = verify_run(study, target)
    if damages:
        _empty(target)
        raise IntegrityError(
            f"merge into {target.root}: {counted(len(damages), 'part is', 'parts are')} damaged, first "
            f"{damages[0].path}: {damages[0].problem}",
            remedy="find and mend it with `fly64dask verify RUN --repair` on each run, and merge again",
        )
    write_run_study(target, study)
    compare_with_references(study, target, each_row(target, cells(study)), say)
    renew_manifest(study, target)


def _empty(target: RunLayout) -> None:
    """Remove all that was copied; the lock is its holder's."""
    for path in target.root.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path != target.lock_file:
            path.unlink(missing_ok=True)


def _copy_group(source: Path, to: Path, target: RunLayout) -> None:
    with published_directory(to, scratch=target.scratch) as directory:
        shutil.copytree(source, directory, dirs_exist_ok=True)
        write_parent_groups(to, store=target.store, scratch=target.scratch)


def _copy_cell(cell: Cell, source: RunLayout, target: RunLayout) -> None:
    """Copy a cell's replaced attempts and its journal, then its latest attempt, by which it is done."""
    for number, past in past_attempts(source, cell).items():
        with published_directory(target.history_directory(cell, number), scratch=target.scratch) as directory:
            shutil.copytree(past, directory, dirs_exist_ok=True)
    if source.journal_file(cell).exists():
        target.journal_file(cell).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.journal_file(cell), target.journal_file(cell))
    with published_directory(target.cell_directory(cell), scratch=target.scratch) as directory:
        shutil.copytree(source.cell_directory(cell), directory, dirs_exist_ok=True)


def _note_missing(target: RunLayout, sources: Iterable[RunLayout]) -> None:
    """Note which exposures are missing, as they were removed from all runs that had them."""
    cleaned = {layout: read_cleaned(layout) for layout in dict.fromkeys(sources)}
    names = {name for each in cleaned.values() if each is not None for name in each.exposures}
    missing = [target.root / name for name in sorted(names) if not (target.root / name).exists()]
    if missing:
        note_cleaned(target, missing)
