"""The measured star in the layout of each format that is read: the same counts and positions, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import foreign_scans as foreign
import h5py
import numpy as np
import pytest
from foreign_scans import LAYOUTS, Scan

from fly64dask.base import Geometry, InputError
from fly64dask.datasets.formats import ReadOptions, ScanFile, read_scan_file


@pytest.fixture(scope="module")
def star(star_file: Path) -> Scan:
    return foreign.part_of_star(star_file)


def read(path: Path, **options: Any) -> ScanFile:
    return read_scan_file(path, ReadOptions(**options))


def read_all(scan: ScanFile) -> np.ndarray:
    return scan.patterns.read(0, scan.patterns.shape[0])


def written(layout: str, folder: Path, star: Scan) -> ScanFile:
    path, options = LAYOUTS[layout](folder, star)
    return read(path, **options)


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as refused:
        read(path, **options)
    return str(refused.value)


every_layout = pytest.mark.parametrize("layout", LAYOUTS)


@every_layout
def test_every_layout_gives_the_counts_of_the_star(tmp_path: Path, star: Scan, layout: str) -> None:
    scan = written(layout, tmp_path, star)
    assert scan.patterns.shape == star.counts.shape
    np.testing.assert_array_equal(read_all(scan), star.counts)


@every_layout
def test_every_layout_gives_the_positions_of_the_star(tmp_path: Path, star: Scan, layout: str) -> None:
    scan = written(layout, tmp_path, star)
    assert scan.positions_unit == "m"
    np.testing.assert_array_equal(scan.positions, star.positions_m)


@every_layout
def test_every_layout_is_read_in_blocks_as_it_is_read_whole(tmp_path: Path, star: Scan, layout: str) -> None:
    patterns = written(layout, tmp_path, star).patterns
    blocks = [patterns.read(start, start + 5) for start in (0, 5, 10)]
    np.testing.assert_array_equal(np.concatenate(blocks), star.counts)


@every_layout
def test_every_layout_is_read_again_from_the_start(tmp_path: Path, star: Scan, layout: str) -> None:
    patterns = written(layout, tmp_path, star).patterns
    patterns.read(3, 9)
    np.testing.assert_array_equal(patterns.read(1, 4), star.counts[1:4])


# Compressions of detectors.


@pytest.mark.parametrize("name", ["Bitshuffle", "LZ4", "Blosc", "Blosc2", "Zstd"])
def test_hdf5_compressed_as_detectors_do_is_read(tmp_path: Path, star: Scan, name: str) -> None:
    path = foreign.write_dp(tmp_path / "dp.h5", star, compression=getattr(foreign.hdf5plugin, name)())
    scan = read(path, positions=foreign.write_para(tmp_path / "para.h5", star))
    np.testing.assert_array_equal(read_all(scan), star.counts)


# What formats say of the geometry, and what is assumed.

KEV_OF = pytest.approx(foreign.ENERGY_KEV, rel=1e-7)


@pytest.mark.parametrize("layout", ["cxi", "nxptycho", "ptyd"])
def test_detector_and_energy_are_read(tmp_path: Path, star: Scan, layout: str) -> None:
    geometry = written(layout, tmp_path, star).geometry
    assert (geometry.energy_kev, geometry.distance_m, geometry.pitch_um) == (
        KEV_OF,
        foreign.DISTANCE_M,
        pytest.approx((172.0, 172.0)),
    )


@pytest.mark.parametrize("layout", ["ptychodus", "ptychodus_npz"])
def test_a_product_has_the_pixel_of_its_object_where_that_of_the_probe_is_0(
    tmp_path: Path, star: Scan, layout: str
) -> None:
    assert written(layout, tmp_path, star).geometry.pixel_size_nm == pytest.approx((20.0, 20.0))


def test_ptylab_has_wavelength_distance_and_pitch(tmp_path: Path, star: Scan) -> None:
    geometry = written("ptylab_matlab5", tmp_path, star).geometry
    assert geometry == Geometry(wavelength_nm=geometry.wavelength_nm, distance_m=2.0, pitch_um=geometry.pitch_um)
    assert (geometry.wavelength_nm, geometry.pitch_um) == (pytest.approx(0.14), pytest.approx((172.0, 172.0)))


@pytest.mark.parametrize("layout", ["cxi", "ptychodus", "ptylab", "fold_slice"])
def test_far_field_is_said_to_be_assumed(tmp_path: Path, star: Scan, layout: str) -> None:
    assert "far field" in written(layout, tmp_path, star).assumed


def test_a_person_comes_before_the_file(tmp_path: Path, star: Scan) -> None:
    path, options = LAYOUTS["cxi"](tmp_path, star)
    assert read(path, **options, distance_m=3.0, energy_kev=12.0).geometry == Geometry(
        energy_kev=12.0, distance_m=3.0, pitch_um=read(path).geometry.pitch_um
    )


def test_the_wavelength_of_a_person_replaces_the_energy_of_the_file(tmp_path: Path, star: Scan) -> None:
    path, options = LAYOUTS["cxi"](tmp_path, star)
    geometry = read(path, **options, wavelength_nm=0.1).geometry
    assert (geometry.energy_kev, geometry.wavelength_nm) == (None, 0.1)


# CXI.


def test_cxi_masks_all_pixels_with_a_bit_but_that_of_a_signal(tmp_path: Path, star: Scan) -> None:
    mask = np.zeros(star.counts.shape[1:], np.uint32)
    mask[0, 0], mask[1, 1], mask[2, 2], mask[3, 3] = 1, 0x1000, 0x1001, 0x40
    path = foreign.write_cxi(tmp_path / "scan.cxi", star, entry_1__instrument_1__detector_1__mask=mask)
    found = read(path).mask
    assert found is not None
    assert np.argwhere(~found).tolist() == [[0, 0], [2, 2], [3, 3]]


def test_cxi_frames_of_x_y_are_transposed_if_the_file_says_so(tmp_path: Path, star: Scan) -> None:
    path = foreign.write_cxi(
        tmp_path / "scan.cxi", star, entry_1__instrument_1__detector_1__data=star.counts.swapaxes(1, 2)
    )
    with h5py.File(path, "r+") as file:
        file["entry_1/data_1/data"].attrs["axes"] = "translation:x:y"
    np.testing.assert_array_equal(read_all(read(path)), star.counts)


def test_cxi_without_patterns_gives_its_positions_to_another_file(tmp_path: Path, star: Scan) -> None:
    y_x_m = np.random.default_rng(3).uniform(0, 1e-6, (len(star.counts), 2))
    translation = np.column_stack([y_x_m[:, 1], y_x_m[:, 0], np.zeros(len(y_x_m))])
    positions = foreign.write_hdf5(tmp_path / "object.cxi", {"entry_1/sample_1/geometry_1/translation": translation})
    patterns = foreign.write_dp(tmp_path / "dp.h5", star)
    found = read_scan_file(patterns, ReadOptions(positions=positions))
    np.testing.assert_array_equal(found.positions, y_x_m)


def test_cxi_positions_follow_the_basis_vectors_of_the_detector(tmp_path: Path, star: Scan) -> None:
    # Rows count along -y and columns along +x of the laboratory: the beam moves to smaller columns as x grows.
    basis = np.array([[0, foreign.PITCH_M], [-foreign.PITCH_M, 0], [0, 0]])
    path = foreign.write_cxi(tmp_path / "scan.cxi", star, entry_1__instrument_1__detector_1__basis_vectors=basis)
    np.testing.assert_array_equal(read(path).positions, star.positions_m * [1, -1])


def test_cxi_takes_the_illumination_as_probe(tmp_path: Path, star: Scan) -> None:
    path = foreign.write_cxi(tmp_path / "scan.cxi", star, entry_1__instrument_1__source_1__illumination=star.probe)
    np.testing.assert_array_equal(read(path).probe, star.probe)


def test_nxptycho_never_takes_the_energy_of_the_machine(tmp_path: Path, star: Scan) -> None:
    path = foreign.write_nxptycho(tmp_path / "scan.nxs", star)
    with h5py.File(path, "r+") as file:
        del file["entry_1/instrument_1/beam_1"]
    assert read(path).geometry.energy_kev is None


# Pairs.


def test_patterns_without_a_position_are_left_out_and_counted(tmp_path: Path, star: Scan) -> None:
    kept = np.array([2, 3, 7, 11])
    scan = read(
        foreign.write_dp(tmp_path / "dp.h5", star), positions=foreign.write_product(tmp_path / "p.h5", star, order=kept)
    )
    np.testing.assert_array_equal(read_all(scan), star.counts[kept])
    assert f"{len(star) - 4} patterns without a position left out" in scan.assumed


def test_positions_without_a_pattern_are_refused(tmp_path: Path, star: Scan) -> None:
    product = foreign.write_product(tmp_path / "p.h5", star, probe_position_indexes=np.arange(len(star)) + 1)
    assert f"the first of pattern {len(star)}" in refusal(foreign.write_dp(tmp_path / "dp.h5", star), positions=product)


def test_a_position_number_given_twice_is_refused(tmp_path: Path, star: Scan) -> None:
    product = foreign.write_product(tmp_path / "p.h5", star, probe_position_indexes=np.arange(len(star)) // 2)
    assert "the number of several positions" in refusal(foreign.write_dp(tmp_path / "dp.h5", star), positions=product)


def test_bad_pixels_of_ptychodus_are_masked(tmp_path: Path, star: Scan) -> None:
    mask = written("ptychodus_npz", tmp_path, star).mask
    assert mask is not None
    assert np.argwhere(~mask).tolist() == [[3, 5]]


@pytest.mark.parametrize("stored", ["dataset", "attribute"])
def test_opr_weights_follow_their_positions(tmp_path: Path, star: Scan, stored: str) -> None:
    order = np.random.default_rng(2).permutation(len(star))
    weights = np.stack([np.ones(len(star)), np.arange(len(star))], axis=1)[order]
    path = foreign.write_product(tmp_path / "p.h5", star, order=order)
    with h5py.File(path, "r+") as file:
        if stored == "dataset":
            file["opr_weights"] = weights
        else:
            file["probe"].attrs["opr_weights"] = weights
    found = read(foreign.write_dp(tmp_path / "dp.h5", star), positions=path).opr_weights
    assert found is not None
    np.testing.assert_array_equal(found[:, 1], np.arange(len(star)))


def test_ptyr_gives_probe_and_pixel(tmp_path: Path, star: Scan) -> None:
    scan = written("ptyd_and_ptyr", tmp_path, star)
    np.testing.assert_array_equal(scan.probe, star.probe[None])
    assert scan.geometry.pixel_size_nm == pytest.approx((20.0, 20.0))


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_a_shelves_result_gives_positions_and_probe_modes(tmp_path: Path, star: Scan, version: str) -> None:
    result = foreign.write_shelves(tmp_path / "result.mat", star, version=version)
    scan = read(foreign.write_dp(tmp_path / "dp.h5", star), positions=result)
    assert scan.positions_unit == "px"
    np.testing.assert_array_equal(scan.positions, star.positions_m / 20e-9)
    np.testing.assert_array_equal(scan.probe, np.stack([star.probe, 0.5 * star.probe])[None])
    np.testing.assert_array_equal(read_all(scan), star.counts)


def of_release_1_7(product: Path, *, far_field: bool) -> Path:
    """Rename and add what Ptychodus 1.7 does, in its own types."""
    with h5py.File(product, "r+") as file:
        file.attrs["photon_energy_eV"] = file.attrs["probe_energy_eV"]
        file.attrs["far_field"] = far_field
        del file.attrs["probe_energy_eV"]
    return product


def test_a_product_of_ptychodus_1_7_has_its_energy_and_says_that_it_is_of_the_far_field(
    tmp_path: Path, star: Scan
) -> None:
    product = of_release_1_7(foreign.write_product(tmp_path / "p.h5", star), far_field=True)
    scan = read(foreign.write_dp(tmp_path / "dp.h5", star), positions=product)
    assert scan.geometry.energy_kev == foreign.ENERGY_KEV
    assert "far field" not in scan.assumed


def test_a_product_of_the_near_field_is_refused(tmp_path: Path, star: Scan) -> None:
    product = of_release_1_7(foreign.write_product(tmp_path / "p.h5", star), far_field=False)
    assert "near field" in refusal(foreign.write_dp(tmp_path / "dp.h5", star), positions=product)


# PtyPy.


def test_ptyd_masks_pixels_without_weight(tmp_path: Path, star: Scan) -> None:
    mask = written("ptyd", tmp_path, star).mask
    assert mask is not None
    assert np.argwhere(~mask).tolist() == [[2, 7]]


def test_ptyd_names_a_part_that_is_missing(tmp_path: Path, star: Scan) -> None:
    path = foreign.write_ptyd(tmp_path / "scan.ptyd", star, links=True)
    (tmp_path / "scan.ptyd.part001").unlink()
    assert "scan.ptyd.part001" in refusal(path)


def test_ptyd_of_the_near_field_is_refused(tmp_path: Path, star: Scan) -> None:
    path = foreign.write_ptyd(tmp_path / "scan.ptyd", star)
    with h5py.File(path, "r+") as file:
        file["meta/propagation"] = "nearfield"
    assert "near field" in refusal(path)


# PtyLab.


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda frames: frames[:, :, ::-1]),
        (2, lambda frames: frames[:, ::-1]),
        (4, lambda frames: frames.swapaxes(1, 2)),
        (7, lambda frames: frames.swapaxes(1, 2)[:, ::-1, ::-1]),
    ],
)
def test_ptylab_frames_are_turned_as_the_file_says(tmp_path: Path, star: Scan, orientation: int, turn: Any) -> None:
    path = foreign.write_hdf5(tmp_path / "s.hdf5", foreign.ptylab_arrays(star) | {"orientation": orientation})
    np.testing.assert_array_equal(read_all(read(path)), turn(star.counts))


def test_ptylab_of_older_files_is_read(tmp_path: Path, star: Scan) -> None:
    arrays = foreign.ptylab_arrays(star)
    older = {name: arrays[name] for name in ("ptychogram", "zo", "wavelength")}
    width = star.counts.shape[2]
    older |= {"positions": star.positions_m.T, "xd": (np.arange(width) - width / 2) * foreign.PITCH_M}
    scan = read(foreign.write_hdf5(tmp_path / "s.hdf5", older))
    np.testing.assert_array_equal(scan.positions, star.positions_m)
    assert scan.geometry.pitch_um == pytest.approx((172.0, 172.0))


# Electrons.

RASTER: dict[str, Any] = {"raster": (3, 4), "raster_step_nm": 0.4}
RASTER_M = np.array([(slow, fast) for slow in range(3) for fast in range(4)]) * (0.4 * 1e-9)


def test_empad_frames_are_read_without_the_rows_of_the_detector(tmp_path: Path) -> None:
    frames = np.random.default_rng(1).normal(size=(12, 128, 128)).astype(np.float32)
    scan = read(foreign.write_empad(tmp_path / "scan_x4_y3.raw", frames), **RASTER)
    np.testing.assert_array_equal(read_all(scan), frames)
    np.testing.assert_array_equal(scan.positions, RASTER_M)


def test_merlin_frames_are_read(tmp_path: Path, star: Scan) -> None:
    scan = read(foreign.write_mib(tmp_path / "scan.mib", star.counts), **RASTER, energy_kev=80.0)
    np.testing.assert_array_equal(read_all(scan), star.counts)
    assert (scan.geometry.particle, scan.geometry.energy_kev) == ("electron", 80.0)


def test_merlin_raw_mode_is_refused(tmp_path: Path, star: Scan) -> None:
    path = foreign.write_mib(tmp_path / "scan.mib", star.counts)
    path.write_bytes(path.read_bytes().replace(b"U16", b"R64"))
    assert "R64" in refusal(path, **RASTER)


@pytest.mark.parametrize("release", ["0.13", "0.14"])
def test_a_data_cube_of_py4dstem_is_read(tmp_path: Path, star: Scan, release: str) -> None:
    path = foreign.write_py4dstem(tmp_path / "cube.h5", star, release=release)
    scan = read(path, **RASTER) if release == "0.13" else read(path)
    np.testing.assert_array_equal(read_all(scan), star.counts)
    np.testing.assert_allclose(scan.positions, RASTER_M, rtol=1e-14)


def test_a_data_cube_has_the_calibration_of_its_patterns(tmp_path: Path, star: Scan) -> None:
    path = foreign.write_py4dstem(tmp_path / "cube.h5", star, release="0.14")
    assert read(path).geometry.reciprocal_pixel_per_nm == pytest.approx((0.2, 0.2))


def test_a_raster_turned_by_90_degrees_has_its_fast_axis_along_y(tmp_path: Path, star: Scan) -> None:
    path = foreign.write_mib(tmp_path / "scan.mib", star.counts)
    found = read(path, **RASTER, raster_rotation_deg=90.0).positions
    np.testing.assert_allclose(found, np.stack([RASTER_M[:, 1], -RASTER_M[:, 0]], axis=1), atol=1e-24)


def test_a_raster_of_another_size_than_the_scan_is_refused(tmp_path: Path, star: Scan) -> None:
    path = foreign.write_mib(tmp_path / "scan.mib", star.counts)
    assert "12 patterns but 20 scan positions" in refusal(path, raster=(4, 5), raster_step_nm=1.0)


def test_frames_alone_ask_for_the_raster(tmp_path: Path, star: Scan) -> None:
    assert "--raster SLOW,FAST" in refusal(foreign.write_mib(tmp_path / "scan.mib", star.counts))


# Files of detectors.


def test_an_eiger_master_gives_patterns_mask_and_geometry(tmp_path: Path, star: Scan) -> None:
    blocks = {f"data_00000{number}": star.counts[6 * number - 6 : 6 * number] for number in (1, 2)}
    mask = np.zeros(star.counts.shape[1:], np.uint32)
    mask[5, 6] = 1
    detector = "entry/instrument/detector"
    master = foreign.write_hdf5(
        tmp_path / "scan_master.h5",
        {
            f"{detector}/detector_distance": foreign.DISTANCE_M,
            f"{detector}/x_pixel_size": 75e-6,
            f"{detector}/y_pixel_size": 75e-6,
            f"{detector}/detectorSpecific/photon_energy": 8800.0,
            f"{detector}/detectorSpecific/pixel_mask": mask,
        },
    )
    for name, block in blocks.items():
        foreign.write_hdf5(tmp_path / f"scan_{name}.h5", {"entry/data/data": block})
        with h5py.File(master, "r+") as file:
            file[f"entry/data/{name}"] = h5py.ExternalLink(f"scan_{name}.h5", "entry/data/data")
    scan = read(master, positions=foreign.write_para(tmp_path / "para.h5", star))
    np.testing.assert_array_equal(read_all(scan), star.counts)
    assert scan.mask is not None
    assert np.argwhere(~scan.mask).tolist() == [[5, 6]]
    assert (scan.geometry.energy_kev, scan.geometry.pitch_um) == (KEV_OF, pytest.approx((75.0, 75.0)))


# What is put beside one another by hand.


def test_patterns_inside_a_product_are_read(tmp_path: Path, star: Scan) -> None:
    path = foreign.write_product(tmp_path / "all.h5", star, dp=star.counts)
    np.testing.assert_array_equal(read_all(read(path)), star.counts)


def test_positions_of_a_numpy_array_are_y_then_x(tmp_path: Path, star: Scan) -> None:
    np.save(tmp_path / "positions.npy", star.positions_m * 1e6)
    path = foreign.write_dp(tmp_path / "dp.h5", star)
    found = read(path, positions=tmp_path / "positions.npy", positions_unit="um").positions
    np.testing.assert_allclose(found, star.positions_m, rtol=1e-14)


def test_a_mask_of_another_size_is_refused(tmp_path: Path, star: Scan) -> None:
    path = foreign.write_cxi(
        tmp_path / "scan.cxi", star, entry_1__instrument_1__detector_1__mask=np.zeros((4, 4), np.uint32)
    )
    assert "the mask is of (4, 4) px" in refusal(path)


def test_a_scan_behind_a_symbolic_link_finds_the_parts_beside_the_scan(tmp_path: Path, star: Scan) -> None:
    (tmp_path / "there").mkdir()
    foreign.write_ptyd(tmp_path / "there" / "scan.ptyd", star, links=True)
    (tmp_path / "scan.ptyd").symlink_to("there/scan.ptyd")
    np.testing.assert_array_equal(read_all(read(tmp_path / "scan.ptyd")), star.counts)


def test_nxcxi_takes_positions_of_the_sample_in_their_unit(tmp_path: Path, star: Scan) -> None:
    path = foreign.write_cxi(
        tmp_path / "scan.cxi",
        star,
        entry_1__definition="NXcxi_ptycho",
        entry_1__data_1__translation=None,
        entry_1__sample_1__geometry_1__translation=None,
        entry_1__sample_1__transformations__y=star.positions_m[:, 0] * 1e3,
        entry_1__sample_1__transformations__x=star.positions_m[:, 1] * 1e3,
    )
    with h5py.File(path, "r+") as file:
        for axis in "xy":
            file[f"entry_1/sample_1/transformations/{axis}"].attrs["units"] = "mm"
    np.testing.assert_allclose(read(path).positions, star.positions_m, rtol=1e-14)
