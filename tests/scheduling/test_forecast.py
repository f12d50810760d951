"""What is said of a run before it starts: cells that are left, those that run again, and how long they take."""

from __future__ import annotations

import os
import shutil
import time

import pytest
from finished_runs import SIX_CELLS, as_if_computed_on, made_once, make_six_cells

from fly64dask.base import FailureKind
from fly64dask.datasets import read_inputs
from fly64dask.records import read_record, read_rows, write_record
from fly64dask.scheduling import Forecast, forecast_run, plan_cells, with_work
from fly64dask.scheduling.rates import MeasuredRate
from fly64dask.store import RunLayout
from fly64dask.study import cells

NOT_KNOWN = (
    "time: not known, because no completed cell of this run or of one beside it has such patterns and such a recipe"
)
SMALLER = SIX_CELLS.source.model_copy(update={"probe_shape_px": (20, 20)})


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    return RunLayout(made_once(tmp_path_factory, "six-cells", make_six_cells) / "run")


def forecast(study, layout, requested=None):
    inputs = read_inputs(study)
    found = forecast_run(study, layout, inputs, cells(study) if requested is None else requested)
    return with_work(found, study, plan_cells(study, inputs, found.left))


def test_forecast_run_leaves_all_cells_of_a_new_run(tmp_path):
    found = forecast(SIX_CELLS, RunLayout(tmp_path / "absent"))
    assert found.left == cells(SIX_CELLS)
    assert found.lines == ("6 cells to run", NOT_KNOWN)


def test_forecast_run_leaves_nothing_of_a_finished_run(layout):
    """Cells that are degenerate are so for good."""
    found = forecast(SIX_CELLS, layout)
    assert (found.left, found.again) == ((), {})
    assert found.lines == ("nothing is left to do: all 6 cells are done",)


@pytest.mark.parametrize(
    ("work", "said"), [(17, "17 s"), (100, "100 s"), (420, "7.0 min"), (7000, "117 min"), (9000, "2.5 hours")]
)
def test_forecast_says_a_time_in_the_unit_that_a_person_would_take(work, said):
    rate = MeasuredRate(device="cuda (NVIDIA H200)", seconds=1.0, n_cells=1, source="this run")
    found = Forecast(left=cells(SIX_CELLS), n_done=0, again={}, rates=(rate,), work=work)
    measured = "from 1e+03 ms per exposure and epoch in 1 cell of this run"
    assert found.lines[1] == f"time: at most {said} of one GPU (NVIDIA H200), {measured}"


def test_forecast_run_says_which_cells_run_again_after_a_change_of_the_recipe(layout):
    found = forecast(SIX_CELLS.with_recipe(n_epochs=3), layout)
    assert found.again == {"of an older recipe": 6}
    assert found.lines[0] == "6 cells to run (6 of an older recipe)"


@pytest.mark.parametrize("changes", [{"object": "siemens_star"}, {"seed_pair": 8}])
def test_forecast_run_says_that_all_cells_run_again_after_a_change_of_the_source(layout, changes):
    assert changes.items().isdisjoint(SIX_CELLS.source.model_dump().items())
    changed = SIX_CELLS.model_copy(update={"source": SIX_CELLS.source.model_copy(update=changes)})
    found = forecast(changed, layout)
    assert (found.left, found.again) == (cells(changed), {"of other data": 6})


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
    rows = [row for row in read_rows(layout, cells(SIX_CELLS)) if row.state == "completed"]
    found = forecast(SIX_CELLS.with_recipe(n_epochs=3), layout)
    (rate,) = found.rates
    assert (rate.source, rate.device, rate.n_cells) == ("this run", rows[0].device, len(rows))
    assert rate.seconds == pytest.approx(sum(row.seconds for row in rows) / sum(row.n_kept * 2 for row in rows))
    assert found.work == sum(row.n_kept for row in read_rows(layout, cells(SIX_CELLS)) if row.n_kept) * 3
    assert found.seconds == pytest.approx(found.work * rate.seconds)


def test_forecast_tells_hours_of_the_kind_of_gpu_that_was_measured(layout, tmp_path):
    """A cell of the same exposures and 20 000 epochs takes 10 000 times as long as one of two epochs: 3.5 hours."""
    copy = as_if_computed_on(layout, tmp_path / "run", "cuda (NVIDIA H200)")
    few = [cell for cell in cells(SIX_CELLS) if read_record(layout, cell).state == "completed"]
    found = forecast(SIX_CELLS.with_recipe(n_epochs=20_000, device="cuda"), copy, few)
    assert found.lines[1].startswith("time: at most 14 hours of one GPU (NVIDIA H200), from ")
    assert found.lines[1].endswith(" ms per exposure and epoch in 4 cells of this run")
    assert found.seconds == pytest.approx(4 * 1.26 * 10_000)


def test_forecast_tells_a_time_for_each_kind_of_device_as_one_or_the_other(layout, tmp_path):
    kinds = ("cuda (NVIDIA H200)", "cuda (NVIDIA A100-SXM4-40GB)", "cpu")
    copy = as_if_computed_on(layout, tmp_path / "run", *kinds)
    _, *times = forecast(SIX_CELLS.with_recipe(n_epochs=3, device="auto"), copy).lines
    assert [line[: len("time: at most")] for line in times] == ["time: at most", "or:   at most", "or:   at most"]
    assert [line.partition(" of one ")[2].partition(", from")[0] for line in times] == [
        "GPU (NVIDIA H200)",  # two of the four cells
        "GPU (NVIDIA A100-SXM4-40GB)",
        "CPU",
    ]


@pytest.mark.parametrize(
    ("device", "kinds"),
    [("cpu", ["CPU"]), ("cuda", ["GPU (NVIDIA H200)"]), ("auto", ["CPU", "GPU (NVIDIA H200)"])],
)
def test_forecast_tells_no_time_of_a_device_that_the_recipe_does_not_use(layout, tmp_path, device, kinds):
    copy = as_if_computed_on(layout, tmp_path / "run", "cpu", "cuda (NVIDIA H200)")
    _, *times = forecast(SIX_CELLS.with_recipe(n_epochs=3, device=device), copy).lines
    assert [line.partition(" of one ")[2].partition(", from")[0] for line in times] == kinds


def test_forecast_of_a_new_run_goes_by_the_run_beside_it(layout, tmp_path):
    shutil.copytree(layout.root, tmp_path / "before")
    found = forecast(SIX_CELLS, RunLayout(tmp_path / "new"))
    assert [rate.source for rate in found.rates] == [str(tmp_path / "before")]
    assert found.lines[1].endswith(f"ms per exposure and epoch in 4 cells of {tmp_path / 'before'}")


@pytest.mark.parametrize(
    ("study", "why"),
    [
        (SIX_CELLS.with_recipe(batch_size=3), "other minibatches"),
        (SIX_CELLS.model_copy(update={"source": SMALLER}), "patterns of another shape"),
    ],
)
def test_forecast_does_not_go_by_runs_of_another_cost(layout, tmp_path, study, why):
    shutil.copytree(layout.root, tmp_path / "before")
    assert forecast(study, RunLayout(tmp_path / "new")).lines[1] == NOT_KNOWN, why


def test_forecast_goes_by_the_newest_run_beside_it(layout, tmp_path):
    for name, age_s in (("old", 100), ("newest", 0), ("older", 200)):
        shutil.copytree(layout.root, tmp_path / name)
        at = time.time() - age_s
        os.utime(tmp_path / name / "study.json", (at, at))
    assert forecast(SIX_CELLS, RunLayout(tmp_path / "new")).rates[0].source == str(tmp_path / "newest")
