"""Patterns are cut and binned, masks, probes and pixel sizes follow; positions come in px of the object."""

from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from ingesting import convert
from small_scan import SIDE, N, small_counts, small_positions, small_probe, small_scan

from fly64dask.base import Geometry, InputError
from fly64dask.datasets.formats import ReadOptions
from fly64dask.datasets.ingest import IngestOptions, ingest_scan
from fly64dask.datasets.ingest.detector import bin_mask, cut, fit_probe, make_frame
from fly64dask.datasets.ingest.geometry import doubt_pixel, object_pixel_nm, wavelength_nm
from fly64dask.datasets.ingest.masks import read_mask
from fly64dask.store import ExposureAttributes, open_group

NOTHING = ReadOptions()
# 6.2 keV, 7 m, 172 um, 128 px: the px of a real PtyPy result, 6.3582e-8 m.
REAL = Geometry(energy_kev=6.2, distance_m=7.0, pitch_um=(172.0, 172.0))


def test_object_pixel_is_that_of_a_real_file() -> None:
    found = object_pixel_nm(REAL, (128, 128), is_transposed=False)
    assert found is not None
    assert found[0] == pytest.approx(63.582, rel=1e-4)
    assert found[1] == found[0]


def test_object_pixel_has_two_sides_when_the_pattern_is_not_square() -> None:
    found = object_pixel_nm(REAL, (128, 64), is_transposed=False)
    assert found is not None
    assert found[1] == pytest.approx(2 * found[0])


@pytest.mark.parametrize(("kilovolts", "angstrom"), [(80, 0.04176), (300, 0.01969)])
def test_wavelength_of_an_electron_is_relativistic(kilovolts: float, angstrom: float) -> None:
    found = wavelength_nm(Geometry(particle="electron", energy_kev=kilovolts))
    assert found == pytest.approx(angstrom / 10, rel=1e-3)


def test_object_pixel_of_electrons_follows_from_the_bright_disk() -> None:
    geometry = Geometry(particle="electron", energy_kev=80, semi_angle_mrad=21.4, bright_disk_radius_px=20)
    found = object_pixel_nm(geometry, (128, 128), is_transposed=False)
    assert found is not None
    assert found[0] == pytest.approx(0.004176 * 20 / (128 * 21.4e-3), rel=1e-3)


def test_positions_in_metres_become_px() -> None:
    geometry = Geometry(pixel_size_nm=(8.0, 10.0))
    metres = small_positions() * np.array([8e-9, 10e-9])
    found = convert(small_scan(positions=metres, positions_unit="m", geometry=geometry))
    np.testing.assert_allclose(found.positions_px, small_positions(), atol=1e-12)


def test_positions_in_metres_without_a_geometry_are_refused_with_what_is_needed() -> None:
    with pytest.raises(InputError, match="give --pixel-size-nm, or --energy-kev, --distance-m and --pitch-um"):
        convert(small_scan(positions=1e-8 * small_positions(), positions_unit="m"))


# Axes.


def test_transpose_swaps_the_axes_of_patterns_and_mask_alone() -> None:
    valid = np.ones((SIDE, SIDE), dtype=bool)
    valid[3, 4] = False
    turned = small_counts().swapaxes(1, 2)
    found = convert(small_scan(turned, mask=valid.T), wishes=IngestOptions(transpose=True))
    np.testing.assert_array_equal(found.counts, small_counts() * valid)
    np.testing.assert_array_equal(found.probe_guess[0, 0], small_probe())


def test_a_probe_that_lies_as_patterns_that_are_not_square_is_transposed_with_them() -> None:
    counts, probe = small_counts()[:, 4:20], small_probe()[4:20]
    wish = IngestOptions(transpose=True)
    stored = small_scan(counts.swapaxes(1, 2), probe=probe.T, positions=small_positions())
    found = convert(stored, wishes=wish)
    np.testing.assert_array_equal(found.counts, counts)
    np.testing.assert_array_equal(found.probe_guess[0, 0], probe)
    # One that already fits the patterns as they are wanted stays.
    found = convert(small_scan(counts.swapaxes(1, 2), probe=probe), wishes=wish)
    np.testing.assert_array_equal(found.probe_guess[0, 0], probe)


