"""Merges the studies of several runs into one, if they differ in nothing but doses, repeats, devices and places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from fly64dask.base import InputError
from fly64dask.store import RunLayout
from fly64dask.study import Dose, Study

# Parts of a study that may differ between runs of one: none of them changes what a cell is. Files of a source are
# compared by the arrays that runs have read from them, wherever they lie.
MAY_DIFFER = frozenset({"doses_photons", "repeats", "source.path", "source.scan.path", "recipe.device"})


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
    stated = dict(_flat(first.model_dump(mode="json")))
    for layout, study in others:
        found = dict(_flat(study.model_dump(mode="json")))
        differing = [
            f"{key} is {_words(stated.get(key))} and {_words(found.get(key))}"
            for key in dict.fromkeys((*stated, *found))
            if stated.get(key) != found.get(key) and not _may_differ(key)
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


def _may_differ(key: str) -> bool:
    return key in MAY_DIFFER or (key.startswith("recipes[") and key.endswith("].device"))


def _flat(document: Any, path: str = "") -> Iterator[tuple[str, object]]:
    """Name every value of a document by its path; doses stay one value."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from _flat(value, f"{path}.{key}" if path else key)
    elif isinstance(document, list) and any(isinstance(item, dict) for item in document):
        for number, item in enumerate(document):
            yield from _flat(item, f"{path}[{number}]")
    else:
        yield path, document


def _words(value: object) -> str:
    return "not given" if value is None else repr(value)
