"""Puts the answers of several runs beside each other, and says in what their studies and pixels differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fly64dask.base import InputError
from fly64dask.records.limits.answer import Answer, AnswerNumbers, TargetAnswer
from fly64dask.records.limits.differences import comparison_sentences, limit_differences
from fly64dask.study import Study, StudyDifference, Target, resolved_target, study_differences

if TYPE_CHECKING:
    from fly64dask.records.limits.limit import DoseLimit
    from fly64dask.records.limits.points import Series
    from fly64dask.records.manifest import ManifestRow


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedRuns:
    """Several runs and the targets that each is asked for: those that its cells can be measured by.

    `notes` say which run cannot be measured by which target, and why.
    """

    studies: Mapping[str, Study]
    targets: Mapping[str, tuple[Target, ...]]
    notes: tuple[str, ...]

    def numbers_of(self, name: str) -> AnswerNumbers | None:
        """Begin to gather the answer of one run; None if there is no target for it."""
        targets = self.targets[name]
        return AnswerNumbers(self.studies[name], targets, run_name=name) if targets else None


def asked_runs(studies: Mapping[str, Study], targets: Sequence[Target] = ()) -> AskedRuns:
    """Say which targets each of several runs is asked for.

    Parameters
    ----------
    studies : mapping of str to Study
        Those of the runs, by the names of these.
    targets : sequence of Target
        Instead of those of all studies, each of which every run is asked for.
    """
    asked = tuple(dict.fromkeys(targets or (target for study in studies.values() for target in study.targets)))
    resolved: dict[str, tuple[Target, ...]] = {}
    notes = []
    for name, study in studies.items():
        found = []
        for target in asked:
            try:
                found.append(resolved_target(target, study))
            except ValueError as error:
                notes.append(f"Nothing is known of {name} here: {error}.")
        resolved[name] = tuple(dict.fromkeys(found))
    return AskedRuns(studies=studies, targets=resolved, notes=tuple(notes))


def answer_of_runs(
    studies: Mapping[str, Study],
    rows_of: Callable[[str], Iterable[ManifestRow]],
    targets: Sequence[Target] = (),
) -> Answer:
    """Find the limits of several runs, each in its own cells alone.

    Parameters
    ----------
    studies : mapping of str to Study
        Those of the runs, by the names of these; their doses count the same.
    rows_of : callable
        Gives the committed cells of a run by its name, completed by their context.
    targets : sequence of Target
        Instead of those of the studies.

    Returns
    -------
    Answer

    Raises
    ------
    InputError
        If there is no target, or none that the cells of any run can be measured by.
    """
    asked, gathered = asked_runs(studies, targets), list[AnswerNumbers]()
    for name in studies:
        numbers = asked.numbers_of(name)
        if numbers is not None:
            for row in rows_of(name):
                numbers.add(row)
            gathered.append(numbers)
    if not gathered:
        raise InputError(
            f"find the limits of {', '.join(studies)}: {' '.join(asked.notes) or 'their studies have no targets'}",
            remedy="give another target, such as `--target resolution_px=3`",
        )
    return joined_answer(asked, gathered)


def joined_answer(asked: AskedRuns, gathered: Sequence[AnswerNumbers]) -> Answer:
    """Join the answers of runs: targets that compare with the same stand together, series stay apart."""
    answers = [numbers.answer() for numbers in gathered]
    of_target: dict[Target, list[tuple[TargetAnswer, tuple[Series, ...]]]] = {}
    for numbers, answer in zip(gathered, answers, strict=True):
        for target_answer, (target, series) in zip(answer.targets, numbers.series_of_targets(), strict=True):
            of_target.setdefault(target, []).append((target_answer, series))
    differing = study_differences(asked.studies)
    study = next(iter(asked.studies.values()))
    targets = tuple(_joined_target(found, study) for found in of_target.values())
    return Answer(
        study=", ".join(dict.fromkeys(study.name for study in asked.studies.values())),
        dose_by=answers[0].dose_by,
        targets=targets,
        runs=tuple(asked.studies),
        differing=differing,
        notes=(*asked.notes, *_pixel_notes(asked, targets), *_merge_notes(asked, differing)),
    )


def _joined_target(of_runs: Sequence[tuple[TargetAnswer, tuple[Series, ...]]], study: Study) -> TargetAnswer:
    """Join what runs gave for one target: runs of one view, split, recipe and setup beside each other, and compared."""
    answers = [answer for answer, _ in of_runs]
    every_series = [each for _, series in of_runs for each in series]
    limits = [limit for answer in answers for limit in answer.doses]
    compared = limit_differences(None, every_series, limits, answers[0].target)
    found = [line for each in answers for line in zip(each.doses, each.curves, each.sentences, strict=False)]
    places = list(dict.fromkeys(_place_of(limit) for limit, _, _ in found))
    lines = sorted(found, key=lambda line: places.index(_place_of(line[0])))
    others = [sentence for each in answers for sentence in each.sentences[len(each.doses) :]]
    return TargetAnswer(
        target=answers[0].target,
        words=answers[0].words,
        sentences=(
            *(sentence for _, _, sentence in lines),
            *comparison_sentences(compared, limits, study),
            *others,
        ),
        doses=tuple(limit for limit, _, _ in lines),
        overlaps=tuple(limit for each in answers for limit in each.overlaps),
        curves=tuple(curve for _, curve, _ in lines),
        differences=(*compared, *(difference for each in answers for difference in each.differences)),
    )


def _place_of(limit: DoseLimit) -> tuple[str | None, ...]:
    return limit.view, limit.split, limit.recipe_name, limit.setup_name


def _pixel_notes(asked: AskedRuns, targets: Iterable[TargetAnswer]) -> Iterator[str]:
    """Say that pixels of runs differ, if they do: a number in px is then another length."""
    sides = dict.fromkeys(asked.studies, "an unknown size")
    for target in targets:
        for curve in target.curves:
            for side_nm in (point.light.side_nm for point in curve.points):
                if side_nm is not None and curve.run_name is not None:
                    sides[curve.run_name] = f"{side_nm:.4g} nm"
    if len(set(sides.values())) > 1:
        words = ", ".join(f"{size} in {name}" for name, size in sides.items())
        yield (
            f"Pixels differ ({words}): resolutions in px and photons/px² of these runs are not the same quantity. "
            "Fluences of two runs are compared in photons/nm²."
        )


def _merge_notes(asked: AskedRuns, differing: Iterable[StudyDifference]) -> Iterator[str]:
    """Name the runs that are of one study, whose cells could share their curves."""
    groups: dict[str, list[str]] = {}
    settings = [each for each in differing if not each.is_of_one_study]
    for name in asked.studies:
        groups.setdefault(repr([each.values.get(name) for each in settings]), []).append(name)
    for names in groups.values():
        if len(names) > 1:
            yield (
                f"{', '.join(names)} are of one study, but for doses, repeats, devices and places of files: "
                "`fly64dask merge` joins their cells, so that they share one curve."
            )
