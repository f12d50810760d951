"""What the benchmarks of closed loops share: simulated exposures are reconstructed and held against their truth."""

from __future__ import annotations

from collections.abc import Container

from fly64dask.metrics import compare_with_truth
from fly64dask.reconstruction import Exposures
from fly64dask.reconstruction.lsqml import as_array, begin, settings_put_back
from fly64dask.scan import object_frame
from fly64dask.simulation import Pair
from fly64dask.study import Recipe

EMPTY = "0"  # the epoch of the empty object, with which a reconstruction begins


def errors_by_epoch(
    pair: Pair, exposures: Exposures, recipe: Recipe, looks: Container[int], *, device: str = "cpu"
) -> dict[str, float]:
    """Reconstruct exposures and look at the truth after some epochs.

    Parameters
    ----------
    pair : Pair
        What was simulated.
    exposures : Exposures
        Its photons, or its expected ones.
    recipe : Recipe
        How they are reconstructed.
    looks : container of int
        After which epochs.
    device : "cpu" or "cuda"
        Where.

    Returns
    -------
    dict of str to float
        Phase error in rad by epoch, and that of an empty object by `EMPTY`.
    """
    shape = (pair.probe.shape[0], pair.probe.shape[1])
    _, origin_px = object_frame(exposures.positions_px, shape)
    by_epoch: dict[str, float] = {}
    with settings_put_back(1):
        running = begin(exposures, recipe, seed=123, device=device)

        def look(epoch: int, _: float) -> None:
            if epoch in looks:
                metrics = compare_with_truth(
                    as_array(running.tasks.full, "object")[0],
                    pair.object_truth,
                    origin_px=origin_px,
                    probe=pair.probe,
                    positions_px=exposures.positions_px,
                ).metrics
                by_epoch[EMPTY] = metrics.empty_phase_rmse_rad
                by_epoch[str(epoch)] = metrics.phase_rmse_rad

        with running.tasks.accelerated(enabled=recipe.accelerated):
            running.run(recipe.n_epochs, look, None)
    return by_epoch
