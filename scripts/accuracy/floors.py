"""Measures whether the late fall of a noise-free loss tells a lack of epochs from a model that does not fit.

Exposures come from plain FFTs on whole pixels. The positions that the engine is told are off by up to `--errors` px: 0
is a model that fits, any other one that fits no object. The table has the phase error, the late fall of the loss, and
by how much the error falls when the epochs are doubled. `python scripts/accuracy/floors.py` prints that of
docs/explanation/floors.md.
"""

from __future__ import annotations

import argparse

import numpy as np

from fly64dask.metrics import compare_with_truth
from fly64dask.reconstruction import Exposures, late_loss_fall
from fly64dask.reconstruction.lsqml.engine import reconstruct
from fly64dask.records import STILL_FALLING
from fly64dask.simulation import synthetic_pair
from fly64dask.study import Recipe

SIDE_PX, OBJECT_PX, N_EXPOSURES = 32, 88, 80


def closed_loop(error_px: float, n_epochs: int, noise_model: str) -> tuple[float, float, float]:
    """Phase errors of the reconstruction and of an empty object (rad), and the late fall of its loss."""
    rng, half = np.random.default_rng(3), SIDE_PX // 2
    pair = synthetic_pair((OBJECT_PX, OBJECT_PX), (SIDE_PX, SIDE_PX), seed=7)
    places = rng.integers(half, OBJECT_PX - half, (N_EXPOSURES, 2))
    patches = np.stack([pair.object_truth[y - half : y + half, x - half : x + half] for y, x in places])
    intensity = np.abs(np.fft.fftshift(np.fft.fft2(patches * pair.probe, norm="ortho"), axes=(1, 2))) ** 2
    exposures = Exposures(
        counts=(intensity * 1e6 / intensity.sum(axis=(1, 2)).mean()).astype(np.float32),
        positions_px=places + rng.uniform(-error_px, error_px, places.shape),
        probe_guess=pair.probe[None, None].astype(np.complex64),
        noise_free=True,
    )
    recipe = Recipe(n_epochs=n_epochs, batch_size=40, noise_model=noise_model, device="cpu")
    result = reconstruct(exposures, recipe, seed=1, progress=lambda epoch, loss: None)
    metrics = compare_with_truth(
        result.object_recon[0],
        pair.object_truth,
        origin_px=result.object_origin_px,
        probe=pair.probe,
        positions_px=places.astype(float),
    ).metrics
    fall = late_loss_fall(result.loss)
    assert fall is not None, "there are epochs enough"
    return metrics.phase_rmse_rad, metrics.empty_phase_rmse_rad, fall


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--errors", type=float, nargs="+", default=[0.0, 0.5, 1.0, 2.0, 3.0], help="px")
    parser.add_argument(
        "--epochs", type=int, nargs="+", default=[20, 40, 80, 160, 320], help="each twice the one before"
    )
    parser.add_argument("--noise-models", nargs="+", default=["gaussian"])
    options = parser.parse_args()
    print(
        "| noise model | error of positions (px) | epochs | phase error (rad) | late fall of the loss | says | ", end=""
    )
    print("error falls with twice the epochs by |\n|---|---|---|---|---|---|---|")
    for noise_model in options.noise_models:
        for error_px in options.errors:
            found = [closed_loop(error_px, n_epochs, noise_model) for n_epochs in options.epochs]
            later = [*(error for error, _, _ in found[1:]), None]
            for n_epochs, (error, _, fall), after in zip(options.epochs, found, later, strict=True):
                says = "convergence" if fall >= STILL_FALLING else "model"
                gain = "" if after is None else f"{1 - after / error:.0%}"
                cells = (noise_model, f"{error_px:g}", n_epochs, f"{error:.4f}", f"{fall:.3f}", says, gain)
                print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
