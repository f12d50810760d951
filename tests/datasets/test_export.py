"""Reconstructions as files: another library that reads one by its own conventions cuts the patches that we cut."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from fly64dask.base import InputError
from fly64dask.datasets.export import CellGroups, FileFormat, export_reconstruction
from fly64dask.datasets.formats import ReadOptions, read_object, read_scan_file
from fly64dask.store import (
    ExposureAttributes,
    ReconstructionAttributes,
    ViewAttributes,
    counts_array,
    object_arrays,
    positions_array,
    probe_array,
    whole_array,
    write_group,
)

# Sides (y, x) of a pixel, nm; whole positions, so that cutting needs no rounding; the kept exposures of a scan of 20.
PIXEL_NM = (8.0, 10.0)
ORIGIN_PX = (-12, 30)
POSITIONS_PX = np.array([[3, 40], [10, 52], [17, 47]], dtype=np.float64)
SCAN_INDEX = np.array([4, 9, 17])
SHAPE_PX = (44, 36)
ABOUT: dict[str, Any] = {"created_at": "", "software": {"fly64dask": "1.0"}, "source_digest": ""}


def draw(*shape: int) -> NDArray[np.complex64]:
    rng = np.random.default_rng(len(shape))
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


OBJECT = draw(1, *SHAPE_PX)


def write_cell(folder: Path, probe: NDArray[np.complex64], pixel_size_nm: Any = None) -> CellGroups:
    """The three groups of a cell that keeps every second exposure of its split."""
    groups = CellGroups(reconstruction=folder / "r", exposures=folder / "e", view=folder / "v")
    for path in (groups.reconstruction, groups.exposures, groups.view):
        path.mkdir(parents=True)
    write_group(
        groups.reconstruction,
        ReconstructionAttributes(**ABOUT, cell="dose_1000/all/train", object_origin_px=ORIGIN_PX, n_epochs=2),
        [
            *object_arrays("object_recon", OBJECT, origin_px=ORIGIN_PX, leading_dim="slice"),
            probe_array(probe, "probe_recon"),
            whole_array("loss", np.array([2.0, 1.5]), dims=("epoch",)),
        ],
    )
    n = 2 * len(POSITIONS_PX)
    counts = np.ones((n, *probe.shape[-2:]), np.uint16)
    write_group(
        groups.exposures,
        ExposureAttributes(
            **ABOUT,
            source={},
            dose_photons=500.0,
            mean_counts_photons=510.0,
            brightest_count_photons=1,
            n_exposures=n,
            pixel_size_nm=pixel_size_nm,
        ),
        [
            counts_array(counts.shape, counts.dtype, [counts]),
            positions_array(np.repeat(POSITIONS_PX, 2, axis=0) - np.array([[1, 1], [0, 0]] * 3)),
            whole_array("scan_index", np.repeat(SCAN_INDEX, 2) - np.array([1, 0] * 3), dims=("exposure",)),
        ],
    )
    view = ViewAttributes.model_construct(
        **ABOUT,
        overlap_view="all",
        split="train",
        n_exposures=n,
        n_kept=3,
        selection=None,
        image_overlap=0.0,
        group_overlap=0.0,
        overlap_diameter_px=1.0,
        overlap_n_neighbours=1,
        bounding_box_area_px2=1.0,
        span_y_px=1.0,
        span_x_px=1.0,
    )
    write_group(groups.view, view, [whole_array("kept_indices", np.array([1, 3, 5]), dims=("kept",))])
    return groups


def exported(folder: Path, name: str, side_px: int = 8, n_modes: int = 1) -> Path:
    path = folder / name
    groups = write_cell(folder / "groups", draw(1, n_modes, side_px, side_px + 2))
    export_reconstruction(groups, path, pixel_size_nm=PIXEL_NM)
    return path


def expected_patch(which: int, shape_px: tuple[int, ...]) -> NDArray[np.complex64]:
    """What is illuminated at a position: its pixel is the patch's pixel (H // 2, W // 2)."""
    top, left = (int(POSITIONS_PX[which, axis]) - ORIGIN_PX[axis] - shape_px[-2 + axis] // 2 for axis in (0, 1))
    return OBJECT[0, top : top + shape_px[-2], left : left + shape_px[-1]]


def patches_of_ptychodus(file: h5py.File) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    """Position to object: (position - center) / pixel + shape / 2 is the middle of the patch, between pixels."""
    stored, probe = file["object"], file["probe"][()]
    patches = []
    for y_m, x_m in zip(file["probe_position_y_m"][()], file["probe_position_x_m"][()], strict=True):
        middle_y = (y_m - stored.attrs["center_y_m"]) / stored.attrs["pixel_height_m"] + stored.shape[-2] / 2
        middle_x = (x_m - stored.attrs["center_x_m"]) / stored.attrs["pixel_width_m"] + stored.shape[-1] / 2
        top, left = middle_y - probe.shape[-2] / 2, middle_x - probe.shape[-1] / 2
        assert abs(top - round(top)) < 1e-6 > abs(left - round(left))
        patches.append(
            stored[0, round(top) : round(top) + probe.shape[-2], round(left) : round(left) + probe.shape[-1]]
        )
    return probe, patches


def patches_of_ptypy(file: h5py.File) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    """Coordinate to pixel: (coordinate - origin) / psize, with half a patch before it."""
    (name,) = file["content/obj"]
    stored, probe = file["content/obj"][name], file["content/probe"][name]["data"][()]
    pixels = (file["content/positions"][name][()] - stored["_origin"][()]) / stored["_psize"][()]
    corners = np.rint(pixels).astype(int) - np.array(probe.shape[-2:]) // 2
    data = stored["data"]
    return probe, [data[0, y : y + probe.shape[-2], x : x + probe.shape[-1]] for y, x in corners]


def patches_of_cxi(file: h5py.File) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    """Row y / pixel and column x / pixel of a translation (x, y, z), from the pixel at which (0, 0) lies."""
    image, probe = file["entry_1/image_1"], file["entry_1/instrument_1/source_1/illumination"][()]
    pixel = image["image_size"][()] / image["data"].shape[::-1]
    columns, rows = (file["entry_1/data_1/translation"][:, :2] / pixel + image["image_center"][:2]).T
    tops = np.rint(rows).astype(int) - probe.shape[-2] // 2
    lefts = np.rint(columns).astype(int) - probe.shape[-1] // 2
    data = image["data"]
    return probe, [data[y : y + probe.shape[-2], x : x + probe.shape[-1]] for y, x in zip(tops, lefts, strict=True)]


Reader = Callable[[h5py.File], tuple[NDArray[Any], list[NDArray[Any]]]]
READERS = [("product.h5", patches_of_ptychodus), ("scan.cxi", patches_of_cxi), ("result.ptyr", patches_of_ptypy)]


@pytest.mark.parametrize(("name", "read"), READERS)
@pytest.mark.parametrize("side_px", [8, 9])
def test_export_places_the_patch_of_each_kept_position(tmp_path: Path, name: str, read: Reader, side_px: int) -> None:
    with h5py.File(exported(tmp_path, name, side_px)) as file:
        probe, patches = read(file)
    for which, patch in enumerate(patches):
        np.testing.assert_array_equal(patch, expected_patch(which, probe.shape))


@pytest.mark.parametrize(("name", "read"), READERS)
def test_export_keeps_all_modes_of_the_probe(tmp_path: Path, name: str, read: Reader) -> None:
    with h5py.File(exported(tmp_path, name, n_modes=3)) as file:
        probe, _ = read(file)
    np.testing.assert_array_equal(probe.reshape(3, 8, 10), draw(1, 3, 8, 10)[0])


def test_export_of_a_product_gives_pty_chi_its_positions_in_px(tmp_path: Path) -> None:
    # As pty-chi's own tests read one: metres over the object's pixel height, here of one side.
    path = tmp_path / "product.h5"
    export_reconstruction(write_cell(tmp_path / "g", draw(1, 1, 8, 8), pixel_size_nm=8.0), path)
    with h5py.File(path) as file:
        positions_m = np.stack([file["probe_position_y_m"][()], file["probe_position_x_m"][()]], axis=1)
        positions_px = positions_m / file["object"].attrs["pixel_height_m"]
    np.testing.assert_allclose(positions_px, POSITIONS_PX, atol=1e-9)


def test_export_of_a_product_joins_with_patterns_by_the_index_in_the_whole_scan(tmp_path: Path) -> None:
    with h5py.File(exported(tmp_path, "product.h5")) as file:
        assert file["probe_position_indexes"][()].tolist() == SCAN_INDEX.tolist()


def test_export_of_a_product_has_all_that_its_reader_asks_for(tmp_path: Path) -> None:
    with h5py.File(exported(tmp_path, "product.h5")) as file:
        scalars = {"name", "comments", "detector_object_distance_m", "probe_energy_eV", "exposure_time_s"}
        assert scalars <= set(file.attrs)
        assert len(file["object_layer_spacing_m"]) + 1 == len(file["object"])
        assert (file["loss_epochs"][()].tolist(), file["loss_values"][()].tolist()) == ([1, 2], [2.0, 1.5])
        assert file["probe"].attrs["pixel_width_m"] == pytest.approx(10e-9)


def test_export_of_a_tiff_is_amplitude_and_phase_to_scale(tmp_path: Path) -> None:
    with tifffile.TiffFile(exported(tmp_path, "object.tif")) as file:
        amplitude, phase = file.asarray()
        numerator, denominator = file.pages[0].tags["XResolution"].value
        about = file.imagej_metadata
    np.testing.assert_allclose(amplitude * np.exp(1j * phase), OBJECT[0], rtol=1e-5)
    assert (numerator / denominator, about["unit"]) == (pytest.approx(100.0), "um")  # pixels of 10 nm along x
    assert json.loads(about["Info"])["positions_px"] == POSITIONS_PX.tolist()


def test_export_replaces_a_file(tmp_path: Path) -> None:
    groups, path = write_cell(tmp_path / "g", draw(1, 1, 8, 8), pixel_size_nm=8.0), tmp_path / "scan.cxi"
    path.write_text("an earlier one")
    export_reconstruction(groups, path)
    assert h5py.is_hdf5(path)


@pytest.mark.parametrize("file_format", ["product", "cxi", "ptypy"])
def test_export_in_metres_asks_for_a_pixel_size_that_nobody_knows(tmp_path: Path, file_format: FileFormat) -> None:
    groups = write_cell(tmp_path / "g", draw(1, 1, 8, 8))
    with pytest.raises(InputError, match=r"no pixel size.*--pixel-size-nm"):
        export_reconstruction(groups, tmp_path / "x", file_format=file_format)
    assert not (tmp_path / "x").exists()


def test_export_names_the_suffixes_that_it_knows(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'\.png', needed \.h5, \.hdf5, \.cxi, \.ptyr, \.tif, \.tiff"):
        export_reconstruction(write_cell(tmp_path / "g", draw(1, 1, 8, 8)), tmp_path / "x.png")


@pytest.mark.parametrize("name", ["product.h5", "result.ptyr", "scan.cxi"])
@pytest.mark.parametrize("side_px", [8, 9])
def test_an_export_is_read_back_as_an_object_at_its_place_in_the_scan(tmp_path: Path, name: str, side_px: int) -> None:
    found = read_object(exported(tmp_path, name, side_px))
    np.testing.assert_array_equal(found.image, OBJECT[0])
    assert found.origin_px == ORIGIN_PX
    assert found.pixel_nm == pytest.approx(PIXEL_NM)


@pytest.mark.parametrize("name", ["product.h5", "scan.cxi", "result.ptyr"])
def test_an_export_gives_patterns_their_positions_in_px_and_their_pixel(tmp_path: Path, name: str) -> None:
    np.save(tmp_path / "patterns.npy", np.ones((3, 8, 10), np.uint16))
    result = exported(tmp_path, name)
    if name == "product.h5":  # joined by the index in the whole scan
        np.save(tmp_path / "patterns.npy", np.ones((int(SCAN_INDEX.max()) + 1, 8, 10), np.uint16))
    scan = read_scan_file(tmp_path / "patterns.npy", ReadOptions(positions=result))
    assert scan.geometry.pixel_size_nm == pytest.approx(PIXEL_NM)
    np.testing.assert_allclose(scan.positions * 1e9 / PIXEL_NM, POSITIONS_PX, atol=1e-6)
