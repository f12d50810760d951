"""Reconstructions of a measured scan beside a reference: where both were illuminated, aligned in one way."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from fly64dask.base import InputError
from fly64dask.metrics import ReferenceObject, measure_with_reference, reference_in_area

SHAPE = (60, 52)
PHASE = 4 * gaussian_filter(np.random.default_rng(3).normal(size=SHAPE), 1.5)
IMAGE = np.exp(1j * PHASE).astype(np.complex64)
LIT = np.pad(np.ones((48, 40), bool), 6)


def reference(image=IMAGE, origin_px=(10, 20), trusted=LIT):
    return ReferenceObject(
        name="dose_measured/baseline/train", image=image, origin_px=origin_px, trusted=trusted, sha256=""
    )


def compared(recon, illuminated=LIT, origin_px=(10, 20), pixel_nm=None, of=None):
    in_area = reference_in_area(of or reference(), illuminated, origin_px, pixel_nm=pixel_nm)
    return measure_with_reference("r", in_area, recon)


def test_an_object_is_equal_to_itself_up_to_what_no_data_tell():
    y, x = np.indices(SHAPE)
    found = compared(2 * IMAGE * np.exp(1j * (0.5 + 0.03 * y - 0.02 * x))).metrics
    assert found.phase_rmse_rad == pytest.approx(0, abs=1e-4)
    assert (found.half_bit, found.one_bit) == (None, None)


def test_a_smaller_frame_is_compared_where_it_lies_in_the_scan():
    found = compared(IMAGE[8:50, 4:44], LIT[8:50, 4:44], origin_px=(18, 24)).metrics
    assert found.phase_rmse_rad == pytest.approx(0, abs=1e-4)
    assert found.n_pixels == LIT[8:50, 4:44].sum()


def test_only_what_both_were_lit_at_counts():
    trusted = LIT.copy()
    trusted[:30] = False
    spoilt = np.where(trusted, IMAGE, IMAGE.conj())
    found = compared(IMAGE, of=reference(image=spoilt, trusted=trusted)).metrics
    assert found.n_pixels == trusted.sum()
    assert found.phase_rmse_rad == pytest.approx(0, abs=1e-4)


def test_noise_of_the_phase_is_the_difference_and_over_empty_its_share_of_the_contrast():
    error_rad = np.random.default_rng(5).normal(0, 0.1, SHAPE)
    found = compared(IMAGE * np.exp(1j * error_rad)).metrics
    assert found.phase_rmse_rad == pytest.approx(0.1, rel=0.05)
    assert found.over_empty == pytest.approx(0.1 / PHASE[LIT].std(), rel=0.1)


def test_one_bit_asks_for_more_than_half_a_bit_in_px_and_nm():
    rng = np.random.default_rng(6)
    noisy = IMAGE + 0.5 * (rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE))
    found = compared(noisy, pixel_nm=(8.0, 8.0)).metrics
    assert found.one_bit.resolution_px >= found.half_bit.resolution_px > 1
    assert found.half_bit.resolution_nm == pytest.approx(8 * found.half_bit.resolution_px)


def test_a_reference_elsewhere_in_the_scan_is_refused():
    with pytest.raises(InputError, match="area has 0 px"):
        compared(IMAGE, origin_px=(500, 500))


def test_a_reference_that_is_not_finite_is_refused_by_name():
    with pytest.raises(InputError, match="dose_measured/baseline/train: it is not finite"):
        compared(IMAGE, of=reference(image=np.full_like(IMAGE, np.nan)))
