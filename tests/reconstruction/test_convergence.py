"""How much a loss still falls at the end, and what that says in a closed loop without noise."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from against_truth import truth_metrics

from fly64dask.reconstruction import Exposures, late_loss_fall
from fly64dask.reconstruction.lsqml.engine import reconstruct
from fly64dask.records import STILL_FALLING
from fly64dask.simulation import synthetic_pair
from fly64dask.study import Recipe

SIDE, SPAN, N_EXPOSURES = 32, 88, 80


def test_late_loss_fall_compares_the_last_quarter_with_the_one_before():
    assert late_loss_fall(np.array([9.0, 9, 9, 9, 4, 4, 1, 1])) == pytest.approx(0.75)


def test_late_loss_fall_is_negative_of_a_loss_that_rises():
    assert late_loss_fall(np.array([9.0, 9, 9, 9, 1, 1, 2, 2])) == pytest.approx(-1.0)


def test_late_loss_fall_of_a_loss_that_halves_each_epoch_is_known():
    # From the third to the last of four quarters of two epochs each: a quarter of it is left.
    assert late_loss_fall(0.5 ** np.arange(8)) == pytest.approx(0.75)


@pytest.mark.parametrize("loss", [np.ones(7), np.array([1.0] * 7 + [0.0])])
def test_late_loss_fall_is_unknown_of_few_epochs_and_of_a_loss_that_is_not_positive(loss):
    assert late_loss_fall(loss) is None


@functools.cache
def closed_loop(jitter_px, n_epochs):
    """Phase error (rad) and late fall of the loss: exposures by plain FFTs on whole pixels, positions told with an
    error.
    """
    rng, half = np.random.default_rng(3), SIDE // 2
    pair = synthetic_pair((SPAN, SPAN), (SIDE, SIDE), seed=7)
    places = rng.integers(half, SPAN - half, (N_EXPOSURES, 2))
    patches = np.stack([pair.object_truth[y - half : y + half, x - half : x + half] for y, x in places])
    waves = np.fft.fft2(patches * pair.probe, norm="ortho")
    intensity = np.fft.fftshift(np.abs(waves) ** 2, axes=(1, 2))
    counts = (intensity * 1e6 / intensity.sum(axis=(1, 2)).mean()).astype(np.float32)
    told = places + rng.uniform(-jitter_px, jitter_px, places.shape)
    exposures = Exposures(
        counts=counts, positions_px=told, probe_guess=pair.probe[None, None].astype(np.complex64), noise_free=True
    )
    recipe = Recipe(n_epochs=n_epochs, batch_size=40, device="cpu")
    result = reconstruct(exposures, recipe, seed=1, progress=lambda epoch, loss: None)
    return truth_metrics(result, pair, places.astype(float)).phase_rmse_rad, late_loss_fall(result.loss)


def test_loss_still_falls_where_more_epochs_lower_the_error():
    error, fall = closed_loop(0.0, 40)
    assert fall > STILL_FALLING
    assert closed_loop(0.0, 80)[0] < 0.8 * error


def test_loss_has_settled_where_more_epochs_do_not_lower_the_error():
    """Positions that are told wrongly are a fault of the model: the data fit no object."""
    error, fall = closed_loop(2.0, 80)
    assert fall < STILL_FALLING
    assert closed_loop(2.0, 160)[0] > 0.8 * error
