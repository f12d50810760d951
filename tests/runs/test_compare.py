"""Reconstructions of others beside a run's own: scored as ours are, or named with what is wrong with them."""

from __future__ import annotations

import json
import re

import h5py
import jsonschema
import numpy as np
import pytest
from faulty_engine import ENGINE
from loaded_modules import loaded_by_status
from one_cell import run_one
from tiny import tiny_study

from fly64dask.base import InputError
from fly64dask.datasets import expose_split, prepare_scan, select_view
from fly64dask.records import read_record, write_run_study
from fly64dask.runs import compare_run
from fly64dask.store import RunLayout, TruthAttributes, open_group
from fly64dask.study import MeasuredSource, cells

STUDY = tiny_study(doses_photons=(1e5,), n_epochs=2, views=tiny_study().views[:2])
CELLS = cells(STUDY)


def make_run(root, study):
    layout = RunLayout(root)
    prepare_scan(study, layout)
    for split in study.splits:
        expose_split(study, 1e5, split, layout)
        for view in study.views:
            select_view(study, view.name, split, layout)
    write_run_study(layout, study)
    for cell in cells(study):
        run_one(study, cell, layout, None, lambda epoch, loss: None, engine=ENGINE)
    return layout


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("compare") / "run", STUDY)


@pytest.fixture(scope="module")
def truth(run):
    return open_group(run.truth_group(), TruthAttributes).read("object_truth")


@pytest.fixture
def method(tmp_path, truth):
    """Directory of a method that found the truth with a little noise; and what it saved."""
    directory = tmp_path / "method"
    directory.mkdir()
    found = truth * np.exp(0.05j * np.random.default_rng(1).normal(size=truth.shape))
    for cell in CELLS:
        np.savez(directory / f"{name_of(cell)}.npz", object=found)
    return directory, found


def name_of(cell):
    return f"dose_100000-{cell.view}-{cell.split}"


def scores_of(run, directory, convention="ours"):
    """Scores of the method, by cell."""
    comparison = compare_run(STUDY, run, {"theirs": directory}, CELLS, convention)
    assert [score.method for score in comparison.cells[0].scores] == ["ours", "theirs"]
    return {row.cell: row.scores[1] for row in comparison.cells}


def test_compare_run_scores_each_cell_of_a_method(run, method):
    for score in scores_of(run, method[0]).values():
        assert score.metrics.phase_rmse_rad == pytest.approx(0.05, rel=0.2)
        assert not score.metrics.no_better_than_empty


def test_compare_run_gives_our_cells_the_numbers_of_their_records(run):
    comparison = compare_run(STUDY, run, {}, CELLS, "ours")
    assert [row.scores[0].metrics for row in comparison.cells] == [read_record(run, cell).metrics for cell in CELLS]
    assert [row.n_kept for row in comparison.cells] == [read_record(run, cell).n_kept for cell in CELLS]


def test_compare_run_aligns_a_method_that_is_shifted_and_turned(run, method):
    directory, found = method
    expected = scores_of(run, directory)[CELLS[0]].metrics
    y, x = np.indices(found.shape)
    turned = np.roll(found, (2, -1), axis=(0, 1)) * 3 * np.exp(1j * (0.5 + 0.02 * y - 0.03 * x))
    np.savez(directory / f"{name_of(CELLS[0])}.npz", object=turned)
    score = scores_of(run, directory)[CELLS[0]].metrics
    assert score.phase_rmse_rad == pytest.approx(expected.phase_rmse_rad, rel=0.05)
    assert (score.alignment.shift_y_px, score.alignment.shift_x_px) == pytest.approx((-2, 1), abs=0.02)


def test_compare_run_takes_an_hdf5_object_of_any_frame_that_says_where_it_lies(run, method):
    directory, found = method
    expected = scores_of(run, directory)[CELLS[0]].metrics
    (directory / f"{name_of(CELLS[0])}.npz").unlink()
    with h5py.File(directory / f"{name_of(CELLS[0])}.h5", "w") as file:
        file["object"] = np.pad(found, 3)[None]
        file["origin_px"] = [-3, -3]
    assert scores_of(run, directory)[CELLS[0]].metrics.phase.rmse == pytest.approx(expected.phase.rmse, rel=1e-3)


def test_compare_run_takes_another_run_as_a_method(run, tmp_path):
    other = make_run(tmp_path / "other", STUDY)
    found = scores_of(run, other.root)
    assert {cell: score.metrics for cell, score in found.items()} == {
        cell: read_record(other, cell).metrics for cell in CELLS
    }


def test_compare_run_refuses_a_run_of_another_object(run, tmp_path):
    source = STUDY.source.model_copy(update={"seed_pair": 2})
    other = RunLayout(tmp_path / "other")
    prepare_scan(STUDY.model_copy(update={"source": source}), other)
    write_run_study(other, STUDY)
    with pytest.raises(InputError, match="another object or scan"):
        scores_of(run, other.root)