def test_positions_are_swapped_before_they_are_flipped() -> None:
    found = convert(small_scan(), wishes=IngestOptions(swap_xy=True, flip_y=True))
    y, x = small_positions().T
    np.testing.assert_array_equal(found.positions_px, np.stack([-x, y], axis=1))


# Cutting.


def test_crop_keeps_the_zero_frequency_and_makes_pixels_of_the_object_larger() -> None:
    found = convert(small_scan(), wishes=IngestOptions(crop=(12, 12)))
    np.testing.assert_array_equal(found.counts, small_counts()[:, 6:18, 6:18])
    np.testing.assert_array_equal(found.positions_px, small_positions() / 2)


def test_roi_keeps_rows_and_columns() -> None:
    found = convert(small_scan(), wishes=IngestOptions(roi=((6, 18), (4, 20))))
    np.testing.assert_array_equal(found.counts, small_counts()[:, 6:18, 4:20])


def test_bin_sums_counts_and_keeps_positions() -> None:
    found = convert(small_scan(), wishes=IngestOptions(bin=2))
    by_hand = sum(small_counts()[:, y::2, x::2].astype(int) for y in (0, 1) for x in (0, 1))
    np.testing.assert_array_equal(found.counts, by_hand)
    np.testing.assert_array_equal(found.positions_px, small_positions())


def test_a_binned_pixel_is_valid_if_all_of_its_pixels_are() -> None:
    valid = np.ones((SIDE, SIDE), dtype=bool)
    valid[3, 4] = False
    found = convert(small_scan(mask=valid), wishes=IngestOptions(bin=2))
    assert np.argwhere(~found.valid_pixels).tolist() == [[1, 2]]


def test_counts_of_a_square_that_is_not_valid_are_0() -> None:
    valid = np.ones((SIDE, SIDE), dtype=bool)
    valid[12, 12] = False
    found = convert(small_scan(mask=valid), wishes=IngestOptions(bin=2))
    assert not found.counts[:, 6, 6].any()


@pytest.mark.parametrize(
    ("wishes", "named"),
    [
        (IngestOptions(crop=(25, 24)), "--crop 25,24"),
        (IngestOptions(roi=((0, 25), (0, 24))), "--roi 0:25,0:24"),
        (IngestOptions(bin=5), "give --crop 20,20"),
    ],
)
def test_a_cut_that_does_not_fit_is_refused(wishes: IngestOptions, named: str) -> None:
    with pytest.raises(InputError, match=named):
        convert(small_scan(), wishes=wishes)


def frame_of(shape: tuple[int, int], **wishes: object) -> object:
    return make_frame(shape, IngestOptions(**wishes), is_at_corner=False, origin="test")  # type: ignore[arg-type]


def test_a_probe_follows_a_crop_with_its_far_field() -> None:
    frame = frame_of((64, 64), crop=(32, 32))
    fine = small_probe(64)
    far = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(fine)))[16:48, 16:48]
    coarse = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(far))) / 4
    np.testing.assert_allclose(fit_probe(frame, fine), coarse, atol=1e-5)


def test_a_probe_follows_binning_with_its_middle() -> None:
    frame = frame_of((64, 64), bin=2)
    np.testing.assert_array_equal(fit_probe(frame, small_probe(64)), small_probe(32))


