"""Writes the page that shows the limits and numbers of several runs beside each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.records import STATE_SIGNS, asked_runs, joined_answer, marks_of_signs
from fly64dask.report.answer import AnswerContent, limit_rows
from fly64dask.report.cells import quantities_of
from fly64dask.report.columns import lead_column
from fly64dask.report.content import N_KEY_COLOURS, Notice
from fly64dask.report.page import page_time, render_runs_page
from fly64dask.report.pictures import hex_colours
from fly64dask.report.several.content import DifferingRow, RunsContent
from fly64dask.report.several.gathering import GatheredRun, gathered_run
from fly64dask.store import publish_text
from fly64dask.study import DOSE_UNITS, Dose, dose_name, doses_of, sections, study_differences

if TYPE_CHECKING:
    from fly64dask.records import AskedRuns
    from fly64dask.store import RunLayout
    from fly64dask.study import Study, Target

HINT = (
    "How low dose and overlap can go depends on a target: use `fly64dask limits RUN... --target "
    "resolution_px=3`, or add [[targets]] to one of the studies; all runs are then asked for it."
)


def write_runs_report(
    runs: Mapping[str, tuple[Study, RunLayout]],
    out: Path,
    *,
    targets: Sequence[Target] = (),
    doses: Sequence[Dose] = (),
    views: Sequence[str] = (),
) -> None:
    """Write the page of several runs.

    Parameters
    ----------
    runs : mapping of str to (Study, RunLayout)
        The runs by name, which may be finished, under way or damaged in places; the doses of all count the same thing.
    out : Path
        The page; replaced in one step if it is there.
    targets : sequence of Target
        Targets to use instead of those of all studies.
    doses, views : sequence
        Cells of these alone are shown; of all if empty.

    Notes
    -----
    Runs are read one after the other, and at most `MAX_CELLS` cells of each are shown. No number mixes cells of two
    runs: each run has its own curves, limits and columns.

    Raises
    ------
    InputError
        If a study has no such dose or view.
    """
    asked = asked_runs({name: study for name, (study, _) in runs.items()}, targets)
    gathered = [gathered_run(asked, name, layout, out, doses=doses, views=views) for name, (_, layout) in runs.items()]
    publish_text(out, render_runs_page(_content(asked, gathered)))


def _content(asked: AskedRuns, gathered: Sequence[GatheredRun]) -> RunsContent:
    answer = _answer(asked, gathered)
    parts = [each.part for each in gathered]
    doses = {dose_name(dose): dose for part in parts for dose in doses_of(part)}
    all_cells = [cell for each in gathered for cell in each.cells]
    notes = () if answer.answer is None else answer.answer.notes
    return RunsContent(
        study=", ".join(dict.fromkeys(each.head.study for each in gathered)),
        made_at=page_time(),
        runs=tuple(each.head for each in gathered),
        notices=(
            *(Notice(kind="pending", text=note.replace("`", "")) for note in notes),
            *(notice for each in gathered for notice in each.notices),
        ),
        differing=tuple(_differing(asked.studies, gathered)),
        answer=answer,
        doses=tuple(sorted(doses, key=lambda name: _rank(doses[name]))),
        dose_unit=DOSE_UNITS[parts[0].dose_by],
        views=tuple(dict.fromkeys(view.name for part in parts for view in part.views)),
        splits=tuple(dict.fromkeys(split for part in parts for split in part.splits)),
        sections=tuple(dict.fromkeys(section.label for part in parts for section in sections(part))),
        quantities=quantities_of(all_cells, _lead(gathered)),
        cells=tuple(all_cells),
        places=tuple(place for each in gathered for place in each.places),
        marks=marks_of_signs(mark.sign for each in gathered for mark in each.marks),
        state_signs=STATE_SIGNS,
        colours={"viridis": hex_colours("viridis", N_KEY_COLOURS)},
    )


def _answer(asked: AskedRuns, gathered: Sequence[GatheredRun]) -> AnswerContent:
    numbers = [each.totals.answer_numbers for each in gathered if each.totals.answer_numbers is not None]
    if not numbers:
        return AnswerContent(hint=" ".join((HINT, *asked.notes)))
    answer = joined_answer(asked, numbers)
    return AnswerContent(answer=answer, rows=limit_rows(answer))


def _lead(gathered: Sequence[GatheredRun]) -> str:
    """Choose the number to show first: one by which all runs can be compared, if there is one."""
    columns = [{column for cell in each.cells for column in cell.numbers} for each in gathered]
    known = [each for each in columns if each]
    shared = set[str]().union(*known) if not known else known[0].intersection(*known[1:]) or set().union(*known)
    n_pixels = [number for each in gathered for number in each.totals.n_pixels]
    is_measured = any(each.totals.study.source.kind == "measured" for each in gathered)
    return lead_column(n_pixels, shared, is_measured=is_measured)


def _rank(dose: Dose) -> tuple[bool, float]:
    """Sort numbers in ascending order before words."""
    return (True, 0.0) if isinstance(dose, str) else (False, float(dose))


def _differing(studies: Mapping[str, Study], gathered: Sequence[GatheredRun]) -> Iterator[DifferingRow]:
    """Say in which settings, versions and devices the runs differ."""
    for each in study_differences(studies):
        yield DifferingRow(key=each.key, words=tuple(map(each.words_of, studies)))
    names = sorted({name for each in gathered for name, _ in each.totals.versions})
    found = {
        name if name == "commit" else f"version of {name}": [_versions(each, name) for each in gathered]
        for name in names
    }
    found["device"] = [each.totals.devices for each in gathered]
    for key, counters in found.items():
        words = tuple(", ".join(sorted(counter)) or "no cell yet" for counter in counters)
        if len(set(words)) > 1:
            yield DifferingRow(key=key, words=words)


def _versions(each: GatheredRun, name: str) -> Counter[str]:
    return Counter({version: n for (of, version), n in each.totals.versions.items() if of == name})
