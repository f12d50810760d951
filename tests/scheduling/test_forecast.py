"""What is said of a run before it starts: cells that are left, those that run again, and how long they take."""

from __future__ import annotations

import shutil

import pytest
from finished_runs import SIX_CELLS, made_once, make_six_cells

from fly64dask.base import FailureKind
from fly64dask.datasets import read_inputs
from fly64dask.records import read_record, read_rows, write_record
from fly64dask.scheduling import forecast_run, plan_cells, with_work
from fly64dask.store import RunLayout
from fly64dask.study import cells


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    return RunLayout(made_once(tmp_path_factory, "six-cells", make_six_cells) / "run")


def forecast(study, layout, requested=None):
    found = forecast_run(study, layout, cells(study) if requested is None else requested)
    return with_work(found, study, plan_cells(study, read_inputs(study), found.left))


def test_forecast_run_leaves_all_cells_of_a_new_run(tmp_path):
    found = forecast(SIX_CELLS, RunLayout(tmp_path / "absent"))
    assert found.left == cells(SIX_CELLS)
    assert found.lines == ("6 cells to run", "time: not known, as no cell of this run has been measured yet")


def test_forecast_run_leaves_nothing_of_a_finished_run(layout):
    """Cells that are degenerate are so for good."""
    found = forecast(SIX_CELLS, layout)
    assert (found.left, found.again) == ((), {})
    assert found.lines == ("nothing is left to do: all 6 cells are done",)


def test_forecast_run_says_which_cells_run_again_after_a_change_of_the_recipe(layout):
    found = forecast(SIX_CELLS.with_recipe(n_epochs=3), layout)
    assert found.again == {"of an older recipe": 6}
    assert found.lines[0] == "6 cells to run (6 of an older recipe)"


def test_forecast_run_counts_what_was_asked_for_alone(layout, tmp_path):
    few = [cell for cell in cells(SIX_CELLS) if cell.view == "few"]
    assert len(forecast(SIX_CELLS, layout, few).left) == 0
    assert len(forecast(SIX_CELLS, RunLayout(tmp_path), few).left) == len(few)


@pytest.mark.parametrize(("kind", "why"), [("interrupted", "interrupted"), ("crashed", "failed as crashed")])
def test_forecast_run_runs_again_what_was_interrupted_or_failed_in_a_way_that_may_pass(layout, tmp_path, kind, why):
    copy = RunLayout(tmp_path / "run")
    shutil.copytree(layout.root, copy.root)
    cell = cells(SIX_CELLS)[0]
    state = "interrupted" if kind == "interrupted" else "failed"
    ending = {"state": state, "failure_kind": FailureKind(kind), "error": "stopped", "returncode": 1}
    write_record(copy.cell_directory(cell), read_record(copy, cell).model_copy(update=ending))
    found = forecast(SIX_CELLS, copy)
    assert (found.left, found.again) == ((cell,), {why: 1})


def test_forecast_tells_the_time_by_what_an_exposure_and_epoch_took(layout):
    """All cells again with three epochs for two: those that were measured take half as long again."""
    longer = SIX_CELLS.with_recipe(n_epochs=3)
    rows = [row for row in read_rows(layout, cells(SIX_CELLS)) if row.state == "completed"]
    measured = forecast(SIX_CELLS, layout)
    assert measured.n_measured == len(rows)
    assert measured.rate_s == pytest.approx(sum(r.seconds for r in rows) / sum(r.n_kept * 2 for r in rows))
    work = sum(row.n_kept for row in read_rows(layout, cells(SIX_CELLS)) if row.n_kept) * 3
    assert forecast(longer, layout).work == work
