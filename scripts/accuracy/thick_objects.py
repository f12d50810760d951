"""What stopping by half sets would choose of objects whose phase wraps, and how much signal it sees in them.

Run it from the repository:

    python scripts/accuracy/thick_objects.py [--seeds 11 12] [--phases 0.5 1 1.25 1.5 3]

A smooth phase of so many rad (standard deviation; speckle that is smoothed by a Gaussian of 10 px) is added to the
objects of stopping.py, of which 300 exposures are taken. 100 epochs are run whatever the rule says, and errors are by
the truth. A case takes about ten seconds of one thread, and warns if its rule would have been given up.
"""

from __future__ import annotations

import argparse
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from stopping import DOSES_PHOTONS, RECIPE, SIDE_PX, expose, replay, speckle

from fly64dask.reconstruction import HalfSetEstimator
from fly64dask.reconstruction.lsqml import as_array, begin
from fly64dask.scan import crop_to_frame, illuminated_area, illumination_map, object_frame
from fly64dask.simulation import Pair
from fly64dask.study import PATIENCE

N_EXPOSURES, SMOOTH_PX = 300, 10


class Case(NamedTuple):
    """The signal that the rule sees at most, rad^2, and errors over that of the best epoch."""

    largest_signal: float
    chosen: float
    last: float


def main() -> None:
    """Measure all cases, and print a line for each phase that is added."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12])
    parser.add_argument("--phases", type=float, nargs="+", default=[0.5, 1, 1.25, 1.5, 3], help="rad")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| added phase, rad | largest P, rad² | the rule's epoch, over the best | last epoch, over the best |")
    print("|---|---|---|---|")
    for phase_rad in arguments.phases:
        cases = [measure(phase_rad, dose, seed) for seed, dose in product(arguments.seeds, DOSES_PHOTONS)]
        ranges = [f"{min(values):.2f} to {max(values):.2f}" for values in zip(*cases, strict=True)]
        print(f"| {phase_rad:g} | " + " | ".join(ranges) + " |", flush=True)


def thicker(pair: Pair, phase_rad: float, seed: int) -> Pair:
    """Add a smooth phase to an object."""
    noise = np.random.default_rng(seed).standard_normal(pair.object_truth.shape)
    smooth = gaussian_filter(noise, SMOOTH_PX, mode="wrap")
    added = np.exp(1j * phase_rad * smooth / smooth.std())
    return Pair(object_truth=(pair.object_truth * added).astype(np.complex64), probe=pair.probe)


def measure(phase_rad: float, dose_photons: float, seed: int) -> Case:
    """Reconstruct an object with its halves, and look at both and at the truth after each epoch."""
    pair = thicker(speckle(seed), phase_rad, seed)
    exposures = expose(pair, N_EXPOSURES, dose_photons, seed)
    shape, origin = object_frame(exposures.positions_px, (SIDE_PX, SIDE_PX))
    truth, known = crop_to_frame(pair.object_truth, shape, origin)
    area = illuminated_area(illumination_map(pair.probe, exposures.positions_px, shape, origin)) & known
    estimator = HalfSetEstimator(area)
    running = begin(exposures, RECIPE, seed=seed, device="cpu")
    estimates, errors = [], []

    def note(*_: Any) -> None:
        image = as_array(running.tasks.full, "object")[0]
        estimate = estimator.estimate(image, running.tasks.half_objects())
        estimates.append((estimate.signal, estimate.noise))
        rest = estimator.phase((image * truth.conj()).astype(np.complex64))
        errors.append(float(np.sqrt(np.mean(rest**2))))

    with running.tasks.accelerated(enabled=True):
        running.run(RECIPE.n_epochs, note, None)
    chosen, _ = replay({"estimates": estimates}, PATIENCE)
    best = min(errors)
    return Case(max(signal for signal, _ in estimates), errors[chosen - 1] / best, errors[-1] / best)


if __name__ == "__main__":
    main()
