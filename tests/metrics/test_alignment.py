"""Frames, areas and alignment, against known shifts, ramps and scales, and frames worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from complex_images import SHAPE, band_limited, moved, ramp
from hypothesis import given, settings, strategies as st
from skimage.registration import phase_cross_correlation

from fly64dask.base import InputError
from fly64dask.metrics import align, frc, remove_phase_ramp
from fly64dask.metrics.registration import SHIFT_BOUND_PX, shifted
from fly64dask.scan import crop_to_frame, illumination_map
from fly64dask.simulation import synthetic_pair

Y, X = np.indices(SHAPE)
INSIDE = np.hypot((Y - 48) / 30, (X - 55) / 38) < 1
PAIR = synthetic_pair((96, 96), (32, 32), seed=1)


TRUTH = band_limited()


@settings(max_examples=25)
@given(
    st.tuples(st.floats(-3.5, 3.5), st.floats(-3.5, 3.5)),
    st.tuples(st.floats(-3, 3), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)),
    st.floats(0.2, 5.0),
)
def test_align_finds_known_shift_ramp_and_scale(shift, plane, scale):
    recon = scale * ramp(*plane) * moved(TRUTH, *shift)
    found = align(recon, TRUTH, INSIDE)
    assert np.allclose(found.image[INSIDE], TRUTH[INSIDE], atol=3e-3)
    how = found.alignment
    assert (how.shift_y_px, how.shift_x_px) == pytest.approx((-shift[0], -shift[1]), abs=3e-3)
    assert (how.ramp_y_rad_per_px, how.ramp_x_rad_per_px) == pytest.approx(plane[1:], abs=1e-3)
    assert how.amplitude_scale == pytest.approx(1 / scale, rel=1e-3)
    assert not how.shift_beyond_bound


def test_align_records_the_steps_that_give_its_image():
    recon = 2.5 * ramp(1.0, 0.2, -0.1) * moved(TRUTH, 1.3, -0.6)
    found = align(recon, TRUTH, INSIDE)
    how = found.alignment
    plane = ramp(how.phase_offset_rad, how.ramp_y_rad_per_px, how.ramp_x_rad_per_px)
    by_hand = how.amplitude_scale * plane.conj() * 2.5 * ramp(1.0, 0.2, -0.1)
    # Recon is a periodic image times a ramp: shifted, its ramp lags by what it turns over the shift.
    by_hand = by_hand * np.exp(-1j * (0.2 * how.shift_y_px - 0.1 * how.shift_x_px))
    by_hand = by_hand * moved(TRUTH, 1.3 + how.shift_y_px, -0.6 + how.shift_x_px)
    assert np.allclose(found.image[INSIDE], by_hand[INSIDE], atol=1e-3)


def test_align_agrees_with_scikit_image_on_the_shift():
    recon = moved(TRUTH, 0.43, -1.71)
    # Called on the whole periodic images, as its authors do.
    expected = phase_cross_correlation(TRUTH, recon, upsample_factor=100, normalization=None)[0]
    how = align(recon, TRUTH, INSIDE).alignment
    assert (how.shift_y_px, how.shift_x_px) == pytest.approx(tuple(expected), abs=0.01)


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_align_finds_the_shift_under_noise(seed):
    rng = np.random.default_rng(seed)
    recon = moved(TRUTH, 0.5, -0.8) + 0.1 * (rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE))
    how = align(recon, TRUTH, INSIDE).alignment
    # Cramer-Rao: sigma / sqrt(sum of squared slopes), about 0.02 px here.
    slope = min(np.sum(np.abs(np.gradient(TRUTH, axis=axis)[INSIDE]) ** 2) for axis in (0, 1))
    assert (how.shift_y_px, how.shift_x_px) == pytest.approx((-0.5, 0.8), abs=6 * 0.1 / np.sqrt(slope))


@pytest.mark.parametrize("shift", [(6.0, 0.0), (0.0, -9.5)])
def test_align_leaves_alone_what_is_shifted_beyond_the_bound_and_says_so(shift):
    how = align(moved(TRUTH, *shift), TRUTH, INSIDE).alignment
    assert max(map(abs, shift)) > SHIFT_BOUND_PX == how.shift_bound_px
    assert how.shift_beyond_bound
    assert (how.shift_y_px, how.shift_x_px) == (0.0, 0.0)


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_align_shifts_pure_noise_by_no_more_than_the_bound(seed):
    rng = np.random.default_rng(seed)
    how = align(rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE), TRUTH, INSIDE).alignment
    assert max(abs(how.shift_y_px), abs(how.shift_x_px)) <= SHIFT_BOUND_PX
    assert not how.shift_beyond_bound or (how.shift_y_px, how.shift_x_px) == (0.0, 0.0)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_align_finds_no_position_in_a_flat_object(dtype):
    how = align(3 * ramp(0.5, 0.1, -0.2).astype(dtype), TRUTH, INSIDE).alignment
    assert (how.shift_y_px, how.shift_x_px, how.shift_beyond_bound) == (0.0, 0.0, False)


def test_align_ignores_what_lies_far_outside():
    recon = moved(TRUTH, 0.4, 0.3)
    far = np.hypot((Y - 48) / 47, (X - 55) / 54) > 1
    expected = align(recon, TRUTH, INSIDE)
    found = align(np.where(far, np.nan, recon), np.where(far, 7, TRUTH), INSIDE)
    assert np.allclose(found.image[INSIDE], expected.image[INSIDE], atol=1e-3)


def test_shifted_moves_whole_pixels_as_a_roll_does():
    found = shifted(TRUTH, np.array([2.0, -3.0]), INSIDE)
    assert np.allclose(found[INSIDE], np.roll(TRUTH, (2, -3), axis=(0, 1))[INSIDE], atol=1e-9)


def test_remove_phase_ramp_leaves_a_known_pattern():
    y, x = np.indices((40, 40))
    pattern = 0.3 * np.sign(np.sin(2 * np.pi * x / 8 + 0.1) * np.sin(2 * np.pi * y / 8 + 0.1))
    inside = np.ones((40, 40), dtype=bool)
    found = remove_phase_ramp(np.exp(1j * (pattern + 0.9 + 0.21 * y - 0.13 * x)), inside)
    assert np.allclose(found, pattern, atol=0.01)


def test_illumination_adds_the_probe_where_it_stood():
    probe = np.zeros((4, 4), dtype=np.complex64)
    probe[2, 2] = 3.0
    light = illumination_map(probe, np.array([[12.0, 15.0], [12.0, 15.0]]), (20, 20), (5, 6))
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


def with_lost_pixels(n):
    image = TRUTH.copy()
    image[tuple(np.argwhere(INSIDE)[:n].T)] = np.nan
    return image


@pytest.mark.parametrize("compare", [align, frc])
@pytest.mark.parametrize(
    ("image", "inside", "said"),
    [
        (with_lost_pixels(3), INSIDE, f"3 of {INSIDE.sum()} pixels of the .* in the area are not finite"),
        (TRUTH[1:], INSIDE, r"has .* px, the area"),
        (TRUTH, np.zeros_like(INSIDE), "the area has no pixel"),
    ],
    ids=["not_finite", "another_shape", "no_pixel"],
)
def test_images_that_cannot_be_compared_are_refused_with_what_is_wrong(compare, image, inside, said):
    with pytest.raises(InputError, match=said):
        compare(image, TRUTH, inside)
