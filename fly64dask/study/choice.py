"""The cell of a study that somebody means, from its coordinates."""

from __future__ import annotations

from fly64dask.base import InputError
from fly64dask.study.adaptive import Repeats, doses_of
from fly64dask.study.matrix import Cell, cells
from fly64dask.study.model import Study
from fly64dask.study.names import dose_name


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


def _coordinates(study: Study) -> str:
    """List the coordinates of a study's cells for a message."""
    doses = ", ".join(dose_name(dose).removeprefix("dose_") for dose in doses_of(study))
    views = ", ".join(view.name for view in study.views)
    recipes, objects, setups = (
        ", ".join(str(value) for value in values if value is not None)
        for values in (study.recipe_names, study.object_seeds, study.setup_names)
    )
    return (
        f"doses {doses}, views {views}, splits {', '.join(study.splits)} and {Repeats(study).most()} repeats"
        + (f", recipes {recipes}" if recipes else "")
        + (f", objects {objects}" if objects else "")
        + (f", setups {setups}" if setups else "")
    )
