"""Fourier ring correlation against its analytic limits: equal images, white noise, a known signal over noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from fly64dask.base import InputError
from fly64dask.metrics import RingCorrelation, crossing, frc
from fly64dask.metrics.ring_correlation import threshold

SHAPE = (150, 180)


def disc(shape=SHAPE, radius=70):
    y, x = np.indices(shape)
    return np.hypot(y - shape[0] / 2, x - shape[1] / 2) < radius


def noise(rng, shape=SHAPE):
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


def low_passed(image, cut_off_per_px):
    frequency = np.hypot(np.fft.fftfreq(image.shape[0])[:, None], np.fft.fftfreq(image.shape[1]))
    return np.fft.ifft2(np.fft.fft2(image) * (frequency <= cut_off_per_px))


def curve_of(correlation, n_pixels=1e6):
    correlation = np.asarray(correlation, dtype=float)
    n = len(correlation)
    return RingCorrelation(
        frequency_per_px=np.arange(1, n + 1) / (2 * n),
        correlation=correlation,
        n_pixels=np.full(n, float(n_pixels)),
    )


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(12, 60))
def test_ring_correlation_of_equal_images_is_one(seed, radius):
    image = noise(np.random.default_rng(seed))
    curve = frc(image, image, disc(radius=radius))
    assert np.allclose(curve.correlation, 1.0, atol=1e-12)
    assert crossing(curve, "half_bit") is None
    assert crossing(curve, "half") is None


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_ring_correlation_of_independent_noise_is_zero_within_its_statistics(seed):
    rng = np.random.default_rng(seed)
    inside = disc()
    curve = frc(noise(rng) + 5, noise(rng) - 3j, inside)
    # Each ring has a deviation of sqrt(1 / 2n), its real part's; a fluke of 6 of them comes once in 10^9 rings.
    assert (np.abs(curve.correlation) < 6 * np.sqrt(0.5 / curve.n_pixels)).all()


def test_ring_correlation_states_no_more_independent_pixels_than_its_noise_shows():
    rng = np.random.default_rng(3)
    curves = [frc(noise(rng), noise(rng), disc()) for _ in range(60)]
    spread = np.mean([curve.correlation**2 for curve in curves], axis=0)
    assert 0.55 < np.mean(spread * 2 * curves[0].n_pixels) < 1.0


def test_ring_correlation_ignores_what_lies_outside():
    rng = np.random.default_rng(4)
    inside, first, second = disc(), noise(rng), noise(rng)
    expected = frc(first, second, inside).correlation
    found = frc(np.where(inside, first, np.nan), np.where(inside, second, 1e9), inside).correlation
    assert np.allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("signal_over_noise", [0.2, 1.0, 4.0])
def test_ring_correlation_of_a_white_signal_in_noise_is_its_analytic_value(signal_over_noise):
    rng = np.random.default_rng(5)
    signal = noise(rng, (300, 300)) * np.sqrt(signal_over_noise)
    inside = disc((300, 300), 145)
    curve = frc(signal + noise(rng, (300, 300)), signal + noise(rng, (300, 300)), inside)
    expected = signal_over_noise / (1 + signal_over_noise)
    assert np.average(curve.correlation, weights=curve.n_pixels) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("signal_over_noise", [0.03, 0.15, 1.0])
def test_ring_correlation_with_a_signal_without_noise_is_the_root_of_that_of_two_noisy_images(signal_over_noise):
    rng = np.random.default_rng(15)
    signal = noise(rng, (300, 300)) * np.sqrt(signal_over_noise)
    curve = frc(signal + noise(rng, (300, 300)), signal, disc((300, 300), 145))
    expected = np.sqrt(signal_over_noise / (1 + signal_over_noise))
    assert np.average(curve.correlation, weights=curve.n_pixels) == pytest.approx(expected, abs=0.01)


def test_half_a_bit_against_the_truth_asks_for_less_than_between_halves():
    """A signal over noise of 0.2 in the full data is below half a bit, 0.41, on every ring."""
    rng = np.random.default_rng(16)
    inside, signal = disc((300, 300), 145), noise(rng, (300, 300)) * np.sqrt(0.1)
    halves = [signal + noise(rng, (300, 300)) for _ in range(2)]
    assert crossing(frc(*halves, inside), "half_bit").shell < 10
    against_truth = frc(sum(halves) / 2, signal, inside)
    fast = slice(60, None)  # rings of many pixels
    assert (against_truth.correlation > threshold(against_truth, "half_bit"))[fast].all()
    assert (against_truth.correlation < threshold(against_truth, "half"))[fast].all()


@settings(max_examples=20)
@given(st.floats(0.01, 100), st.floats(-3, 3), st.floats(-2, 2))
def test_ring_correlation_ignores_scale_common_phase_and_mean(scale, phase, mean):
    rng = np.random.default_rng(6)
    inside, signal = disc(), noise(rng)
    first, second = signal + noise(rng), signal + noise(rng)
    turn = np.exp(1j * phase)
    expected = frc(first, second, inside).correlation
    found = frc(scale * turn * (first + mean), turn * second, inside).correlation
    assert np.allclose(found, expected, atol=1e-9)


def test_ring_correlation_of_a_flat_image_is_zero():
    curve = frc(np.ones(SHAPE), noise(np.random.default_rng(7)), disc())
    assert (curve.correlation == 0).all()
    assert crossing(curve, "half_bit").shell == 1.0


def test_ring_correlation_refuses_an_area_without_frequencies():
    with pytest.raises(InputError, match="3 px high"):
        frc(np.ones((9, 9)), np.ones((9, 9)), np.pad(np.ones((3, 9), dtype=bool), ((3, 3), (0, 0))))


@pytest.mark.parametrize("cut_off_per_px", [0.1, 0.25, 0.4])
@pytest.mark.parametrize("criterion", ["half", "half_bit"])
def test_crossing_is_where_the_common_signal_ends(cut_off_per_px, criterion):
    rng = np.random.default_rng(8)
    signal = 5 * low_passed(noise(rng, (256, 256)), cut_off_per_px)
    first, second = (signal + noise(rng, (256, 256)) for _ in range(2))
    found = crossing(frc(first, second, disc((256, 256), 120)), criterion)
    assert found.frequency_per_px == pytest.approx(cut_off_per_px, abs=2 / 240)
    assert found.resolution_px == pytest.approx(1 / (2 * found.frequency_per_px))


def test_crossing_lies_on_the_line_between_two_rings():
    found = crossing(curve_of([1.0, 0.9, 0.6, 0.2, 0.9]), "half")
    assert found.shell == pytest.approx(3.25)
    assert found.frequency_per_px == pytest.approx(3.25 / 10)


def test_crossing_is_at_the_first_ring_when_nothing_agrees():
    assert crossing(curve_of([0.1, 0.9, 0.9]), "half").shell == 1.0


def test_crossing_is_in_nm_too_where_a_pixel_has_a_side():
    curve = replace(curve_of([1.0, 0.9, 0.6, 0.2, 0.9]), side_nm=8.0)
    assert crossing(curve, "half").resolution_nm == pytest.approx(8 * 10 / 3.25 / 2)


# (0.5 + 2.4142 / sqrt(n)) / (1.5 + 1.4142 / sqrt(n)), as van Heel and Schatz write one bit.
@pytest.mark.parametrize(("n_pixels", "expected"), [(1, 1.0), (100, 0.45171), (1e12, 1 / 3)])
def test_threshold_of_one_bit_is_the_published_one(n_pixels, expected):
    assert threshold(curve_of([1.0], n_pixels), "one_bit")[0] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("n_pixels", "expected"), [(1, 1.0), (100, 0.3067), (1e12, 0.17157)])
def test_threshold_of_half_a_bit_is_the_published_one(n_pixels, expected):
    published = (0.2071 + 1.9102 / np.sqrt(n_pixels)) / (1.2071 + 0.9102 / np.sqrt(n_pixels))
    found = threshold(curve_of([1.0], n_pixels), "half_bit")[0]
    assert found == pytest.approx(published, abs=1e-4)
    assert found == pytest.approx(expected, abs=1e-4)


def test_ring_correlation_of_pixels_that_are_not_square_has_rings_in_nm():
    # Two images of 800 x 800 nm agree up to 1 / (40 nm) in every direction: 20 nm of resolution in pixels of any sides
    # below that.
    rng, found = np.random.default_rng(8), []
    for sides_nm in ((8.0, 8.0), (8.0, 5.0), (4.0, 8.0)):
        shape = tuple(round(800 / side) for side in sides_nm)
        y, x = (np.fft.fftfreq(size, side) for size, side in zip(shape, sides_nm, strict=True))
        passed = np.hypot(y[:, None], x) <= 1 / 40
        shared = np.fft.ifft2(np.fft.fft2(noise(rng, shape)) * passed)
        images = [shared + np.fft.ifft2(np.fft.fft2(noise(rng, shape)) * ~passed) for _ in range(2)]
        curve = frc(*images, np.ones(shape, bool), pixel_nm=sides_nm)
        assert curve.frequency_per_px[-1] / curve.side_nm == pytest.approx(1 / (2 * max(sides_nm)), rel=0.02)
        found.append(crossing(curve, "half_bit").resolution_nm)
    np.testing.assert_allclose(found, 20, rtol=0.05)


def test_ring_correlation_of_square_pixels_does_not_depend_on_their_size():
    rng = np.random.default_rng(9)
    first, second, inside = noise(rng), noise(rng), disc()
    plain, sized = frc(first, second, inside), frc(first, second, inside, pixel_nm=(0.1, 0.1))
    assert np.array_equal(plain.correlation, sized.correlation)
    assert np.array_equal(plain.frequency_per_px, sized.frequency_per_px)
