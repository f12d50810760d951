"""The numbers of a run that has too many cells for a matrix."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime

import pytest
from finished_runs import SIX_CELLS

from fly64dask.monitoring import LiveCell, OverviewReader
from fly64dask.records import write_run_study
from fly64dask.store import RunLayout
from fly64dask.study import cells


@pytest.fixture
def run(six_cells, tmp_path):
    shutil.copytree(six_cells.root, tmp_path / "run")
    return RunLayout(tmp_path / "run")


def test_overview_counts_cells_per_view_and_state(six_cells):
    overview = OverviewReader(SIX_CELLS, six_cells).read()
    assert overview.by_view == {"all": {"completed": 2}, "few": {"completed": 2}, "one": {"failed": 2}}


def test_overview_counts_all_views_together(six_cells):
    assert OverviewReader(SIX_CELLS, six_cells).read().counts == {"completed": 4, "failed": 2}


def test_overview_counts_the_chosen_cells_alone(six_cells):
    chosen = frozenset(cell for cell in cells(SIX_CELLS) if cell.view == "one")
    assert OverviewReader(SIX_CELLS, six_cells, chosen=chosen).read().counts == {"failed": 2}


def test_overview_names_cells_without_a_reconstruction(six_cells):
    named = [row.cell.view for row in OverviewReader(SIX_CELLS, six_cells).read().unreconstructed]
    assert named == ["one", "one"]


def test_overview_counts_pending_cells(run):
    shutil.rmtree(run.cell_directory(cells(SIX_CELLS)[0]))
    assert OverviewReader(SIX_CELLS, run).read().by_view["all"] == {"completed": 1, "pending": 1}


def test_overview_counts_cells_that_are_not_of_the_study_as_it_is_now(six_cells):
    longer = SIX_CELLS.with_recipe(n_epochs=5)
    assert OverviewReader(longer, six_cells).read().n_outdated == 6


def test_an_overview_reader_sees_what_has_changed_since(run):
    reader, first = OverviewReader(SIX_CELLS, run), cells(SIX_CELLS)[0]
    assert reader.read().by_view["all"] == {"completed": 2}
    shutil.move(run.cell_directory(first), run.root / "aside")
    assert reader.read().by_view["all"] == {"completed": 1, "pending": 1}
    shutil.move(run.root / "aside", run.cell_directory(first))
    run.record_file(first).write_text("{}")
    overview = reader.read()
    assert overview.by_view["all"] == {"completed": 1, "damaged": 1}
    assert overview.unreconstructed[0].cell == first


def test_an_overview_reader_that_follows_a_run_compares_with_its_study_now(run):
    reader = OverviewReader(SIX_CELLS, run, follows=True)
    assert reader.read().n_outdated == 0
    write_run_study(run, SIX_CELLS.with_recipe(n_epochs=5))
    assert reader.read().n_outdated == 6


def test_overview_counts_a_cell_that_runs_again_as_running(run):
    cell, now = cells(SIX_CELLS)[0], datetime.now(UTC)
    live = LiveCell(
        **{"dose": cell.dose, "view": cell.view, "split": cell.split, "attempt": 2, "run": "abc", "n_epochs": 2},
        **{"worker": "w", "host": "h", "pid": 1, "started_at": now, "updated_at": now},
    )
    run.live_file(cell).parent.mkdir(parents=True, exist_ok=True)
    run.live_file(cell).write_text(live.model_dump_json())
    assert OverviewReader(SIX_CELLS, run).read().by_view["all"] == {"completed": 1, "running": 1}
