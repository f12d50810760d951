"""Names the keys of a recipe that contradict each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from fly64dask.base import counted

if TYPE_CHECKING:
    from fly64dask.study.recipes.recipe import Recipe

OF_LSQML_ALONE = frozenset({"noise_model", "momentum_gain", "opr_modes"})
NOT_OF_DM = frozenset({"object_step_size", "probe_step_size", "batching"})
# Of positions that are refined, with the values that they have when nobody gives them.
OF_REFINED_POSITIONS = ("position_update_start", "position_step_size", "position_limit_px")
# Of a probe that changes; a fixed one has none of them.
OF_CHANGING_PROBE = ("probe_step_size", "probe_update_start", "probe_support", "probe_power_photons")
# Of a scan with exposures to spare; under the guard of degenerate scans they have their defaults.
NOT_UNDER_GUARD = ("batching", "object_update_start", "probe_update_start", "opr_modes", "refine_positions")
# Names that pty-chi and other programs have for an object of several slices.
MULTISLICE_KEYS = frozenset({"multislice", "n_slices", "slices", "n_layers", "layers", "object_slices"}) | frozenset(
    {"slice_spacing_m", "slice_spacings_m", "slice_distances", "object_layers"}
)


def contradictions(recipe: Recipe) -> Iterator[str]:
    """Say which keys of a recipe leave others without effect, one sentence each."""
    yield from _of_other_algorithms(recipe)
    yield from _of_batches(recipe)
    yield from _of_fixed_positions(recipe)
    yield from _of_guard(recipe)
    yield from _of_fixed_probe(recipe)
    yield from _of_starts(recipe)


def keys_not_of(algorithm: str) -> frozenset[str]:
    """Name the keys of a recipe that an algorithm does not have."""
    return frozenset() if algorithm == "LSQML" else OF_LSQML_ALONE | (NOT_OF_DM if algorithm == "DM" else frozenset())


def set_keys(recipe: Recipe, keys: Iterable[str]) -> Iterator[str]:
    """Name those among some keys that a recipe has not at their default; one OPR mode is as if none were said."""
    for key in keys:
        value, default = getattr(recipe, key), type(recipe).model_fields[key].default
        if value != default and not (key == "opr_modes" and value == 1):
            yield key


def _of_guard(recipe: Recipe) -> Iterator[str]:
    """Name keys that the guard overrides where every scan is under it."""
    for key in set_keys(recipe, NOT_UNDER_GUARD) if recipe.guarded else ():
        yield f"{key} {getattr(recipe, key)!r} is not followed where guarded is true; leave one of them out"


def _of_other_algorithms(recipe: Recipe) -> Iterator[str]:
    """Name keys that the recipe's algorithm does not have."""
    name = recipe.algorithm
    if name != "LSQML" and recipe.noise_model != "gaussian":
        yield f"{name} replaces amplitudes and has no noise model, found {recipe.noise_model!r}; leave noise_model out"
    if name != "LSQML" and recipe.momentum_gain:
        yield f"{name} has no momentum, found momentum_gain {recipe.momentum_gain:g}; leave it out or take LSQML"
    if name != "LSQML" and recipe.opr_modes not in (None, 1):
        yield f"{name} has one OPR mode, found opr_modes {recipe.opr_modes}; leave it out or take LSQML"
    if name == "DM" and (recipe.object_step_size, recipe.probe_step_size) != (1.0, 1.0):
        yield "DM solves for object and probe and has no step sizes; leave object_step_size and probe_step_size out"
    if name == "DM" and recipe.batching != "random":
        yield f"DM updates once an epoch, from all exposures, found batching {recipe.batching!r}; leave batching out"


def _of_batches(recipe: Recipe) -> Iterator[str]:
    """Name keys that the recipe's minibatches leave without effect."""
    if recipe.batching != "random" and recipe.batch_size == "all" and recipe.algorithm != "DM":
        yield f"batching {recipe.batching!r} divides a scan, and batch_size 'all' does not; give a number or 'random'"


def _of_fixed_probe(recipe: Recipe) -> Iterator[str]:
    """Name keys that a probe which does not change leaves without effect."""
    if recipe.optimise_probe:
        return
    if recipe.momentum_gain and recipe.batching != "compact":
        yield (
            f"momentum_gain {recipe.momentum_gain:g} acts on the probe alone unless batching is 'compact', and "
            "optimise_probe is false; leave momentum_gain out"
        )
    if recipe.probe_modes is not None and recipe.probe_modes > 1:
        yield f"probe_modes {recipe.probe_modes} are made to be optimised, and optimise_probe is false; leave one out"
    if recipe.opr_modes is not None and recipe.opr_modes > 1:
        yield f"opr_modes {recipe.opr_modes} are made to be optimised, and optimise_probe is false; leave one out"
    if recipe.probe_step_size != 1.0:
        yield f"probe_step_size {recipe.probe_step_size:g}, and optimise_probe is false; leave one of them out"
    for key in ("probe_support", "probe_power_photons"):
        if getattr(recipe, key) is not None:
            yield f"{key} {getattr(recipe, key):g} is of a probe that changes, and optimise_probe is false; leave one"
    if recipe.probe_update_start > 1:
        yield f"probe_update_start {recipe.probe_update_start}, and optimise_probe is false; leave one of them out"


def _of_fixed_positions(recipe: Recipe) -> Iterator[str]:
    """Name keys that positions which stay where they are leave without effect."""
    if recipe.refine_positions:
        return
    for key in set_keys(recipe, OF_REFINED_POSITIONS):
        value = getattr(recipe, key)
        yield f"{key} {value:g} is about refined positions; leave it out, or write refine_positions = true"


def _of_starts(recipe: Recipe) -> Iterator[str]:
    """Name updates that would never start, or after the stopping rule has ended the cell."""
    for of in ("object", "probe", "position"):
        start = getattr(recipe, f"{of}_update_start")
        if start > recipe.n_epochs:
            yield f"{of}_update_start {start} is after the last of {counted(recipe.n_epochs, 'epoch')}; lower it"
    if recipe.patience is not None and recipe.object_update_start > recipe.patience:
        yield (
            f"object_update_start {recipe.object_update_start} is beyond a patience of "
            f"{counted(recipe.patience, 'epoch')}, which would end the cell before its object changes; raise patience"
        )
