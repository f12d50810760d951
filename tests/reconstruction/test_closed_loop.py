"""The closed loop: what is simulated converges to its truth, whatever the detector's shape and the forward model."""

from __future__ import annotations

import numpy as np
import pytest
from against_truth import truth_metrics

from fly64dask.reconstruction import Exposures
from fly64dask.reconstruction.lsqml import reconstruct
from fly64dask.simulation import expose, intensity_batches, survey_brightness, synthetic_pair
from fly64dask.study import Recipe

N_EXPOSURES = 120


def reconstruct_simulated(shape_px: tuple[int, int], dose_photons: float, *, n_epochs: int, oversampling: int = 1):
    """Simulate a scan, reconstruct it, and compare with the truth; phase error in rad beside the reconstruction."""
    pair = synthetic_pair((88, 88), shape_px, seed=1, oversampling=oversampling)
    positions = np.random.default_rng(0).uniform(22, 66, (N_EXPOSURES, 2))
    scale = dose_photons / survey_brightness(pair, positions).mean_total
    rng = np.random.default_rng(4)
    counts = np.concatenate([expose(part, scale, rng=rng) for part in intensity_batches(pair, positions)])
    exposures = Exposures(counts=counts.astype(np.uint32), positions_px=positions, probe_guess=pair.probe[None, None])
    recipe = Recipe(n_epochs=n_epochs, batch_size=16, device="cpu")
    result = reconstruct(exposures, recipe, seed=7, progress=lambda *_: None)
    return truth_metrics(result, pair, positions), result, exposures, scale


@pytest.fixture(scope="module")
def errors_by_shape():
    shapes = [(32, 32), (31, 31), (33, 32), (32, 35)]
    return {shape: reconstruct_simulated(shape, 1e7, n_epochs=40)[0] for shape in shapes}


def test_a_bright_scan_converges_to_its_truth_on_even_odd_and_mixed_detectors(errors_by_shape):
    for found in errors_by_shape.values():
        assert found.phase_rmse_rad < 0.005


def test_a_reconstruction_lies_where_its_truth_does_on_any_detector(errors_by_shape):
    for shape, found in errors_by_shape.items():
        shift = np.hypot(found.alignment.shift_y_px, found.alignment.shift_x_px)
        assert shift < 0.02, shape


def test_a_hundred_times_the_photons_leave_a_tenth_of_the_error():
    few, many = (reconstruct_simulated((32, 32), dose, n_epochs=60)[0].phase_rmse_rad for dose in (1e4, 1e6))
    assert np.log(many / few) / np.log(100) == pytest.approx(-0.5, abs=0.08)


def test_the_fine_model_converges_to_what_the_detector_resolves_of_its_object():
    metrics, *_ = reconstruct_simulated((32, 32), 1e7, n_epochs=40, oversampling=2)
    assert metrics.phase_rmse_rad < 0.01


def test_the_reconstructed_probe_holds_the_photons_that_light_an_exposure():
    metrics, result, exposures, scale = reconstruct_simulated((32, 32), 1e6, n_epochs=20)
    # Object and probe are known up to a factor that the one has more and the other less. The true probe's squares sum
    # to 1, so that `scale` photons light an exposure; some are absorbed.
    power = float((np.abs(result.probe_recon) ** 2).sum()) / metrics.alignment.amplitude_scale**2
    assert exposures.counts.sum(axis=(1, 2)).mean() < scale
    assert power == pytest.approx(scale, rel=2e-3)
