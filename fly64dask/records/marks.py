"""Signs of a cell's state and marks of its numbers, the same in every matrix, and their resolution in words."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from fly64dask.base import Frozen, counted_of
from fly64dask.records.derived import PHOTON_LIMITED_RATIO
from fly64dask.records.repeats import repeat_groups
from fly64dask.records.sparser_views import sparser_notes

if TYPE_CHECKING:
    from fly64dask.metrics import HalfSetMetrics
    from fly64dask.records.manifest import ManifestRow
    from fly64dask.study import Remedy, Study


# A cell that is silent had begun, and its worker has not written lately; one that is left out is not in a run.
STATE_SIGNS = {
    **{"completed": "✔", "failed": "✘", "interrupted": "‖", "skipped": "–", "damaged": "!"},
    **{"running": "▶", "silent": "…", "pending": "·", "left_out": "○"},
}


class Mark(Frozen):
    """A mark beside a number: its sign, and a phrase that says what it means."""

    sign: str
    words: str


EMPTY = Mark(sign="≥ empty", words="its phase error is not below that of an empty object")
UNDERDETERMINED = Mark(sign="?", words="underdetermined: it ran under the guard for degenerate scans")
OTHER_DOSE = Mark(sign="≠ dose", words="it holds other photons than asked")
OUTDATED = Mark(sign="≠ study", words="it is not of the study as it is now")
NO_HALVES = Mark(sign="†", words="it lacks the half sets or the stopping rule of its recipe")
REMEDIED = Mark(sign="*", words="it was made with a remedy")
LIMITED_BY_MODEL = Mark(
    sign="⌊model", words="its forward model limits its error: neither more photons nor more epochs lower it"
)
LIMITED_BY_EPOCHS = Mark(
    sign="⌊epochs", words="more photons do not lower its error, more epochs do: it has not converged"
)
OF_HALVES = "resolution by half sets tells the noise, not what both halves have wrong"
UNKNOWN_RESOLUTION = "no resolution"
ALL_MARKS = (
    *(EMPTY, UNDERDETERMINED, REMEDIED, NO_HALVES, OTHER_DOSE, OUTDATED),
    *(LIMITED_BY_EPOCHS, LIMITED_BY_MODEL),
)


def marks_of(rows: Sequence[ManifestRow]) -> tuple[Mark, ...]:
    """List the marks of cells that share a place: one cell, or its repeats.

    A place of repeats is marked by the means of their errors, and else if one of them is. Of a cell without a
    reconstruction it is marked alone that it is not of the study as it is now.
    """
    return tuple(_marks([row for row in rows if row.state == "completed"], is_outdated=any(r.outdated for r in rows)))


def legend_of(study: Study, rows: Iterable[ManifestRow]) -> tuple[Mark, ...]:
    """List the marks in a study's matrix, each once, in the order of `ALL_MARKS`."""
    row_of = {row.cell: row for row in rows}
    places = ([row_of[cell] for cell in repeats if cell in row_of] for repeats in repeat_groups(study).values())
    return marks_of_signs(mark.sign for place in places for mark in marks_of(place))


def marks_of_signs(signs: Iterable[str]) -> tuple[Mark, ...]:
    """List the marks that have some signs, each once, in the order of `ALL_MARKS`."""
    signs_of_them = set(signs)
    return tuple(mark for mark in ALL_MARKS if mark.sign in signs_of_them)


def floor_note(study: Study) -> str | None:
    """Say that a simulated study has no cells from which a floor is known; None if it has, or is measured."""
    if study.source.kind == "measured" or "noise_free" in study.doses_photons:
        return None
    return (
        'floor unknown: add "noise_free" to doses_photons to learn whether photons, convergence or the model limit an '
        "error"
    )


def resolution_words(half_sets: HalfSetMetrics | None) -> str:
    """Write the resolution by half sets in px, and in nm where a pixel has a size.

    Parameters
    ----------
    half_sets : HalfSetMetrics or None
        Of the cell.

    Returns
    -------
    str
        Such as `2.56 px = 21.5 nm`, with `≤` where the halves agree up to what pixels can show; `no resolution` where
        none was measured.
    """
    if half_sets is None or half_sets.resolution_px is None:
        return UNKNOWN_RESOLUTION
    finest = "≤ " if half_sets.half_bit is None else ""
    nm = "" if half_sets.resolution_nm is None else f" = {half_sets.resolution_nm:.3g} nm"
    return f"{finest}{half_sets.resolution_px:.3g} px{nm}"


