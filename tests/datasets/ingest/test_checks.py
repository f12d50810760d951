"""What is against a scan is found, named with numbers and a remedy, and all of it is said at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ingesting import convert
from small_scan import SIDE, STEP_PX, N, small_counts, small_positions, small_probe, small_scan

from fly64dask.base import InputError
from fly64dask.datasets.formats import ReadOptions
from fly64dask.datasets.ingest import IngestOptions
from fly64dask.datasets.ingest.checks import Extremes, doubt_wrapping, find_marks
from fly64dask.datasets.ingest.checks.complaints import Complaint, drop_words, raise_complaints
from fly64dask.datasets.ingest.checks.zero_frequency import complain_of_probe, doubt_zero_frequency


def refusal(scan: Any, options: ReadOptions | None = None, wishes: IngestOptions | None = None) -> str:
    with pytest.raises(InputError) as refused:
        convert(scan, options or ReadOptions(), wishes or IngestOptions())
    return str(refused.value)


def with_pixel(value: float, row: int = 3, column: int = 4, dtype: str = "u4", exposures: Any = slice(None)) -> Any:
    """The counts with one value at a pixel, in some exposures or all."""
    counts = small_counts().astype(dtype)
    counts[exposures, row, column] = value
    return counts


def test_a_scan_without_fault_is_taken_as_it_is() -> None:
    found = convert(small_scan())
    np.testing.assert_array_equal(found.counts, small_counts())
    np.testing.assert_array_equal(found.positions_px, small_positions())


# Marks of no measurement.

MARKED = {
    "largest_of_uint32": (with_pixel(2**32 - 1), "holds 4294967295, the largest value of uint32"),
    "largest_of_uint16": (with_pixel(65535, dtype="u2"), "holds 65535, the largest value of uint16"),
    "largest_in_one_exposure": (with_pixel(2**32 - 1, exposures=7), "holds 4294967295"),
    "gap_of_minus_two": (with_pixel(-2, dtype="i4"), "is negative in every exposure"),
    "gap_of_minus_one_in_reals": (with_pixel(-1, dtype="f4"), "is negative in every exposure"),
    "infinite_in_one_exposure": (with_pixel(np.inf, dtype="f4", exposures=3), "holds values that are not finite"),
    "nan": (with_pixel(np.nan, dtype="f4"), "holds values that are not finite"),
    "nan_in_one_exposure": (with_pixel(np.nan, dtype="f4", exposures=3), "holds values that are not finite"),
    "stuck": (with_pixel(1000), f"holds one value in all {N} exposures"),
}


@pytest.mark.parametrize(("counts", "named"), MARKED.values(), ids=MARKED)
def test_marks_are_refused_with_their_number_place_and_remedy(counts: np.ndarray, named: str) -> None:
    message = refusal(small_scan(counts))
    needed = [named, f"1 of {SIDE * SIDE} pixels", "row 3, column 4", "--mask marks"]
    assert [part for part in needed if part not in message] == []
    assert "value inf" not in message
    assert "value nan" not in message


@pytest.mark.parametrize("counts", [counts for counts, _ in MARKED.values()], ids=MARKED)
def test_mask_marks_leaves_those_pixels_out_and_no_other(counts: np.ndarray) -> None:
    found = convert(small_scan(counts), wishes=IngestOptions(masks=("marks",)))
    expected = np.ones((SIDE, SIDE), dtype=bool)
    expected[3, 4] = False
    np.testing.assert_array_equal(found.valid_pixels, expected)
    np.testing.assert_array_equal(found.counts, small_counts() * expected)


def test_mask_marks_finds_a_mark_that_comes_after_the_first_block() -> None:
    # 42 MB, of which a block is at most 34.
    side, n = 512, 40
    counts = np.zeros((n, side, side), dtype=np.uint32)
    middle = np.s_[side // 2 - 12 : side // 2 + 12]
    counts[:, middle, middle] = np.concatenate([small_counts(1), small_counts(2)])[:n]
    expected = counts.copy()
    counts[n - 1, 3, 4] = 2**32 - 1
    positions = STEP_PX * np.stack(np.divmod(np.arange(n), 8), axis=1)
    scan = small_scan(counts, positions=positions, probe=small_probe(side))
    found = convert(scan, wishes=IngestOptions(masks=("marks",)))
    assert np.argwhere(~found.valid_pixels).tolist() == [[3, 4]]
    np.testing.assert_array_equal(found.counts, expected)


def test_a_mask_of_the_file_hides_its_marks() -> None:
    valid = np.ones((SIDE, SIDE), dtype=bool)
    valid[3, 4] = False
    found = convert(small_scan(with_pixel(2**32 - 1), mask=valid))
    np.testing.assert_array_equal(found.counts, small_counts() * valid)


@pytest.mark.parametrize("dark_px", [SIDE * SIDE - 16, SIDE * SIDE - 200])
def test_a_mask_the_wrong_way_round_is_named_alone_with_its_shares(dark_px: int) -> None:
    # The brightest pixels are called bad, as if good ones were 0 in a mask of good ones.
    brightest = small_counts().max(axis=0).ravel()
    valid = np.zeros(SIDE * SIDE, dtype=bool)
    valid[np.argsort(brightest)[: SIDE * SIDE - dark_px]] = True
    message = refusal(small_scan(mask=valid.reshape(SIDE, SIDE)))
    lost = brightest[~valid].sum() / brightest.sum()
    needed = [f"leaves out {dark_px / SIDE**2:.1%}", f"hold {lost:.1%} of the light", "exchanged; give --mask-good"]
    assert [part for part in needed if part not in message] == []
    assert "problems were found" not in message


def test_a_mask_of_hot_pixels_that_outshine_the_scan_is_taken() -> None:
    counts = with_pixel(10**6)
    counts[5, 3, 4] = 0  # no stuck pixel
    valid = np.ones((SIDE, SIDE), dtype=bool)
    valid[3, 4] = False
    np.testing.assert_array_equal(convert(small_scan(counts, mask=valid)).valid_pixels, valid)


def saturated(n_px: int, top: int, dtype: str = "u2") -> np.ndarray:
    """The counts, made brighter, of which the brightest pixels reach no more than a value."""
    counts = small_counts().astype(np.int64) * 400
    counts += np.random.default_rng(5).poisson(50, counts.shape)  # no multiples
    brightest = np.sort(counts.max(axis=0).ravel())
    return np.minimum(counts * (top / brightest[-n_px]), top).astype(dtype)


@pytest.mark.parametrize(("n_px", "top"), [(12, 16383), (40, 4095)])
def test_pixels_that_reach_the_most_that_a_detector_counts_are_refused(n_px: int, top: int) -> None:
    counts = saturated(n_px, top)
    n_at_top = int((counts.max(axis=0) == top).sum())
    message = refusal(small_scan(counts))
    needed = [f"{n_at_top} of {SIDE * SIDE} pixels reach one largest value", f"value {top}", "--mask marks"]
    assert [part for part in needed if part not in message] == []
    found = convert(small_scan(counts), wishes=IngestOptions(masks=("marks",)))
    np.testing.assert_array_equal(found.valid_pixels, counts.max(axis=0) < top)


def extremes_of(counts: np.ndarray) -> Extremes:
    extremes = Extremes.of((SIDE, SIDE), counts.dtype)
    extremes.add(counts)
    return extremes


@pytest.mark.parametrize("mean", [0.05, 1.0, 100.0, 3000.0])
@pytest.mark.parametrize("share", [1, 20])
def test_photons_of_a_bright_field_are_not_saturated(mean: float, share: int) -> None:
    counts = np.random.default_rng(6).poisson(mean, (N, SIDE, SIDE)).astype(np.uint16)
    counts[:, :, SIDE // share :] = 0
    assert not find_marks(extremes_of(counts), None).saturated.any()


@pytest.mark.parametrize(("brightest", "n_doubts"), [(65535, 0), (65000, 1), (50000, 0)])
def test_counts_that_end_just_below_their_type_are_doubted(brightest: int, n_doubts: int) -> None:
    doubts = list(doubt_wrapping(extremes_of(with_pixel(brightest, dtype="u2", exposures=2))))
    assert [doubt for doubt in doubts if f"{brightest} is close to 65535, where uint16 ends" in doubt] == doubts
    assert len(doubts) == n_doubts


def test_detector_gaps_are_no_photons() -> None:
    counts = small_counts().astype(np.uint32)
    counts[:, 10:12, :] = 2**32 - 1
    assert f"{2 * SIDE} of {SIDE * SIDE} pixels hold 4294967295" in refusal(small_scan(counts))


def test_a_constant_pixel_that_is_no_brighter_than_others_is_light() -> None:
    counts = small_counts()
    counts[:, SIDE // 2, SIDE // 2] = 50
    np.testing.assert_array_equal(convert(small_scan(counts)).counts, counts)


# Dark, bright and repeated exposures.


def mad_counts() -> np.ndarray:
    counts = small_counts().astype(np.uint32)
    counts[7] *= 5000
    return counts


def test_a_mad_exposure_is_named_with_its_number() -> None:
    message = refusal(small_scan(mad_counts()))
    assert "more than 10 times the median" in message
    assert "--drop 7 " in message


def test_dropped_exposures_go_with_their_positions() -> None:
    found = convert(small_scan(mad_counts()), wishes=IngestOptions(drop=(7, 12)))
    kept = np.delete(np.arange(N), [7, 12])
    np.testing.assert_array_equal(found.counts, small_counts()[kept])
    np.testing.assert_array_equal(found.positions_px, small_positions()[kept])


def test_empty_exposures_are_counted_and_named() -> None:
    counts = small_counts()
    counts[[2, 9]] = 0
    message = refusal(small_scan(counts))
    assert [part for part in (f"2 of {N} exposures are dark", ": 2,9", "--drop-dark") if part not in message] == []


def test_an_exposure_without_photons_is_no_wonder_at_a_low_dose() -> None:
    counts = small_counts(photons=3.0)
    counts[4] = 0
    np.testing.assert_array_equal(convert(small_scan(counts)).counts, counts)


def test_outliers_are_kept_when_told() -> None:
    counts = small_counts()
    counts[[2, 9]] = 0
    np.testing.assert_array_equal(convert(small_scan(counts), wishes=IngestOptions(keep_outliers=True)).counts, counts)


def test_a_repeated_exposure_is_named() -> None:
    counts = small_counts()
    counts[11] = counts[3]
    message = refusal(small_scan(counts))
    assert "(11 that of 3)" in message
    assert "--drop 11 " in message


def test_a_number_to_drop_that_is_not_there_is_refused() -> None:
    assert f"--drop {N} names no exposure; they are numbered 0 to {N - 1}" in refusal(
        small_scan(), wishes=IngestOptions(drop=(N,))
    )


# Positions.


@pytest.mark.parametrize("factor", [0.05, 1e-9], ids=["micrometres", "metres"])
def test_positions_in_another_unit_are_refused_with_span_and_step(factor: float) -> None:
    message = refusal(small_scan(positions=factor * small_positions()))
    needed = [f"steps of {factor * STEP_PX:.4g} px", "metres", "--positions-unit"]
    assert [part for part in needed if part not in message] == []


def test_positions_that_do_not_overlap_are_refused_beside_the_frame() -> None:
    message = refusal(small_scan(positions=8.5e6 * small_positions() / STEP_PX))
    assert "steps of 8.5e+06 px" in message
    assert f"frames of {SIDE} x {SIDE} px" in message


def test_sparse_positions_are_taken_when_told() -> None:
    sparse = 30.0 * small_positions() / STEP_PX
    found = convert(small_scan(positions=sparse), wishes=IngestOptions(no_overlap=True))
    np.testing.assert_array_equal(found.positions_px, sparse)


def test_a_position_far_away_is_named_with_its_distance() -> None:
    positions = small_positions()
    positions[5, 1] = 2e7
    message = refusal(small_scan(positions=positions))
    needed = ["1 of 30 exposures lies far from all others: 5 ", "x 2e+07 px is 2e+07 px from its", "--drop 5,"]
    assert [part for part in needed if part not in message] == []


def test_two_fields_that_lie_far_apart_are_taken() -> None:
    positions = small_positions()
    positions[N // 2 :] += 2000.0
    np.testing.assert_array_equal(convert(small_scan(positions=positions)).positions_px, positions)


def test_an_object_that_no_memory_holds_is_refused_before_it_is_made() -> None:
    positions = small_positions()
    positions[N // 2 :] += 1e6
    assert "the object would have" in refusal(small_scan(positions=positions))


def test_positions_whose_axes_are_one_array_are_refused() -> None:
    positions = np.repeat(small_positions()[:, :1], 2, axis=1) + 0.5 * np.arange(N)[:, None]
    message = refusal(small_scan(positions=positions))
    assert f"y and x are equal in all {N} positions" in message
    assert "--positions-x" in message


def test_positions_that_are_no_numbers_are_named() -> None:
    positions = small_positions()
    positions[4, 0] = np.nan
    assert "--drop 4" in refusal(small_scan(positions=positions))


def test_positions_of_one_row_are_no_fault() -> None:
    row = np.stack([np.zeros(N), STEP_PX * np.arange(N)], axis=1)
    np.testing.assert_array_equal(convert(small_scan(positions=row)).positions_px, row)


# The probe, and the zero frequency.


def test_a_probe_that_is_brighter_at_the_corners_is_named() -> None:
    (complaint,) = complain_of_probe(np.fft.fftshift(small_probe())[None, None])
    assert "brighter at the corners of its array than in the middle" in complaint.found
    assert "np.fft.fftshift" in complaint.remedy


def test_a_probe_in_the_middle_is_no_fault() -> None:
    assert list(complain_of_probe(small_probe()[None, None])) == []


def test_patterns_with_light_at_the_corner_are_asked_about() -> None:
    message = refusal(small_scan(np.fft.ifftshift(small_counts(), axes=(1, 2))))
    assert "give --zero-frequency corner" in message


def test_a_claim_of_the_corner_is_doubted_where_the_light_is_at_the_centre() -> None:
    centred = small_counts().mean(axis=0)
    (doubt,) = doubt_zero_frequency(np.fft.fftshift(centred), "corner")  # as a scan would have it
    assert "at the corner, as you say, though more light is at the centre" in doubt
    assert list(doubt_zero_frequency(centred, "centre")) == []


def test_a_hot_pixel_near_the_corner_does_not_move_the_zero_frequency() -> None:
    message = refusal(small_scan(with_pixel(2**31, row=1, column=1)))
    assert "--mask marks" in message
    assert "--zero-frequency" not in message


def test_a_flickering_pixel_near_the_corner_does_not_move_the_zero_frequency() -> None:
    counts = small_counts()
    counts[:, 1, 1] = 4000 + np.arange(N)
    np.testing.assert_array_equal(convert(small_scan(counts)).counts, counts)


# Quantity and gain.


def test_normalised_intensities_are_not_taken_for_amplitudes() -> None:
    counts = small_counts()
    message = refusal(small_scan(counts / counts.max(), quantity=None, file_format="DATA-001"))
    assert "every count is a perfect square" in message
    assert "--quantity intensity" in message


def test_normalised_intensities_give_the_counts_when_told() -> None:
    counts = small_counts()
    found = convert(small_scan(counts / counts.max(), quantity=None), ReadOptions(quantity="intensity"))
    np.testing.assert_array_equal(found.counts, counts)


def test_counts_that_share_a_divisor_are_asked_about_with_the_gain() -> None:
    message = refusal(small_scan(7 * small_counts()))
    assert "every count is a multiple of 7" in message
    assert "--photons-per-intensity 0.142857143" in message


def test_a_gain_that_is_given_makes_photons() -> None:
    found = convert(small_scan(7 * small_counts()), ReadOptions(photons_per_intensity=1 / 7))
    np.testing.assert_array_equal(found.counts, small_counts())


def test_reals_without_a_stated_quantity_are_asked_about() -> None:
    message = refusal(small_scan(np.sqrt(small_counts()), quantity=None))
    assert "give --quantity intensity or --quantity amplitude" in message


def test_masked_pixels_do_not_tell_what_a_photon_is() -> None:
    valid = np.ones((SIDE, SIDE), dtype=bool)
    valid[3, 4] = False
    amplitudes = np.sqrt(small_counts()) / np.pi
    amplitudes[:, 3, 4] = 0.01
    found = convert(small_scan(amplitudes, quantity="amplitude", mask=valid))
    np.testing.assert_array_equal(found.counts, small_counts() * valid)


# Rounding.


def dark_subtracted() -> np.ndarray:
    return small_counts() + np.random.default_rng(5).normal(0, 0.4, (N, SIDE, SIDE))


def test_reals_that_are_no_photons_are_refused_with_round_as_a_remedy() -> None:
    message = refusal(small_scan(dark_subtracted()))
    assert [part for part in ("--round", "are negative in some exposures") if part not in message] == []


def test_round_takes_the_nearest_photons_and_0_for_negative_ones() -> None:
    found = convert(small_scan(dark_subtracted()), wishes=IngestOptions(round=True))
    np.testing.assert_array_equal(found.counts, np.clip(np.rint(dark_subtracted()), 0, None))


# All at once.


def test_all_complaints_come_at_once() -> None:
    counts = small_counts().astype(np.uint32)
    counts[:, 3, 4] = 2**32 - 1
    counts[7] = 0
    positions = small_positions()
    positions[5, 1] = 2e7
    message = refusal(small_scan(counts, positions=positions))
    assert "3 problems were found, and nothing was written" in message
    needed = ("largest value of uint32", "is dark", "far from all others")
    assert [part for part in needed if part not in message] == []


@pytest.mark.parametrize(
    ("numbers", "words"),
    [([7], "--drop 7"), ([3, 7, 8, 9, 12], "--drop 3,7:10,12"), (range(0, 1000, 2), "--drop with their numbers")],
)
def test_drop_words_join_neighbours_to_ranges(numbers: list[int], words: str) -> None:
    assert drop_words(numbers) == words


def test_a_single_complaint_of_a_reader_names_its_file_once() -> None:
    with pytest.raises(InputError) as refused:
        raise_complaints("read a.npz", [Complaint(found="read a.npz: no array 'mask'", remedy="add it")])
    assert refused.value.message == "read a.npz: no array 'mask'"
