"""Chooses the cells that the next round of an adaptive study adds: what the limits need, the widest first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from fly64dask.base import counted
from fly64dask.records.limits import number_words, series_of
from fly64dask.records.rounds.outlook import Outlook, outlook_of
from fly64dask.study import DOSE_UNITS, Addition, Study, n_added_cells, resolved_target

if TYPE_CHECKING:
    from fly64dask.records.manifest import ManifestRow


def outlooks(study: Study, rows: Iterable[ManifestRow]) -> tuple[Outlook, ...]:
    """Say for each view, split, recipe and setup of an adaptive study what would narrow its limit.

    Parameters
    ----------
    study : Study
        With `adaptive`; what was added before is in `added`.
    rows : iterable of ManifestRow
        Its committed cells, completed by their context.

    Returns
    -------
    tuple of Outlook
        In the study's order. The same rows give the same.
    """
    assert study.adaptive is not None, "only an adaptive study is asked"
    target = resolved_target(study.targets[study.adaptive.target], study)
    return tuple(outlook_of(study, series, target) for series in series_of(study, rows, target))


def next_additions(study: Study, outlook_of_each: Sequence[Outlook]) -> tuple[Addition, ...]:
    """Choose what the next round adds: the widest limits first, as far as `max_cells` goes.

    Parameters
    ----------
    study : Study
        With `adaptive`.
    outlook_of_each : sequence of Outlook
        Of the same study.

    Returns
    -------
    tuple of Addition
        Empty if all limits are narrow, nothing can be added, or no cell is left.
    """
    assert study.adaptive is not None, "only an adaptive study is asked"
    # A person may lower `max_cells` below what was added.
    room = max(0, study.adaptive.max_cells - n_added_cells(study)) // len(study.object_seeds)
    chosen = []
    for outlook in sorted(outlook_of_each, key=lambda outlook: outlook.width or math.inf, reverse=True):
        for addition in outlook.additions:
            n_repeats = min(addition.n_repeats, room)
            if n_repeats:
                chosen.append(addition.model_copy(update={"n_repeats": n_repeats}))
                room -= n_repeats
    return tuple(chosen)


def round_line(study: Study, additions: Iterable[Addition]) -> str:
    """Say in one line what a round adds to which views, and why."""
    chosen = tuple(additions)
    n_cells = sum(each.n_repeats for each in chosen) * len(study.object_seeds)
    words = []
    for place, of_place in groupby(chosen, key=lambda each: each.place[1:]):
        members = list(of_place)
        doses = " and ".join(f"{each.n_repeats} x {number_words(each.dose, 3)}" for each in members)
        words.append(f"{', '.join(name for name in place if name)}: {doses} ({members[0].reason})")
    return f"round {chosen[0].round}, {counted(n_cells, 'cell')} in {DOSE_UNITS[study.dose_by]}: {'; '.join(words)}"


def round_lines(study: Study) -> Iterator[str]:
    """Say in a line of each round that a run has had what it added, and why."""
    for _, additions in groupby(study.added, key=lambda each: each.round):
        yield round_line(study, additions)