def test_compare_run_asks_for_the_reference_of_a_measured_study(run):
    study = STUDY.model_copy(update={"source": MeasuredSource(kind="measured", path="scan.zarr")})
    with pytest.raises(InputError, match="no truth, and this one names no reference; give --reference"):
        compare_run(study, run, {}, CELLS, "ours")


def wrong_shape(found):
    return {"object": found[:-2]}


def beside_the_area(found):
    return {"object": found, "origin_px": [40, 0]}


def not_finite(found):
    return {"object": np.full_like(found, np.nan)}


def real(found):
    return {"object": np.angle(found)}


def pickled(found):
    return {"object": np.array([{"object": found}], dtype=object)}


def another_key(found):
    return {"obj": found}


def half_a_pixel(found):
    return {"object": found, "origin_px": [0.5, 0.0]}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (wrong_shape, r"object of \(70, 72\) px, needed \(.*the frame of the cell's own object.*\(72, 72\) px, that"),
        (beside_the_area, r"covers \d+ of \d+ illuminated px"),
        (not_finite, "not finite"),
        (real, "needed complex"),
        (pickled, "is pickled"),
        (another_key, "no array 'object', found"),
        (half_a_pixel, "needed two whole numbers"),
    ],
)
def test_compare_run_names_what_is_wrong_with_an_object_and_scores_the_others(run, method, change, reason):
    directory, found = method
    np.savez(directory / f"{name_of(CELLS[1])}.npz", **change(found))
    scores = scores_of(run, directory)
    bad = scores.pop(CELLS[1])
    assert bad.metrics is None
    assert re.search(reason, bad.problem)
    assert all(score.metrics for score in scores.values())


@pytest.mark.parametrize("content", [b"", b"no file of any kind", b"\x89HDF\r\n\x1a\n" + bytes(100)])
@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_compare_run_names_a_file_that_cannot_be_read(run, method, suffix, content):
    directory, _ = method
    (directory / f"{name_of(CELLS[1])}.npz").unlink()
    (directory / f"{name_of(CELLS[1])}{suffix}").write_bytes(content)
    assert f"{name_of(CELLS[1])}{suffix}" in scores_of(run, directory)[CELLS[1]].problem


def test_compare_run_names_a_missing_cell_and_one_given_twice(run, method):
    directory, _ = method
    (directory / f"{name_of(CELLS[0])}.npz").unlink()
    (directory / f"{name_of(CELLS[1])}.h5").write_bytes(b"")
    scores = scores_of(run, directory)
    assert f"no file {name_of(CELLS[0])}.npz" in scores[CELLS[0]].problem
    assert f"2 files {name_of(CELLS[1])}.npz" in scores[CELLS[1]].problem


def test_compare_run_counts_by_the_original_conventions_on_request(run, method):
    score = scores_of(run, method[0], "original")[CELLS[0]]
    assert score.metrics is None
    # Phase noise of 0.05 rad, less the plane that noise holds.
    assert score.original.phase.psnr_peak_255_db == pytest.approx(20 * np.log10(255 / 0.05), abs=1.0)


def test_compare_prints_a_table_and_writes_a_document_of_its_schema(run, method, fly64dask):
    (method[0] / f"{name_of(CELLS[1])}.npz").unlink()
    shown = fly64dask("compare", run.root, "--method", f"theirs={method[0]}")
    assert shown.returncode == 1
    assert f"{CELLS[1].name} theirs no file" in shown.stdout
    assert f"{CELLS[0].name} theirs" not in shown.stdout
    written = json.loads((run.root / "comparison.json").read_text())
    jsonschema.validate(written, json.loads(fly64dask("schema", "comparison").stdout))
    assert written["methods"] == {"ours": str(run.root), "theirs": str(method[0])}


def test_compare_prints_what_it_wrote_as_json(run, method, fly64dask):
    shown = fly64dask("compare", run.root, "--method", f"theirs={method[0]}", "--split", "train", "--json")
    assert shown.returncode == 0
    written = json.loads((run.root / "comparison.json").read_text())
    written.pop("sha256")
    assert json.loads(shown.stdout) == written
    assert [row["split"] for row in written["cells"]] == ["train", "train"]


@pytest.mark.parametrize(
    "methods", [["--method", "nameless"], ["--method", "a=.", "--method", "a=."], ["--method", "ours=."]]
)
def test_compare_refuses_methods_it_cannot_tell_apart(run, fly64dask, methods):
    assert fly64dask("compare", run.root, *methods).returncode == 2


def test_status_with_metrics_loads_no_library_of_images(run):
    assert not {"skimage", "torch", "matplotlib", "h5py", "bokeh", "pyarrow"} & loaded_by_status(run.root)
