"""A comparison of methods in the terminal: bold is what is better beyond the spread of repeats, and words say so."""

from __future__ import annotations

from tiny import tiny_study

from fly64dask.cli.terminal import comparison_table, difference_table
from fly64dask.metrics import ReferenceMetrics
from fly64dask.records import method_differences
from fly64dask.runs import MethodScore, RunComparison
from fly64dask.runs.comparisons.comparison import ComparedCell
from fly64dask.study import cells

STUDY = tiny_study(doses_photons=(1e4,), repeats=3, split="none", views=tiny_study().views[:1])
OURS = (0.10, 0.11, 0.105)


def comparison_of(theirs):
    """A comparison of three repeats in which another method has these errors."""
    numbers = {
        name: dict(zip(cells(STUDY), errors, strict=True)) for name, errors in {"ours": OURS, "theirs": theirs}.items()
    }
    rows = tuple(
        ComparedCell(
            dose=cell.dose,
            view=cell.view,
            split=cell.split,
            repeat=cell.repeat,
            scores=tuple(
                MethodScore(method=name, reference=ReferenceMetrics(name="r", phase_rmse_rad=of_cell[cell]))
                for name, of_cell in numbers.items()
            ),
        )
        for cell in cells(STUDY)
    )
    return RunComparison(
        timestamp="now",
        study="s",
        convention="ours",
        methods={"ours": "a", "theirs": "b"},
        reference="r",
        cells=rows,
        differences=method_differences(STUDY, numbers, quantity="phase_rmse_rad", label="phase error"),
    )


def bold_columns(comparison):
    table = comparison_table(comparison)
    return {
        str(column.header)
        for column in table.columns
        for text in column.cells
        if "bold" in str(getattr(text, "style", ""))
    }


def test_the_method_with_the_least_errors_is_bold_if_that_is_beyond_the_spread():
    assert bold_columns(comparison_of([1.2 * OURS[0], 1.21 * OURS[1], 1.19 * OURS[2]])) == {"ours"}


def test_no_method_is_bold_within_the_spread():
    """The other is lower in each repeat, by 1 to 15 %: a luck of one in seven."""
    assert bold_columns(comparison_of([0.85 * OURS[0], 0.99 * OURS[1], 0.95 * OURS[2]])) == set()


def test_a_table_says_by_what_factor_methods_differ():
    table = difference_table(comparison_of([1.2 * OURS[0], 1.21 * OURS[1], 1.19 * OURS[2]]).differences)
    cells_of_line = [str(next(iter(column.cells))) for column in table.columns]
    assert cells_of_line[1:3] == ["ours", "theirs"]
    assert cells_of_line[3].startswith("1.20 (1.1")
    assert cells_of_line[5] == "ours is better"
