"""Doses and repeats that a run adds to its study's own where they narrow a limit, and what may be spent on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from fly64dask.base import Frozen, counted
from fly64dask.study.names import Dose, Photons, Split

if TYPE_CHECKING:
    from fly64dask.study.model import Study

# Wider than this a limit is none: the factor would be met by any two doses (our choice).
MAX_FACTOR = 1e3
# Dose, view, split, recipe and setup, whose cells differ in object and repeat.
Place = tuple[Dose, str, Split, str | None, str | None]


class Adaptive(Frozen):
    """The width that the limits of a target shall have, and what may be spent on it after the study's own cells.

    Parameters
    ----------
    target : int
        Number of the target in the study's list, from 0.
    factor : float
        Above 1: a limit is narrow enough if its interval, high over low, is not wider; without repeats, if the first
        dose that reaches the target over the last that misses it is not.
    max_cells : int
        Most cells that are added to a run directory, all calls of `run` together.
    budget_s : float, optional
        No round begins in a call of `run` when its rounds have taken so long, in s; a round is not interrupted.
    """

    target: int = Field(default=0, ge=0)
    factor: float = Field(default=1.25, gt=1, le=MAX_FACTOR)
    max_cells: int = Field(ge=1, le=1_000_000)
    budget_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


class Addition(Frozen):
    """Cells that a round added: further repeats of one dose in one view, split, recipe and setup, of each object.

    Parameters
    ----------
    dose : float
        Their dose, in the unit of the study's doses. It may be one of the study's own, whose repeats are then counted
        on.
    view, split, recipe_name, setup_name : str
        The place of the cells in the matrix.
    n_repeats : int
        Number of repeats that were added.
    round : int
        Number of the round, from 1.
    reason : str
        Why the round added them.
    """

    dose: Photons
    view: str
    split: Split
    recipe_name: str | None = None
    setup_name: str | None = None
    n_repeats: int = Field(ge=1, le=1000)
    round: int = Field(ge=1)
    reason: str

    @property
    def place(self) -> Place:
        """The place where its repeats count on."""
        return (self.dose, self.view, self.split, self.recipe_name, self.setup_name)


class Repeats:
    """The number of repeats that each dose of each view, split, recipe and setup of a study has, additions counted.

    Parameters
    ----------
    study : Study
        The study.
    """

    def __init__(self, study: Study) -> None:
        self._own = {dose: 1 if isinstance(dose, str) else study.repeats for dose in study.doses_photons}
        self._added: dict[Place, int] = {}
        for each in study.added:
            self._added[each.place] = self._added.get(each.place, 0) + each.n_repeats

    def at(self, dose: Dose, view: str, split: Split, recipe_name: str | None, setup_name: str | None) -> int:
        """Repeats of a dose there; 0 where a view has no such dose."""
        return self._own.get(dose, 0) + self._added.get((dose, view, split, recipe_name, setup_name), 0)

    def most(self, dose: Dose | None = None) -> int:
        """The most that any place has, of one dose or of all."""
        own = [number for each, number in self._own.items() if dose in (None, each)]
        places = [self.at(*place) for place in self._added if dose in (None, place[0])]
        return max([*own, *places])


def doses_of(study: Study) -> tuple[Dose, ...]:
    """List all doses that cells of a study have.

    Returns
    -------
    tuple of Dose
        The study's own, in its order; where a run has added others, all numbers in order and words behind them.
    """
    further = {each.dose for each in study.added} - set(study.doses_photons)
    if not further:
        return study.doses_photons
    numbers = {dose for dose in study.doses_photons if not isinstance(dose, str)}
    words = (dose for dose in study.doses_photons if isinstance(dose, str))
    return (*sorted(further | numbers), *words)


def n_added_cells(study: Study) -> int:
    """Count the cells that rounds have added."""
    return sum(each.n_repeats for each in study.added) * len(study.object_seeds)


def with_additions(study: Study, earlier: Study) -> Study:
    """Return the study with what rounds have added to the run that it continues.

    Parameters
    ----------
    study : Study
        As a person gave it.
    earlier : Study
        That of the run directory.

    Returns
    -------
    Study
        Additions to views, splits, recipes and setups that it does not have are left out, and all where doses count
        something else now.
    """
    if not earlier.added or study.dose_by != earlier.dose_by:
        return study
    views = {view.name for view in study.views}
    kept = tuple(
        each
        for each in earlier.added
        if each.view in views
        and each.split in study.splits
        and each.recipe_name in study.recipe_names
        and each.setup_name in study.setup_names
    )
    return study.model_copy(update={"added": kept})


def check_adaptive(study: Study) -> None:
    """Refuse rounds of a study that has no such target or cannot have other doses; raises ValueError."""
    adaptive = study.adaptive
    if adaptive is None:
        return
    if adaptive.target >= len(study.targets):
        raise ValueError(
            f"adaptive.target is {adaptive.target}, and the study has {counted(len(study.targets), 'target')}, "
            "counted from 0; add it to [[targets]], or give the number of one that is there"
        )
    if all(isinstance(dose, str) for dose in study.doses_photons):
        raise ValueError(
            "adaptive adds doses around those in photons, and doses_photons has none; give the lowest and the highest"
        )
    if any(each.probe_power_photons is not None for each in (study.recipe, *study.recipes)):
        raise ValueError(
            "adaptive adds doses, and probe_power_photons is right for one dose only; leave one of them out"
        )
