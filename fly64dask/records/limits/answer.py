"""The answer of a run in numbers and in words: the limits of its views for each target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fly64dask.base import Frozen, InputError
from fly64dask.records.limits.cell_numbers import CellNumbers, cell_numbers
from fly64dask.records.limits.curves import LimitCurve, limit_curve
from fly64dask.records.limits.differences import comparison_sentences, limit_differences
from fly64dask.records.limits.limit import DoseLimit, dose_limit
from fly64dask.records.limits.overlap import OverlapLimit, overlap_limits
from fly64dask.records.limits.points import Series, series_for
from fly64dask.records.limits.sentences import dose_sentence, overlap_sentence, target_words
from fly64dask.records.significance import Difference
from fly64dask.study import Cell, DoseBy, Study, StudyDifference, Target, resolved_target

if TYPE_CHECKING:
    from fly64dask.records.manifest import ManifestRow


class TargetAnswer(Frozen):
    """The lowest dose and overlap for one target, in numbers and in sentences; `words` say what the target is.

    `curves` are what the limits of dose were found in, in the same order. `differences` compare the limits of views,
    recipes and setups with each other: which lie apart beyond the spread of repeats.
    """

    target: Target
    words: str
    sentences: tuple[str, ...]
    doses: tuple[DoseLimit, ...]
    overlaps: tuple[OverlapLimit, ...]
    curves: tuple[LimitCurve, ...]
    differences: tuple[Difference, ...] = ()


class Answer(Frozen):
    """The answer of a run, or of several: for each target the lowest dose and overlap, with intervals.

    Of several runs `runs` has the names, `differing` the settings in which their studies differ, and `notes` what else
    must be known to compare them.
    """

    study: str
    dose_by: DoseBy
    targets: tuple[TargetAnswer, ...]
    runs: tuple[str, ...] = ()
    differing: tuple[StudyDifference, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Give the sentences, which `print` and a notebook show."""
        return "\n".join((*self.notes, *(sentence for target in self.targets for sentence in target.sentences)))

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:  # as IPython asks for it
        printer.text(str(self))


class AnswerNumbers:
    """Gathers row by row what the answer of a run follows from, and gives the answer: no row is kept.

    Parameters
    ----------
    study : Study
        The study.
    targets : sequence of Target
        Instead of the study's own.
    run_name : str, optional
        The name of the run where several are asked.

    Raises
    ------
    InputError
        If there is no target, or one that the study's cells cannot be measured by.
    """

    def __init__(self, study: Study, targets: Sequence[Target] = (), *, run_name: str | None = None) -> None:
        self._study, self._run_name = study, run_name
        self._targets = _resolved(study, targets)
        self._numbers: dict[Cell, CellNumbers] = {}

    def add(self, row: ManifestRow) -> None:
        """Take the numbers of a committed cell, whose row is completed by its context."""
        self._numbers[row.cell] = cell_numbers(row, self._targets)

    def answer(self) -> Answer:
        """Find the limits of the cells so far."""
        answers = (_target_answer(self._study, series, target) for target, series in self.series_of_targets())
        return Answer(study=self._study.name, dose_by=self._study.dose_by, targets=tuple(answers))

    def series_of_targets(self) -> Iterator[tuple[Target, tuple[Series, ...]]]:
        """Give the series of the cells so far for each target."""
        return ((target, self._series(place, target)) for place, target in enumerate(self._targets))

    def _series(self, place: int, target: Target) -> tuple[Series, ...]:
        found = series_for(self._study, self._numbers, place, target)
        return tuple(replace(series, run_name=self._run_name) for series in found)


def answer_of(study: Study, rows: Iterable[ManifestRow], targets: Sequence[Target] = ()) -> Answer:
    """Find the limits of a run.

    Parameters
    ----------
    study : Study
        The study.
    rows : iterable of ManifestRow
        Its committed cells, completed by their context; they are taken one after the other, and none is kept.
    targets : sequence of Target
        Instead of the study's own.

    Returns
    -------
    Answer

    Raises
    ------
    InputError
        If there is no target, or one that the study's cells cannot be measured by.
    """
    numbers = AnswerNumbers(study, targets)
    for row in rows:
        numbers.add(row)
    return numbers.answer()


def _resolved(study: Study, targets: Sequence[Target]) -> tuple[Target, ...]:
    """Targets, or the study's own, with what each is compared with."""
    for target in targets:
        if not isinstance(target, Target):
            raise InputError(
                f"find the limits of {study.name!r}: {target!r} is no Target",
                remedy="give one, such as fly64dask.Target(phase_error_rad=0.1)",
            )
    try:
        resolved = tuple(resolved_target(target, study) for target in targets or study.targets)
    except ValueError as error:
        raise InputError(f"find the limits of {study.name!r}: {error}", remedy="give another target") from error
    if not resolved:
        raise InputError(
            f"find the limits of {study.name!r}: the study has no targets",
            remedy="give one, such as `--target resolution_px=3`, or add [[targets]] to the study",
        )
    return resolved


def _target_answer(study: Study, every_series: Sequence[Series], target: Target) -> TargetAnswer:
    doses = tuple(dose_limit(series, target) for series in every_series)
    overlaps = overlap_limits(study, every_series, target)
    compared = limit_differences(study, every_series, doses, target)
    told = [limit for limit in overlaps if limit.outcome in ("reached", "not_monotonic")] or overlaps[-1:]
    return TargetAnswer(
        target=target,
        words=target_words(target),
        sentences=(
            *(dose_sentence(limit, target, study.dose_by) for limit in doses),
            *(overlap_sentence(limit, target) for limit in told),
            *comparison_sentences(compared, doses, study),
        ),
        doses=doses,
        overlaps=overlaps,
        curves=tuple(limit_curve(series, target) for series in every_series),
        differences=compared,
    )
