"""Errors of a setup, one at a time: closed forms, means and variances, and conservation of light."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats

from fly64dask.base import InputError
from fly64dask.simulation import (
    Pair,
    SetupDetector,
    coherent_modes,
    expose,
    intensity_batches,
    mistake_probe,
    phase_plate_probe,
    photon_stream,
    saturated_count,
    setup_intensity_batches,
    setup_stream,
    true_positions_px,
    valid_pixels,
)
from fly64dask.simulation.setups.detector import read_out, spread_points
from fly64dask.simulation.setups.starting_probe import defocused, magnified
from fly64dask.study import Setup

SHAPE = (32, 40)
PROBE = phase_plate_probe(SHAPE)


def gaussian_probe(sigma_px, shape=(64, 64), centre=None):
    """A real Gaussian of that rms radius of its amplitude, at (H // 2, W // 2)."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    y0, x0 = (size // 2 for size in shape) if centre is None else centre
    return np.exp(-((y - y0) ** 2 + (x - x0) ** 2) / (4 * sigma_px**2)).astype(np.complex64)


def width_px(probe):
    """Rms radius of the intensity along x."""
    intensity = np.abs(probe) ** 2
    x = np.arange(probe.shape[-1])
    mean = (intensity * x).sum() / intensity.sum()
    return math.sqrt((intensity * (x - mean) ** 2).sum() / intensity.sum())


def pair_of(probe=PROBE, seed=0):
    rng = np.random.default_rng(seed)
    image = np.exp(1j * rng.normal(scale=0.5, size=(80, 90))).astype(np.complex64)
    return Pair(object_truth=image, probe=probe)


POSITIONS = np.random.default_rng(1).uniform(25, 50, (7, 2))


# The starting probe


@pytest.mark.parametrize("waves", [0.3, 2.0, -1.0])
def test_defocus_widens_a_gaussian_as_fresnel_propagation_does(waves):
    # A Gaussian beam: w(z)^2 = w0^2 (1 + (z / z_R)^2), z / z_R = wavelength z / (pi w0^2), w0 = 2 sigma,
    # and wavelength z = 8 W for pixels of side 1.
    sigma = 3.0
    z_over_rayleigh = 8 * waves / (math.pi * (2 * sigma) ** 2)
    expected = sigma * math.sqrt(1 + z_over_rayleigh**2)
    assert width_px(defocused(gaussian_probe(sigma), waves)) == pytest.approx(expected, rel=1e-3)


def test_defocus_back_and_forth_is_none():
    assert np.allclose(defocused(defocused(PROBE, 1.5), -1.5), PROBE, atol=1e-6)


@pytest.mark.parametrize("magnification", [0.8, 1.25])
def test_magnified_gaussian_is_a_gaussian_of_another_width(magnification):
    expected = gaussian_probe(4.0 * magnification)
    assert np.allclose(magnified(gaussian_probe(4.0), magnification), expected, atol=2e-4)


def test_magnified_by_one_is_the_same():
    assert np.allclose(magnified(PROBE, 1.0), PROBE, atol=1e-6)


def test_shrunk_probe_has_no_copies_at_the_border():
    shrunk = magnified(np.ones((24, 24), dtype=np.complex64), 0.5)
    assert np.abs(shrunk[12 - 5 : 12 + 6, 12]).min() > 0.9
    assert not shrunk[:5].any()


@pytest.mark.parametrize(
    "wrong", [{"probe_defocus_waves": 2.0}, {"probe_size_error": -0.2}, {"probe_size_error": 0.3}, {"probe_noise": 1.0}]
)
def test_mistaken_probe_has_the_power_of_the_true_one(wrong):
    mistaken = mistake_probe(PROBE[None, None], Setup(**wrong), seed=3)
    assert mistaken.shape == (1, 1, *SHAPE)
    assert (np.abs(mistaken) ** 2).sum() == pytest.approx((np.abs(PROBE) ** 2).sum(), rel=1e-5)
    assert not np.allclose(mistaken, PROBE, atol=1e-3)


def test_ideal_setup_mistakes_nothing():
    assert mistake_probe(PROBE, Setup(gap_px=3), seed=3) is PROBE


def test_probe_noise_has_the_wanted_rms_of_each_pixels_amplitude():
    flat = np.ones((128, 128), dtype=np.complex64)
    noisy = mistake_probe(flat, Setup(probe_noise=0.3), seed=3)
    # The power of 1 + e is 1 + 0.09 in the mean, and is brought back to 1.
    error = noisy * math.sqrt(1.09) - 1
    assert math.sqrt((np.abs(error) ** 2).mean()) == pytest.approx(0.3, rel=0.03)


# Positions


def test_jitter_has_the_wanted_rms_along_each_axis_and_no_mean():
    nominal = np.full((4000, 2), 50.0)
    errors = true_positions_px(nominal, Setup(position_jitter_px=0.7), seed=5) - nominal
    assert errors.std(axis=0) == pytest.approx([0.7, 0.7], rel=0.05)
    assert np.abs(errors.mean(axis=0)).max() < 4 * 0.7 / math.sqrt(4000)


def test_jitter_of_twice_the_size_moves_each_exposure_twice_as_far():
    once, twice = (true_positions_px(np.zeros((9, 2)), Setup(position_jitter_px=px), seed=5) for px in (1, 2))
    assert np.allclose(2 * once, twice)


def test_drift_is_linear_in_time_from_end_to_end_with_no_mean():
    moved = true_positions_px(np.zeros((5, 2)), Setup(position_drift_y_px=2.0, position_drift_x_px=-4.0), seed=5)
    assert moved.tolist() == [[-1.0, 2.0], [-0.5, 1.0], [0.0, 0.0], [0.5, -1.0], [1.0, -2.0]]


# Coherence


def test_coherent_modes_give_the_mean_pattern_of_a_source_of_points():
    # Gauss-Hermite quadrature over the source, each point lighting the sample with a shifted probe.
    sigma, nodes = 0.8, 21
    points, weights = np.polynomial.hermite.hermgauss(nodes)
    weights = weights / weights.sum()
    frequency_y, frequency_x = np.meshgrid(*(np.fft.fftfreq(size) for size in SHAPE), indexing="ij")
    image = pair_of().object_truth[20 : 20 + SHAPE[0], 20 : 20 + SHAPE[1]]
    expected = np.zeros(SHAPE)
    for dy, wy in zip(math.sqrt(2) * sigma * points, weights, strict=True):
        for dx, wx in zip(math.sqrt(2) * sigma * points, weights, strict=True):
            ramp = np.exp(-2j * np.pi * (frequency_y * dy + frequency_x * dx))
            shifted = np.fft.ifft2(np.fft.fft2(PROBE.astype(complex)) * ramp)
            expected += wy * wx * np.abs(np.fft.fft2(shifted * image)) ** 2
    found = sum(np.abs(np.fft.fft2(mode * image)) ** 2 for mode in coherent_modes(PROBE, sigma))
    assert np.abs(found - expected).sum() < 2e-3 * expected.sum()


def test_coherent_modes_are_orthogonal_brightest_first_and_of_the_probes_power():
    modes = coherent_modes(PROBE, 0.6).reshape(-1, PROBE.size)
    gram = modes.conj() @ modes.T
    powers = np.diag(gram).real
    assert len(modes) > 3
    assert np.abs(gram - np.diag(powers)).max() < 1e-5 * powers[0]
    assert (np.diff(powers) < 0).all()
    assert powers.sum() == pytest.approx((np.abs(PROBE) ** 2).sum(), rel=1e-5)


def test_a_point_source_has_the_probe_as_its_only_mode():
    assert np.array_equal(coherent_modes(PROBE, 0.0), PROBE[None])


def test_coherent_modes_refuses_a_source_that_needs_too_many():
    with pytest.raises(InputError, match=r"setup.source_size_px = 8: more than 64 coherent modes"):
        coherent_modes(PROBE, 8.0)


# The detector


def test_point_spread_keeps_the_light_that_stays_on_the_detector():
    patterns = np.zeros((2, 33, 41))
    patterns[:, 16, 20] = 100.0
    assert spread_points(patterns, 1.5).sum(axis=(1, 2)) == pytest.approx([100.0, 100.0])


def test_point_spread_loses_what_leaves_the_detector():
    patterns = np.zeros((1, 33, 41))
    patterns[:, 0, 20] = 100.0
    # Of a Gaussian at the centre of the outermost row, all beyond half a pixel above is lost.
    assert spread_points(patterns, 1.5).sum() == pytest.approx(100 * scipy.stats.norm.cdf(0.5 / 1.5))


@pytest.mark.parametrize("sigma", [0.8, 2.0])
def test_point_spread_has_the_variance_of_a_gaussian_seen_through_pixels(sigma):
    patterns = np.zeros((1, 65, 65))
    patterns[0, 32, 32] = 1.0
    along_x = spread_points(patterns, sigma)[0].sum(axis=0)
    # Sheppard's correction: a pixel's width adds 1 / 12.
    assert (along_x * (np.arange(65) - 32) ** 2).sum() == pytest.approx(sigma**2 + 1 / 12, rel=1e-3)


def test_point_spread_of_many_pixels_is_scipys_gaussian():
    patterns = np.random.default_rng(0).random((2, 30, 30))
    expected = scipy.ndimage.gaussian_filter(patterns, (0, 3, 3), mode="constant", truncate=8)
    assert np.allclose(spread_points(patterns, 3.0), expected, atol=4e-3)


def counts_of(setup, expected, n=4000, shape=(1, 1), rng=None):
    """Counts of many exposures of one expectation."""
    detector = SetupDetector(
        setup=setup, valid_pixels=valid_pixels(shape, setup, seed=0), read_noise=np.random.default_rng(8)
    )
    return detector.detect(np.full((n, *shape), expected), 1.0, rng=rng or np.random.default_rng(7)), detector


def test_background_adds_to_mean_and_variance():
    counts, _ = counts_of(Setup(background_photons=4.0), 6.0)
    assert counts.mean() == pytest.approx(10, abs=4 * math.sqrt(10 / 4000))
    assert counts.var() == pytest.approx(10, rel=0.1)


def test_read_noise_adds_its_variance_to_that_of_photons_and_rounding():
    counts, _ = counts_of(Setup(read_noise_photons=5.0), 100.0)
    assert counts.mean() == pytest.approx(100, abs=4 * math.sqrt(125 / 4000))
    assert counts.var() == pytest.approx(100 + 25 + 1 / 12, rel=0.1)


def test_gain_adds_the_variance_of_quantisation():
    counts, _ = counts_of(Setup(gain_photons=12.0), 2000.0, n=20000)
    assert set((counts % 12).ravel()) == {0}
    assert counts.var() == pytest.approx(2000 + 12**2 / 12, rel=0.04)


def test_read_noise_alone_leaves_the_mean_of_a_rectified_normal():
    counts, _ = counts_of(Setup(read_noise_photons=8.0), 0.0, n=20000)
    assert counts.min() == 0
    assert counts.mean() == pytest.approx(8 / math.sqrt(2 * math.pi), rel=0.04)


@pytest.mark.parametrize(("gain", "ceiling"), [(0.0, 90), (8.0, 88)])
def test_full_well_cuts_counts_and_is_counted(gain, ceiling):
    counts, detector = counts_of(Setup(full_well_photons=90.0, gain_photons=gain), 90.0)
    assert counts.max() == ceiling == saturated_count(Setup(full_well_photons=90.0, gain_photons=gain))
    # Of the unit that the ceiling ends, and all above it.
    lowest = ceiling - gain / 2
    assert detector.n_saturated / counts.size == pytest.approx(scipy.stats.poisson.sf(lowest - 0.5, 90), abs=0.03)


@pytest.mark.parametrize(
    ("setup", "by_hand"),
    [
        ({"full_well_photons": 90}, [0, 5, 7, 19, 89, 90, 90, 90]),
        ({"full_well_photons": 90.5}, [0, 5, 7, 19, 89, 90, 90, 90]),
        # Units of 12 photons, of which 7 fit into the well.
        ({"full_well_photons": 90, "gain_photons": 12}, [0, 0, 12, 24, 84, 84, 84, 84]),
        ({"gain_photons": 12}, [0, 0, 12, 24, 84, 96, 96, 996]),
        # Units of 2.5 photons: 5, 7.5, 20, 90, 90, 90 and 1000, as whole photons.
        ({"gain_photons": 2.5}, [0, 5, 8, 20, 90, 90, 90, 1000]),
    ],
)
def test_read_out_of_counts_by_hand(setup, by_hand):
    photons = np.array([0, 5, 7, 19, 89, 90, 91, 1000]).reshape(1, 2, 4)
    found = read_out(photons, Setup(**setup), rng=np.random.default_rng(0))
    assert found.ravel().tolist() == by_hand


def test_a_detector_without_read_out_counts_what_an_ideal_one_does():
    photons = np.arange(6).reshape(1, 2, 3)
    assert read_out(photons, Setup(gap_px=1), rng=np.random.default_rng(0)) is photons


def test_an_ideal_setup_gives_the_bits_of_an_ideal_detector():
    pair, setup = pair_of(), Setup()
    detector = SetupDetector(
        setup=setup, valid_pixels=valid_pixels(SHAPE, setup, seed=0), read_noise=np.random.default_rng(8)
    )
    (intensity,) = setup_intensity_batches(pair, POSITIONS, setup)
    (expected,) = intensity_batches(pair, POSITIONS)
    found = detector.detect(intensity, 1e4, rng=photon_stream(3, 1e4, "train"))
    assert np.array_equal(intensity, expected)
    assert np.array_equal(found, expose(expected, 1e4, rng=photon_stream(3, 1e4, "train")))


def test_detectors_with_other_gaps_count_the_same_photons_elsewhere():
    few, _ = counts_of(Setup(gap_px=1), 50.0, n=3, shape=(9, 9))
    many, _ = counts_of(Setup(gap_px=3), 50.0, n=3, shape=(9, 9))
    both = valid_pixels((9, 9), Setup(gap_px=3), seed=0)
    assert np.array_equal(few[:, both], many[:, both])


def test_expectations_have_no_background_and_nothing_where_nothing_is_measured():
    setup = Setup(background_photons=5.0, gap_px=2, full_well_photons=10.0)
    valid = valid_pixels(SHAPE, setup, seed=0)
    detector = SetupDetector(setup=setup, valid_pixels=valid, read_noise=np.random.default_rng(8))
    (intensity,) = setup_intensity_batches(pair_of(), POSITIONS, setup)
    expected = detector.expect(intensity, 1e6)
    assert not expected[:, ~valid].any()
    assert np.allclose(expected[:, valid], 1e6 * intensity[:, valid])


# Pixels that measure nothing


def test_gap_is_a_cross_in_the_middle():
    valid = valid_pixels((10, 12), Setup(gap_px=2), seed=0)
    assert np.flatnonzero(~valid[:, 0]).tolist() == [4, 5]
    assert np.flatnonzero(~valid[0]).tolist() == [5, 6]
    assert (~valid).sum() == 2 * 12 + 2 * 10 - 4


def test_beam_stop_is_a_disc_around_the_zero_frequency():
    stopped = ~valid_pixels((64, 64), Setup(beam_stop_radius_px=10.0), seed=0)
    assert stopped[32, 32]
    assert stopped.sum() == pytest.approx(math.pi * 100, rel=0.03)
    assert np.argwhere(stopped).mean(axis=0).tolist() == [32, 32]


def test_dead_pixels_are_the_wanted_share_and_a_larger_share_has_those_of_a_smaller():
    fewer, more = (~valid_pixels((50, 40), Setup(dead_pixel_share=share), seed=2) for share in (0.01, 0.03))
    assert (fewer.sum(), more.sum()) == (20, 60)
    assert more[fewer].all()


def test_an_ideal_detector_measures_in_every_pixel():
    assert valid_pixels((5, 6), Setup(), seed=0).all()


@pytest.mark.parametrize("gap", [7, 200])
def test_a_gap_may_leave_nothing(gap):
    assert not valid_pixels((7, 7), Setup(gap_px=gap), seed=0).any()


def test_streams_of_other_words_or_seeds_differ():
    drawn = {setup_stream(seed, *words).random() for seed in (1, 2) for words in (("a",), ("b",), ("a", "b"))}
    assert len(drawn) == 6
    assert setup_stream(1, "a").random() == setup_stream(1, "a").random()
