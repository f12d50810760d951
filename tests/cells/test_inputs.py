"""What a cell of a measured scan reads beside its counts: the detector's mask and the weights of OPR modes."""

from __future__ import annotations

import numpy as np
import pytest
from measured import measured_study, write_scan

from fly64dask.cells.inputs import open_inputs
from fly64dask.datasets import expose_split, prepare_scan, select_view
from fly64dask.store import RunLayout, opr_weights_array
from fly64dask.study import cells

VALID = np.ones((8, 8), bool)
VALID[3:5] = False
COUNTS = np.random.default_rng(0).poisson(20.0, (30, 8, 8)).astype(np.uint16)


def inputs_of(folder, valid, further=()):
    write_scan(folder / "scan.zarr", COUNTS if valid is None else COUNTS * valid, valid, further)
    study, layout = measured_study(folder / "scan.zarr", "[300.0]"), RunLayout(folder / "run")
    cell = next(cell for cell in cells(study) if (cell.view, cell.split) == ("few", "test"))
    prepare_scan(study, layout)
    expose_split(study, 300.0, "test", layout)
    select_view(study, "few", "test", layout)
    return open_inputs(study, layout, cell)


def test_read_gives_the_engine_the_mask_and_counts_that_respect_it(tmp_path):
    exposures = inputs_of(tmp_path, VALID).read()
    assert np.array_equal(exposures.valid_pixels, VALID)
    assert exposures.counts.any()
    assert not exposures.counts[:, ~VALID].any()


def test_mean_photons_of_a_cell_are_those_of_valid_pixels(tmp_path):
    inputs = inputs_of(tmp_path, VALID)
    wanted = inputs.read().counts[:, VALID].sum(axis=1).mean()
    assert inputs.facts().mean_counts_photons == pytest.approx(wanted)


def test_mask_is_one_of_the_arrays_that_a_key_names(tmp_path):
    assert "valid_pixels" in inputs_of(tmp_path, VALID).sha256


def test_key_of_a_scan_without_a_mask_names_none(tmp_path):
    inputs = inputs_of(tmp_path, None)
    assert "valid_pixels" not in inputs.sha256
    assert inputs.read().valid_pixels is None


def test_read_gives_the_weights_of_the_kept_exposures(tmp_path):
    weights = np.arange(30.0)[:, None]
    inputs = inputs_of(tmp_path, None, [opr_weights_array(weights)])
    rows = inputs.exposures.read("scan_index", inputs.kept_indices)
    assert np.array_equal(inputs.read().opr_weights, weights[rows])
