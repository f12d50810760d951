"""The Python API on a small real run: tables, labelled datasets, failed cells, runs that are not finished."""

from __future__ import annotations

import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import xarray
from faulty_engine import ENGINE

import fly64dask as fly
from fly64dask.records import read_record
from fly64dask.store import ReconstructionAttributes, open_group
from fly64dask.study import cells

pytestmark = pytest.mark.cluster
STUDY = tiny.tiny_study(doses_photons=(1e4, 1e5), repeats=2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, engine_faults):
    """A run of 24 cells, the eight of view `one` degenerate."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(tiny.__file__).parent))
        out = tmp_path_factory.mktemp("api") / "run"
        return fly.run_study(STUDY, out, placement=fly.Placement(n_workers=2), engine=ENGINE)


@pytest.fixture
def run(finished):
    return fly.open_run(finished.layout.root)


@pytest.fixture
def copied(finished, tmp_path):
    """The run in a directory of its own, to be damaged."""
    shutil.copytree(finished.layout.root, tmp_path / "run")
    return fly.open_run(tmp_path / "run")


def test_run_study_gives_the_run_with_its_failed_cells(finished):
    assert (len(finished.rows), finished.n_failed()) == (24, 8)
    assert re.fullmatch(r"<Run 'tiny' in .*/run: 16 completed, 8 failed>", repr(finished))


def test_run_study_prints_a_line_for_each_cell_on_request(finished, capsys, tmp_path):
    shutil.copytree(finished.layout.root, tmp_path / "run")
    filters = fly.Filters(view=("all",), dose=(1e4,))
    fly.run_study(STUDY, tmp_path / "run", filters=filters, engine=ENGINE, progress=True)
    printed = capsys.readouterr().out
    assert len(re.findall(r"^\[\d/4\] dose_10000.* \(done before\)$", printed, re.MULTILINE)) == 4


def test_table_has_a_line_for_each_cell_with_the_numbers_of_its_record(run):
    table = run.table()
    assert table.index.names == ["dose", "view", "split", "repeat"]
    assert list(table.index) == [(cell.dose, cell.view, cell.split, cell.repeat) for cell in cells(STUDY)]
    for cell in cells(STUDY):
        line = table.loc[(cell.dose, cell.view, cell.split, cell.repeat)]
        record = read_record(run.layout, cell)
        assert line["state"] == record.state
        if record.metrics is not None:
            assert line["metrics.phase_rmse_rad"] == record.metrics.phase_rmse_rad
            assert line["n_kept"] == record.n_kept


def test_metrics_are_labelled_by_the_coordinates_of_the_matrix(run):
    metrics = run.metrics
    assert dict(metrics.sizes) == {"dose": 2, "view": 3, "split": 2, "repeat": 2}
    for cell in cells(STUDY):
        record = read_record(run.layout, cell)
        place = {"dose": cell.dose, "view": cell.view, "split": cell.split, "repeat": cell.repeat}
        value = float(metrics.phase_rmse_rad.sel(place))
        assert (value == record.metrics.phase_rmse_rad) if record.metrics else np.isnan(value)
        assert metrics.state.sel(place) == record.state
    assert metrics.phase_rmse_rad.attrs["units"] == "rad"
    assert all(variable.attrs["long_name"] and variable.attrs["units"] for variable in metrics.data_vars.values())


def test_metrics_of_two_columns_never_share_a_name(run):
    columns = [variable.attrs["column"] for variable in run.metrics.data_vars.values()]
    assert len(set(columns)) == len(columns)
    assert "metrics.phase.rmse" in columns


def test_sel_names_what_the_study_has(run):
    with pytest.raises(fly.InputError, match="has doses 10000, 100000, views all, few, one, splits train, test"):
        run.sel(dose=1e3, view="all", split="train")


def test_failed_cell_is_an_object_with_its_reason(run):
    cell = run.sel(dose=1e5, view="one", split="train", repeat=1)
    assert (cell.state, cell.failure.kind, cell.record.returncode) == ("failed", "degenerate_scan", 1)
    assert "degenerate_scan" in repr(cell)
    assert cell.log


def test_open_run_refuses_a_directory_that_holds_no_run(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(fly.InputError, match=r"no study\.json there"):
            fly.open_run(path)


def test_open_run_refuses_a_damaged_study_by_name(copied):
    copied.layout.study_file.write_text("{}")
    with pytest.raises(fly.IntegrityError, match=r"study\.json"):
        fly.open_run(copied.layout.root)


def test_interrupted_run_has_pending_cells_and_the_others(copied):
    cell = copied.sel(dose=1e5, view="all", split="test")
    shutil.rmtree(copied.layout.cell_directory(cell.cell))
    copied.layout.manifest_file.unlink()
    again = fly.open_run(copied.layout.root)
    assert (cell.state, cell.record, cell.failure, cell.log) == ("pending", None, None, "")
    assert again.table()["state"].value_counts().to_dict() == {"completed": 15, "failed": 8, "pending": 1}
    assert np.isnan(again.metrics.phase_rmse_rad.sel(dose=1e5, view="all", split="test", repeat=0))


def test_damaged_record_is_a_state_and_an_error_by_name_when_it_is_read(copied):
    cell = copied.sel(dose=1e5, view="all", split="test")
    copied.layout.record_file(cell.cell).write_bytes(b"{}")
    assert (cell.state, cell.failure.kind) == ("damaged", "bad_input")
    assert copied.table().loc[(1e5, "all", "test", 0), "state"] == "damaged"
    with pytest.raises(fly.IntegrityError, match=r"record\.json"):
        _ = cell.record


def test_run_can_be_pickled_as_far_as_its_paths_go(run):
    again = pickle.loads(pickle.dumps(run.sel(dose=1e5, view="all", split="test")))
    assert again.record == run.sel(dose=1e5, view="all", split="test").record


def test_no_reconstruction_error_keeps_its_kind_when_it_is_pickled():
    error = pickle.loads(pickle.dumps(fly.NoReconstructionError("a", remedy="b", kind=fly.FailureKind.CRASHED)))
    assert (error.kind, str(error)) == ("crashed", "a; b")


def test_open_run_loads_neither_engine_nor_scheduler_for_a_table(finished):
    code = (
        f"import sys, fly64dask; fly64dask.open_run({str(finished.layout.root)!r}).table();"
        "print({'torch', 'ptychi', 'distributed', 'dask', 'zarr', 'xarray', 'skimage', 'matplotlib', 'rich'}"
        " & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


def test_study_from_toml_takes_the_source_from_beside_its_file(tmp_path):
    text = tiny.TEXT.partition("[source]")[0] + '[source]\nkind = "measured"\npath = "scan.zarr"\n'
    (tmp_path / "mine.toml").write_text(text)
    assert fly.Study.from_toml(str(tmp_path / "mine.toml")).source.path == str(tmp_path / "scan.zarr")


@pytest.mark.parametrize("name", fly.__all__)
def test_every_public_name_says_what_it_is(name):
    assert len((getattr(fly, name).__doc__ or "").split()) > 3


def test_reconstruction_is_lazy_and_lies_in_the_pixels_of_the_scan(run):
    cell = run.sel(dose=1e5, view="all", split="test")
    dataset = cell.reconstruction
    assert {"object_recon", "probe_recon", "loss"} <= set(dataset.data_vars)
    assert all(variable.chunks for variable in dataset.data_vars.values())
    stored = open_group(run.layout.reconstruction_group(cell.cell), ReconstructionAttributes)
    np.testing.assert_array_equal(dataset.object_recon, stored.read("object_recon"))
    assert (dataset.y[0], dataset.x[0]) == stored.attributes.object_origin_px
    # The frame of a cell is a few pixels larger than what its exposures reach.
    truth, inside = xarray.align(run.truth.object_truth, dataset.object_recon, join="inner")
    assert truth.shape == inside.shape[1:] == (41, 72)


def test_exposures_are_those_that_the_view_keeps(run):
    cell = run.sel(dose=1e5, view="few", split="test", repeat=1)
    dataset = cell.exposures
    assert dataset.sizes["exposure"] == cell.record.n_kept < cell.record.n_exposures
    assert dataset.counts.chunks
    positions = dataset.positions_px.values
    apart = np.linalg.norm(positions[:, None] - positions[None], axis=-1) + 100 * np.eye(len(positions))
    assert apart.min() >= 12
    assert dataset.counts.sum(("detector_y", "detector_x")).mean() == pytest.approx(1e5, rel=0.3)


def test_failed_cell_has_exposures_and_raises_its_reason_for_a_reconstruction(run):
    cell = run.sel(dose=1e5, view="one", split="train")
    assert cell.exposures.sizes["exposure"] == 1
    for ask in (lambda: cell.reconstruction, cell.plot):
        with pytest.raises(fly.NoReconstructionError, match="failed with degenerate_scan") as raised:
            ask()
        assert raised.value.kind is fly.FailureKind.DEGENERATE_SCAN


def test_pending_cell_raises_that_it_has_not_ended(copied):
    cell = copied.sel(dose=1e5, view="all", split="test")
    shutil.rmtree(copied.layout.cell_directory(cell.cell))
    with pytest.raises(fly.NoReconstructionError, match="has not ended yet"):
        _ = cell.reconstruction
    shutil.rmtree(copied.layout.store)
    with pytest.raises(fly.InputError, match=r"there is no .*exposures\.zarr.* yet"):
        _ = cell.exposures
    with pytest.raises(fly.InputError, match="holds none"):
        _ = copied.truth


def test_damaged_array_raises_by_name_when_it_is_computed_and_when_it_is_drawn(copied):
    cell = copied.sel(dose=1e5, view="all", split="test")
    chunk = copied.layout.reconstruction_group(cell.cell) / "object_recon" / "c" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"?")
    dataset = cell.reconstruction
    assert np.isfinite(dataset.loss.values).all()
    with pytest.raises(fly.IntegrityError, match="object_recon"):
        dataset.object_recon.compute()
    with pytest.raises(fly.IntegrityError, match="object_recon"):
        cell.plot()


def test_plot_draws_the_object_beside_the_truth(run):
    figure = run.sel(dose=1e5, view="all", split="test").plot()
    titles = [axis.get_title() for axis in figure.axes]
    assert {"phase", "phase truth", "phase difference", "probe amplitude"} <= set(titles)
    assert "matplotlib.pyplot" not in sys.modules
