"""Several recipes of one study: each has a name, and the settings in which it differs from those that all share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from fly64dask.study.quantities import SafeName
from fly64dask.study.recipes.recipe import Recipe
from fly64dask.study.recipes.rules import NOT_UNDER_GUARD, OF_CHANGING_PROBE, OF_REFINED_POSITIONS, keys_not_of

# Settings of the workers of a run rather than of one cell.
OF_ALL_WORKERS = ("device", "threads")


class NamedRecipe(Recipe):
    """A recipe of a study that has several; a study file gives what differs from `[recipe]`, here it is whole.

    Parameters
    ----------
    name : str
        Name by which the cells of this recipe are told apart.
    """

    name: SafeName

    @property
    def settings(self) -> Recipe:
        """The recipe without its name: what a cell is reconstructed with, and what its key is computed of."""
        return Recipe.model_validate(self.model_dump(exclude={"name"}))


def with_shared_settings(document: Mapping[str, object]) -> dict[str, object]:
    """Complete the recipes of a study file's content with the settings of its `[recipe]` that they do not give.

    A recipe that keeps the last epoch takes over no patience, which goes with the stopping rules; one of another
    algorithm, with a fixed probe, with fixed positions or under the guard none of the settings that it does not have.
    """
    shared, recipes = document.get("recipe", {}), document.get("recipes")
    if not (isinstance(shared, dict) and isinstance(recipes, list)):
        return dict(document)

    def complete(recipe: object) -> object:
        if not isinstance(recipe, dict):
            return recipe
        left_out = set(keys_not_of(str(recipe.get("algorithm", shared.get("algorithm", "LSQML")))))
        if recipe.get("stop") == "epochs":
            left_out.add("patience")
        if recipe.get("refine_positions") is False:
            left_out.update(OF_REFINED_POSITIONS)
        if recipe.get("optimise_probe") is False:
            left_out.update(OF_CHANGING_PROBE)
        if recipe.get("guarded") is True:
            left_out.update(NOT_UNDER_GUARD, OF_REFINED_POSITIONS)
        return {key: value for key, value in shared.items() if key not in left_out} | recipe

    return {**document, "recipes": [complete(recipe) for recipe in recipes]}


def with_half_sets(document: Mapping[str, object]) -> dict[str, object]:
    """Let the recipes of a measured study's file reconstruct halves of the counts where they do not say what."""
    source, recipe = document.get("source"), document.get("recipe", {})
    is_measured = isinstance(source, dict) and source.get("kind") == "measured"
    if not is_measured or not isinstance(recipe, dict):
        return dict(document)
    return {**document, "recipe": {"halves": "counts"} | recipe}


def check_recipes(shared: Recipe, recipes: Sequence[NamedRecipe]) -> None:
    """Refuse recipes that one run cannot have side by side, or that would give the same numbers twice.

    Raises ValueError, which names the recipes.
    """
    for recipe in recipes:
        for setting in OF_ALL_WORKERS:
            own, of_all = getattr(recipe, setting), getattr(shared, setting)
            if own != of_all:
                raise ValueError(
                    f"recipe {recipe.name!r} has {setting} {own!r}, [recipe] has {of_all!r}, and the workers of a run "
                    f"have one; set {setting} in [recipe] alone"
                )
    for first, second in combinations(recipes, 2):
        if first.settings == second.settings:
            raise ValueError(f"recipes {first.name!r} and {second.name!r} have the same settings; keep one of them")
