"""The original study's conventions, on cases whose numbers are known without them."""

from __future__ import annotations

import numpy as np
import pytest
from complex_images import band_limited, ramp
from skimage.metrics import structural_similarity

from fly64dask.base import InputError
from fly64dask.metrics import measure_as_original

SHAPE = (160, 170)
TRUTH = band_limited(4, SHAPE)
POSITIONS = np.array([[20.0, 30.0], [140.0, 150.0]])
ORIGIN = (2, -3)
# Rows and columns of the positions' rectangle, less two pixels at each border.
RECTANGLE = slice(20, 136), slice(35, 151)


def measure(recon, truth=TRUTH, positions=POSITIONS):
    return measure_as_original(recon, truth, positions, ORIGIN)


def test_measure_as_original_removes_planes_and_scales_amplitudes_to_one_mean():
    found = measure(3.0 * TRUTH * ramp(0.1, 2e-3, -1e-3, SHAPE))
    assert found.phase.mse == pytest.approx(0.0, abs=1e-20)
    assert found.amplitude.mae == pytest.approx(0.0, abs=1e-12)
    assert (found.phase.ms_ssim, found.amplitude.ms_ssim) == pytest.approx((1.0, 1.0))
    assert (found.n_rows, found.n_columns) == (116, 116)


def test_measure_as_original_refers_psnr_to_255_whatever_the_unit():
    noise = np.random.default_rng(0).normal(0, 0.1, SHAPE)
    found = measure(TRUTH * np.exp(1j * noise))
    assert found.phase.psnr_peak_255_db == pytest.approx(20 * np.log10(255 / noise[RECTANGLE].std()), abs=0.01)
    assert found.amplitude.psnr_peak_255_db is None or found.amplitude.psnr_peak_255_db > 200


def test_measure_as_original_looks_at_the_rectangle_alone():
    recon = np.full(SHAPE, 5.0 + 5.0j)
    recon[RECTANGLE] = TRUTH[RECTANGLE]
    assert measure(recon).phase.mse == pytest.approx(0.0, abs=1e-20)


def test_measure_as_original_smooths_amplitudes_alone_before_comparing_scales():
    noise = 1 + 0.05 * np.random.default_rng(1).normal(size=SHAPE)
    found = measure(TRUTH * noise)
    assert found.amplitude.ms_ssim > found.amplitude.ssim + 0.1
    assert found.phase.ms_ssim == pytest.approx(1.0)


def test_measure_as_original_multiplies_whole_similarities_of_every_second_pixel():
    # 20 px less the borders: 16, 8, then 4, too small for a window: two levels.
    positions = np.array([[20.0, 30.0], [40.0, 50.0]])
    noise = np.random.default_rng(2).normal(0, 0.05, SHAPE)
    box = slice(20, 36), slice(35, 51)
    y, x = np.indices((16, 16))
    terms = np.stack([np.ones(256), y.ravel(), x.ravel()], axis=1)
    phases = []
    for phase in (np.angle(TRUTH) + noise, np.angle(TRUTH)):
        values = phase[box].ravel()
        rest = (values - terms @ np.linalg.pinv(terms) @ values).reshape(16, 16)
        phases.append(0.5 + rest / (2 * np.pi))
    peak = max(np.ptp(each) for each in phases)
    fine = structural_similarity(*phases, data_range=peak)
    coarse = structural_similarity(*(each[::2, ::2] for each in phases), data_range=peak)
    found = measure(TRUTH * np.exp(1j * noise), positions=positions)
    assert found.phase.ms_ssim == pytest.approx(fine**0.0448 * coarse**0.2856)


def test_measure_as_original_refuses_positions_too_close_for_a_window():
    with pytest.raises(InputError, match="span 6 x 6 px"):
        measure(TRUTH, positions=np.array([[20.0, 30.0], [30.0, 40.0]]))
