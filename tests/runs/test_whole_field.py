"""A study without a split: one split named whole, through store, cells, tables, report and API."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from finished_runs import make_run
from rich.console import Console
from tiny import tiny_study

import fly64dask as fly
from fly64dask.cli.terminal.matrix import matrix_table
from fly64dask.datasets import read_inputs
from fly64dask.records import read_rows
from fly64dask.report import write_report
from fly64dask.runs.repair import repair_run
from fly64dask.runs.verify import verify_run
from fly64dask.scheduling import plan_cells
from fly64dask.store import ExposureAttributes, RunLayout, ViewAttributes, open_group
from fly64dask.study import BaselineView, FractionView, StrideView, cells

VIEWS = (
    BaselineView(name="all", rule="baseline"),
    StrideView(name="third", rule="stride", every=3, offset=1),
    FractionView(name="half", rule="fraction", fraction=0.5),
)
STUDY = tiny_study(doses_photons=(1e5,), n_epochs=2, split="none", views=VIEWS)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> RunLayout:
    made = RunLayout(tmp_path_factory.mktemp("whole") / "run")
    make_run(STUDY, made)
    return made


def test_exposures_of_a_whole_field_are_all_in_the_order_of_the_scan(layout: RunLayout) -> None:
    group = open_group(layout.exposure_group(1e5, "whole"), ExposureAttributes)
    assert group.read("scan_index").tolist() == list(range(60))
    assert (group.attributes.split, group.attributes.split_boundary_px) == ("whole", None)
    assert np.array_equal(group.read("positions_px"), read_inputs(STUDY).positions_px)


def test_view_of_a_whole_field_selects_among_all_exposures(layout: RunLayout) -> None:
    view = open_group(layout.view_group("third", "whole"), ViewAttributes)
    assert view.read("kept_indices").tolist() == list(range(1, 60, 3))
    assert (view.attributes.split, view.attributes.n_exposures, view.attributes.n_kept) == ("whole", 60, 20)


def test_rows_of_a_whole_field_say_what_was_kept(layout: RunLayout) -> None:
    rows = read_rows(layout, cells(STUDY))
    assert [(row.view, row.split, row.n_kept, row.selection_strategy) for row in rows] == [
        ("all", "whole", 60, None),
        ("third", "whole", 20, "stride"),
        ("half", "whole", 30, "fraction"),
    ]
    assert {row.state for row in rows} == {"completed"}


def test_plan_of_a_whole_field_keeps_what_ran(layout: RunLayout) -> None:
    planned = plan_cells(STUDY, read_inputs(STUDY), cells(STUDY))
    assert [one.n_kept for one in planned] == [60, 20, 30]
    assert all(one.spacing_threshold is None for one in planned)


def test_matrix_of_a_whole_field_has_one_row_a_dose(layout: RunLayout) -> None:
    console = Console(width=120, record=True, file=None)
    with console.capture() as shown:
        console.print(matrix_table(STUDY, read_rows(layout, cells(STUDY))))
    assert shown.get().count("whole") == 1
    assert "train" not in shown.get()


def test_sel_needs_no_split_where_there_is_one(layout: RunLayout) -> None:
    run = fly.open_run(layout.root)
    assert run.sel(dose=1e5, view="third").record == run.sel(dose=1e5, view="third", split="whole").record
    assert run.metrics.split.values.tolist() == ["whole"]


def test_report_and_figures_of_a_whole_field_are_drawn(layout: RunLayout, tmp_path: Path) -> None:
    write_report(STUDY, layout, tmp_path / "report.html", figures=tmp_path / "figures")
    assert "dose_100000/half/whole" in (tmp_path / "report.html").read_text()
    assert list((tmp_path / "figures").glob("*.png"))


def test_verify_finds_and_repair_mends_a_whole_field(layout: RunLayout, tmp_path: Path) -> None:
    shutil.copytree(layout.root, tmp_path / "run")
    copied = RunLayout(tmp_path / "run")
    assert verify_run(STUDY, copied) == ()
    shutil.rmtree(copied.view_group("half", "whole"))
    assert verify_run(STUDY, copied) != ()
    repair_run(STUDY, copied, verify_run(STUDY, copied))
    assert verify_run(STUDY, copied) == ()


def test_export_of_a_whole_field_needs_no_split(layout: RunLayout, tmp_path: Path, fly64dask) -> None:
    done = fly64dask("export", layout.root, "--dose", "1e5", "--view", "third", "--out", tmp_path / "third.npz")
    assert (done.returncode, done.stderr) == (0, "")
    with np.load(tmp_path / "third.npz", allow_pickle=True) as npz:
        assert npz["diffraction"].shape == (20, 24, 24)
        assert "spacing_threshold" not in str(npz["_metadata"])
