"""What a run says at its end of how low its doses can go."""

from __future__ import annotations

import math

import pytest
from manifest_rows import row_of_cell
from several import several_study
from tiny import tiny_study

from fly64dask.cli.terminal.limits import closing_table
from fly64dask.metrics import TruthMetrics
from fly64dask.study import Target, cells

STUDY = tiny_study(doses_photons=(1e3, 1e4), targets=(Target(phase_error_rad=0.1),))


def table_of(study):
    """The table of a run whose errors fall as shot noise, to 0.1 rad at 4e3 photons."""
    rows = [
        row_of_cell(
            cell,
            dose_photons=cell.dose,
            metrics=TruthMetrics.model_construct(
                phase_rmse_rad=0.1 * math.sqrt(4e3 / cell.dose), empty_phase_rmse_rad=0.5, frc=None
            ),
        )
        for cell in cells(study)
    ]
    return closing_table(study, rows)


def columns_of(table):
    return {column.header: [getattr(cell, "plain", cell) for cell in column.cells] for column in table.columns}


def test_a_run_with_a_target_ends_with_the_lowest_dose_of_each_view_and_split():
    columns = columns_of(table_of(STUDY))
    places = [(view.name, split) for view in STUDY.views for split in STUDY.splits]
    assert list(zip(columns["view"], columns["split"], strict=True)) == places
    assert columns["0.1 rad"] == ["4e3, between 1e3 and 1e4"] * len(places)


@pytest.mark.parametrize(
    ("phase_error_rad", "words"),
    [(0.02, "> 1e4, which gives 0.0632 rad"), (0.3, "≤ 1e3")],
)
def test_the_table_at_the_end_says_where_a_target_lies_beyond_the_doses(phase_error_rad, words):
    study = STUDY.model_copy(update={"targets": (Target(phase_error_rad=phase_error_rad),)})
    assert set(columns_of(table_of(study))[f"{phase_error_rad:g} rad"]) == {words}


def test_the_table_at_the_end_has_a_column_for_each_target_and_for_recipes():
    study = several_study(targets=(*STUDY.targets, Target(phase_error_rad=0.2)))
    columns = columns_of(table_of(study))
    assert {"recipe", "0.1 rad", "0.2 rad"} <= set(columns)


def test_a_run_with_very_many_series_has_no_table_at_its_end():
    views = tuple(STUDY.views[0].model_copy(update={"name": f"view_{number}"}) for number in range(7))
    assert len(views) * len(STUDY.splits) == 14
    assert table_of(STUDY.model_copy(update={"views": views})) is None


def test_a_run_without_targets_has_no_table_at_its_end():
    assert table_of(STUDY.model_copy(update={"targets": ()})) is None
