"""The dose x view x split x recipe x object x setup matrix of a study: its cells in order, and filters over them."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product, starmap
from typing import Any, NamedTuple

from fly64dask.base import Frozen, InputError
from fly64dask.study.adaptive import Repeats, doses_of
from fly64dask.study.model import Study
from fly64dask.study.names import Dose, DoseWord, Split, photons_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A (dose, view, split) of a study, or a repeat of it: the same exposures with other photons.

    `recipe_name` is None where the study has one recipe without a name, `object_seed` where it has one object,
    `setup_name` where it has one setup.
    """

    dose: float | DoseWord
    view: str
    split: Split
    repeat: int = 0
    recipe_name: str | None = None
    object_seed: int | None = None
    setup_name: str | None = None

    @property
    def name(self) -> str:
        """The cell as its directory under the run.

        `dose_1000/sparse/train`, `dose_1000.object_8.gap_px_2.repeat_1/sparse/train.poisson`.
        """
        recipe = "" if self.recipe_name is None else f".{self.recipe_name}"
        photons = photons_name(self.dose, self.repeat, self.object_seed, setup_name=self.setup_name)
        return f"{photons}/{self.view}/{self.split}{recipe}"

    @property
    def first_repeat(self) -> Cell:
        """The first of the cell's repeats, which stands for all that differ from it in their photons alone."""
        return replace(self, repeat=0)


