"""A finished run's store opens in xarray and in plain Zarr at every level, with the values that our reader gives."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from one_cell import run_one
from tiny import tiny_study
from zarr.storage import ZipStore

from fly64dask.base import IntegrityError
from fly64dask.datasets import expose_split, prepare_scan, select_view
from fly64dask.runs import verify_run
from fly64dask.runs.verify import groups_of
from fly64dask.store import RunLayout, open_dataset, open_group
from fly64dask.study import Cell

STUDY = tiny_study(halves="counts", stop="half_sets", patience=3)
CELL = Cell(dose=1e4, view="all", split="train")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunLayout:
    """One cell of the tiny study, reconstructed with everything that a cell may store."""
    layout = RunLayout(tmp_path_factory.mktemp("run"))
    prepare_scan(STUDY, layout)
    for dose in STUDY.doses_photons:
        expose_split(STUDY, dose, "train", layout)
    select_view(STUDY, "all", "train", layout)
    select_view(STUDY, "one", "train", layout, threshold_px=20.0)
    outcome = run_one(STUDY, CELL, layout)
    assert outcome.failure is None
    return layout


@pytest.fixture
def damaged(run: RunLayout, tmp_path: Path) -> RunLayout:
    """A copy of the run, to be damaged."""
    return RunLayout(Path(shutil.copytree(run.root, tmp_path / "run")))


def kinds(layout: RunLayout) -> dict[Path, type]:
    """Every group of the run with the model of its attributes."""
    from fly64dask.store import ReconstructionAttributes

    groups = {path: model for path, model in groups_of(STUDY, layout).items() if path.exists()}
    return groups | {layout.reconstruction_group(CELL): ReconstructionAttributes}


def as_zarr(path: Path) -> Path | ZipStore:
    """What Zarr and xarray are given to open a group: a directory, or the store of a zip archive."""
    return ZipStore(path, mode="r") if path.is_file() else path


def open_in_xarray(path: Path) -> xr.Dataset:
    """Open a group as a user of xarray does."""
    return xr.open_zarr(as_zarr(path), consolidated=False)


def test_every_directory_of_a_store_is_a_zarr_group_or_array(run: RunLayout) -> None:
    listed = {path for path, _ in zarr.open_group(str(run.store), mode="r").members(max_depth=None)}
    folders = {path.parent for path in run.store.rglob("zarr.json")} - {run.store}
    assert listed == {str(folder.relative_to(run.store)) for folder in folders}
    assert {"scan/positions_px", "dose_10000/train/counts", "dose_100000/train/counts"} <= listed
    assert {"views/all/train/kept_indices", "respaced/one/spacing_20.0/train/kept_indices"} <= listed


def test_every_group_opens_in_xarray_with_the_values_of_our_reader(run: RunLayout) -> None:
    assert len(kinds(run)) == 7
    for path, model in kinds(run).items():
        group = open_group(path, model)
        with open_in_xarray(path) as opened:
            assert {*opened.variables} == {*group.names}, path
            assert all(opened[name].chunks for name in opened.data_vars), path
            for name in group.names:
                np.testing.assert_array_equal(opened[name].values, group.read(name))


def test_every_group_opens_in_plain_zarr_from_the_store_with_the_values_of_our_reader(run: RunLayout) -> None:
    store = zarr.open_group(str(run.store), mode="r")
    for path, model in kinds(run).items():
        group = open_group(path, model)
        opened = (
            store[str(path.relative_to(run.store))] if run.store in path.parents else zarr.open(as_zarr(path), mode="r")
        )
        assert {name for name, _ in opened.arrays()} == {*group.names}
        for name in group.names:
            np.testing.assert_array_equal(opened[name][:], group.read(name))


def test_a_store_opens_as_one_tree_in_xarray(run: RunLayout) -> None:
    with xr.open_datatree(run.store, engine="zarr", consolidated=False) as tree:
        counts = tree["dose_10000/train/counts"]
        assert (counts.dims, counts.attrs["units"]) == (("exposure", "detector_y", "detector_x"), "photons")


@pytest.mark.parametrize("opener", [open_dataset, open_in_xarray])
def test_an_object_has_scan_frame_coordinates_that_align_it_with_the_truth(run: RunLayout, opener) -> None:
    truth = opener(run.truth_group()).object_truth
    recon = opener(run.reconstruction_group(CELL)).object_recon.isel(slice=0)
    (y, x), shape = recon.y.values[[0, -1]], recon.shape
    assert (x - y, recon.y.attrs["units"]) == (shape[0] - 1, "px")
    both, _ = xr.align(truth, recon, join="inner")
    rows, columns = both.y.values, both.x.values
    np.testing.assert_array_equal(both.values, truth.values[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def test_open_dataset_is_what_xarray_opens_but_checked(run: RunLayout) -> None:
    for path in kinds(run):
        with open_in_xarray(path) as plain:
            checked = open_dataset(path)
            xr.testing.assert_equal(checked, plain)
            assert {name: array.attrs["units"] for name, array in checked.variables.items()} == {
                name: array.attrs["units"] for name, array in plain.variables.items()
            }
            assert {name for name in checked.data_vars if checked[name].chunks is None} == set()
            digests = {"array_sha256", "metadata_sha256", "attributes_sha256"}
            assert checked.attrs == {name: value for name, value in plain.attrs.items() if name not in digests}


def test_open_dataset_has_coordinates_in_nm_where_a_pixel_has_a_size(tmp_path: Path) -> None:
    source = STUDY.source.model_copy(update={"pixel_size_nm": (4.0, 5.0)})
    study, layout = STUDY.model_copy(update={"source": source}), RunLayout(tmp_path / "run")
    prepare_scan(study, layout)
    scan, truth = open_dataset(layout.scan_group()), open_dataset(layout.truth_group())
    np.testing.assert_allclose(scan.positions_nm, scan.positions_px * [4.0, 5.0])
    np.testing.assert_allclose(truth.y_nm, 4.0 * truth.y)
    assert (truth.x_nm.units, float(truth.x_nm[7])) == ("nm", 35.0)


def test_open_dataset_finds_damage_when_the_block_is_computed(damaged: RunLayout) -> None:
    group = damaged.exposure_group(1e4, "train")
    chunk = group / "counts/c.0.0.0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    dataset = open_dataset(group)
    assert np.isfinite(dataset.positions_px.values).all()
    with pytest.raises(IntegrityError, match=r"counts: chunk c\.0\.0\.0"):
        dataset.counts.compute()


def test_open_dataset_names_a_path_that_holds_no_group(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="nowhere: no readable Zarr v3 group there"):
        open_dataset(tmp_path / "nowhere")


def test_verify_run_finds_nothing_wrong_with_the_parents_of_groups(run: RunLayout) -> None:
    assert verify_run(STUDY, run) == ()


@pytest.mark.parametrize("parent", [".", "dose_10000", "respaced/one/spacing_20.0"])
@pytest.mark.parametrize("text", [None, "{}"], ids=["missing", "altered"])
def test_verify_run_names_a_damaged_parent_and_preparing_again_mends_it(
    damaged: RunLayout, parent: str, text: str | None
) -> None:
    metadata = damaged.store / parent / "zarr.json"
    whole = metadata.read_bytes()
    metadata.unlink() if text is None else metadata.write_text(text)
    assert [damage.path for damage in verify_run(STUDY, damaged)] == [str(metadata.relative_to(damaged.root))]
    prepare_scan(STUDY, damaged)
    expose_split(STUDY, 1e4, "train", damaged)
    select_view(STUDY, "one", "train", damaged, threshold_px=20.0)
    assert metadata.read_bytes() == whole
    assert verify_run(STUDY, damaged) == ()
