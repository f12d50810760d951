"""The answer as a browser shows it: on the first screen, in words, curves that explain themselves and can be kept."""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import unquote

import pytest
from browser import chromium, opened_browser
from limit_rows import TARGET, rows_of, shot_noise_errors, study_of, totals_of

from fly64dask.records import write_run_study
from fly64dask.report import ReportContent, write_report
from fly64dask.report.answer import answer_content
from fly64dask.report.page import render_page
from fly64dask.store import RunLayout
from fly64dask.study import SplitRule

STUDY = study_of(targets=(TARGET,))
ERRORS = shot_noise_errors((1e3, 1e4, 1e5), spread=0.05)
LOWEST = answer_content(totals_of(STUDY, rows_of(ERRORS)), "runs/mine", []).rows[0][0].lowest
LIMITING = "dose_1000/close/whole"
KEEP = "HTMLAnchorElement.prototype.click = function () { window.kept = [this.download, this.href]; }"


def page_with(folder, study, rows):
    """The page of a run that has not begun, with the answer of some rows."""
    layout = RunLayout(folder)
    write_run_study(layout, study)
    write_report(study, layout, layout.report_file)
    (text,) = re.findall(r'id="data">(.*?)</script>', layout.report_file.read_text(), re.DOTALL)
    answer = answer_content(totals_of(study, rows), "runs/mine", [])
    content = ReportContent.model_validate(json.loads(text)).model_copy(update={"answer": answer})
    layout.report_file.write_text(render_page(content, []))
    return layout.report_file


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium()
    with opened_browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


def opened(browser, path, **how):
    browser.console_errors.clear()
    browser.open("about:blank")
    browser.open(path.as_uri(), **how)
    browser.wait_for("document.body && document.body.dataset.ready === 'yes'")
    return browser


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return page_with(tmp_path_factory.mktemp("answer"), STUDY, rows_of(ERRORS))


@pytest.fixture
def shown(browser, path):
    return opened(browser, path)


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_the_first_screen_has_the_lowest_dose_of_each_view_in_one_table(browser, path, width, height):
    page = opened(browser, path, width=width, height=height)
    table = "document.querySelector('#glance table')"
    assert page.evaluate(f"[...{table}.rows].map((row) => [...row.cells].map((cell) => cell.textContent))") == [
        ["lowest dose (photons per exposure)", "0.1 rad"],
        ["close (60\u00a0%)", "✔" + LOWEST],
    ]
    assert 0 < page.evaluate(f"{table}.getBoundingClientRect().bottom") < height


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_the_first_screen_has_the_answer_in_words(browser, path, width, height):
    page = opened(browser, path, width=width, height=height)
    bottom = page.evaluate("document.querySelector('.sentences li').getBoundingClientRect().bottom")
    assert 0 < bottom < height
    assert page.evaluate("document.querySelector('.sentences li').textContent").startswith(
        "At 60 % linear overlap (close, whole), 0.1 rad needs "
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.console_errors == []


def test_the_curves_of_two_splits_stand_beside_each_other_where_there_is_room(browser, tmp_path):
    study = STUDY.model_copy(update={"split": SplitRule(), "targets": (TARGET, TARGET)})
    rows = [row.model_copy(update={"split": split}) for split in ("train", "test") for row in rows_of(ERRORS)]
    page = opened(browser, page_with(tmp_path, study, rows), width=1280)
    tops = page.evaluate(
        "[...document.querySelectorAll('.charts figure')].map((one) => one.getBoundingClientRect().top)"
    )
    assert len(tops) == 4
    assert len(set(tops)) == 1


def test_a_point_tells_its_cell_and_numbers_and_shows_the_cell(shown):
    shown.evaluate(
        "document.querySelector('figure .point').dispatchEvent(new MouseEvent('mousemove', {clientX: 9, clientY: 9}))"
    )
    words = shown.evaluate("document.getElementById('tip').textContent").splitlines()
    assert words == [LIMITING, f"phase error: {ERRORS[1e3][0]:.3f} rad", "1000 photons per exposure", "10 photons/px²"]
    shown.evaluate("document.querySelectorAll('figure .point')[4].dispatchEvent(new MouseEvent('click'))")
    assert shown.evaluate("document.getElementById('cell').dataset.cell") == "dose_10000.repeat_1/close/whole"


def test_the_page_opens_on_the_cell_that_limits_the_answer(shown):
    assert shown.evaluate("document.getElementById('pick').value") == LIMITING


def test_a_table_says_how_the_target_is_reached_with_a_sign_and_a_word(shown):
    assert shown.evaluate("document.querySelector('#targets .limits .outcome').textContent") == "✔reached"


def kept(page, what):
    """Name and content of what a link of the first curve gives."""
    page.evaluate(KEEP)
    page.evaluate(
        f"[...document.querySelectorAll('.export button')].find((one) => one.textContent === '{what}').click()"
    )
    name, url = page.wait_for("window.kept")
    page.evaluate("window.kept = undefined")
    head, _, text = url.partition(",")
    return name, base64.b64decode(text) if head.endswith("base64") else unquote(text)


def test_a_curve_can_be_kept_as_csv_with_a_line_for_each_cell(shown):
    name, text = kept(shown, "CSV")
    assert name == "tiny-0.1-rad-whole.csv"
    head, *lines = text.splitlines()
    assert head == "view,split,recipe,cell,photons per exposure,fluence (photons/px²),phase error (rad)"
    assert [float(line.split(",")[-1]) for line in lines] == [error for errors in ERRORS.values() for error in errors]


def test_a_curve_can_be_kept_as_svg_that_needs_no_style_of_the_page(shown):
    _, text = kept(shown, "SVG")
    assert text.startswith("<svg")
    assert "class=" not in text
    assert 'xmlns="http://www.w3.org/2000/svg"' in text


def test_a_kept_curve_says_which_line_is_what(shown):
    _, text = kept(shown, "SVG")
    assert {"close", "target 0.1 rad", "∝ 1 / √fluence"} <= set(re.findall("<text[^>]*>([^<]*)</text>", text))


def test_a_curve_that_is_kept_from_a_dark_page_is_that_of_a_light_one(browser, path):
    light, dark = (kept(opened(browser, path, dark=dark), "SVG")[1] for dark in (False, True))
    assert light == dark


def test_a_curve_can_be_kept_as_png(shown):
    _, data = kept(shown, "PNG")
    assert data.startswith(b"\x89PNG")
    assert shown.console_errors == []


def test_a_page_without_a_target_says_how_to_get_one(browser, tmp_path):
    page = opened(browser, page_with(tmp_path, STUDY.model_copy(update={"targets": ()}), []))
    assert "add [[targets]] to the study" in page.evaluate("document.getElementById('answernote').textContent")
    assert page.evaluate("document.querySelectorAll('.target').length") == 0


def test_many_sentences_are_folded_so_that_curves_and_table_come_first(browser, tmp_path):
    page = opened(browser, page_with(tmp_path, study_of(*map("view{}".format, range(9)), targets=(TARGET,)), []))
    assert page.evaluate("document.querySelector('.target details:not([open]) > summary').textContent") == "9 sentences"
    assert page.evaluate("document.querySelectorAll('#targets .limits tbody tr').length") == 9
    assert page.console_errors == []
