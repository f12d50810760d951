"""Compares the cells of a run's views, recipes and setups, dose by dose, beyond the spread of their repeats."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from fly64dask.base import Frozen
from fly64dask.metrics import RatioTest, compare_repeats
from fly64dask.records.quantities import number_at, quantity_of
from fly64dask.records.record import LASTING_KINDS
from fly64dask.records.significance.difference import Axis, ComparedPair, Difference, differences, pairs_of
from fly64dask.records.significance.words import summary_sentence
from fly64dask.study import Cell, Study, cells, dose_name, realisation_of

if TYPE_CHECKING:
    from fly64dask.records.manifest import ManifestRow

# What is compared, the first of these that any cell has. Errors of views are of areas of their own, so that those over
# an empty object's come first; of one area, as of recipes, their ratios are those of the errors.
COMPARED = ("relative.error_over_empty", "reference.over_empty", "half_sets.resolution_px")
COORDINATES: dict[Axis, str] = {"view": "view", "recipe": "recipe_name", "setup": "setup_name"}


class RunDifferences(Frozen):
    """Views, recipes and setups of a run that differ beyond the spread of repeats, at each dose and split.

    `quantity` is the column that was compared, `label` what it is called; `unit` says what the spread is of: repeats,
    or objects where a study has several. `sentences` has one for each axis.
    """

    quantity: str
    label: str
    unit: str
    sentences: tuple[str, ...]
    differences: tuple[Difference, ...]

    def __str__(self) -> str:
        """Give the sentences, which `print` and a notebook show."""
        return "\n".join(self.sentences)

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:  # as IPython asks for it
        printer.text(str(self))


class ComparedNumbers:
    """Gathers row by row the numbers by which the cells of a run are compared, and compares them: no row is kept.

    Parameters
    ----------
    study : Study
        The study.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self._has_value: set[str] = set()
        self._numbers: dict[str, dict[Cell, float]] = {column: {} for column in COMPARED}

    def add(self, row: ManifestRow) -> None:
        """Take the numbers of a committed cell, whose row is completed by its context."""
        for column, numbers in self._numbers.items():
            if number_at(row, column) is not None:
                self._has_value.add(column)
            number = _number(row, column)
            if number is not None:
                numbers[row.cell] = number

    def differences(self) -> RunDifferences:
        """Compare views, recipes and setups of the cells so far."""
        quantity = next((column for column in COMPARED if column in self._has_value), COMPARED[0])
        numbers = self._numbers[quantity]
        compared_pairs = differences(_pairs(self._study, numbers)) if numbers else ()
        return _summed_up(self._study, compared_pairs, quantity=quantity, label=quantity_of(quantity).label)


def run_differences(study: Study, rows: Iterable[ManifestRow]) -> RunDifferences:
    """Compare the views, the recipes and the setups of a run with each other, at each dose and split.

    Parameters
    ----------
    study : Study
        The study.
    rows : iterable of ManifestRow
        Its committed cells, completed by their context; they are taken one after the other, and none is kept.

    Returns
    -------
    RunDifferences
        Without differences where there is nothing beside another.

    Notes
    -----
    Cells that read the same photons are compared pair by pair, others as groups. Where a study has several objects,
    each counts once, with the geometric mean of its repeats: the question is then what another object would give.
    Repeats that have not ended, or failed in a way that may pass, are left out with their partners.
    """
    numbers = ComparedNumbers(study)
    for row in rows:
        numbers.add(row)
    return numbers.differences()


def _number(row: ManifestRow, column: str) -> float | None:
    """What a cell gave, infinite where the same input fails again; None where it says nothing."""
    if row.outdated is not None:
        return None
    if row.state == "completed":
        return number_at(row, column)
    return math.inf if row.state == "failed" and row.failure_kind in LASTING_KINDS else None


