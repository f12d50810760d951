"""Metrics against analytic cases and against scikit-image and torchmetrics called directly; what they must ignore."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from complex_images import band_limited, moved, ramp
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from fly64dask.base import InputError
from fly64dask.metrics import Reference, TruthMetrics, compare_with_truth, measure_against
from fly64dask.metrics.similarity import SCALE_WEIGHTS, Similarity, similarities, whole_windows
from fly64dask.simulation import synthetic_pair

PAIR = synthetic_pair((96, 96), (32, 32), seed=1)
POSITIONS = np.random.default_rng(0).uniform(24, 72, (60, 2))
ORIGIN = (4, 2)
RECON = PAIR.object_truth[4:92, 2:94]

SHAPE = (120, 130)
Y, X = np.indices(SHAPE)
TRUTH = band_limited(shape=SHAPE)
INSIDE = (np.hypot(Y - 60, X - 65) < 48) & ~(np.hypot(Y - 40, X - 50) < 6)
REFERENCE = Reference(
    image=TRUTH,
    inside=INSIDE,
    phase_range_rad=float(np.ptp(np.angle(TRUTH))),
    amplitude_range=float(np.ptp(np.abs(TRUTH))),
)


def measure(object_recon):
    return compare_with_truth(
        object_recon.astype(np.complex64),
        PAIR.object_truth,
        origin_px=ORIGIN,
        probe=PAIR.probe,
        positions_px=POSITIONS,
    ).metrics


def noisy(strength, seed=2):
    """The truth with band-limited noise in phase and amplitude, so that shifts of it are exact too."""
    noise = band_limited(seed, SHAPE, cut_off_per_px=0.4)
    return TRUTH * noise**strength


def numbers(metrics):
    """Every number of a reconstruction's metrics that a shift, ramp or phase must not change, by its name."""
    return {
        f"{image}.{name}": value
        for image in ("phase", "amplitude")
        for name, value in getattr(metrics, image).model_dump().items()
    } | {
        f"frc.{name}": getattr(metrics.frc, name) and getattr(metrics.frc, name).frequency_per_px
        for name in ("half_bit", "half")
    }


def test_compare_with_truth_is_zero_for_the_truth():
    found = measure(RECON)
    assert found.phase_rmse_rad == pytest.approx(0.0, abs=1e-6)
    assert found.amplitude.rmse == pytest.approx(0.0, abs=1e-6)
    assert (found.phase.ssim, found.amplitude.ssim) == pytest.approx((1.0, 1.0))
    assert (found.frc.half_bit, found.frc.half) == (None, None)


def test_compare_with_truth_of_an_empty_object_is_the_empty_error():
    found = measure(np.ones(RECON.shape))
    assert found.phase_rmse_rad == found.empty_phase_rmse_rad > 0.1
    assert found.no_better_than_empty
    assert (found.phase, found.amplitude, found.frc) == (found.empty.phase, found.empty.amplitude, found.empty.frc)


def test_no_better_than_empty_says_so_of_noise_alone():
    rng = np.random.default_rng(5)
    assert measure(np.exp(1j * rng.normal(0, 1, RECON.shape))).no_better_than_empty
    assert not measure(RECON * np.exp(1j * rng.normal(0, 0.1, RECON.shape))).no_better_than_empty


@settings(max_examples=15)
@given(st.floats(-3, 3), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(0.2, 5.0))
def test_compare_with_truth_ignores_global_phase_ramp_and_scale(offset, slope_y, slope_x, scale):
    found = measure(scale * RECON * ramp(offset, slope_y, slope_x, RECON.shape))
    assert found.phase_rmse_rad == pytest.approx(0.0, abs=1e-3)
    assert found.amplitude.rmse == pytest.approx(0.0, abs=1e-3)


@functools.cache
def numbers_at_rest(strength):
    return numbers(measure_against(REFERENCE, noisy(strength)).metrics)


