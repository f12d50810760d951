"""What a plan says of a cell's recipe: predicted memory, held against measured peaks, and minibatches too large."""

from __future__ import annotations

import pytest
from tiny import tiny_study

from fly64dask.datasets import read_inputs
from fly64dask.scheduling import plan_cells, predicted_memory_bytes
from fly64dask.study import Recipe, cells

# Exposures of 128 x 128, side of the object, what the recipe says, and the peak of resident memory beyond the loaded
# engine's in MB: one run each on one thread of the CPU, batches of 96.
MEASURED = [
    (100, 236, {}, 186),
    (100, 236, {"probe_modes": 2}, 274),
    (100, 236, {"probe_modes": 4}, 366),
    (100, 236, {"accelerated": False}, 356),
    (100, 236, {"accelerated": False, "probe_modes": 4}, 622),
    (100, 236, {"refine_positions": True}, 273),
    (100, 236, {"refine_positions": True, "accelerated": False}, 379),
    (100, 236, {"refine_positions": True, "algorithm": "rPIE"}, 310),
    (100, 236, {"opr_modes": 2}, 272),
    (100, 236, {"opr_modes": 4}, 286),
    (100, 236, {"opr_modes": 2, "accelerated": False}, 324),
    (100, 236, {"algorithm": "rPIE"}, 359),
    (100, 236, {"algorithm": "rPIE", "probe_modes": 4}, 627),
    (400, 336, {"algorithm": "DM"}, 390),
    (400, 336, {"algorithm": "DM", "probe_modes": 4}, 743),
]


def predicted(n_exposures, side_px, **keys):
    recipe = Recipe(**keys)
    return predicted_memory_bytes(n_exposures, (128, 128), (side_px, side_px), recipe)


@pytest.mark.parametrize(("n_exposures", "side_px", "keys", "peak_mb"), MEASURED)
def test_predicted_memory_bounds_what_was_measured(n_exposures, side_px, keys, peak_mb):
    assert peak_mb * 1e6 < predicted(n_exposures, side_px, **keys) < 2.1 * peak_mb * 1e6


@pytest.mark.parametrize(("keys", "peak_mb"), [({}, 1852), ({"probe_modes": 2, "halves": "counts"}, 8062)])
def test_predicted_memory_bounds_what_24_threads_took_with_a_large_object(keys, peak_mb):
    predicted_bytes = predicted_memory_bytes(60, (64, 64), (2516, 2474), Recipe(threads=24, **keys))
    assert peak_mb * 1e6 < predicted_bytes < 1.5 * peak_mb * 1e6


def test_predicted_memory_counts_the_modes_of_the_starting_probe_where_the_recipe_says_nothing():
    of_probe = predicted_memory_bytes(100, (128, 128), (236, 236), Recipe(), 3)
    assert of_probe == predicted(100, 236, probe_modes=3) > predicted(100, 236)
    assert predicted_memory_bytes(100, (128, 128), (236, 236), Recipe(probe_modes=1), 3) == predicted(100, 236)


def test_predicted_memory_counts_the_opr_modes_of_the_starting_probe_where_the_recipe_says_nothing():
    of_probe = predicted_memory_bytes(100, (128, 128), (236, 236), Recipe(), 1, 3)
    assert of_probe == predicted(100, 236, opr_modes=3) > predicted(100, 236)


def test_predicted_memory_of_all_exposures_at_once_is_that_of_a_batch_of_as_many():
    assert predicted(400, 336, batch_size="all") == predicted(400, 336, batch_size=400) > predicted(400, 336)


def test_plan_names_cells_that_are_too_small_for_their_compact_minibatches():
    study = tiny_study(batching="compact", batch_size=16, on_degenerate="guarded")
    plan = plan_cells(study, read_inputs(study), list(cells(study)))
    refused = {cell.view for cell in plan if "bad_input: compact minibatches of 16" in (cell.warning or "")}
    assert {cell.view for cell in plan if 1 < cell.n_kept <= 16} == refused == {"few"}
