"""Tells which cells of a study rounds have added, and with which addition each came."""

from __future__ import annotations

from dataclasses import replace

from fly64dask.study.adaptive import Addition, Place, Repeats
from fly64dask.study.matrix import Cell
from fly64dask.study.model import Study


def additions_of(study: Study) -> dict[Cell, Addition]:
    """Say of each cell that rounds have added to a study with which addition it came."""
    own, numbers = Repeats(study.model_copy(update={"added": ()})), dict[Place, int]()
    found: dict[Cell, Addition] = {}
    for each in study.added:
        first = numbers.get(each.place, own.at(*each.place))
        numbers[each.place] = first + each.n_repeats
        cell = Cell(dose=each.dose, view=each.view, split=each.split, recipe_name=each.recipe_name)
        for repeat in range(first, numbers[each.place]):
            found |= {replace(cell, repeat=repeat, object_seed=seed): each for seed in study.object_seeds}
    return found
