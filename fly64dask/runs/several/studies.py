"""Merges the studies of several runs into one, if they differ in nothing but doses, repeats, devices and places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from fly64dask.base import InputError
from fly64dask.store import RunLayout
from fly64dask.study import Dose, Study, study_differences


def merged_study(studies: Mapping[RunLayout, Study]) -> Study:
    """Merge studies: all of their doses, the most repeats, and else what they have in common.

    Parameters
    ----------
    studies : mapping of RunLayout to Study
        Two or more; what they may differ in besides is that of the first.

    Raises
    ------
    InputError
        If they differ in anything else, which is named, or do not make a study together.
    """
    (first_layout, first), *others = studies.items()
    for layout, study in others:
        differing = [
            f"{each.key} is {each.words_of('first')} and {each.words_of('other')}"
            for each in study_differences({"first": first, "other": study})
            if not each.is_of_one_study
        ]
        if differing:
            raise InputError(
                f"merge {first_layout.root} and {layout.root}: they are of different studies: {'; '.join(differing)}",
                remedy="merge runs whose studies differ in doses, repeats and device alone",
            )
    together = {
        "doses_photons": _merged_doses([study.doses_photons for study in studies.values()]),
        "repeats": max(study.repeats for study in studies.values()),
    }
    try:
        return Study.model_validate(first.model_dump() | together)
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        raise InputError(
            f"merge {first_layout.root}: the doses of the runs cannot be put into one study: {reason}", remedy=""
        ) from error


def _merged_doses(lists: Sequence[tuple[Dose, ...]]) -> tuple[Dose, ...]:
    """Join lists of doses, each dose once: the numbers rising if they rise in every list."""
    joined = tuple(dict.fromkeys(dose for doses in lists for dose in doses))
    numbers = [[dose for dose in doses if not isinstance(dose, str)] for doses in lists]
    if all(each == sorted(each) for each in numbers):
        words = tuple(dose for dose in joined if isinstance(dose, str))
        return (*sorted(dose for dose in joined if not isinstance(dose, str)), *words)
    return joined
