"""Doses that count photons by area or in total: exposures of their own for each view, and what cannot be given."""

from __future__ import annotations

import numpy as np
import pytest
from manifest_rows import row_of_cell
from measured import measured_study, write_scan
from tiny import tiny_study

from fly64dask.base import FailureKind, InputError
from fly64dask.cells import new_run_id, open_inputs
from fly64dask.datasets import expose_split, prepare_scan, read_inputs, select_view
from fly64dask.runs.rerun import plan_rerun
from fly64dask.runs.verify import groups_of
from fly64dask.scheduling import GraphBuilder, GraphOptions, plan_cells
from fly64dask.store import RunLayout
from fly64dask.study import Cell, cells, realisation_of, realisations

VIEWS = ("all", "few")


def study_by(dose_by, *doses):
    study = tiny_study(dose_by=dose_by, doses_photons=doses)
    return study.model_copy(update={"views": study.views[:2]})


@pytest.fixture(scope="module")
def exposed(tmp_path_factory):
    """Facts of the cells of one dose, by what the dose counts and view: their photons were drawn."""
    found = {}
    for dose_by, dose in (("total", 2e6), ("fluence", 1000.0), ("exposure", 1e5)):
        study, layout = study_by(dose_by, dose), RunLayout(tmp_path_factory.mktemp(dose_by))
        prepare_scan(study, layout)
        for view in VIEWS:
            select_view(study, view, "train", layout)
            cell = Cell(dose=dose, view=view, split="train")
            expose_split(study, layout=layout, **realisation_of(study, cell)._asdict())
            found[dose_by, view] = open_inputs(study, layout, cell).facts()
    return found


@pytest.mark.parametrize("view", VIEWS)
def test_expose_split_gives_each_view_the_same_photons_in_total(exposed, view):
    # Parts of the object differ in brightness by some per cent, and so do the exposures that are kept.
    assert exposed["total", view].total_photons == pytest.approx(2e6, rel=0.02)
    assert exposed["total", view].dose_photons == pytest.approx(2e6 / exposed["total", view].n_kept, rel=1e-12)


@pytest.mark.parametrize("view", VIEWS)
def test_expose_split_gives_each_view_the_same_fluence(exposed, view):
    assert exposed["fluence", view].fluence_photons_per_px2 == pytest.approx(1000.0, rel=0.02)


def test_sparse_views_of_equal_fluence_get_more_photons_per_exposure(exposed):
    assert exposed["fluence", "few"].mean_counts_photons > 2 * exposed["fluence", "all"].mean_counts_photons
    assert exposed["exposure", "few"].mean_counts_photons == pytest.approx(
        exposed["exposure", "all"].mean_counts_photons, rel=0.02
    )


def test_realisations_are_shared_by_views_only_where_a_dose_is_the_same_in_each():
    names = {
        dose_by: [drawn.name for drawn in realisations(study, cells(study))]
        for dose_by in ("exposure", "total")
        for study in [study_by(dose_by, 1e4, "noise_free")]
    }
    assert names["exposure"] == ["dose_10000/train", "dose_10000/test", "dose_noise_free/train", "dose_noise_free/test"]
    assert names["total"] == [
        *(f"dose_10000.view_{view}/{split}" for view in VIEWS for split in ("train", "test")),
        "dose_noise_free/train",
        "dose_noise_free/test",
    ]


def test_cells_have_the_same_names_whatever_a_dose_counts():
    assert cells(study_by("total", 1e4)) == cells(study_by("exposure", 1e4))


def test_plan_shows_the_photons_per_exposure_of_every_view():
    study = study_by("total", 1e6)
    for planned in plan_cells(study, read_inputs(study), cells(study)):
        assert planned.dose_photons == pytest.approx(1e6 / planned.n_kept)
        assert planned.total_photons == pytest.approx(1e6)


def test_read_inputs_refuses_to_thin_a_view_above_what_was_measured(tmp_path):
    # 64 photons in each of 30 exposures.
    write_scan(tmp_path / "scan.zarr", np.ones((30, 8, 8), np.uint16))
    study = measured_study(tmp_path / "scan.zarr", "[500.0]", 'dose_by = "total"')
    with pytest.raises(InputError) as refused:
        read_inputs(study)
    message = str(refused.value)
    assert "doses_photons = 500 photons in total" in message
    assert "more than the 64 that were measured" in message
    n_kept = int(message.split(" keeps ")[1].split()[0])
    assert f"each needs {500 / n_kept:.6g} photons" in message
    assert f"give at most {64 * n_kept:.6g}" in message


def test_read_inputs_takes_a_total_that_every_view_can_be_thinned_to(tmp_path):
    write_scan(tmp_path / "scan.zarr", np.ones((30, 8, 8), np.uint16))
    read_inputs(measured_study(tmp_path / "scan.zarr", '[50.0, "measured"]', 'dose_by = "total"'))


def test_graph_exposes_a_view_once_it_is_selected(tmp_path):
    study = study_by("total", 1e6)
    cell = Cell(dose=1e6, view="few", split="train")
    builder = GraphBuilder(study, [cell], new_run_id(RunLayout(tmp_path)), GraphOptions(use_gpu=False))
    graph = builder.build([cell])
    exposed = graph.group_tasks["expose", realisation_of(study, cell)]
    assert [key for key in exposed.dask if str(key).startswith("select-view_few-train")]


def test_groups_of_a_run_hold_the_exposures_of_each_view(tmp_path):
    study, layout = study_by("total", 1e6), RunLayout(tmp_path)
    exposures = {path.relative_to(layout.store).as_posix() for path in groups_of(study, layout) if "dose_" in str(path)}
    assert exposures == {f"dose_1000000.view_{view}/{split}" for view in VIEWS for split in ("train", "test")}


def test_respace_is_refused_where_it_changes_how_many_exposures_share_a_dose():
    row = row_of_cell(Cell(dose=1e6, view="few", split="train"), failure_kind=FailureKind.DEGENERATE_SCAN)
    (planned,) = plan_rerun(study_by("total", 1e6), [row], "respace", lambda: np.zeros((4, 2)))
    assert planned.remedy is None
    assert "which this study counts by total" in planned.hopeless