@settings(max_examples=15)
@given(
    st.tuples(st.floats(-2, 2), st.floats(-2, 2)),
    st.tuples(st.floats(-3, 3), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)),
    st.sampled_from([0.3, 1.0]),
)
def test_every_metric_ignores_subpixel_shift_global_phase_and_ramp(shift, plane, strength):
    found = numbers(measure_against(REFERENCE, ramp(*plane, SHAPE) * moved(noisy(strength), *shift)).metrics)
    # Half a percent, of crossings a tenth of a ring of 1 / 96 px.
    for name, value in numbers_at_rest(strength).items():
        assert found[name] == pytest.approx(value, rel=5e-3, abs=1e-3 if name.startswith("frc") else 1e-6), name


def test_phase_errors_are_those_of_known_phase_noise():
    noise = np.random.default_rng(2).normal(0, 0.2, RECON.shape)
    found = measure(RECON * np.exp(1j * noise))
    assert found.phase.rmse == found.phase_rmse_rad == pytest.approx(0.2, rel=5 / np.sqrt(found.n_pixels))
    # Mean absolute deviation of a normal distribution.
    assert found.phase.mae == pytest.approx(0.2 * np.sqrt(2 / np.pi), rel=5 / np.sqrt(found.n_pixels))


def test_amplitude_error_is_that_of_known_amplitude_noise():
    noise = np.random.default_rng(3).normal(0, 0.03, RECON.shape)
    found = measure(RECON * (1 + noise / np.abs(RECON)))
    assert found.amplitude.rmse == pytest.approx(0.03, rel=5 / np.sqrt(found.n_pixels))


def test_psnr_is_scikit_images_with_the_stated_peak():
    noise = np.random.default_rng(4).normal(0, 0.1, RECON.shape)
    noise -= noise.mean()
    found = measure(RECON * np.exp(1j * noise))
    assert found.phase.peak == pytest.approx(np.ptp(np.angle(PAIR.object_truth)))
    phase = np.angle(RECON)
    expected = peak_signal_noise_ratio(phase, phase + noise, data_range=np.ptp(np.angle(PAIR.object_truth)))
    assert found.phase.psnr_db == pytest.approx(expected, abs=0.2)  # of all pixels, not of those inside
    assert found.phase.psnr_db == pytest.approx(20 * np.log10(found.phase.peak / found.phase.rmse))


def test_frc_of_white_noise_is_its_analytic_value():
    rng = np.random.default_rng(6)
    white = np.exp(0.05j * rng.normal(size=SHAPE))  # its spectrum is flat, with a deviation of 0.05
    reference = Reference(image=white, inside=INSIDE, phase_range_rad=1.0, amplitude_range=1.0)
    recon = white + 0.05 * rng.normal(size=SHAPE) * 1j  # as much noise as signal, in the recon alone
    curve = measure_against(reference, recon).frc_truth
    assert np.average(curve.correlation, weights=curve.n_pixels) == pytest.approx(np.sqrt(0.5), abs=0.03)


def alike(first, second, inside, peak):
    """Similarity of one image."""
    return similarities([first], second, whole_windows(inside), peak=peak)[0]


