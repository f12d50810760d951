"""Deletes what can be made again of a run or is not needed any more: exposures, checkpoints, replaced attempts."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from fly64dask.base import Fly64Error
from fly64dask.datasets import read_inputs
from fly64dask.records import LASTING_KINDS, StudyNow, each_row, note_cleaned, past_attempts
from fly64dask.runs.several.disk_usage import Usage, measure
from fly64dask.store import RECORD_NAME, RunLayout, held_run, read_attributes, retire_directory
from fly64dask.study import Cell, Realisation, Study, cells, realisations

CleanedKind = Literal["exposures", "checkpoints", "history"]
CLEANED_KINDS: tuple[CleanedKind, ...] = get_args(CleanedKind)
UNFINISHED = "cells that have not ended need them"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaning:
    """The content of one kind that a cleaning of a run frees, and what it keeps, by reason."""

    kind: CleanedKind
    paths: tuple[Path, ...]
    freed: Usage
    kept: dict[str, Usage]


def plan_cleaning(
    study: Study, layout: RunLayout, kinds: Collection[CleanedKind] = CLEANED_KINDS, *, unfinished: bool = False
) -> tuple[Cleaning, ...]:
    """Say what a cleaning would free; nothing is changed.

    Parameters
    ----------
    study : Study
        The run's study.
    layout : RunLayout
        The run.
    kinds : collection of str
        `exposures`: groups that the study would make again as they are; those whose file is gone are kept.
        `checkpoints`: of cells that have ended, or are none of the study's. `history`: all but the records of replaced
        attempts.
    unfinished : bool
        Also what cells that have not ended would go on from.

    Returns
    -------
    tuple of Cleaning
        One for each kind, in the order of `CLEANED_KINDS`.
    """
    going_on = frozenset() if unfinished else unfinished_cells(study, layout)
    planners = {"exposures": _exposures, "checkpoints": _checkpoints, "history": _history}
    return tuple(measured(kind, planners[kind](study, layout, going_on)) for kind in CLEANED_KINDS if kind in kinds)


def clean_run(
    study: Study, layout: RunLayout, kinds: Collection[CleanedKind] = CLEANED_KINDS, *, unfinished: bool = False
) -> tuple[Cleaning, ...]:
    """Free what `plan_cleaning` finds, while no other process can use the run.

    Parameters
    ----------
    study, layout, kinds, unfinished
        As of `plan_cleaning`.

    Returns
    -------
    tuple of Cleaning
        What was freed.

    Raises
    ------
    InputError
        If a run under way holds the directory.

    Notes
    -----
    Which exposures go is noted in `cleaned.json` before. Killed at any line, what is left is whole, and the same call
    frees the rest.
    """
    with held_run(layout):
        cleanings = plan_cleaning(study, layout, kinds, unfinished=unfinished)
        groups = [path for cleaning in cleanings if cleaning.kind == "exposures" for path in cleaning.paths]
        if groups:
            note_cleaned(layout, groups)
        for cleaning in cleanings:
            for path in cleaning.paths:
                _remove(path, layout)
        shutil.rmtree(layout.scratch, ignore_errors=True)
    return cleanings


def measured(
    kind: CleanedKind, found: Iterable[tuple[Path, str | None]], usage_of: Callable[[Path], Usage] = measure
) -> Cleaning:
    """Measure what a planner has found: each path with the reason why it is kept, or None."""
    paths, freed, kept = [], Usage(), dict[str, Usage]()
    for path, reason in found:
        usage = usage_of(path)
        if reason is None:
            paths.append(path)
            freed = freed.plus(usage)
        else:
            kept[reason] = kept.get(reason, Usage()).plus(usage)
    return Cleaning(kind=kind, paths=tuple(paths), freed=freed, kept=kept)


def unfinished_cells(study: Study, layout: RunLayout) -> frozenset[Cell]:
    """The cells that a run of the study would go on with: pending, damaged, or of a failure that may pass."""
    ended = {
        row.cell
        for row in each_row(layout, cells(study))
        if row.state != "damaged" and (row.failure_kind is None or row.failure_kind in LASTING_KINDS)
    }
    return frozenset(cell for cell in cells(study) if cell not in ended)


def _exposures(study: Study, layout: RunLayout, going_on: Collection[Cell]) -> Iterator[tuple[Path, str | None]]:
    why_kept = reasons_to_keep(study, layout, going_on)
    for drawn in realisations(study, cells(study)):
        group = layout.exposure_group(*drawn)
        if group.exists():
            yield group, why_kept(drawn)


def reasons_to_keep(study: Study, layout: RunLayout, going_on: Collection[Cell]) -> Callable[[Realisation], str | None]:
    """Give what says why exposures are kept whose description is in a directory; it says None if they need not be."""
    needed = set(realisations(study, going_on))
    now, lost = StudyNow(study, layout), {seed: _lost_source(study, layout, seed) for seed in study.object_seeds}

    def why_kept(drawn: Realisation) -> str | None:
        reason = UNFINISHED if drawn in needed else lost[drawn.object_seed]
        if reason is None and not now.makes_again(drawn):
            reason = "the study as it is now would make others"
        return reason

    return why_kept


def _lost_source(study: Study, layout: RunLayout, object_seed: int | None) -> str | None:
    """Say why the exposures of an object cannot be made again from what its study names; None if they can."""
    try:
        stored = read_attributes(layout.scan_group(object_seed), f"clean {layout.root}")
        inputs = read_inputs(study.of_object(object_seed))
    except Fly64Error as error:
        return f"they could not be made again: {error}"
    if stored["source_digest"] != inputs.source_digest:
        return "they could not be made again: the source is not what it was, or this version simulates otherwise"
    return None


def _checkpoints(_study: Study, layout: RunLayout, going_on: Collection[Cell]) -> Iterator[tuple[Path, str | None]]:
    needed = {layout.checkpoint_file(cell) for cell in going_on}
    for path in sorted(layout.checkpoints.rglob("*")):
        if path.is_file():
            yield path, UNFINISHED if path in needed else None


def _history(study: Study, layout: RunLayout, _going_on: Collection[Cell]) -> Iterator[tuple[Path, str | None]]:
    """Find the arrays and logs of replaced attempts; the records stay, from which rows and numbers of attempts come."""
    for cell in cells(study):
        for directory in past_attempts(layout, cell).values():
            yield from ((path, None) for path in sorted(directory.iterdir()) if path.name != RECORD_NAME)


def _remove(path: Path, layout: RunLayout) -> None:
    """Remove a file, or a directory in one step."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    rubbish = layout.scratch / f"cleaned-{uuid.uuid4().hex}"
    retire_directory(path, to=rubbish)
    shutil.rmtree(rubbish)
