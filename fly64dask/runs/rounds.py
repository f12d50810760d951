"""What a run is asked for, and the rounds of an adaptive study: what each adds, until its limits are narrow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from fly64dask.base import InputError, IntegrityError, counted
from fly64dask.monitoring import ignore_line
from fly64dask.records import (
    Outlook,
    each_completed_row,
    each_row,
    next_additions,
    outlooks,
    read_run_study,
    round_line,
)
from fly64dask.runs.places import refuse_foreign_directory
from fly64dask.store import RunLayout
from fly64dask.study import Addition, Cell, Filters, Remedy, Study, cells, n_added_cells, with_additions


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """The request of one call of `run_study`, or what one of its rounds adds to that."""

    study: Study
    layout: RunLayout
    requested: tuple[Cell, ...]
    filters: Filters
    left_out: Mapping[Cell, str]
    remedies: Mapping[Cell, Remedy]
    engine: str
    say: Callable[[str], None]


def continued_study(study: Study, layout: RunLayout, say: Callable[[str], None] = ignore_line) -> Study:
    """Return a study with the cells that rounds have added to a run directory before; itself for a new directory.

    Where the directory's own study is damaged they are not known, which is said of an adaptive one: the same rounds
    then find them done. Raises InputError if the directory holds a run of a study of another name, or other things and
    no run.
    """
    refuse_foreign_directory(layout, f"run into {layout.root}", study.name)
    if not layout.study_file.exists():
        return study
    try:
        before = read_run_study(layout)
    except IntegrityError as error:
        if study.adaptive is not None:
            say(f"adaptive: the cells that rounds have added are not known and are chosen again, because {error}")
        return study
    if before.name != study.name:
        raise InputError(
            f"run into {layout.root}: it holds a run of study {before.name!r}, this one is of {study.name!r}",
            remedy="give a directory of its own to each run; a study that has only a new name needs its old one here",
        )
    return with_additions(study, before)


@dataclass(frozen=True, slots=True, kw_only=True)
class NextRound:
    """The additions of a run directory's next round, and the same in words."""

    additions: tuple[Addition, ...]
    lines: tuple[str, ...]


def next_round(study: Study, layout: RunLayout) -> NextRound | None:
    """Say what the next round would add to a run; None if the study is not adaptive.

    Parameters
    ----------
    study : Study
        With what earlier rounds have added (`continued_study`).
    layout : RunLayout
        The run.
    """
    if study.adaptive is None:
        return None
    committed = each_row(layout, cells(study)) if layout.study_file.exists() else ()
    n_pending = len(cells(study)) - sum(row.state != "interrupted" for row in committed)
    if n_pending:
        return NextRound(
            additions=(),
            lines=(f"next round: decided when {counted(n_pending, 'pending cell has', 'pending cells have')} ended",),
        )
    outlook_of_each = outlooks(study, each_completed_row(study, layout))
    additions = next_additions(study, outlook_of_each)
    if not additions:
        return NextRound(
            additions=(), lines=("next round: none", *outlook_lines(study, outlook_of_each, is_time_spent=False))
        )
    return NextRound(additions=additions, lines=(f"next {round_line(study, additions)}",))


def rounds(request: RunRequest) -> Iterator[RunRequest]:
    """Yield what is to be run, one round after the other; each is decided when the one before has ended.

    The first is the request itself. Others follow if the study is adaptive and all of its cells are asked for.
    """
    once = _said_once(request.say)
    request = replace(request, say=once)
    yield request
    adaptive, study = request.study.adaptive, request.study
    if adaptive is None:
        return
    if request.left_out or request.remedies:
        once("adaptive: nothing is added, as not all cells were asked for")
        return
    started_s, spent = time.monotonic(), False
    while True:
        outlook_of_each = outlooks(study, each_completed_row(study, request.layout))
        additions = next_additions(study, outlook_of_each)
        spent = adaptive.budget_s is not None and time.monotonic() - started_s >= adaptive.budget_s
        if not additions or spent:
            break
        before = frozenset(cells(study))
        study = study.model_copy(update={"added": (*study.added, *additions)})
        once(round_line(study, additions))
        yield replace(request, study=study, requested=tuple(cell for cell in cells(study) if cell not in before))
    for line in outlook_lines(study, outlook_of_each, is_time_spent=spent):
        once(line)


def outlook_lines(study: Study, all_outlooks: Iterable[Outlook], *, is_time_spent: bool) -> Iterator[str]:
    """Say for each limit whether it is narrow enough, or what stopped it."""
    assert study.adaptive is not None, "only an adaptive study has rounds"
    added = f"{counted(n_added_cells(study), 'cell')} added, at most {study.adaptive.max_cells}"
    for outlook in all_outlooks:
        if outlook.is_narrow:
            state = "narrow enough"
        elif outlook.obstacle is not None:
            state = f"not narrow enough: {outlook.obstacle}"
        elif is_time_spent:
            state = f"not narrow enough: budget_s = {study.adaptive.budget_s:g} is spent ({added})"
        else:
            state = f"not narrow enough: max_cells is spent ({added})"
        yield f"limit of {outlook.words}: {outlook.width_words}, {state}"


def _said_once(say: Callable[[str], None]) -> Callable[[str], None]:
    """Say each line once: rounds share dashboard and workers, which each of them would name again."""
    said_lines: set[str] = set()

    def once(line: str) -> None:
        if line not in said_lines:
            said_lines.add(line)
            say(line)

    return once
