"""Alignment and phase error, against known ramps, known noise and frames worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fly64dask.alignment import crop_to_frame, illumination, remove_phase_ramp
from fly64dask.metrics import compare_with_truth
from fly64dask.simulate import synthetic_pair

PAIR = synthetic_pair((96, 96), (32, 32), seed=1)
POSITIONS = np.random.default_rng(0).uniform(24, 72, (60, 2))
ORIGIN = (4, 2)
RECON = PAIR.object_truth[4:92, 2:94]


def measure(object_recon):
    return compare_with_truth(
        object_recon.astype(np.complex64),
        PAIR.object_truth,
        origin_px=ORIGIN,
        probe=PAIR.probe,
        positions_px=POSITIONS,
    )


def ramp(offset, slope_y, slope_x):
    y, x = np.indices(RECON.shape)
    return np.exp(1j * (offset + slope_y * y + slope_x * x))


def test_compare_with_truth_is_zero_for_the_truth():
    assert measure(RECON).phase_rmse_rad == pytest.approx(0.0, abs=1e-6)


def test_compare_with_truth_of_a_flat_object_is_the_flat_error():
    found = measure(np.ones(RECON.shape))
    assert found.phase_rmse_rad == found.flat_phase_rmse_rad > 0.1


@settings(max_examples=30, deadline=None)
@given(st.floats(-3, 3), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(0.2, 5.0))
def test_compare_with_truth_ignores_global_phase_ramp_and_scale(offset, slope_y, slope_x, scale):
    assert measure(scale * RECON * ramp(offset, slope_y, slope_x)).phase_rmse_rad == pytest.approx(0.0, abs=1e-3)


def test_compare_with_truth_finds_known_phase_noise():
    noise = np.random.default_rng(2).normal(0, 0.2, RECON.shape)
    found = measure(RECON * np.exp(1j * noise))
    assert found.phase_rmse_rad == pytest.approx(0.2, rel=5 / np.sqrt(found.n_pixels))


def test_remove_phase_ramp_leaves_a_known_pattern():
    y, x = np.indices((40, 40))
    pattern = 0.3 * np.sign(np.sin(2 * np.pi * x / 8 + 0.1) * np.sin(2 * np.pi * y / 8 + 0.1))
    inside = np.ones((40, 40), dtype=bool)
    found = remove_phase_ramp(np.exp(1j * (pattern + 0.9 + 0.21 * y - 0.13 * x)), inside)
    assert np.allclose(found, pattern, atol=0.01)


def test_illumination_adds_the_probe_where_it_stood():
    probe = np.zeros((4, 4), dtype=np.complex64)
    probe[2, 2] = 3.0
    light = illumination(probe, np.array([[12.0, 15.0], [12.0, 15.0]]), (20, 20), (5, 6))
    assert light[7, 9] == pytest.approx(18.0)
    assert light.sum() == pytest.approx(18.0)


@pytest.mark.parametrize("origin", [(-3, -2), (90, 90), (-5, 80), (10, 20)])
def test_crop_to_frame_puts_each_pixel_of_the_truth_in_its_place(origin):
    reference, known = crop_to_frame(PAIR.object_truth, (16, 12), origin)
    for i, j in np.ndindex(16, 12):
        y, x = i + origin[0], j + origin[1]
        inside = 0 <= y < 96 and 0 <= x < 96
        assert known[i, j] == inside
        assert reference[i, j] == (PAIR.object_truth[y, x] if inside else 1.0)
