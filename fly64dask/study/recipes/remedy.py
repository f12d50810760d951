"""What is changed of a failed cell before it is tried again, as its record keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from pydantic import Field, model_validator

from fly64dask.base import FailureKind, Frozen

if TYPE_CHECKING:
    from fly64dask.study.recipes.recipe import Recipe

RemedyKind = Literal["as-is", "guarded", "respace"]
REMEDY_KINDS: tuple[RemedyKind, ...] = get_args(RemedyKind)

_OF_THE_SCAN = frozenset({FailureKind.DEGENERATE_SCAN, FailureKind.SINGULAR_MATRIX, FailureKind.NOT_FINITE})
# Failures that a change of the scan or of the engine's freedom can mend. All others may pass with
# time: they are tried as they were, so that no remedy takes numbers from a cell that needs none.
MENDS: dict[RemedyKind, frozenset[FailureKind]] = {
    "as-is": frozenset(FailureKind) - {FailureKind.NOT_SELECTABLE},
    "guarded": _OF_THE_SCAN,
    "respace": _OF_THE_SCAN | {FailureKind.NOT_SELECTABLE},
}


class Remedy(Frozen):
    """How a cell was tried again; spacings in px, those that ran beside those of the study.

    `as-is` changes nothing. `guarded` runs the engine with the degenerate guard, the probe frozen and
    few epochs. `respace` keeps exposures at a lower spacing.
    """

    kind: RemedyKind
    spacing_threshold: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    study_spacing_threshold: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    min_exposures: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _spacings_of_respace_alone(self) -> Remedy:
        given = {self.spacing_threshold is None, self.study_spacing_threshold is None, self.min_exposures is None}
        if given != {self.kind != "respace"}:
            raise ValueError(f"remedy {self.kind!r}: respace states both spacings and min_exposures, others none")
        return self


# What works on a degenerate scan (measured): that average left out, a frozen probe below
# 4 exposures, and at most 30 epochs.
GUARDED_MAX_EPOCHS = 30


def remedied_recipe(recipe: Recipe, remedy: Remedy | None) -> Recipe:
    """Make the recipe that a cell runs with.

    Parameters
    ----------
    recipe : Recipe
        The study's.
    remedy : Remedy or None
        The cell's.

    Returns
    -------
    Recipe
        Guarded, with a frozen probe and few epochs, if the remedy says so; else the study's.
    """
    if remedy is None or remedy.kind != "guarded":
        return recipe
    n_epochs = min(recipe.n_epochs, GUARDED_MAX_EPOCHS)
    return recipe.model_copy(update={"guarded": True, "optimise_probe": False, "n_epochs": n_epochs})
