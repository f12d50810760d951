"""The Python API on a small real run: tables, labelled datasets, failed cells, runs that are not finished."""

from __future__ import annotations

import dataclasses
import doctest
import pickle
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest
import tiny
import xarray
from archives import change_member
from distributed import Client, LocalCluster
from faulty_engine import ENGINE
from loaded_modules import loaded_by

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


def test_run_study_uses_the_callers_client_and_leaves_it_open(tmp_path, engine_faults):
    study = tiny.tiny_study(doses_photons=(1e5,), views=tiny.tiny_study().views[:1])
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        for name in ("first", "second"):
            run = fly.run_study(study, tmp_path / name, client=client, engine=ENGINE)
            assert run.n_failed() == 0
        assert client.submit(sum, [1, 2]).result() == 3


def test_run_study_refuses_a_client_beside_a_placement(tmp_path):
    with pytest.raises(fly.InputError, match="a client and a placement"):
        fly.run_study(STUDY, tmp_path / "run", client=object(), placement=fly.Placement())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"doses_photons": (-1.0, 1e4)}, r"check study 'tiny':\n  doses_photons\[0\] = -1.0: needed more than 0"),
        ({"name": "a/b"}, r"check study 'a/b':\n  name = 'a/b': needed a name of a-z"),
        ({"doses_photons": ()}, "needed a list of at least 1, found 0"),
        ({"repeats": "3"}, r"repeats = '3': needed a whole number"),
        ({"doses_photons": (object(),)}, "give it Python's own numbers"),
    ],
)
def test_run_study_refuses_a_copy_of_a_study_that_no_file_could_ask_for(tmp_path, changes, said):
    with pytest.raises(fly.InputError, match=said):
        fly.run_study(STUDY.model_copy(update=changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_run_study_refuses_a_file_in_the_place_of_its_directory(tmp_path):
    (tmp_path / "run").write_text("thesis")
    with pytest.raises(fly.InputError, match="run: it is a file; give a directory"):
        fly.run_study(STUDY, tmp_path / "run")
    assert (tmp_path / "run").read_text() == "thesis"


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


def test_table_has_the_same_columns_however_the_cells_have_ended(run, copied):
    """Completed and failed ones, completed ones alone, failed ones alone, and none at all."""
    tables = [run.table()]
    for view in ("one", "all", "few"):
        for cell in copied.cells:
            if cell.cell.view == view:
                shutil.rmtree(copied.layout.cell_directory(cell.cell), ignore_errors=True)
        tables.append(copied.table())
    assert [set(table["state"]) for table in tables] == [
        {"completed", "failed"},
        {"completed", "pending"},
        {"completed", "pending"},
        {"pending"},
    ]
    assert all(list(table) == list(tables[0]) and table.attrs == tables[0].attrs for table in tables)
    assert tables[-1].query("error.notna() or n_kept > 0 or seconds > 0").empty


def test_table_says_the_unit_of_its_doses_and_of_every_number(run, tmp_path):
    table = run.table()
    assert table.attrs["units"]["dose"] == "photons per exposure"
    assert table.attrs["units"]["metrics.phase_rmse_rad"] == "rad"
    assert set(table.select_dtypes("number").dropna(axis=1, how="all")) <= set(table.attrs["units"])
    run.write_table(tmp_path / "table.parquet")
    assert pandas.read_parquet(tmp_path / "table.parquet").attrs == table.attrs


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
    loaded = loaded_by(f"import fly64dask; fly64dask.open_run({str(finished.layout.root)!r}).table()")
    heavy = {"torch", "ptychi", "distributed", "dask", "zarr", "xarray", "skimage", "matplotlib", "rich"}
    assert not heavy & loaded


def test_study_from_toml_takes_the_source_from_beside_its_file(tmp_path):
    text = tiny.TEXT.partition("[source]")[0] + '[source]\nkind = "measured"\npath = "scan.zarr"\n'
    (tmp_path / "mine.toml").write_text(text)
    assert fly.Study.from_toml(str(tmp_path / "mine.toml")).source.path == str(tmp_path / "scan.zarr")


@pytest.mark.parametrize("name", fly.__all__)
def test_every_public_name_says_what_it_is(name):
    assert len((getattr(fly, name).__doc__ or "").split()) > 3


@pytest.mark.parametrize("documented", [fly.Recipe, fly.Filters, fly.Placement, fly.metrics.align, fly.metrics.frc])
def test_examples_of_public_names_run(documented):
    names = {**{name: getattr(fly, name) for name in fly.__all__}, "np": np, documented.__name__: documented}
    (found, *_) = doctest.DocTestFinder(recurse=False).find(documented, documented.__name__, globs=names)
    assert found.examples
    assert doctest.DocTestRunner().run(found).failed == 0


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
    assert truth.shape == inside.shape[1:]
    assert min(truth.shape) > 24


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
    change_member(
        copied.layout.reconstruction_group(cell.cell), "object_recon/c.0.0.0", lambda chunk: chunk[:-1] + b"?"
    )
    dataset = cell.reconstruction
    assert np.isfinite(dataset.loss.values).all()
    with pytest.raises(fly.IntegrityError, match="object_recon"):
        dataset.object_recon.compute()
    with pytest.raises(fly.IntegrityError, match="object_recon"):
        cell.plot()


def test_plot_draws_the_object_beside_the_truth(run):
    loaded = set(sys.modules)
    figure = run.sel(dose=1e5, view="all", split="test").plot()
    titles = [axis.get_title() for axis in figure.axes]
    assert {"phase", "phase truth", "phase difference", "probe amplitude"} <= set(titles)
    assert "matplotlib.pyplot" not in set(sys.modules) - loaded


def test_verify_names_what_is_damaged_and_repair_makes_it_again(copied):
    assert copied.verify() == ()
    cell = copied.sel(dose=1e5, view="all", split="test")
    change_member(copied.layout.reconstruction_group(cell.cell), "object_recon/c.0.0.0", lambda chunk: b"")
    assert [damage.path for damage in copied.verify()] == [f"{cell.name}/reconstruction.zarr.zip/object_recon"]
    assert copied.repair(engine=ENGINE) == ()
    assert (cell.state, cell.record.attempt) == ("completed", 2)


def test_report_and_figures_are_written_where_they_are_wanted(run, tmp_path):
    assert run.report(tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert (run.figures(tmp_path / "figures") / "phases.svg").stat().st_size > 1000


def test_figures_of_a_damaged_run_are_drawn_and_the_damage_is_raised(copied, tmp_path):
    cell = copied.sel(dose=1e5, view="all", split="test")
    change_member(copied.layout.reconstruction_group(cell.cell), "object_recon/c.0.0.0", lambda chunk: b"")
    with pytest.raises(fly.IntegrityError, match=r"figures lack 1 damaged .*object_recon"):
        copied.figures(tmp_path / "figures")
    assert (tmp_path / "figures" / "phases.svg").exists()


def test_compare_measures_another_run_by_the_same_numbers(run):
    comparison = run.compare({"again": run.layout.root})
    completed = [row for row in comparison.cells if row.scores[0].metrics]
    assert len(completed) == 16
    assert all(row.scores[0].metrics == row.scores[1].metrics for row in completed)


def exposures_of(cell):
    dataset = cell.exposures
    names = ("counts", "positions_px", "probe_guess")
    return fly.Exposures(**{name: dataset[name].values for name in names})


@pytest.mark.slow
def test_reconstruct_runs_the_engine_on_arrays_outside_this_process(run):
    epochs = []
    loaded = set(sys.modules)
    exposures = exposures_of(run.sel(dose=1e5, view="all", split="test"))
    recipe = fly.Recipe(n_epochs=4, batch_size=16, device="cpu")
    result = fly.reconstruct(exposures, recipe, on_epoch=lambda epoch, loss: epochs.append((epoch, loss)))
    assert [epoch for epoch, _ in epochs] == [1, 2, 3, 4]
    assert [loss for _, loss in epochs] == list(result.loss)
    assert result.loss[-1] < result.loss[0]
    assert result.object_recon.ndim == 3
    assert "ptychi" not in set(sys.modules) - loaded


def test_reconstruct_names_what_is_wrong_with_the_arrays(run):
    exposures = exposures_of(run.sel(dose=1e5, view="all", split="test"))
    with pytest.raises(fly.InputError, match="photon counts as unsigned integers"):
        fly.reconstruct(dataclasses.replace(exposures, counts=np.sqrt(exposures.counts)))
    with pytest.raises(fly.InputError, match=r"needed \(n, H, W\)"):
        fly.reconstruct(dataclasses.replace(exposures, positions_px=exposures.positions_px.T))
    lost = exposures.positions_px * np.where(np.arange(len(exposures.positions_px)) == 2, np.nan, 1)[:, None]
    with pytest.raises(fly.InputError, match=f"reconstruct: 1 of {len(lost)} positions is not finite"):
        fly.reconstruct(dataclasses.replace(exposures, positions_px=lost))
    with pytest.raises(fly.InputError, match=r"the object would have .* px, more than 268435456; give positions in px"):
        fly.reconstruct(dataclasses.replace(exposures, positions_px=exposures.positions_px * 1e7))
    with pytest.raises(fly.DegenerateScanError, match="kept 1 of 1 exposure given"):
        fly.reconstruct(exposures_of(run.sel(dose=1e5, view="one", split="test")))


def test_reconstruct_raises_the_engines_failure_with_its_kind(run):
    exposures = exposures_of(run.sel(dose=1e5, view="all", split="test"))
    with pytest.raises(fly.NoReconstructionError, match="NoneType") as raised:
        fly.reconstruct(exposures, engine=ENGINE)  # which needs a checkpoint
    assert raised.value.kind == "crashed"


def test_metrics_of_images_need_no_run():
    image = np.exp(1j * np.random.default_rng(1).normal(size=(64, 64)))
    area = np.ones((64, 64), dtype=bool)
    aligned = fly.metrics.align(image * np.exp(0.7j), image, area)
    assert aligned.alignment.phase_offset_rad == pytest.approx(0.7)
    assert fly.metrics.frc(aligned.image, image, area).correlation == pytest.approx(1)


def test_rerun_completes_degenerate_cells_with_a_remedy_and_keeps_the_failure(copied):
    filters = fly.Filters(dose=(1e5,), view=("one",), split=("train",), repeat=(0,))
    again = copied.rerun(failed=True, remedy="guarded", filters=filters, engine=ENGINE)
    assert (len(again.requested), again.n_failed()) == (1, 0)
    cell = copied.sel(dose=1e5, view="one", split="train")
    assert (cell.state, cell.record.remedy.kind) == ("completed", "guarded")
    assert [line.failure_kind for line in cell.row.attempts] == ["degenerate_scan", None]
    assert copied.rerun(kinds=(fly.FailureKind.CRASHED,)) is copied
    with pytest.raises(fly.InputError, match="no cells are chosen"):
        copied.rerun()


def test_run_draws_its_matrix_in_a_notebook(run):
    drawn = run._repr_html_()
    # Areas differ between the views, so that errors are shown over those of an empty object.
    over_empty = run.metrics.phase_rmse_rad / run.metrics.empty_phase_rmse_rad
    assert f"{float(over_empty.sel(dose=1e5, view='all', split='test').mean('repeat')):.3g}" in drawn
    assert "degenerate_scan" in drawn
    assert "<script" not in drawn
