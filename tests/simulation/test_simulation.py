"""Simulated light and photons, against analytic limits and Poisson statistics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from fly64dask.base import InputError
from fly64dask.simulation import (
    Pair,
    check_coverage,
    expose,
    intensity_batches,
    photon_stream,
    survey_brightness,
    synthetic_pair,
    thin,
)
from fly64dask.simulation.forward import diffraction_intensity, exit_waves

PAIR = synthetic_pair((96, 112), (32, 32), seed=3)
POSITIONS = np.array([[16.0, 16.0], [40.25, 50.5], [80.0, 96.0], [33.75, 20.125]])


def test_synthetic_pair_depends_on_its_seed_alone():
    again, other = synthetic_pair((96, 112), (32, 32), seed=3), synthetic_pair((96, 112), (32, 32), seed=4)
    assert np.array_equal(PAIR.object_truth, again.object_truth)
    assert not np.array_equal(PAIR.object_truth, other.object_truth)


def test_synthetic_pair_has_a_probe_that_is_dark_at_its_edge():
    intensity = np.abs(synthetic_pair((464, 464), (128, 128), seed=7).probe) ** 2
    border = np.concatenate([intensity[0], intensity[-1], intensity[:, 0], intensity[:, -1]])
    assert border.max() < 1e-6 * intensity.max()


def test_synthetic_pair_absorbs_and_never_amplifies():
    assert np.abs(PAIR.object_truth).max() <= 1.0 + 1e-6


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_intensity_batches_do_not_depend_on_the_batch(batch):
    joined = np.concatenate(list(intensity_batches(PAIR, POSITIONS, batch=batch)))
    assert np.allclose(joined, diffraction_intensity(exit_waves(PAIR, POSITIONS)), rtol=1e-5, atol=1e-7)


def test_survey_brightness_is_the_mean_light_of_an_exposure():
    light = (np.abs(exit_waves(PAIR, POSITIONS)) ** 2).sum(axis=(1, 2))
    assert survey_brightness(PAIR, POSITIONS).mean_total == pytest.approx(light.mean(), rel=1e-5)


def test_survey_brightness_refuses_a_dark_scan():
    dark = Pair(object_truth=np.zeros((96, 112), np.complex64), probe=PAIR.probe)
    with pytest.raises(InputError, match="the mean intensity per exposure is 0"):
        survey_brightness(dark, POSITIONS)


@pytest.mark.parametrize("dose", [1e3, 1e5])
def test_expose_gives_the_dose_on_average(dose):
    positions = np.random.default_rng(1).uniform(16, 80, (50, 2))
    scale = dose / survey_brightness(PAIR, positions).mean_total
    rng = photon_stream(42, dose, "train")
    totals = np.concatenate([expose(i, scale, rng=rng).sum(axis=(1, 2)) for i in intensity_batches(PAIR, positions)])
    assert totals.mean() == pytest.approx(dose, abs=6 * np.sqrt(dose / 50))


def test_expose_in_batches_draws_what_it_draws_at_once():
    (intensity,) = intensity_batches(PAIR, POSITIONS)
    at_once = expose(intensity, 50.0, rng=np.random.default_rng(5))
    rng = np.random.default_rng(5)
    assert np.array_equal(np.concatenate([expose(part[None], 50.0, rng=rng) for part in intensity]), at_once)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 0.95), st.integers(0, 2**32))
def test_thin_gives_poisson_counts_at_the_lower_dose(probability, seed):
    rng = np.random.default_rng(seed)
    thinned = thin(rng.poisson(40.0, 20000), probability, rng=rng)
    mean = 40.0 * probability
    assert thinned.mean() == pytest.approx(mean, abs=6 * np.sqrt(mean / 20000))
    # Variance of a sample variance of Poisson counts: (mu + 2 mu^2) / n.
    assert thinned.var() == pytest.approx(mean, abs=6 * np.sqrt((mean + 2 * mean**2) / 20000))


def test_thin_leaves_counts_alone_at_the_measured_dose():
    counts = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    assert np.array_equal(thin(counts, 1.0, rng=np.random.default_rng(0)), counts)


def test_photon_stream_differs_by_seed_dose_and_split():
    keys = [(42, 1e3, "train"), (43, 1e3, "train"), (42, 1e4, "train"), (42, 1e3, "test")]
    firsts = {photon_stream(*key).integers(2**62) for key in keys}
    assert len(firsts) == 4


@pytest.mark.parametrize("position", [[15.9, 50.0], [80.1, 50.0], [50.0, 15.0], [50.0, 96.5]])
def test_check_coverage_refuses_a_patch_outside_the_object(position):
    with pytest.raises(InputError, match="position 1 "):
        check_coverage(np.array([[40.0, 40.0], position]), (32, 32), (96, 112))


def test_check_coverage_takes_the_extreme_corners_and_nothing_beyond():
    corners = np.array([[16.0, 16.0], [80.0, 96.0]])
    check_coverage(corners, (32, 32), (96, 112))
    for beyond in np.array([[[-0.1, 0], [0, 0]], [[0, 0], [0, 0.1]]]):
        with pytest.raises(InputError):
            check_coverage(corners + beyond, (32, 32), (96, 112))
