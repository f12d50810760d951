"""The spectral SNR of repeats: against white noise of known variance, and where there is nothing to compare."""

from __future__ import annotations

import numpy as np
import pytest

from fly64dask.metrics import Rings, SnrSums

INSIDE = np.hypot(*np.mgrid[-24:24, -24:24]) < 22


def snr_of(images, inside=INSIDE):
    sums = SnrSums(Rings.around(inside))
    for image in images:
        sums.add(image)
    return sums.snr()


def noises(n, sigma, seed=0):
    """White complex noise of variance sigma^2 for each pixel."""
    rng = np.random.default_rng(seed)
    return sigma / np.sqrt(2) * (rng.standard_normal((n, 48, 48)) + 1j * rng.standard_normal((n, 48, 48)))


def test_white_noise_on_a_white_object_has_the_ratio_of_their_variances():
    """An object of unit variance under noise of variance 0.25."""
    truth = noises(1, 1.0, seed=1)[0]
    found = np.array([snr_of(truth + noises(8, 0.5, seed=seed)).snr for seed in range(2, 22)]).mean(axis=0)
    window = Rings.around(INSIDE)
    expected = window.sums(np.abs(window.spectrum(truth)) ** 2) / window.sums(
        np.full(window.window.shape, 0.25 * (window.window**2).sum())
    )
    # Without the first ring, where the mean over the area that is subtracted takes noise with it.
    np.testing.assert_allclose(found[1:], expected[1:], rtol=0.15)
    assert found[1:].mean() == pytest.approx(4.0, rel=0.1)


def test_noise_alone_has_no_ratio_on_average():
    found = np.array([snr_of(noises(4, 1.0, seed=seed)).snr for seed in range(40)])
    assert found.mean() == pytest.approx(0.0, abs=0.01)


def test_a_quarter_of_the_noise_variance_gives_four_times_the_ratio():
    truth = noises(1, 1.0, seed=1)[0]
    coarse, fine = snr_of(truth + noises(8, 0.2)), snr_of(truth + noises(8, 0.1))
    np.testing.assert_allclose((fine.snr + 1 / 8) / (coarse.snr + 1 / 8), 4.0, rtol=0.1)


def test_what_lies_outside_of_the_area_does_not_count():
    truth = noises(1, 1.0, seed=1)[0]
    images = truth + noises(3, 0.3)
    spoiled = np.where(INSIDE, images, np.nan)
    np.testing.assert_array_equal(snr_of(spoiled).snr, snr_of(np.where(INSIDE, images, 0)).snr)


def test_equal_images_have_an_infinite_ratio():
    assert np.isinf(snr_of([noises(1, 1.0)[0]] * 3).snr).all()


def test_two_repeats_have_no_spectral_snr():
    assert snr_of(noises(2, 1.0)) is None
