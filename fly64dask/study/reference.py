"""What the cells of a measured study are compared with, as there is no truth: one of its own cells, or a file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Discriminator, Tag

from fly64dask.base import Frozen
from fly64dask.study.names import Dose, dose_name
from fly64dask.study.quantities import PathText, SafeName

if TYPE_CHECKING:
    from fly64dask.study.matrix import Cell
    from fly64dask.study.model import Study


class CellReference(Frozen):
    """A cell of the study itself as reference: each cell is compared with that of its own split, at this dose and view.

    Parameters
    ----------
    dose : float or "measured"
        Dose of the cell, in the unit of the study's doses.
    view : str
        View of the cell.
    recipe : str, optional
        Recipe of the cell; if omitted that of the cell which is compared.
    """

    dose: Dose = "measured"
    view: SafeName = "baseline"
    recipe: SafeName | None = None

    @property
    def label(self) -> str:
        """Dose and view, for a person."""
        recipe = "" if self.recipe is None else f".{self.recipe}"
        return f"{dose_name(self.dose)}/{self.view}{recipe}"

    def cell_for(self, cell: Cell) -> Cell:
        """Give the cell that another one is compared with; it may be the same."""
        recipe_name = cell.recipe_name if self.recipe is None else self.recipe
        return replace(cell, dose=self.dose, view=self.view, recipe_name=recipe_name, repeat=0)


class FileReference(Frozen):
    """An object of another program in a file as reference, as `fly64dask compare` reads them.

    Parameters
    ----------
    path : str
        The file; a relative path starts at the study file.
    """

    path: PathText

    @property
    def label(self) -> str:
        """The file's name."""
        return self.path.rpartition("/")[2]


# Told apart by the key that only a file has, so that a wrong dose is one fault and not two.
Reference = Annotated[
    Annotated[CellReference, Tag("cell")] | Annotated[FileReference, Tag("file")],
    Discriminator(
        lambda given: (
            "file" if isinstance(given, FileReference) or (isinstance(given, dict) and "path" in given) else "cell"
        )
    ),
]


def check_reference(study: Study) -> None:
    """Refuse a reference that the study's cells cannot be compared with; raises ValueError."""
    reference = study.reference
    if reference is None:
        return
    if study.source.kind != "measured":
        raise ValueError(
            f"reference is for measured scans, found source.kind = {study.source.kind!r}, whose cells are compared "
            "with the truth; leave it out"
        )
    if isinstance(reference, FileReference):
        return
    doses = [dose_name(dose).removeprefix("dose_") for dose in study.doses_photons]
    words_of_axis = {
        "dose": (dose_name(reference.dose).removeprefix("dose_"), doses),
        "view": (reference.view, [view.name for view in study.views]),
    }
    if reference.recipe is not None:
        words_of_axis["recipe"] = (reference.recipe, [recipe.name for recipe in study.recipes])
    for axis, (wanted, there) in words_of_axis.items():
        if wanted not in there:
            raise ValueError(f"reference has {axis} {wanted!r}, and the study has {', '.join(there) or 'none'}")
