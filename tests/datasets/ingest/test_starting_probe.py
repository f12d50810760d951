"""Starting probes: where a file has none, from an aperture, a zone plate or a disc, or from another file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ingesting import convert
from small_scan import SIDE, small_counts, small_probe, small_scan

from fly64dask.base import Geometry, InputError
from fly64dask.datasets.formats import ReadOptions
from fly64dask.datasets.ingest import IngestOptions, ingest_scan
from fly64dask.datasets.ingest.starting_probe import Surroundings, make_probe
from fly64dask.scan import probe_diameters

# 8 keV, pixels of 10 nm.
AROUND = Surroundings(
    mean_pattern=np.full((128, 128), 2.0), valid=None, step_px=4.0, pixel_nm=(10.0, 10.0), wavelength_nm=0.15498
)


def far_field(probe: np.ndarray) -> np.ndarray:
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(probe), norm="ortho"))


def test_a_made_probe_has_the_mean_photons_of_an_exposure() -> None:
    probe = make_probe("disc:20", AROUND)
    assert np.square(np.abs(probe)).sum() == pytest.approx(2.0 * 128**2, rel=1e-5)


def test_a_disc_has_its_diameter() -> None:
    assert probe_diameters(make_probe("disc:20", AROUND)).fwhm_px == pytest.approx(20, abs=1)


def test_the_probe_of_the_mean_pattern_has_its_far_field() -> None:
    mean = small_counts().mean(axis=0)
    around = Surroundings(mean_pattern=mean, valid=None, step_px=2.0, pixel_nm=None, wavelength_nm=None)
    found = np.square(np.abs(far_field(make_probe("mean", around)[0, 0])))
    np.testing.assert_allclose(found, mean, rtol=1e-4, atol=1e-4)


def test_a_gap_where_there_is_no_light_leaves_the_probe_finite() -> None:
    mean = np.zeros((48, 64))
    mean[20:28, 28:36] = np.random.default_rng(1).uniform(0.1, 300.0, (8, 8))
    valid = np.ones(mean.shape, dtype=bool)
    valid[[7, 18, 29]] = False
    around = Surroundings(mean_pattern=mean, valid=valid, step_px=2.0, pixel_nm=None, wavelength_nm=None)
    assert np.isfinite(make_probe("mean", around)).all()


def test_the_probe_of_the_mean_pattern_is_as_wide_as_a_person_says() -> None:
    y, x = np.ogrid[-64:64, -64:64]
    mean = np.exp(-(y**2 + x**2) / 800.0)
    around = Surroundings(mean_pattern=mean, valid=None, step_px=4.0, pixel_nm=None, wavelength_nm=None)
    assert probe_diameters(make_probe("mean:30", around)).d90_px == pytest.approx(30, rel=0.15)


def test_a_scan_without_a_probe_gets_one_that_overlaps_and_says_so() -> None:
    found = convert(small_scan(probe=None)).probe_guess
    assert found.shape == (1, 1, SIDE, SIDE)
    assert probe_diameters(found).d90_px > 5.0


def test_an_aperture_in_focus_has_the_width_of_the_airy_disk() -> None:
    # Airy: full width at half maximum 1.03 lambda / (2 alpha).
    probe = make_probe("aperture:1.0,0", AROUND)
    assert probe_diameters(probe).fwhm_px == pytest.approx(1.03 * 0.15498 / 2e-3 / 10, rel=0.15)


def test_an_aperture_out_of_focus_is_as_wide_as_its_shadow() -> None:
    # 2 alpha dz = 1e-2 * 4e4 nm = 400 nm: 40 px, of which a disc of 90 % has 0.95.
    probe = make_probe("aperture:5.0,40000", AROUND)
    assert probe_diameters(probe).d90_px == pytest.approx(0.95 * 40, rel=0.1)


def test_a_zone_plate_has_the_frequencies_of_its_outermost_zone_without_its_stop() -> None:
    probe = make_probe("fzp:100,50,0,40", AROUND)[0, 0]
    lit = np.abs(far_field(probe)) > 1.0
    frequency = np.hypot(*np.meshgrid(*2 * [np.fft.fftshift(np.fft.fftfreq(128, d=10.0))]))
    assert frequency[lit].max() == pytest.approx(1 / 100, rel=0.05)
    assert frequency[lit].min() == pytest.approx(0.4 / 100, rel=0.1)


def test_a_beam_that_is_wider_than_its_frame_is_refused() -> None:
    with pytest.raises(InputError, match="in a frame of 1280 nm"):
        make_probe("aperture:1.0,1e6", AROUND)


def test_an_aperture_needs_wavelength_and_pixel_size() -> None:
    with pytest.raises(InputError, match="--energy-kev"):
        convert(small_scan(), wishes=IngestOptions(probe="aperture:1,0"))


@pytest.mark.parametrize("words", ["disc", "disc:a", "aperture:1", "fzp:1,2"])
def test_words_without_their_numbers_are_refused(words: str) -> None:
    with pytest.raises(InputError, match="not the numbers that"):
        convert(small_scan(), wishes=IngestOptions(probe=words))


def test_another_files_probe_is_taken(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", probe=2 * small_probe())
    found = convert(small_scan(), wishes=IngestOptions(probe=str(tmp_path / "other.npz")))
    np.testing.assert_array_equal(found.probe_guess[0, 0], 2 * small_probe())


def test_an_aperture_is_made_from_the_geometry_of_the_file() -> None:
    geometry = Geometry(energy_kev=8.0, pixel_size_nm=(10.0, 10.0))
    found = convert(small_scan(geometry=geometry), wishes=IngestOptions(probe="aperture:2,0"))
    assert probe_diameters(found.probe_guess).fwhm_px == pytest.approx(1.03 * 0.15498 / 4e-3 / 10, rel=0.3)


@pytest.mark.parametrize("factor", [1e-20, 1e15])
def test_a_probe_in_a_far_off_unit_is_stored_with_the_photons_of_an_exposure(factor: float) -> None:
    usual = small_probe()
    found = convert(small_scan(probe=(usual.astype(complex) * factor).astype(np.complex64))).probe_guess[0, 0]
    mean_photons = small_counts().sum(dtype=np.float64) / len(small_counts())
    expected = usual * np.sqrt(mean_photons / np.square(np.abs(usual.astype(complex))).sum())
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_probe_in_a_usual_unit_is_stored_to_the_bit() -> None:
    usual = (1e-3 * small_probe()).astype(np.complex64)
    assert np.array_equal(convert(small_scan(probe=usual)).probe_guess[0, 0], usual)


def test_a_store_says_that_its_probe_was_in_another_unit(tmp_path: Path) -> None:
    (tmp_path / "scan.h5").write_bytes(b"a file")
    scan = small_scan(probe=(1e-20 * small_probe()).astype(np.complex64), paths=(tmp_path / "scan.h5",))
    stored = ingest_scan(scan, tmp_path / "scan.zarr", ReadOptions(), IngestOptions())
    assert stored.ingested is not None
    (note,) = (each for each in stored.ingested.assumed if "starting probe" in each)
    power = np.square(np.abs(small_probe().astype(complex))).sum() * 1e-40
    assert f"its power of {power:.3g} is in another unit" in note
    assert f"{stored.mean_counts_photons:.6g} photons of an exposure" in note
