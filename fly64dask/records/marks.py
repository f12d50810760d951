"""The marks of completed cells in the terminal's, a notebook's and the report's matrix: each a sign and its meaning."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fly64dask.records.floors import PHOTON_LIMITED_RATIO

if TYPE_CHECKING:
    from fly64dask.records.manifest import ManifestRow
    from fly64dask.study import Remedy


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark beside a number: its sign, and a phrase that says what it means."""

    sign: str
    words: str


EMPTY = Mark("≥ empty", "its phase error is not below that of an empty object")
UNDERDETERMINED = Mark("?", "underdetermined: it ran under the guard for degenerate scans")
OTHER_DOSE = Mark("≠ dose", "it holds other photons than asked")
OUTDATED = Mark("≠ study", "it is not of the study as it is now")
NO_HALVES = Mark("†", "it lacks the half sets or the stopping rule of its recipe")
REMEDIED = Mark("*", "it was made with a remedy")
LIMITED_BY_MODEL = Mark("⌊model", "neither more photons nor more epochs lower its error: the forward model limits it")
LIMITED_BY_EPOCHS = Mark("⌊epochs", "more photons do not lower its error, more epochs do: it has not converged")
ALL_MARKS = (
    *(EMPTY, UNDERDETERMINED, REMEDIED, NO_HALVES, OTHER_DOSE, OUTDATED),
    *(LIMITED_BY_EPOCHS, LIMITED_BY_MODEL),
)


def marks_of(rows: Sequence[ManifestRow]) -> tuple[Mark, ...]:
    """List the marks of the completed cells among some that share a place: one cell, or its repeats.

    A place of repeats is marked by the means of their errors, and else if one of them is.
    """
    completed = [row for row in rows if row.state == "completed"]
    return tuple(_marks(completed)) if completed else ()


def signs_of(rows: Sequence[ManifestRow]) -> str:
    """Join the signs of cells that share a place, each after a space; empty without marks."""
    return "".join(f" {mark.sign}" for mark in marks_of(rows))


def caveats_of(row: ManifestRow) -> list[str]:
    """Say in words how a completed cell is not what its study asks for; empty if it is."""
    caveats = [_remedy_words(row.remedy)] if row.remedy else []
    if row.attempts and (row.remedy or row.underdetermined):
        caveats.append(f"attempt {row.attempt}, the first ended in {row.attempts[0].failure_kind or 'completed'}")
    if row.underdetermined:
        caveats.append("underdetermined (?)")
    caveats += unfollowed(row)
    return [*caveats, *filter(None, (row.dose_deviation, row.outdated))]


def unfollowed(row: ManifestRow) -> list[str]:
    """Say what a completed cell's recipe asked for that its data did not allow, in words; empty if nothing."""
    if row.stopping and row.stopping.fallback:
        return [f"stop = {row.stopping.rule!r} not followed, last epoch kept: {row.stopping.fallback}"]
    if row.half_sets and row.half_sets.missing:
        return [f"no half sets: {row.half_sets.missing}"]
    return []


def _marks(completed: Sequence[ManifestRow]) -> Iterator[Mark]:
    metrics = [row.metrics for row in completed if row.metrics]
    empty = [each.empty_phase_rmse_rad for each in metrics]
    if metrics and statistics.fmean(each.phase_rmse_rad for each in metrics) >= statistics.fmean(empty):
        yield EMPTY
    for mark, is_marked in (
        (UNDERDETERMINED, lambda row: row.underdetermined),
        (REMEDIED, lambda row: row.remedy and row.remedy.kind != "as-is"),
        (NO_HALVES, unfollowed),
        (OTHER_DOSE, lambda row: row.dose_deviation),
        (OUTDATED, lambda row: row.outdated),
    ):
        if any(map(is_marked, completed)):
            yield mark
    yield from _limit_marks(completed)


def _limit_marks(completed: Sequence[ManifestRow]) -> Iterator[Mark]:
    """Mark a place whose error is its floor; one of an error that is no better than empty says nothing of a limit."""
    known = [row.relative for row in completed if row.relative and row.relative.error_over_floor is not None]
    if not known or statistics.fmean(each.error_over_floor or 0 for each in known) > PHOTON_LIMITED_RATIO:
        return
    limits = {each.limited_by for each in known}
    if "convergence" in limits:
        yield LIMITED_BY_EPOCHS
    elif "model" in limits:
        yield LIMITED_BY_MODEL


def _remedy_words(remedy: Remedy) -> str:
    if remedy.spacing_threshold is None:
        return remedy.kind
    return f"{remedy.kind} at {remedy.spacing_threshold:g} px instead of {remedy.study_spacing_threshold:g} px"
