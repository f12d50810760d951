"""What the terminal shows of a cell's photons: the table of light and overlap, and marks of another dose than asked."""

from __future__ import annotations

import pytest
from manifest_rows import row_of_cell
from rich.console import Console
from tiny import tiny_study

from fly64dask.cli.terminal.light import light_tables
from fly64dask.cli.terminal.matrix import caveat_lines, matrix_table
from fly64dask.datasets import read_inputs
from fly64dask.scheduling import plan_cells
from fly64dask.study import Cell, cells

STUDY = tiny_study()
ROW = row_of_cell(
    Cell(dose=1e4, view="all", split="train"),
    n_kept=30,
    final_loss=0.5,
    dose_photons=1e4,
    mean_counts_photons=62.5,
    dose_deviation="real mean of 62.5 photons",
)


def printed(*tables):
    console = Console(width=120)
    with console.capture() as capture:
        console.print(*tables, sep="\n")
    return capture.get()


@pytest.fixture(scope="module")
def plan():
    return plan_cells(STUDY, read_inputs(STUDY), cells(STUDY))


def test_light_tables_have_the_photons_of_each_cell_and_the_overlap_of_each_view(plan):
    shown = printed(*light_tables(plan)).splitlines()
    (photons,) = [line for line in shown if plan[0].cell.name in line]
    (beams,) = [line for line in shown if " all/train " in line]
    assert f"{plan[0].total_photons:.6g}" in photons
    assert f"{plan[0].linear_overlap:.2f}" in beams


def test_light_tables_leave_out_what_no_cell_knows(plan):
    assert "nm²" not in printed(*light_tables(plan))
    assert "mean" not in printed(*light_tables(plan))
    assert "mean" in printed(*light_tables([ROW]))


def test_plan_knows_incident_photons_of_a_simulation(plan):
    # The object absorbs a few per cent (an empty one nothing).
    assert all(1.0 < planned.incident_photons / planned.dose_photons < 1.1 for planned in plan)


def test_matrix_marks_a_cell_whose_photons_are_not_those_that_were_asked():
    assert "≠ dose" in printed(matrix_table(STUDY, [ROW]))
    assert "≠ dose" not in printed(matrix_table(STUDY, [ROW.model_copy(update={"dose_deviation": None})]))


def test_caveats_say_what_was_found_and_asked():
    assert [str(line) for line in caveat_lines([ROW])] == ["dose_10000/all/train real mean of 62.5 photons"]


def test_matrix_says_what_its_doses_count_if_not_photons_per_exposure():
    assert "photons in total" in printed(matrix_table(tiny_study(dose_by="total"), [ROW]))
    assert "photons" not in printed(matrix_table(STUDY, [ROW]))