class CellCoordinates(Frozen):
    """The coordinates of a record's cell. Each record of a cell begins with these fields, less those that are None."""

    dose: Dose
    view: str
    split: Split
    repeat: int = 0
    recipe_name: str | None = None
    object_seed: int | None = None
    setup_name: str | None = None

    @property
    def cell(self) -> Cell:
        """The cell that the record is about."""
        return Cell(
            dose=self.dose,
            view=self.view,
            split=self.split,
            repeat=self.repeat,
            recipe_name=self.recipe_name,
            object_seed=self.object_seed,
            setup_name=self.setup_name,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """The filters that choose cells of a matrix; empty means all.

    `gridsize` is how the original study told its views apart: 1 for a baseline, 2 for views of any other rule.

    Examples
    --------
    >>> Filters(dose=(1e4,), view=("dense", "sparse")).split
    ()
    """

    dose: tuple[float | DoseWord, ...] = ()
    view: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    gridsize: tuple[int, ...] = ()
    repeat: tuple[int, ...] = ()
    recipe: tuple[str, ...] = ()
    object: tuple[int, ...] = ()
    setup: tuple[str, ...] = ()


def repeats_of(study: Study, dose: Dose) -> range:
    """Number the repeats of a dose's cells, the most that a view has; one whose photons are not drawn has only one."""
    return range(Repeats(study).most(dose))


@functools.lru_cache(maxsize=2)  # a process looks at few studies, often: 0.6 s and 9 MB for 100 000 cells
def cells(study: Study) -> tuple[Cell, ...]:
    """List the matrix: dose outermost, then view, split, recipe, object, setup, and repeat innermost.

    Parameters
    ----------
    study : Study
        The study.

    Returns
    -------
    tuple of Cell
        `len(doses) * len(views) * 2 * n_recipes * n_objects * n_setups * repeats` cells in the order every table of the
        project uses; those of doses "measured" and "noise_free" without repeats. Cells that a run has added stand among
        them.
    """
    repeats = Repeats(study)
    return tuple(
        Cell(dose=dose, view=view.name, split=split, repeat=repeat, **section._asdict())
        for dose in doses_of(study)
        for view in study.views
        for split in study.splits
        for section in sections(study)
        for repeat in range(repeats.at(dose, view.name, split, section.recipe_name, section.setup_name))
    )


class Section(NamedTuple):
    """A recipe, an object and a setup of a study: their cells make one dose x view x split table."""

    recipe_name: str | None = None
    object_seed: int | None = None
    setup_name: str | None = None

    @property
    def label(self) -> str:
        """Recipe, object and setup in words, such as `poisson, object 8, gap_px_2`; empty if there is one of each."""
        of_object = None if self.object_seed is None else f"object {self.object_seed}"
        return ", ".join(part for part in (self.recipe_name, of_object, self.setup_name) if part is not None)

    def cell(self, dose: float | DoseWord, view: str, split: Split) -> Cell:
        """The first repeat of a dose, view and split in this section."""
        return Cell(dose=dose, view=view, split=split, **self._asdict())


def section_of(cell: Cell) -> Section:
    """Say which recipe, object and setup a cell is of."""
    return Section(cell.recipe_name, cell.object_seed, cell.setup_name)


def sections(study: Study) -> tuple[Section, ...]:
    """List the recipes of a study, each with all of its objects, and these with all of its setups."""
    return tuple(starmap(Section, product(study.recipe_names, study.object_seeds, study.setup_names)))


class Realisation(NamedTuple):
    """A noise realisation of the exposures of a split, which the cells of all recipes share.

    Cells of all views share it too, unless a dose is other photons per exposure in each view: it is then for one view.
    """

    dose: float | DoseWord
    split: Split
    repeat: int = 0
    object_seed: int | None = None
    view: str | None = None
    setup_name: str | None = None

    @property
    def name(self) -> str:
        """The realisation as its directory in a run's store: `dose_1000/train`, `dose_1000.view_sparse/train`."""
        return f"{photons_name(self.dose, self.repeat, self.object_seed, self.view, self.setup_name)}/{self.split}"


def realisation_of(study: Study, cell: Cell) -> Realisation:
    """Say which noise realisation a cell reads."""
    differs = study.dose_by != "exposure" and not isinstance(cell.dose, str)
    view = cell.view if differs else None
    return Realisation(cell.dose, cell.split, cell.repeat, cell.object_seed, view, cell.setup_name)


def realisations(study: Study, matrix: Iterable[Cell]) -> tuple[Realisation, ...]:
    """List the noise realisations that cells of a study read, each once."""
    return tuple(dict.fromkeys(realisation_of(study, cell) for cell in matrix))


def skip_reasons(study: Study, filters: Filters) -> dict[Cell, str]:
    """Say for each filtered-out cell which filter left it out; empty when nothing is filtered.

    Parameters
    ----------
    study : Study
        The study.
    filters : Filters
        Values that run.

    Raises
    ------
    InputError
        If a filter names a dose, view, split, gridsize, repeat, recipe, object or setup that the study does not have.
    """
    if filters == Filters():
        return {}
    sizes = {view.name: 1 if view.rule == "baseline" else 2 for view in study.views}
    values_by_filter: dict[str, Iterable[Any]] = {
        "dose": doses_of(study),
        "view": sizes,
        "split": study.splits,
        "gridsize": sorted(set(sizes.values())),
        "repeat": range(Repeats(study).most()),
        "recipe": [name for name in study.recipe_names if name is not None],
        "object": [seed for seed in study.object_seeds if seed is not None],
        "setup": [name for name in study.setup_names if name is not None],
    }
    for key, values in values_by_filter.items():
        for value in getattr(filters, key):
            if value not in values:
                listed_values = ", ".join(map(_plain, values))
                raise InputError(
                    f"filter --{key} {_plain(value)}: study {study.name!r} has {listed_values or f'one {key} alone'}",
                    remedy="give one of these" if listed_values else f"leave --{key} out",
                )
    reasons: dict[Cell, str] = {}
    for cell in cells(study):
        for key, value in _filtered_values(cell, sizes[cell.view]).items():
            values_that_run = getattr(filters, key)
            if values_that_run and value not in values_that_run:
                reasons[cell] = f"{key} {_plain(value)} is not in --{key} {' '.join(map(_plain, values_that_run))}"
                break
    return reasons


def _filtered_values(cell: Cell, gridsize: int) -> dict[str, object]:
    """The values of a cell by the names of the filters."""
    return {
        "dose": cell.dose,
        "view": cell.view,
        "split": cell.split,
        "repeat": cell.repeat,
        "recipe": cell.recipe_name,
        "object": cell.object_seed,
        "setup": cell.setup_name,
        "gridsize": gridsize,
    }


def _plain(value: object) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
