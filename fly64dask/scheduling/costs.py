"""What a cell costs: its work, as exposures times epochs, and the memory that its engine takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fly64dask.scan import bounding_box_area_px2, expected_exposures, split_indices
from fly64dask.study import Cell, Recipe, Split, Study

if TYPE_CHECKING:
    from fly64dask.datasets import ScanInputs

# Measured, see predicted_memory_bytes: counts as stored and in float32 at their peak; complex64
# arrays of a minibatch; complex64 arrays of the object's shape; what the first call adds.
BYTES_PER_PIXEL = 16
BATCH_ARRAYS = 24
ARRAYS_OF_MODE = 8  # of each further mode of the probe
ARRAYS_OF_OPR, ARRAYS_OF_OPR_MODE = 8, 1  # where there are several OPR modes, and of each further one
ARRAYS_OF_POSITIONS = 8  # where they are refined
MASK_BYTES = 5  # of a pixel: whether it is valid, and its weight
OBJECT_ARRAYS = 24
ARRAYS_OF_THREAD = 2  # of the object's shape: each further thread adds up directions of its own, by one mode and by all
FIXED_BYTES = 25_000_000
ENGINE_BYTES = 900_000_000  # an idle engine: torch and pty-chi, loaded


def expected_lengths(study: Study, inputs: ScanInputs, requested: Sequence[Cell]) -> dict[Cell, int]:
    """Estimate how long cells take compared with each other, before anything is selected.

    Parameters
    ----------
    study : Study
        The study.
    inputs : ScanInputs
        Positions.
    requested : sequence of Cell
        Cells to compare.

    Returns
    -------
    dict of Cell to int
        Exposures that each cell is expected to keep. The time of an epoch is proportional to them, because all cells of
        a study have the same detector.
    """
    lengths: dict[tuple[str, Split], int] = {}
    for split in {cell.split for cell in requested}:
        positions = inputs.positions_px[split_indices(inputs.positions_px, study.split, split)]
        area_px2 = bounding_box_area_px2(positions)
        for view in study.views:
            lengths[view.name, split] = expected_exposures(view, len(positions), area_px2)
    return {cell: lengths[cell.view, cell.split] for cell in requested}


def expected_work(study: Study, lengths: Mapping[Cell, int]) -> dict[Cell, int]:
    """Estimate the work of cells whose recipes differ: exposures times epochs times reconstructions.

    Parameters
    ----------
    study : Study
        The study.
    lengths : mapping of Cell to int
        From `expected_lengths`.
    """
    recipes = {cell.recipe_name: study.recipe_of(cell) for cell in lengths}
    return {
        cell: length * recipes[cell.recipe_name].n_epochs * recipes[cell.recipe_name].n_reconstructions
        for cell, length in lengths.items()
    }


def predicted_memory_bytes(
    n_exposures: int,
    diffraction_shape_px: tuple[int, int],
    object_shape_px: tuple[int, int],
    recipe: Recipe,
    n_modes: int = 1,
    n_opr: int = 1,
) -> int:
    """Predict the memory, in bytes, of a cell beyond the `ENGINE_BYTES` of an idle engine; patterns (H, W), object (Y,
    X).

    `n_modes` and `n_opr` are those of the starting probe, used if the recipe sets no number of modes. The coefficients
    bound the peak resident size that was measured on the CPU for 8 to 2000 exposures of 64 x 64 and 128 x 128 and
    batches of 16 and 96, by 1 to 25 %; with two or three reconstructions side by side, which take turns with their
    minibatches, by 18 to 50 % (42 to 1000 exposures). What a GPU took is in docs/reference/gpu.md. Each further mode of
    the probe took 60 to 89 % of its `ARRAYS_OF_MODE` (batches of 96 of 128 x 128, rPIE, and LSQML with either kind of
    steps), refined positions and two OPR modes up to 90 % of theirs. DM also keeps the waves behind the
    object. 24 threads took 76 % with an object of 2516 x 2474.
    """
    modes = recipe.probe_modes or n_modes
    pixels = diffraction_shape_px[0] * diffraction_shape_px[1]
    arrays = BATCH_ARRAYS + ARRAYS_OF_MODE * (modes - 1) + ARRAYS_OF_POSITIONS * recipe.refine_positions
    further_opr = recipe.n_opr_modes(n_opr) - 1
    arrays += ARRAYS_OF_OPR * (further_opr > 0) + ARRAYS_OF_OPR_MODE * further_opr
    batch = recipe.exposures_in_batch(n_exposures) * pixels * 8 * arrays
    waves = n_exposures * pixels * 8 * modes if recipe.algorithm == "DM" else 0
    height, width = (side + 2 * math.ceil(recipe.drift_limit_px) for side in object_shape_px)
    of_threads = (recipe.threads - 1) * min(modes, ARRAYS_OF_THREAD)
    grid = height * width * 8 * (OBJECT_ARRAYS + of_threads) + pixels * MASK_BYTES
    return FIXED_BYTES + batch + recipe.n_reconstructions * (n_exposures * pixels * BYTES_PER_PIXEL + waves + grid)
