"""The dose x view x split matrix of a study: its cells in order, and filters over them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from fly64dask.base import Frozen, InputError
from fly64dask.study.model import Study
from fly64dask.study.names import SPLITS, Dose, Split, photons_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One (dose, view, split) of a study, or a repeat of it: the same exposures with other photons."""

    dose: float | Literal["measured"]
    view: str
    split: Split
    repeat: int = 0

    @property
    def name(self) -> str:
        """The cell as its directory under the run: `dose_1000/sparse/train`, `dose_1000.repeat_1/sparse/train`."""
        return f"{photons_name(self.dose, self.repeat)}/{self.view}/{self.split}"


class CellCoordinates(Frozen):
    """Which cell a record is about. Every record of one cell begins with these fields."""

    dose: Dose
    view: str
    split: Split
    repeat: int = 0

    @property
    def cell(self) -> Cell:
        """The cell that the record is about."""
        return Cell(dose=self.dose, view=self.view, split=self.split, repeat=self.repeat)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which cells of a matrix to run; empty means all.

    `gridsize` is how the original study told its views apart: 1 for a baseline, 2 for views of any other rule.

    Examples
    --------
    >>> Filters(dose=(1e4,), view=("dense", "sparse")).split
    ()
    """

    dose: tuple[float | Literal["measured"], ...] = ()
    view: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    gridsize: tuple[int, ...] = ()
    repeat: tuple[int, ...] = ()


def repeats_of(study: Study, dose: float | str) -> range:
    """Number the repeats of a dose's cells; a measured dose has only one."""
    return range(1 if dose == "measured" else study.repeats)


def cells(study: Study) -> tuple[Cell, ...]:
    """List the matrix: dose outermost, then view, then split, then repeat.

    Parameters
    ----------
    study : Study
        The study.

    Returns
    -------
    tuple of Cell
        `len(doses) * len(views) * 2 * repeats` cells in the order every table of the project uses;
        those of dose "measured" once each.
    """
    return tuple(
        Cell(dose=dose, view=view.name, split=split, repeat=repeat)
        for dose in study.doses_photons
        for view in study.views
        for split in SPLITS
        for repeat in repeats_of(study, dose)
    )


class Realisation(NamedTuple):
    """One noise realisation of the exposures of a split, which the cells of all views share."""

    dose: float | Literal["measured"]
    split: Split
    repeat: int = 0


def realisation_of(study: Study, cell: Cell) -> Realisation:
    """Say which noise realisation a cell reads."""
    return Realisation(cell.dose, cell.split, cell.repeat)


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
        If a filter names a dose, view, split, gridsize or repeat that the study does not have.
    """
    sizes = {view.name: 1 if view.rule == "baseline" else 2 for view in study.views}
    known: dict[str, Iterable[Any]] = {
        "dose": study.doses_photons,
        "view": sizes,
        "split": SPLITS,
        "gridsize": sorted(set(sizes.values())),
        "repeat": range(study.repeats),
    }
    for key, values in known.items():
        for value in getattr(filters, key):
            if value not in values:
                raise InputError(
                    f"filter --{key} {_plain(value)}: study {study.name!r} has {', '.join(map(_plain, values))}",
                    remedy="give one of these",
                )
    reasons: dict[Cell, str] = {}
    for cell in cells(study):
        values_of_cell = asdict(cell) | {"gridsize": sizes[cell.view]}
        for key, value in values_of_cell.items():
            values_that_run = getattr(filters, key)
            if values_that_run and value not in values_that_run:
                reasons[cell] = f"{key} {_plain(value)} is not in --{key} {' '.join(map(_plain, values_that_run))}"
                break
    return reasons


def _plain(value: object) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
