"""The page of several runs: its content, and what a browser shows of it to everybody."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from accessibility import axe_violations
from browser import chromium, opened_browser
from finished_runs import SIX_CELLS, make_run
from limit_rows import TARGET
from measured import measured_study, write_scan

from fly64dask.base import InputError
from fly64dask.records import read_run_study, write_run_study
from fly64dask.report import write_report
from fly64dask.runs import open_runs
from fly64dask.store import RunLayout
from fly64dask.study import cells

FIRST = cells(SIX_CELLS)[0]
WIDE = 1280


@pytest.fixture(scope="module")
def folder(six_cells, tmp_path_factory):
    """Runs with two failed cells each: `long`, with a report of its own, and `short` without one cell and by another
    recipe.
    """
    folder = tmp_path_factory.mktemp("runs")
    shutil.copytree(six_cells.root, folder / "long")
    long, short = (RunLayout(folder / name) for name in ("long", "short"))
    write_run_study(long, read_run_study(long).model_copy(update={"targets": (TARGET,)}))
    make_run(SIX_CELLS.with_recipe(n_epochs=1), short)
    shutil.rmtree(short.cell_directory(FIRST))
    write_report(read_run_study(long), long, long.report_file)
    open_runs([folder / "long", folder / "short"]).report(folder / "both.html")
    return folder


@pytest.fixture(scope="module")
def content(folder):
    page = (folder / "both.html").read_text()
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S).group(1))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium()
    with opened_browser(tmp_path_factory.mktemp("profile")) as page:
        page.call("Emulation.setFocusEmulationEnabled", enabled=True)
        yield page


def shown(browser, folder, **how):
    browser.open("about:blank")
    browser.open((folder / "both.html").as_uri(), **how)
    browser.wait_for("document.body && document.body.dataset.ready === 'yes'")
    browser.evaluate("document.querySelectorAll('details:not(#all)').forEach((one) => { one.open = true; })")
    return browser


def test_every_run_has_the_states_of_its_own_cells(content, folder):
    assert {run["name"]: run["counts"] for run in content["runs"]} == {
        str(folder / "long"): {"completed": 4, "failed": 2},
        str(folder / "short"): {"completed": 3, "failed": 2, "pending": 1},
    }


def test_a_page_says_in_what_the_runs_differ_and_nothing_else(content):
    assert content["differing"] == [
        {"key": "recipe.n_epochs", "words": [str(SIX_CELLS.recipe.n_epochs), "1"]},
        {"key": "targets", "words": ["phase_error_rad 0.1", "none"]},
    ]


def test_every_number_is_that_of_its_runs_table(content, folder):
    column = "metrics.phase_rmse_rad"
    known = open_runs([folder / "long", folder / "short"]).table()[column].dropna()
    expected = {(run, dose, view, split): value for (run, dose, view, split, _), value in known.items()}
    found = {
        (cell["run"], float(cell["dose"].removeprefix("dose_")), cell["view"], cell["split"]): cell["numbers"][column]
        for cell in content["cells"]
        if column in cell["numbers"]
    }
    assert found == expected
    assert len(found) == 7


def test_a_target_of_one_study_is_asked_of_all_runs(content, folder):
    (target,) = content["answer"]["answer"]["targets"]
    assert {limit["run_name"] for limit in target["doses"]} == {str(folder / "long"), str(folder / "short")}


def test_a_run_under_way_is_said_to_be_unfinished(content, folder):
    texts = [notice["text"] for notice in content["notices"]]
    assert f"{folder / 'short'}: 1 of 6 cells has no result yet." in texts


def test_a_page_without_any_target_says_how_to_ask(six_cells, folder, tmp_path):
    shutil.copytree(six_cells.root, tmp_path / "none")
    page = open_runs([tmp_path / "none", folder / "short"]).report(tmp_path / "page.html").read_text()
    assert "fly64dask limits RUN... --target" in page


def test_runs_whose_doses_count_other_quantities_are_refused(six_cells, folder, tmp_path):
    shutil.copytree(six_cells.root, tmp_path / "total")
    layout = RunLayout(tmp_path / "total")
    write_run_study(layout, read_run_study(layout).model_copy(update={"dose_by": "total"}))
    with pytest.raises(InputError, match="count different quantities"):
        open_runs([tmp_path / "total", folder / "short"])


@pytest.mark.parametrize(("dark", "width"), [(False, WIDE), (True, 390)], ids=["light-wide", "dark-narrow"])
def test_axe_finds_nothing_serious_on_a_page_of_several_runs(browser, folder, dark, width):
    assert axe_violations(shown(browser, folder, dark=dark, width=width)) == []


def test_a_phone_shows_several_runs_without_scrolling_sideways(browser, folder):
    page = shown(browser, folder, width=390, height=844)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_the_map_has_a_column_for_each_run_and_marks_what_failed_or_is_pending(browser, folder):
    page = shown(browser, folder, width=WIDE)
    heads = page.evaluate("[...document.querySelectorAll('#heat thead th')].map((one) => one.textContent)")
    assert heads.count(str(folder / "long")) == heads.count(str(folder / "short"))
    texts = page.evaluate("[...document.querySelectorAll('#heat button.none')].map((one) => one.textContent)")
    assert sorted(texts) == sorted([*4 * ["✘ degenerate_scan"], "· pending"])


def test_a_mean_says_of_how_many_repeats_it_is_where_some_have_failed(browser, tmp_path, engine_faults):
    """No exposures are there for a second repeat, which fails."""
    study = SIX_CELLS.model_copy(update={"views": SIX_CELLS.views[:1], "split": "none"})
    for name, repeats in (("a", 1), ("b", 2)):
        make_run(study.model_copy(update={"repeats": repeats}), RunLayout(tmp_path / name))
    open_runs([tmp_path / "a", tmp_path / "b"]).report(tmp_path / "both.html")
    page = shown(browser, tmp_path, width=WIDE)
    first, second = page.evaluate("[...document.querySelectorAll('#heat .heat button')].map((one) => one.textContent)")
    assert ("(" in first, "(1 of 2)" in second) == (False, True)


def test_curves_of_runs_have_colours_of_their_own(browser, folder):
    page = shown(browser, folder, width=WIDE)
    inks = page.evaluate(
        "[...document.querySelectorAll('#targets figure')].map((figure) => "
        "new Set([...figure.querySelectorAll('.point')].map((one) => one.getAttribute('stroke'))).size)"
    )
    assert max(inks) == 2


def test_enter_on_a_cell_opens_it_in_the_report_of_its_run(browser, folder):
    page = shown(browser, folder, width=WIDE)
    page.evaluate("document.querySelector('#heat .heat button').focus()")
    page.press("Enter")
    page.wait_for("document.getElementById('pick')")
    assert page.evaluate("location.pathname") == str(folder / "long" / "report.html")
    assert page.evaluate("location.hash").startswith("#cell=")


def test_enter_on_a_cell_of_a_run_without_a_report_leads_to_the_run(browser, folder):
    page = shown(browser, folder, width=WIDE)
    page.evaluate("document.querySelectorAll('#heat .heat tbody tr')[0].lastChild.firstChild.focus()")
    page.press("Enter")
    assert page.evaluate("document.activeElement.dataset.run") == str(folder / "short")


@pytest.fixture(scope="module")
def beside_a_scan(folder, tmp_path_factory):
    """The content of a page of `long` and of a run of a measured scan, which is asked for the target of `long`."""
    place = tmp_path_factory.mktemp("scan")
    write_scan(place / "scan.zarr", np.random.default_rng(1).poisson(40, (60, 24, 24)).astype(np.uint16))
    make_run(measured_study(place / "scan.zarr", '["measured"]'), RunLayout(place / "run"))
    page = open_runs([folder / "long", place / "run"]).report(place / "both.html").read_text()
    document = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S).group(1)
    return str(place / "run"), json.loads(document)


def test_a_measured_scan_has_no_error_against_a_truth_on_the_page(beside_a_scan):
    name, content = beside_a_scan
    numbers = {key for cell in content["cells"] if cell["run"] == name for key in cell["numbers"]}
    assert {"n_kept", "total_photons"} <= numbers
    assert not [key for key in numbers if key.startswith(("metrics.", "relative."))]


def test_a_measured_scan_has_no_limit_against_a_truth_and_the_page_says_so(beside_a_scan):
    name, content = beside_a_scan
    (target,) = content["answer"]["answer"]["targets"]
    assert name not in {limit["run_name"] for limit in target["doses"]}
    assert any(f"Nothing is known of {name} here" in notice["text"] for notice in content["notices"])


def test_the_figure_of_several_runs_has_a_panel_for_each_view_and_a_colour_for_each_run(folder):
    figure = open_runs([folder / "long", folder / "short"]).plot_limits()
    titles = [axis.get_title() for axis in figure.axes]
    assert len(titles) == len(set(titles)) == len(SIX_CELLS.views) * len(SIX_CELLS.splits)
    lines = [line for axis in figure.axes for line in axis.lines if line.get_label().startswith("/")]
    colours = {line.get_label(): line.get_color() for line in lines}
    assert colours.keys() == {str(folder / "long"), str(folder / "short")}
    assert len(set(colours.values())) == 2
