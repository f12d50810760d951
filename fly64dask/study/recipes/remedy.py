"""What is changed of a failed cell before it is tried again, as its record keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from pydantic import Field, model_validator

from fly64dask.base import FailureKind, Frozen
from fly64dask.study.recipes.rules import NOT_UNDER_GUARD, OF_CHANGING_PROBE, OF_REFINED_POSITIONS, set_keys

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
    """The remedy with which a cell was tried again; spacings in px, those that ran beside those of the study.

    `as-is` changes nothing. `guarded` runs the engine with the degenerate guard, the probe frozen and
    few epochs. `respace` keeps exposures at a lower spacing.
    """

    kind: RemedyKind
    spacing_threshold: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    study_spacing_threshold: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    min_exposures: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _spacings_of_respace_alone(self) -> Remedy:
        is_absent = {self.spacing_threshold is None, self.study_spacing_threshold is None, self.min_exposures is None}
        if is_absent != {self.kind != "respace"}:
            raise ValueError(f"remedy {self.kind!r}: respace states both spacings and min_exposures, others none")
        return self


# What works on a degenerate scan (measured): that average left out, a frozen probe below
# 4 exposures, and at most 30 epochs.
GUARDED_MAX_EPOCHS = 30
# What a frozen probe leaves without effect, beside the keys of a probe that changes.
OF_PROBE_ALONE = ("momentum_gain", "probe_modes", *OF_CHANGING_PROBE)


def overridden_by_guard(recipe: Recipe, *, is_probe_frozen: bool) -> tuple[str, ...]:
    """Name the settings of a recipe that a cell under the guard of degenerate scans does not follow.

    Parameters
    ----------
    recipe : Recipe
        The study's, without a remedy.
    is_probe_frozen : bool
        Whether the guard froze the probe as well.

    Returns
    -------
    tuple of str
        Such as `batching = 'compact'`.
    """
    keys = ["n_epochs"] if recipe.n_epochs > GUARDED_MAX_EPOCHS else []
    keys += set_keys(recipe, NOT_UNDER_GUARD)
    if is_probe_frozen and recipe.optimise_probe:
        keys += ["optimise_probe", *set_keys(recipe, OF_PROBE_ALONE)]
    return tuple(f"{key} = {getattr(recipe, key)!r}" for key in dict.fromkeys(keys))


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
        Guarded, with a frozen probe and few epochs, and without the settings that these override, if the remedy says
        so; else the study's.
    """
    if remedy is None or remedy.kind != "guarded":
        return recipe
    n_epochs = min(recipe.n_epochs, GUARDED_MAX_EPOCHS)
    overridden = (*NOT_UNDER_GUARD, *OF_PROBE_ALONE, *OF_REFINED_POSITIONS)
    defaults = {key: type(recipe).model_fields[key].default for key in overridden}
    return recipe.model_copy(update=defaults | {"guarded": True, "optimise_probe": False, "n_epochs": n_epochs})
