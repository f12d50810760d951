"""The cell of a study that somebody means, from its coordinates, and the part of a study that can be shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from fly64dask.base import InputError, counted
from fly64dask.study.adaptive import Repeats, doses_of
from fly64dask.study.matrix import Cell, Filters, cells, skip_reasons
from fly64dask.study.model import Study
from fly64dask.study.names import Dose, dose_name
from fly64dask.study.views import View

Item = TypeVar("Item")


def choose_cell(study: Study, dose_view_repeat: tuple[float | str, str, int], **optional: str | int | None) -> Cell:
    """Choose the one cell of a study with a dose, a view and a repeat, and with further coordinates that are not None.

    Raises
    ------
    InputError
        If the study has no such cell, or several.
    """
    dose, view, repeat = dose_view_repeat
    chosen = {name: value for name, value in optional.items() if value is not None}
    matching = [
        cell
        for cell in cells(study)
        if (cell.dose, cell.view, cell.repeat) == dose_view_repeat
        and all(getattr(cell, name) == value for name, value in chosen.items())
    ]
    if len(matching) == 1:
        return matching[0]
    raise InputError(
        ", ".join(
            [
                f"select dose {dose}, view {view!r}, repeat {repeat}",
                *(f"{name} {value!r}" for name, value in chosen.items()),
            ]
        )
        + f": study {study.name!r} has {_coordinates(study)}",
        remedy="give one of each",
    )


def part_of_study(study: Study, n_most: int, *, doses: Sequence[Dose] = (), views: Sequence[str] = ()) -> Study:
    """Take a part of a study: some doses and views, and of these so many that few cells are left.

    Parameters
    ----------
    study : Study
        The study.
    n_most : int
        Cells of the part, at most. The longest of the lists of doses, views, objects and repeats is shortened, again
        and again: the first repeats stay, and of the others some that lie evenly in the list, both ends among them.
        What recipes, setups and splits multiply is left.
    doses, views : sequence
        Those that the part may have; all if empty.

    Returns
    -------
    Study
        The study itself if all of it is wanted and it is small enough; what rounds have added is in no other part.

    Raises
    ------
    InputError
        If the study has no such dose or view.
    """
    skip_reasons(study, Filters(dose=tuple(doses), view=tuple(views)))  # refuses what it does not have
    if not doses and not views and len(cells(study)) <= n_most:
        return study
    # Added doses are doses of the part, whose repeats are those of the study itself.
    part = _shortened(
        study.model_copy(update={"added": ()}),
        doses=[dose for dose in doses_of(study) if not doses or dose in doses],
        views=[view for view in study.views if not views or view.name in views],
    )
    while (n_cells := len(cells(part))) > n_most:
        lengths = {
            "doses": len(part.doses_photons),
            "views": len(part.views),
            "objects": len(part.object_seeds),
            "repeats": part.repeats,
        }
        axis = max(lengths, key=lambda name: lengths[name])
        if lengths[axis] == 1:
            break
        n_kept = max(1, min(lengths[axis] - 1, lengths[axis] * n_most // n_cells))
        part = _thinned(part, axis, n_kept)
    return part


def _thinned(study: Study, axis: str, n_kept: int) -> Study:
    if axis == "doses":
        return _shortened(study, doses=_evenly(study.doses_photons, n_kept))
    if axis == "views":
        return _shortened(study, views=_evenly(study.views, n_kept))
    if axis == "objects":
        seeds = tuple(_evenly(study.object_seeds, n_kept))
        return study.model_copy(update={"source": study.source.model_copy(update={"seed_pair": seeds})})
    return study.model_copy(update={"repeats": n_kept})


def _shortened(study: Study, *, doses: Sequence[Dose] = (), views: Sequence[View] = ()) -> Study:
    kept = {"doses_photons": tuple(doses or study.doses_photons), "views": tuple(views or study.views)}
    return study.model_copy(update=kept)


def _evenly(items: Sequence[Item], n_kept: int) -> list[Item]:
    if n_kept == 1:
        return [items[0]]
    return [items[round(place * (len(items) - 1) / (n_kept - 1))] for place in range(n_kept)]


def _coordinates(study: Study) -> str:
    """List the coordinates of a study's cells for a message."""
    doses = ", ".join(dose_name(dose).removeprefix("dose_") for dose in doses_of(study))
    views = ", ".join(view.name for view in study.views)
    recipes, objects, setups = (
        ", ".join(str(value) for value in values if value is not None)
        for values in (study.recipe_names, study.object_seeds, study.setup_names)
    )
    return (
        f"doses {doses}, views {views}, splits {', '.join(study.splits)} and {counted(Repeats(study).most(), 'repeat')}"
        + (f", recipes {recipes}" if recipes else "")
        + (f", objects {objects}" if objects else "")
        + (f", setups {setups}" if setups else "")
    )
