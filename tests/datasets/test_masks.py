"""The mask of a measured scan on its way to a cell: exposure groups, thinning, and the photons that are counted."""

from __future__ import annotations

import numpy as np
import pytest
import scan_files
from measured import measured_study, write_scan

from fly64dask.base import IntegrityError
from fly64dask.datasets import expose_split, prepare_scan, read_inputs
from fly64dask.datasets.formats import ReadOptions
from fly64dask.datasets.ingest import IngestOptions, ingest_file
from fly64dask.store import ExposureAttributes, RunLayout, open_group, opr_weights_array

VALID = np.ones((8, 8), bool)
VALID[3:5], VALID[0, 0] = False, False
COUNTS = np.random.default_rng(0).poisson(20.0, (30, 8, 8)).astype(np.uint16)


def exposed(folder, counts, valid, doses, dose):
    write_scan(folder / "scan.zarr", counts, valid)
    study, layout = measured_study(folder / "scan.zarr", doses), RunLayout(folder / "run")
    prepare_scan(study, layout)
    expose_split(study, dose, "train", layout)
    return open_group(layout.exposure_group(dose, "train"), ExposureAttributes)


@pytest.mark.parametrize("dose", [300.0, "measured"])
def test_thinned_exposures_have_the_mask_and_no_photon_in_its_gaps(tmp_path, dose):
    group = exposed(tmp_path, COUNTS * VALID, VALID, '[300.0, "measured"]', dose)
    assert np.array_equal(group.read("valid_pixels"), VALID)
    counts = group.read("counts")
    assert not counts[:, ~VALID].any()
    assert np.array_equal(group.read("exposure_photons"), counts[:, VALID].sum(axis=1))


def test_thinning_is_to_a_dose_of_valid_pixels(tmp_path):
    group = exposed(tmp_path, COUNTS * VALID, VALID, "[300.0]", 300.0)
    assert group.attributes.thinning_probability == pytest.approx(300 / (COUNTS * VALID).sum() * 30)


def test_thinning_refuses_photons_in_a_gap(tmp_path):
    with pytest.raises(IntegrityError, match="photons in pixels that valid_pixels says measure nothing"):
        exposed(tmp_path, COUNTS, VALID, "[300.0]", 300.0)


def test_exposures_without_a_mask_have_no_array_of_one(tmp_path):
    assert "valid_pixels" not in exposed(tmp_path, COUNTS, None, "[300.0]", 300.0).names


def test_weights_of_opr_modes_go_with_their_exposures(tmp_path):
    weights = np.arange(30.0)[:, None]
    write_scan(tmp_path / "scan.zarr", COUNTS, further=[opr_weights_array(weights)])
    study, layout = measured_study(tmp_path / "scan.zarr", "[300.0]"), RunLayout(tmp_path / "run")
    prepare_scan(study, layout)
    expose_split(study, 300.0, "test", layout)
    group = open_group(layout.exposure_group(300.0, "test"), ExposureAttributes)
    assert np.array_equal(group.read("opr_weights"), weights[group.read("scan_index")])


def test_masked_store_is_other_data_than_the_same_counts_without_a_mask(tmp_path):
    for name, valid in (("a", VALID), ("b", None)):
        (tmp_path / name).mkdir()
        write_scan(tmp_path / name / "scan.zarr", COUNTS * VALID, valid)
    first, second = (read_inputs(measured_study(tmp_path / n / "scan.zarr", "[300.0]")) for n in ("a", "b"))
    assert first.source_digest != second.source_digest
    assert np.array_equal(first.valid_pixels, VALID)


def test_a_square_of_binned_pixels_with_a_masked_one_holds_no_photon(tmp_path):
    valid = np.ones(scan_files.COUNTS.shape[1:], bool)
    valid[2, 3] = False
    np.save(tmp_path / "mask.npy", valid)
    options = IngestOptions(bin=2, masks=(str(tmp_path / "mask.npy"),), mask_good="1", keep_outliers=True)
    ingest_file(scan_files.save(tmp_path), tmp_path / "s.zarr", ReadOptions(), options)
    group = open_group(tmp_path / "s.zarr", ExposureAttributes)
    found = group.read("valid_pixels")
    assert np.argwhere(~found).tolist() == [[1, 1]]
    assert not group.read("counts")[:, 1, 1].any()
