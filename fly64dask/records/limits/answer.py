"""The answer of a run in numbers and in words: the limits of its views for each target."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from fly64dask.base import Frozen, InputError
from fly64dask.records.limits.curves import LimitCurve, limit_curve
from fly64dask.records.limits.differences import comparison_sentences, limit_differences
from fly64dask.records.limits.limit import DoseLimit, dose_limit
from fly64dask.records.limits.overlap import OverlapLimit, overlap_limits
from fly64dask.records.limits.points import series_of
from fly64dask.records.limits.sentences import dose_sentence, overlap_sentence, target_words
from fly64dask.records.significance import Difference
from fly64dask.study import DoseBy, Study, Target, resolved_target

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
    """The answer of a run: for each target the lowest dose and overlap, with intervals."""

    study: str
    dose_by: DoseBy
    targets: tuple[TargetAnswer, ...]


def answer_of(study: Study, rows: Iterable[ManifestRow], targets: Sequence[Target] = ()) -> Answer:
    """Find the limits of a run.

    Parameters
    ----------
    study : Study
        The study.
    rows : iterable of ManifestRow
        Its committed cells, completed by their context.
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
    try:
        resolved = tuple(resolved_target(target, study) for target in targets or study.targets)
    except ValueError as error:
        raise InputError(f"find the limits of {study.name!r}: {error}", remedy="give another target") from error
    if not resolved:
        raise InputError(
            f"find the limits of {study.name!r}: the study has no targets",
            remedy="give one, such as `--target resolution_px=3`, or add [[targets]] to the study",
        )
    committed = list(rows)
    answers = tuple(_target_answer(study, committed, target) for target in resolved)
    return Answer(study=study.name, dose_by=study.dose_by, targets=answers)


def _target_answer(study: Study, rows: Sequence[ManifestRow], target: Target) -> TargetAnswer:
    every_series = series_of(study, rows, target)
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
