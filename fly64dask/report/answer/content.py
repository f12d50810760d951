"""What a report's page shows first: the limits of a run, the curves behind them, and the SNR of its repeats."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING

from fly64dask.base import Frozen
from fly64dask.records import (
    OUTCOME_SIGNS,
    OUTCOME_WORDS,
    Answer,
    Outcome,
    factor_words,
    interval_words,
    number_words,
    p_words,
    percent,
    verdict_words,
)
from fly64dask.report.answer.curves import slope_words
from fly64dask.report.answer.opening import limiting_cell

if TYPE_CHECKING:
    from fly64dask.records import Difference, DoseLimit, LimitCurve
    from fly64dask.report.answer.totals import RunTotals


OF_INTERVALS = (
    "An interval has the limits of 90 % of the resampled repeats. It does not contain the error of the interpolation "
    "between the two doses beside a limit."
)


class SnrCurve(Frozen):
    """Spectral SNR over the repeats of one dose, view and split, ring by ring; None where the repeats do not differ.

    `section` names recipe, object and setup where the study has several. `frequency_per_px` is in cycles/px, `snr` that
    of power in one image.
    """

    dose: str
    view: str
    split: str
    section: str
    n_repeats: int
    frequency_per_px: tuple[float, ...]
    snr: tuple[float | None, ...]


class LimitRow(Frozen):
    """A line of a target's table: its cells, whether they reach the target, and the lowest light and the slope in
    words.
    """

    run_name: str | None = None
    view: str
    split: str
    recipe_name: str | None = None
    setup_name: str | None = None
    overlap: str
    outcome: Outcome
    sign: str
    words: str
    lowest: str
    fluence: str
    total: str
    slope: str | None = None


class ComparisonRow(Frozen):
    """A line of the table of comparisons, in words: which two, where, by what factor, and whether beyond the spread.

    `lower` names the better one, if they differ beyond the spread.
    """

    axis: str
    place: str
    first: str
    second: str
    factor: str
    p: str
    words: str
    lower: str | None = None


class Comparisons(Frozen):
    """The comparisons of a run's views, recipes and setups: what was compared, sentences, and a line for each pair."""

    label: str
    sentences: tuple[str, ...] = ()
    rows: tuple[ComparisonRow, ...] = ()


class AnswerContent(Frozen):
    """The answer of a run: limits and curves of each target, or `hint`, which says how to get them; SNR if cells
    repeat.

    `comparisons` say which views, recipes and setups differ beyond the spread of repeats. `rows` are the tables of the
    answer's targets. `opens_on` is the cell that the page shows first: the one that limits the answer, else the best.
    """

    answer: Answer | None = None
    rows: tuple[tuple[LimitRow, ...], ...] = ()
    hint: str | None = None
    note: str | None = None
    opens_on: str | None = None
    snr: tuple[SnrCurve, ...] = ()
    comparisons: Comparisons | None = None


def answer_content(totals: RunTotals, run: str, snr: Iterable[SnrCurve]) -> AnswerContent:
    """Find what the page shows first of a run.

    Parameters
    ----------
    totals : RunTotals
        The totals of all cells of the run. For a study without targets the page says how to give one.
    run : str
        The run directory.
    snr : iterable of SnrCurve
        The curves of the repeats.

    Returns
    -------
    AnswerContent
    """
    answer = totals.answer()
    if answer is None:
        hint = (
            "How low dose and overlap can go depends on a target: add [[targets]] to the study, such as "
            "resolution_px = 3, and run it again, or use "
            f"`fly64dask limits {shlex.quote(run)} --target resolution_px=3`."
        )
        return AnswerContent(
            hint=hint,
            opens_on=totals.best_cell(),
            snr=tuple(snr),
            comparisons=_comparisons(totals),
        )
    has_repeats = any(limit.n_repeats > 1 for target in answer.targets for limit in target.doses)
    note = OF_INTERVALS if has_repeats else "Without repeats no limit has an interval."
    return AnswerContent(
        answer=answer,
        rows=limit_rows(answer),
        note=note,
        opens_on=limiting_cell(answer) or totals.best_cell(),
        snr=tuple(snr),
        comparisons=_comparisons(totals),
    )


def limit_rows(answer: Answer) -> tuple[tuple[LimitRow, ...], ...]:
    """Write the table of each target."""
    return tuple(tuple(map(_row, target.doses, target.curves)) for target in answer.targets)


def _comparisons(totals: RunTotals) -> Comparisons | None:
    """Compare views, recipes and setups; None if a study has one of each, and lines only if something was tested."""
    compared = totals.differences()
    if not compared.differences:
        return None
    tested = any(difference.ratio_test.test for difference in compared.differences)
    return Comparisons(
        label=compared.label,
        sentences=compared.sentences,
        rows=tuple(map(_comparison_row, compared.differences)) if tested else (),
    )


def _comparison_row(difference: Difference) -> ComparisonRow:
    return ComparisonRow(
        axis=difference.axis,
        place=difference.place,
        first=difference.first,
        second=difference.second,
        factor=factor_words(difference),
        p=p_words(difference.p_corrected),
        words=verdict_words(difference),
        lower=difference.lower,
    )


def _row(limit: DoseLimit, curve: LimitCurve) -> LimitRow:
    """Write the lowest light of a view, or on which side of its doses the limit lies."""
    light, before = limit.lowest, ""
    if limit.outcome == "reached_already":
        light, before = limit.lowest_dose, "≤ "
    elif limit.outcome == "not_reached":
        light, before = limit.highest_dose, "> "
    lowest = fluence = total = "–"
    if light is not None:
        lowest = before + interval_words(light.dose, None if limit.interval is None else limit.interval.doses)
        fluence, total = (
            before + number_words(number) if number is not None else "–"
            for number in (light.fluence_photons_per_px2, light.total_photons)
        )
    return LimitRow(
        run_name=limit.run_name,
        view=limit.view,
        split=limit.split,
        recipe_name=limit.recipe_name,
        setup_name=limit.setup_name,
        overlap="–" if limit.linear_overlap is None else percent(limit.linear_overlap),
        outcome=limit.outcome,
        sign=OUTCOME_SIGNS[limit.outcome],
        words=OUTCOME_WORDS[limit.outcome],
        lowest=lowest,
        fluence=fluence,
        total=total,
        slope=None if curve.slope is None else slope_words(curve.slope),
    )
