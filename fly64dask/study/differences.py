"""Says in what several studies differ, setting by setting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fly64dask.base import Frozen
from fly64dask.study.model import Study
from fly64dask.study.targets import Target

# Settings that change no cell: runs whose studies differ in these alone are of one study. Files of a source are
# compared by the arrays that runs have read from them, wherever they lie.
OF_ONE_STUDY = frozenset({"doses_photons", "repeats", "source.path", "source.scan.path", "recipe.device"})
MOST_VALUES = 12  # of a list, written one by one (our choice)

Setting = str | int | float | bool | None | list[Any]


class StudyDifference(Frozen):
    """A setting in which studies differ: its path in the study, and its value in each study by name.

    A study that does not have the setting is absent. Parts of a list that have names are found by them, as in
    `views[sparse].threshold_px`.
    """

    key: str
    values: dict[str, Setting]

    @property
    def is_of_one_study(self) -> bool:
        """Whether runs of one study may differ in this setting: their cells can be merged into one run."""
        return self.key in OF_ONE_STUDY or (self.key.startswith("recipes[") and self.key.endswith("].device"))

    def words_of(self, name: str) -> str:
        """Write the value of one study, as the study file has it."""
        return setting_words(self.values.get(name))


def study_differences(studies: Mapping[str, Study]) -> tuple[StudyDifference, ...]:
    """Find the settings in which studies differ.

    Parameters
    ----------
    studies : mapping of str to Study
        By name.

    Returns
    -------
    tuple of StudyDifference
        In the order of a study's fields; empty if all studies are the same, or there is one.
    """
    settings = {name: dict(_settings(_document(study))) for name, study in studies.items()}
    keys = dict.fromkeys(key for each in settings.values() for key in each)
    found = (
        StudyDifference(key=key, values={name: each[key] for name, each in settings.items() if key in each})
        for key in keys
    )
    return tuple(each for each in found if _differ([each.values.get(name) for name in studies]))


def setting_words(value: Setting) -> str:
    """Write the value of a setting in full, a long list by its ends."""
    if isinstance(value, list):
        shown = value if len(value) <= MOST_VALUES else [*value[:2], "...", value[-1]]
        words = ", ".join(map(setting_words, shown)) or "none"
        return words if shown is value else f"{len(value)} values: {words}"
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return "not given" if value is None else str(value)


def _differ(values: list[Setting]) -> bool:
    """Whether values are not the same; a list without parts is as one whose parts have keys of their own."""
    found = [None if value == [] else value for value in values]
    return any(value != found[0] for value in found)


def _document(study: Study) -> dict[str, Any]:
    """A study as a document, in which each target, and each addition of a round, is one value."""
    added = [f"{each.n_repeats} x {each.dose!r} {' '.join(map(str, each.place[1:]))}" for each in study.added]
    targets = [_target_words(target) for target in study.targets]
    return study.model_dump(mode="json") | {"added": added, "targets": targets}


def _target_words(target: Target) -> str:
    """Write all that was given of a target."""
    given = target.model_dump(exclude_defaults=True)
    further = [f"{name} {given[name]}" for name in ("criterion", "against", "share") if name in given]
    return ", ".join((f"{target.kind} {target.value!r}", *further))


def _settings(document: Any, path: str = "") -> Iterator[tuple[str, Setting]]:
    """Name every value of a document by its path; a list of plain values, such as the doses, stays one value."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from _settings(value, f"{path}.{key}" if path else key)
    elif isinstance(document, list) and any(isinstance(item, dict) for item in document):
        for number, item in enumerate(document):
            label = item.get("name", number) if isinstance(item, dict) else number
            yield from _settings(item, f"{path}[{label}]")
    else:
        yield path, document
