"""The keys of cells: digests of what determines a cell's numbers, and the parts of them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fly64dask.base import FIRST_EDITION, HALF_SETS, RECONSTRUCTION, digest, edition_of

if TYPE_CHECKING:
    from fly64dask.base import FailureKind
    from fly64dask.study import Cell, Recipe, Study

# Of all software that a record names, what computes a cell's numbers.
ENGINE_PACKAGES = ("ptychi", "torch")
# Keys that recipes have had from the start: another one counts only where it is not at its default, so that it changes
# no cell of a study that does not name it.
FIRST_KEYS = frozenset(
    {"algorithm", "n_epochs", "batch_size", "noise_model", "optimise_probe", "on_degenerate", "guarded", "accelerated"}
    | {"stop", "patience", "halves", "threads"}
)
# Arrays of a cell's groups that change none of its numbers, or say again what its counts say.
NOT_IN_KEY = ("scan_index", "exposure_photons", "mean_pattern")


def cell_key(
    input_sha256: Mapping[str, str], recipe: Recipe, *, seed: int, engine: str, versions: Mapping[str, str]
) -> str:
    """Compute the digest of what determines a cell's numbers, 64 hexadecimal digits; the device is recorded, not part
    of it.

    Parameters
    ----------
    input_sha256 : mapping of str to str
        Digest of each array the cell reads.
    recipe : Recipe
        How the cell is reconstructed.
    seed : int
        Seed of the order of exposures in minibatches.
    engine : str
        `module:function`.
    versions : mapping of str to str
        Versions of packages, those of the engine at least, and editions of this package's parts.
    """
    settings = _settings(recipe)
    packages = {package: versions[package] for package in ENGINE_PACKAGES}
    editions = {part: edition_of(versions, part) for part in engine_parts(recipe)}
    later = {part: edition for part, edition in editions.items() if edition != FIRST_EDITION}
    return digest([dict(input_sha256), settings, seed, engine, packages, *([later] if later else [])])


def engine_parts(recipe: Recipe) -> tuple[str, ...]:
    """Name the parts of this package that determine what an engine makes of a recipe."""
    return (RECONSTRUCTION, HALF_SETS) if recipe.stop == "half_sets" else (RECONSTRUCTION,)


def failure_key(study: Study, cell: Cell, recipe: Recipe, kind: FailureKind) -> str:
    """Compute the digest of what determines that a cell's inputs cannot be used: any setting of the study but those of
    other cells alone.
    """
    alone = study.of_object(cell.object_seed).model_copy(update={"recipe": recipe})
    names = ("name", "doses_photons", "repeats", "recipes", "reference", "targets", "adaptive", "added", "setup")
    others: dict[str, Any] = {**dict.fromkeys(names, True), "limits": {"room_wait_s"}}
    setup = study.setup_of(cell.setup_name)
    own_setup = [] if setup.is_ideal else [setup.model_dump(mode="json")]
    return digest([cell.name, kind, alone.model_dump(mode="json", exclude=others), *own_setup])


@functools.lru_cache(maxsize=256)  # the cells of a study share a few
def recipe_key(recipe: Recipe, *, seed: int) -> str:
    """Compute the digest of the settings of a cell's key: its recipe without the device, and the engine's seed."""
    return digest([_settings(recipe), seed])


def _settings(recipe: Recipe) -> dict[str, Any]:
    return {
        key: value
        for key, value in recipe.model_dump(mode="json", exclude={"device"}).items()
        if key in FIRST_KEYS or value != type(recipe).model_fields[key].default
    }