def method_differences(
    study: Study, numbers: Mapping[str, Mapping[Cell, float]], *, quantity: str, label: str
) -> RunDifferences:
    """Compare methods with each other, at each dose, view, split and recipe.

    Parameters
    ----------
    study : Study
        The study.
    numbers : mapping of str to mapping of Cell to float
        By method: the number of each cell that has one; lower is better.
    quantity, label : str
        What the numbers are: a column, and its name in words.

    Returns
    -------
    RunDifferences
        Methods are given the same photons, so that they are compared pair by pair.
    """
    places: dict[Cell, None] = dict.fromkeys(
        replace(cell, repeat=0, object_seed=None) for of_method in numbers.values() for cell in of_method
    )
    pairs = (
        ComparedPair(
            axis="method",
            first=first,
            second=second,
            place=place_words(place),
            ratio_test=_tested(study, *(_at_place(numbers[method], place) for method in (first, second))),
        )
        for place in places
        for first, second in pairs_of(tuple(numbers))
    )
    return _summed_up(study, differences(pairs), quantity=quantity, label=label)


def _at_place(numbers: Mapping[Cell, float], place: Cell) -> dict[Cell, float]:
    return {cell: number for cell, number in numbers.items() if replace(cell, repeat=0, object_seed=None) == place}


def _summed_up(study: Study, compared: Sequence[Difference], *, quantity: str, label: str) -> RunDifferences:
    unit = "repeats" if len(study.object_seeds) == 1 else "objects"
    axes = dict.fromkeys(difference.axis for difference in compared)
    return RunDifferences(
        quantity=quantity,
        label=label,
        unit=unit,
        sentences=tuple(summary_sentence([pair for pair in compared if pair.axis == axis], unit=unit) for axis in axes),
        differences=tuple(compared),
    )


def _pairs(study: Study, numbers: Mapping[Cell, float]) -> Iterator[ComparedPair]:
    for axis, coordinate in COORDINATES.items():
        groups: dict[Cell, dict[str, dict[Cell, float]]] = {}
        for cell in cells(study):
            other: dict[str, Any] = {coordinate: ""}
            place = replace(cell, repeat=0, object_seed=None, **other)
            members = groups.setdefault(place, {}).setdefault(str(getattr(cell, coordinate)), {})
            if cell in numbers:
                members[cell] = numbers[cell]
        for place, of_place in groups.items():
            for first, second in pairs_of(tuple(of_place)):
                yield ComparedPair(
                    axis=axis,
                    first=first,
                    second=second,
                    place=place_words(place),
                    ratio_test=_tested(study, of_place[first], of_place[second]),
                )


def place_words(place: Cell) -> str:
    """Name the dose, view, split, recipe and setup of a cell, those that it has."""
    return ", ".join(
        filter(None, (dose_name(place.dose), place.view, place.split, place.recipe_name, place.setup_name))
    )


def _tested(study: Study, first: Mapping[Cell, float], second: Mapping[Cell, float]) -> RatioTest:
    """Compare the numbers of two groups of cells that differ in their repeats and objects alone."""
    if len(study.object_seeds) > 1:
        means = [_of_objects(study, group) for group in (first, second)]
        both = [seed for seed in means[0] if seed in means[1]]
        return compare_repeats([means[0][seed] for seed in both], [means[1][seed] for seed in both], paired=True)
    partner = {realisation_of(study, cell): number for cell, number in second.items()}
    matched = [
        (number, partner[realisation])
        for cell, number in first.items()
        if (realisation := realisation_of(study, cell)) in partner
    ]
    if not matched:
        return compare_repeats(list(first.values()), list(second.values()), paired=False)
    return compare_repeats([number for number, _ in matched], [number for _, number in matched], paired=True)


def _of_objects(study: Study, group: Mapping[Cell, float]) -> dict[int | None, float]:
    """Geometric mean of the repeats of each object; infinite where one failed."""
    mean_of_object = {}
    for seed in study.object_seeds:
        values = [number for cell, number in group.items() if cell.object_seed == seed]
        if values:
            mean_of_object[seed] = math.exp(fmean(map(math.log, values))) if min(values) > 0 else 0.0
    return mean_of_object
