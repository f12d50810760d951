"""A report for everybody: judged by axe-core, usable by keys alone, whole on paper and on a phone."""

from __future__ import annotations

import re

import pytest
from accessibility import axe_violations
from browser import Page, chromium, opened_browser
from limit_rows import TARGET

from fly64dask.records import read_run_study
from fly64dask.report import write_report

A4_PX = 703  # 210 mm less two margins of 12 mm, at 96 px per inch
MOST_STOPS = 60  # of the Tab key; one for each heading of the table of all cells would be more
# What a reader sees of the focus: an outline, or the wide edge of a mark in a chart.
FOCUS = """
(() => {
  const one = document.activeElement, style = getComputedStyle(one);
  return {
    name: one.getAttribute("aria-label") || one.textContent.slice(0, 60) || one.id,
    tag: one.tagName,
    seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1,
    cell: one.dataset.cell,
  };
})()
"""
# Elements that end to the right of the page, but for those that are only read out.
CUT = """
[...document.querySelectorAll("main *, header *")].filter((one) => one.getBoundingClientRect().right > innerWidth + 1
  && one.checkVisibility() && !one.closest(".paper")).map((one) => one.outerHTML.slice(0, 120))
"""

# Captions of which an end is left out.
SHORTENED = """
[...document.querySelectorAll('.thumb small')].filter((one) => one.scrollWidth > one.clientWidth + 1)
  .map((one) => one.textContent)
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium()
    with opened_browser(tmp_path_factory.mktemp("profile")) as page:
        page.call("Emulation.setFocusEmulationEnabled", enabled=True)  # a page without a window has no focus to give
        yield page


@pytest.fixture(scope="module")
def path(six_cells, tmp_path_factory):
    """The page of a run with four cells completed and two failed, with a target."""
    out = tmp_path_factory.mktemp("page") / "report.html"
    study = read_run_study(six_cells).model_copy(update={"targets": (TARGET,)})
    write_report(study, six_cells, out)
    return out


def opened(browser: Page, path, **how) -> Page:
    browser.open("about:blank")
    browser.open(path.as_uri(), **how)
    browser.wait_for("document.body && document.body.dataset.ready === 'yes'")
    return browser


def all_shown(page: Page) -> Page:
    """Draw what waits to be seen, and unfold what is folded but for the maps of all quantities."""
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.evaluate("document.querySelectorAll('details:not(#all)').forEach((one) => { one.open = true; })")
    page.wait_for("document.querySelectorAll('#thumbs img').length === 4")
    page.wait_for("document.querySelectorAll('.numbers').length === document.querySelectorAll('.numbers table').length")
    return page


@pytest.mark.parametrize(("dark", "width"), [(False, 1280), (True, 390)], ids=["light-wide", "dark-narrow"])
def test_axe_finds_nothing_serious(browser, path, dark, width):
    page = all_shown(opened(browser, path, dark=dark, width=width))
    assert axe_violations(page) == []


def stops_of(page: Page) -> list[dict]:
    """What the Tab key stops at, from the page's begin to its end."""
    stops = []
    while len(stops) <= MOST_STOPS:
        page.press("Tab")
        stops.append(page.evaluate(FOCUS))
        if stops[-1]["tag"] == "BODY":
            return stops[:-1]
    raise AssertionError(f"more than {MOST_STOPS} stops: {[stop['name'] for stop in stops]}")


def test_every_stop_of_the_tab_key_is_seen(browser, path):
    stops = stops_of(opened(browser, path))
    assert {"SELECT", "BUTTON", "A", "SUMMARY", "path"} <= {stop["tag"] for stop in stops}
    assert [stop for stop in stops if not stop["seen"]] == []


def test_arrow_keys_walk_through_the_matrix_and_enter_shows_the_cell(browser, path):
    page = opened(browser, path)
    page.evaluate("document.querySelector('#heat .heat button').focus()")
    first = page.evaluate(FOCUS)["cell"]
    page.press("ArrowRight")
    second = page.evaluate(FOCUS)["cell"]
    page.press("Enter")
    assert (first, second) == ("dose_100000/all/train", "dose_100000/few/train")
    assert page.evaluate("document.getElementById('pick').value") == second
    assert page.evaluate("document.activeElement.id") == "detailHead"


def test_enter_on_a_point_of_a_curve_shows_its_cell(browser, path):
    page = opened(browser, path)
    page.evaluate("document.querySelector('#targets .point[tabindex=\"0\"]').focus()")
    said = page.evaluate(FOCUS)["name"].splitlines()
    page.press("Enter")
    assert page.evaluate("document.getElementById('cell').dataset.cell") == said[0]
    assert said[1].startswith("phase error: ")


def test_escape_hides_what_appears_on_focus(browser, path):
    page = opened(browser, path)
    page.evaluate("document.querySelector('#heat .heat button').focus()")
    assert not page.evaluate("document.getElementById('tip').hidden")
    page.press("Escape")
    assert page.evaluate("document.getElementById('tip').hidden")


def test_a_picture_is_named_after_its_cell_size_and_range(browser, path):
    page = all_shown(opened(browser, path))
    names = page.evaluate("[...document.querySelectorAll('#cell figure > svg')].map((one) => one.ariaLabel)")
    assert [name for name in names if " of dose_100000/" in name and " px, colours from " in name][:1] == names[:1]


def test_the_numbers_of_a_curve_are_a_table(browser, path):
    page = all_shown(opened(browser, path))
    rows = page.evaluate(
        "[...document.querySelector('#targets .numbers tbody').rows].map((row) => row.cells[2].textContent)"
    )
    assert set(rows) >= {"dose_100000/all/train", "dose_100000/few/train"}


def test_paper_cuts_nothing_and_is_light(browser, path):
    page = opened(browser, path, width=A4_PX, height=1000)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    page.call("Emulation.setEmulatedMedia", media="print", features=dark)
    try:
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.wait_for("document.querySelectorAll('#thumbs img').length === 4")
        assert page.evaluate(CUT) == []
        assert page.evaluate(SHORTENED) == []
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(29, 33, 37)"
        assert page.evaluate("document.querySelectorAll('#cell figure').length") > 3
    finally:
        page.call("Emulation.setEmulatedMedia", media="", features=[])


def test_a_phone_shows_the_page_without_scrolling_sideways(browser, path):
    page = all_shown(opened(browser, path, width=390, height=844))
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate(SHORTENED) == []


def test_a_cells_record_has_no_digits_that_tell_nothing(browser, path):
    page = all_shown(opened(browser, path))
    shown = page.evaluate("[...document.querySelectorAll('#cell > .tables td')].map((one) => one.textContent)")
    assert "completed" in shown
    assert [value for value in shown if re.fullmatch(r"-?\d*\.\d{9,}", value)] == []