@pytest.mark.parametrize("shape", [(24, 24), (25, 24), (27, 25)])
@pytest.mark.parametrize("side", [1, 3])
def test_the_zero_frequency_stays_at_the_centre(shape: tuple[int, int], side: int) -> None:
    crop = tuple(side * (size // side // 2) for size in shape)
    frame = frame_of(shape, crop=crop, bin=side)
    lit = np.zeros(shape, dtype=bool)
    lit[shape[0] // 2, shape[1] // 2] = True
    dark = bin_mask(frame, ~cut(frame, lit))
    height, width = dark.shape
    assert np.argwhere(~dark).tolist() == [[height // 2, width // 2]]


# Masks of files.

BAD = np.zeros((SIDE, SIDE), dtype=np.uint32)
BAD[3, 4] = 1


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("entry_1/instrument_1/detector_1/mask", BAD),
        ("bad_pixels", BAD.astype(bool)),
        ("valid_pixel_mask", BAD == 0),
        ("meta/weight2d", (1.0 - BAD) * 0.5),
    ],
)
def test_a_mask_is_read_in_the_convention_of_its_name(tmp_path: Path, name: str, values: np.ndarray) -> None:
    with h5py.File(tmp_path / "mask.h5", "w") as file:
        file[name] = values
        file["other/image"] = np.zeros((SIDE, SIDE))
    np.testing.assert_array_equal(read_mask(f"{tmp_path}/mask.h5:{name}", (SIDE, SIDE), None), BAD == 0)


@pytest.mark.parametrize(("good", "expected"), [("0", BAD == 0), ("1", BAD == 1), ("positive", BAD > 0)])
def test_a_mask_is_read_as_a_person_says(tmp_path: Path, good: str, expected: np.ndarray) -> None:
    np.save(tmp_path / "mask.npy", BAD)
    found = read_mask(f"{tmp_path}/mask.npy", (SIDE, SIDE), good)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found, expected)


def test_a_mask_that_does_not_say_which_value_is_good_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", BAD)
    with pytest.raises(InputError, match="give --mask-good 0, 1 or positive"):
        read_mask(f"{tmp_path}/mask.npy", (SIDE, SIDE), None)


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", BAD[1:])
    with pytest.raises(InputError, match="the patterns have 24 x 24 px"):
        read_mask(f"{tmp_path}/mask.npy", (SIDE, SIDE), "0")


# The store.


def test_the_store_says_what_was_done(tmp_path: Path) -> None:
    (tmp_path / "scan.h5").write_bytes(b"a file")
    valid = np.ones((SIDE, SIDE), dtype=bool)
    valid[0, :12] = False
    geometry = Geometry(pixel_size_nm=(8.0, 8.0), pitch_um=(55.0, 55.0))
    scan = small_scan(paths=(tmp_path / "scan.h5",), mask=valid, geometry=geometry, assumed=("far field",))
    wishes = IngestOptions(crop=(12, 24), drop=(3,), flip_x=True)
    stored = ingest_scan(scan, tmp_path / "s.zarr", NOTHING, wishes)
    photons = small_counts()[np.arange(N) != 3, 6:18].sum(axis=(1, 2))
    facts = stored.ingested
    assert facts is not None
    assert (facts.photons_min, facts.photons_median, facts.photons_max) == (
        photons.min(),
        np.median(photons),
        photons.max(),
    )
    assert (facts.dropped, facts.changes, facts.assumed) == ((3,), ("--flip-x", "--crop 12,24"), ("far field",))
    assert stored.pixel_size_nm == (16.0, 8.0)
    assert open_group(tmp_path / "s.zarr", ExposureAttributes).attributes == stored


def test_the_store_has_the_mask_and_the_photons_of_each_exposure(tmp_path: Path) -> None:
    (tmp_path / "scan.h5").write_bytes(b"a file")
    valid = np.ones((SIDE, SIDE), dtype=bool)
    valid[12, 10:14] = False
    scan = small_scan(paths=(tmp_path / "scan.h5",), mask=valid)
    stored = ingest_scan(scan, tmp_path / "s.zarr", NOTHING, IngestOptions())
    group = open_group(tmp_path / "s.zarr", ExposureAttributes)
    np.testing.assert_array_equal(group.read("valid_pixels"), valid)
    np.testing.assert_array_equal(group.read("exposure_photons"), (small_counts() * valid).sum(axis=(1, 2)))
    assert stored.ingested is not None
    assert stored.ingested.masked_share == pytest.approx(4 / SIDE**2)


def test_counts_beyond_16_bits_are_stored_in_32(tmp_path: Path) -> None:
    (tmp_path / "scan.h5").write_bytes(b"a file")
    counts = small_counts().astype(np.uint32)
    counts[N - 1, 12, 12] = 70_000  # in the last exposure, after others were written
    scan = small_scan(counts, paths=(tmp_path / "scan.h5",))
    ingest_scan(scan, tmp_path / "s.zarr", NOTHING, IngestOptions(keep_outliers=True))
    np.testing.assert_array_equal(open_group(tmp_path / "s.zarr", ExposureAttributes).read("counts"), counts)


def test_the_store_names_the_bytes_of_its_file(tmp_path: Path) -> None:
    content = np.random.default_rng(1).bytes(10_000_001)  # not a whole number of blocks
    (tmp_path / "scan.h5").write_bytes(content)
    stored = ingest_scan(small_scan(paths=(tmp_path / "scan.h5",)), tmp_path / "s.zarr", NOTHING, IngestOptions())
    assert stored.source["sha256"] == stored.source_digest == hashlib.sha256(content).hexdigest()


class BreaksOff:
    """Patterns whose second block is not read to its end."""

    shape, dtype = (N, SIDE, SIDE), np.dtype(np.uint16)

    def read(self, start: int, stop: int) -> np.ndarray:
        raise KeyboardInterrupt


def test_an_interrupted_ingest_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        ingest_scan(small_scan(patterns=BreaksOff()), tmp_path / "deep" / "s.zarr", NOTHING, IngestOptions())
    assert list(tmp_path.iterdir()) == []


def test_progress_ends_with_all_exposures(tmp_path: Path) -> None:
    (tmp_path / "scan.h5").write_bytes(b"a file")
    said: list[tuple[int, int, int]] = []
    scan = small_scan(paths=(tmp_path / "scan.h5",))
    ingest_scan(scan, tmp_path / "s.zarr", NOTHING, IngestOptions(), on_progress=lambda *done: said.append(done))
    assert said[-1] == (N, N, small_counts().nbytes)


def weights_in(tmp_path: Path, weights: np.ndarray, wishes: IngestOptions) -> tuple[np.ndarray | None, str]:
    """OPR weights in the store of a scan whose probe has two OPR modes, and what was assumed."""
    (tmp_path / "scan.h5").write_bytes(b"a file")
    probe = np.stack([small_probe(), 0.1 * np.roll(small_probe(), 3, axis=0)])[:, None]
    scan = small_scan(paths=(tmp_path / "scan.h5",), probe=probe, opr_weights=weights)
    stored = ingest_scan(scan, tmp_path / "s.zarr", NOTHING, wishes)
    group = open_group(tmp_path / "s.zarr", ExposureAttributes)
    assert stored.ingested is not None
    return group.read("opr_weights") if "opr_weights" in group.names else None, " ".join(stored.ingested.assumed)


def test_weights_of_opr_modes_go_with_their_exposures(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).uniform(size=(N, 2))
    found, _ = weights_in(tmp_path, weights, IngestOptions(drop=(4,)))
    np.testing.assert_array_equal(found, np.delete(weights, 4, axis=0))


def test_weights_of_other_modes_are_left_out_and_that_is_said(tmp_path: Path) -> None:
    found, assumed = weights_in(tmp_path, np.ones((N, 3)), IngestOptions())
    assert found is None
    assert f"OPR weights of shape ({N}, 3), where ({N}, 2) finite ones belong, are left out" in assumed


def test_a_stated_pixel_is_doubted_where_the_rest_of_the_geometry_gives_another() -> None:
    # 1.23984e-9 / 6.2 * 7 / (128 * 172e-6) m = 63.58 nm, as a PtyPy result has it.
    (doubt,) = doubt_pixel(REAL.model_copy(update={"pixel_size_nm": (10.0, 10.0)}), (128, 128), is_transposed=False)
    assert doubt == "a pixel of 10 x 10 nm, though the rest of the geometry gives 63.58 x 63.58 nm"


@pytest.mark.parametrize("geometry", [REAL, REAL.model_copy(update={"pixel_size_nm": (63.6, 63.6)})])
def test_a_pixel_that_agrees_with_the_rest_of_the_geometry_is_not_doubted(geometry: Geometry) -> None:
    assert list(doubt_pixel(geometry, (128, 128), is_transposed=False)) == []


def test_a_mask_that_is_not_finite_is_refused_with_its_number_of_pixels(tmp_path: Path) -> None:
    mask = np.ones((SIDE, SIDE))
    mask[2, :3] = np.nan
    np.save(tmp_path / "mask.npy", mask)
    with pytest.raises(InputError, match=f"mask.npy: 3 of {SIDE * SIDE} pixels of mask are not finite"):
        read_mask(f"{tmp_path}/mask.npy", (SIDE, SIDE), "1")
