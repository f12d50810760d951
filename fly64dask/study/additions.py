"""Tells which cells of a study rounds have added, and with which addition each came."""

from __future__ import annotations

from dataclasses import replace

from fly64dask.study.adaptive import Addition, Place, Repeats
from fly64dask.study.matrix import Cell
from fly64dask.study.model import Study


def additions_of(study: Study) -> dict[Cell, Addition]:
    """Say of each cell that rounds have added to a study with which addition it came."""
    own, numbers = Repeats(study.model_copy(update={"added": ()})), dict[Place, int]()
    additions: dict[Cell, Addition] = {}
    for addition in study.added:
        first = numbers.get(addition.place, own.at(*addition.place))
        numbers[addition.place] = first + addition.n_repeats
        cell = Cell(
            dose=addition.dose,
            view=addition.view,
            split=addition.split,
            recipe_name=addition.recipe_name,
            setup_name=addition.setup_name,
        )
        for repeat in range(first, numbers[addition.place]):
            additions |= {replace(cell, repeat=repeat, object_seed=seed): addition for seed in study.object_seeds}
    return additions