def test_ssim_is_scikit_images_own_mean_for_a_rectangle():
    rng = np.random.default_rng(7)
    first, second = rng.normal(size=(2, 60, 70))
    expected = structural_similarity(
        first, second, data_range=4.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert alike(first, second, np.ones((60, 70), dtype=bool), 4.0).ssim == pytest.approx(expected, rel=1e-9)


def test_ssim_is_the_mean_of_scikit_images_map_over_whole_windows():
    rng = np.random.default_rng(8)
    first, second = np.angle(TRUTH) + rng.normal(0, 0.1, (2, *SHAPE))
    found = structural_similarity(
        first, second, data_range=2.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )[1]
    windows = np.lib.stride_tricks.sliding_window_view(INSIDE, (11, 11)).all(axis=(2, 3))
    expected = found[5:-5, 5:-5][windows].mean()
    assert alike(np.where(INSIDE, first, 1e3), second, INSIDE, 2.0).ssim == pytest.approx(expected, rel=1e-9)
    assert expected < 0.99


@pytest.mark.parametrize(("size", "n_levels"), [(300, 5), (150, 4), (72, 3), (40, 2)])
def test_ms_ssim_is_that_of_torchmetrics_scale_by_scale(size, n_levels):
    # Loads torchvision and torch's compiler, 3 s that not every process that collects this file has to take.
    from torchmetrics.functional.image import structural_similarity_index_measure

    rng = np.random.default_rng(9)
    truth = band_limited(10, (size, size)).imag
    first, second = truth + rng.normal(0, [[[0.05]], [[0.2]]], (2, size, size))
    found = alike(first, second, np.ones((size, size), dtype=bool), 1.5)
    one, other = (torch.from_numpy(image)[None, None] for image in (first, second))
    weights = np.array(SCALE_WEIGHTS[:n_levels]) / sum(SCALE_WEIGHTS[:n_levels])
    expected = 1.0
    for level, weight in enumerate(weights):
        contrast = structural_similarity_index_measure(
            one, other, data_range=1.5, return_contrast_sensitivity=True, reduction="none"
        )[1]
        whole = structural_similarity_index_measure(one, other, data_range=1.5, return_full_image=True)[1]
        # Its own mean of the coarsest scale counts windows that hang over the edge; ours never do.
        value = whole[..., 5:-5, 5:-5].mean() if level == n_levels - 1 else contrast
        expected *= float(value) ** weight
        one, other = (torch.nn.functional.avg_pool2d(image, 2) for image in (one, other))
    assert (found.ms_ssim, found.n_levels) == (pytest.approx(expected, abs=1e-6), n_levels)


def test_similarities_of_several_images_are_those_of_each():
    rng = np.random.default_rng(11)
    images = [np.angle(TRUTH) + rng.normal(0, strength, SHAPE) for strength in (0.05, 0.3)]
    together = similarities(images, np.angle(TRUTH), whole_windows(INSIDE), peak=2.0)
    assert together == [alike(image, np.angle(TRUTH), INSIDE, 2.0) for image in images]
    assert together[0].ms_ssim > together[1].ms_ssim


def test_similarities_are_absent_for_a_small_area():
    small = np.zeros(SHAPE, dtype=bool)
    small[:20, :20] = True
    assert alike(np.angle(TRUTH), np.angle(TRUTH), small, 1.0) == Similarity(
        ssim=pytest.approx(1.0), ms_ssim=None, n_levels=None
    )
    small[:, 10:] = False
    assert alike(np.angle(TRUTH), np.angle(TRUTH), small, 1.0).ssim is None


def test_metrics_of_an_object_without_absorption_have_no_amplitude_similarity():
    pure = np.exp(1j * np.angle(TRUTH))
    reference = Reference(image=pure, inside=INSIDE, phase_range_rad=2.0, amplitude_range=0.0)
    found = measure_against(reference, noisy(0.2)).metrics.amplitude
    assert (found.psnr_db, found.ssim, found.ms_ssim) == (None, None, None)
    assert found.rmse > 0


@pytest.mark.parametrize("recon", [np.full(SHAPE, np.nan + 0j), np.zeros(SHAPE, complex)])
def test_measure_against_refuses_what_is_no_object(recon):
    with pytest.raises(InputError, match="not finite, or zero"):
        measure_against(REFERENCE, recon)


def test_measure_against_refuses_an_empty_area():
    reference = Reference(image=TRUTH, inside=np.zeros(SHAPE, bool), phase_range_rad=1.0, amplitude_range=1.0)
    with pytest.raises(InputError, match="0 px"):
        measure_against(reference, TRUTH)


def test_truth_metrics_refuse_a_headline_that_differs_from_its_parts():
    found = measure(RECON * np.exp(0.1j * np.random.default_rng(0).normal(size=RECON.shape)))
    with pytest.raises(ValidationError, match="rmse of its phase"):
        TruthMetrics.model_validate(found.model_dump() | {"phase_rmse_rad": 0.05})
    with pytest.raises(ValidationError, match="no_better_than_empty"):
        TruthMetrics.model_validate(found.model_dump() | {"no_better_than_empty": True})