def reference_note(study: Study) -> str | None:
    """Say what the cells of a measured study are compared with; None of a simulated one, which has a truth."""
    if study.source.kind != "measured":
        return None
    if study.reference is None:
        return (
            f'{OF_HALVES}; no reference: `reference = {{dose = "measured", view = "baseline"}}` in the study compares '
            "its cells with one of them"
        )
    return f"{OF_HALVES}; the reference is {study.reference.label}, which is a reconstruction and not the truth"


def setup_note(study: Study) -> str | None:
    """Say what is not ideal about the setup of a simulated study; None where nothing is."""
    words = study.setup.words if study.setup else ""
    return f"setup: {words}" if words else None


def notes_of(study: Study, rows: Iterable[ManifestRow], *, has_errors: bool) -> list[str]:
    """Say what holds for all cells of a study: its setup, views that are sparser than their spacings say, what they are
    compared with, that errors have no floor.
    """
    floor = floor_note(study) if has_errors else None
    notes = [setup_note(study), *sparser_notes(rows), floor, reference_note(study)]
    return [note for note in notes if note is not None]


def signs_of(rows: Sequence[ManifestRow]) -> str:
    """Join the signs of cells that share a place, each after a space; empty without marks."""
    return "".join(f" {mark.sign}" for mark in marks_of(rows))


def caveats_of(row: ManifestRow) -> list[str]:
    """Say in words how a completed cell is not what its study asks for; empty if it is."""
    caveats = [_remedy_words(row.remedy)] if row.remedy else []
    if row.attempts and (row.remedy or row.underdetermined):
        caveats.append(f"attempt {row.attempt}, the first ended in {row.attempts[0].failure_kind or 'completed'}")
    if row.underdetermined:
        without = f", not followed: {', '.join(row.overridden)}" if row.overridden else ""
        caveats.append(f"underdetermined (?){without}")
    caveats += unfollowed(row)
    if row.n_dark:
        caveats.append(f"{counted_of(row.n_dark, row.n_kept or 0, 'exposure', 'holds', 'hold')} no photon")
    if row.unmasked_share:
        caveats.append(f"{100 * row.unmasked_share:.2g} % of the pixels measure nothing, and are taken for dark")
    if row.reference and row.reference.missing:
        caveats.append(f"not compared: {row.reference.missing}")
    return [*caveats, *filter(None, (row.dose_deviation, row.outdated))]


def unfollowed(row: ManifestRow) -> list[str]:
    """Say what a completed cell's recipe asked for that its data did not allow, in words; empty if nothing."""
    if row.stopping and row.stopping.fallback:
        return [f"stop = {row.stopping.rule!r} not followed, last epoch kept: {row.stopping.fallback}"]
    if row.half_sets and row.half_sets.missing:
        return [f"no half sets: {row.half_sets.missing}"]
    return []


def _marks(completed: Sequence[ManifestRow], *, is_outdated: bool) -> Iterator[Mark]:
    metrics = [row.metrics for row in completed if row.metrics]
    empty = [each.empty_phase_rmse_rad for each in metrics]
    if metrics and statistics.fmean(each.phase_rmse_rad for each in metrics) >= statistics.fmean(empty):
        yield EMPTY
    for mark, is_marked in (
        (UNDERDETERMINED, lambda row: row.underdetermined),
        (REMEDIED, lambda row: row.remedy and row.remedy.kind != "as-is"),
        (NO_HALVES, unfollowed),
        (OTHER_DOSE, lambda row: row.dose_deviation),
    ):
        if any(map(is_marked, completed)):
            yield mark
    if is_outdated:
        yield OUTDATED
    yield from _limit_marks(completed)


def _limit_marks(completed: Sequence[ManifestRow]) -> Iterator[Mark]:
    """Mark a place whose error is its floor; one of an error that is no better than empty says nothing of a limit."""
    relatives = [row.relative for row in completed if row.relative and row.relative.error_over_floor is not None]
    if (
        not relatives
        or statistics.fmean(relative.error_over_floor or 0 for relative in relatives) > PHOTON_LIMITED_RATIO
    ):
        return
    limits = {relative.limited_by for relative in relatives}
    if "convergence" in limits:
        yield LIMITED_BY_EPOCHS
    elif "model" in limits:
        yield LIMITED_BY_MODEL


def _remedy_words(remedy: Remedy) -> str:
    if remedy.spacing_threshold is None:
        return remedy.kind
    return f"{remedy.kind} at {remedy.spacing_threshold:g} px instead of {remedy.study_spacing_threshold:g} px"
