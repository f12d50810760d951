"""What the terminal shows of a run that has too many cells for a matrix."""

from __future__ import annotations

from finished_runs import SIX_CELLS
from rich.console import Console
from tiny import tiny_study

from fly64dask.cli.terminal import MAX_MATRIX_CELLS, watch_run
from fly64dask.monitoring import OverviewReader
from fly64dask.records import write_run_study
from fly64dask.store import RunLayout
from fly64dask.study import cells


def watched(layout, **of_console):
    """What is printed while a run is watched that nobody runs, and how it was at the end."""
    console = Console(width=120, **of_console)
    with console.capture() as capture:
        last = watch_run(OverviewReader(SIX_CELLS, layout), console, interval_s=0.1)
    return capture.get(), last


def test_watch_tells_how_many_cells_are_in_each_state(six_cells):
    printed, last = watched(six_cells)
    assert last.counts == {"completed": 4, "failed": 2}
    assert [line.split(maxsplit=1)[1] for line in printed.splitlines()] == ["4 completed, 2 failed"]


def test_watch_draws_the_number_of_cells_of_each_view_on_a_terminal(six_cells):
    printed, _ = watched(six_cells, force_terminal=True, color_system=None)
    assert "no run is under way on this directory" in printed
    assert "4 completed, 2 failed" in printed


def test_light_is_refused_for_too_many_cells(tmp_path, fly64dask):
    study = tiny_study(repeats=500)
    assert len(cells(study)) > MAX_MATRIX_CELLS
    write_run_study(RunLayout(tmp_path), study)
    done = fly64dask("status", tmp_path, "--light")
    assert done.returncode == 2
    assert f"--light shows a row for each cell, and these are {len(cells(study))}" in done.stderr
