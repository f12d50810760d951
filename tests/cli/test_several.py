"""The commands `runs`, `clean` and `merge`, and table and limits of several runs, as a user meets them."""

from __future__ import annotations

import csv
import json
import shutil

import pytest
from finished_runs import SIX_CELLS

from fly64dask.records import read_run_study, write_run_study
from fly64dask.store import RunLayout


@pytest.fixture
def folder(six_cells, tmp_path):
    """A folder with two equal runs."""
    for name in ("a", "b"):
        shutil.copytree(six_cells.root, tmp_path / name)
    return tmp_path


def test_runs_lists_each_run_with_its_state_and_cells(fly64dask, folder):
    printed = fly64dask("runs", folder).stdout
    rows = [[word.strip() for word in line.split("│")[1:5]] for line in printed.splitlines() if "│" in line]
    assert rows == [[name, "tiny", "failed", "4 of 6, 2 failed"] for name in ("a", "b")]


def test_runs_as_json_has_one_entry_for_each_run(fly64dask, folder):
    document = json.loads(fly64dask("runs", folder, "--json").stdout)
    assert [run["path"] for run in document["runs"]] == [str(folder / "a"), str(folder / "b")]


def test_clean_without_yes_changes_nothing(fly64dask, folder):
    done = fly64dask("clean", folder / "a")
    assert (done.returncode, "nothing was changed; add --yes to free it" in done.stdout) == (0, True)
    assert (folder / "a" / "exposures.zarr" / "dose_100000" / "train").exists()


def test_verify_of_a_cleaned_run_says_what_makes_the_exposures_again(fly64dask, folder):
    fly64dask("clean", folder / "a", "--yes")
    done = fly64dask("verify", folder / "a")
    again = f"fly64dask run {folder / 'a' / 'study.json'} --out {folder / 'a'}"
    assert (done.returncode, again in done.stdout, "0 damaged" in done.stdout) == (0, True, True)


def test_merge_says_how_many_cells_each_run_gave(fly64dask, folder):
    done = fly64dask("merge", "a", "b", "--out", "both", cwd=folder)
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [
            "6 of 6 cells from a",
            "0 of 6 cells from b",
            "merged: both, 4 completed, 2 failed",
        ],
    )


def test_table_of_several_runs_names_each_as_it_was_given(fly64dask, folder):
    fly64dask("table", "a", "b", "--out", "both.csv", cwd=folder)
    with (folder / "both.csv").open() as file:
        assert [row["run"] for row in csv.DictReader(file)] == 6 * ["a"] + 6 * ["b"]


@pytest.fixture
def other_recipe(folder):
    """The second run as one of another recipe."""
    layout = RunLayout(folder / "b")
    write_run_study(layout, read_run_study(layout).with_recipe(n_epochs=7))
    return folder


def test_limits_of_several_runs_has_a_row_for_each_and_what_differs(fly64dask, other_recipe):
    done = fly64dask("limits", "a", "b", "--target", "phase_error_rad=10", cwd=other_recipe)
    rows = [[word.strip() for word in line.split("│")[1:-1]] for line in done.stdout.splitlines() if "│" in line]
    assert done.returncode == 0
    assert rows[0] == ["recipe.n_epochs", str(SIX_CELLS.recipe.n_epochs), "7"]
    assert {row[0] for row in rows[1:] if row[0]} == {"a", "b"}


def test_limits_of_one_run_has_no_column_of_runs(fly64dask, folder):
    document = json.loads(fly64dask("limits", "a", "--target", "phase_error_rad=10", "--json", cwd=folder).stdout)
    assert (document.get("runs"), {limit.get("run_name") for limit in document["targets"][0]["doses"]}) == ([], {None})


def test_a_run_that_is_given_twice_is_refused(fly64dask, folder):
    done = fly64dask("limits", "a", "a", "--target", "phase_error_rad=10", cwd=folder)
    assert (done.returncode, "none of them twice" in done.stderr) == (2, True)


def test_report_of_several_runs_writes_one_page(fly64dask, other_recipe):
    done = fly64dask("report", "a", "b", "--out", "both.html", cwd=other_recipe)
    assert (done.returncode, done.stdout) == (0, "report: both.html\n")
    assert "recipe.n_epochs" in (other_recipe / "both.html").read_text()


def test_report_of_several_runs_needs_a_place_for_its_page(fly64dask, folder):
    done = fly64dask("report", "a", "b", cwd=folder)
    assert (done.returncode, "give --out FILE" in done.stderr) == (2, True)
