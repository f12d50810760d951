"""`/fly64` and Dask's `/status` in a real browser while a matrix of 18 cells runs; pictures of both are kept.

They are written to the directory that FLY64DASK_ARTIFACTS names, else to pytest's temporary one.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from accessibility import axe_violations
from browser import Page, chromium, opened_browser
from faulty_engine import MARKUP
from running import MATRIX, running

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

DOSES, VIEWS, SPLITS = ("1000", "10000", "100000"), ("all", "few", "one"), ("train", "test")
FAULTS = {"dose_1000-few-train": "markup", "dose_100000-few-test": "markup"}
ONE_WAITS = {"dose_10000-few-train": 4}
# What a reader sees of each cell: its state's mark and word, by dose, view and split.
CELLS = """
(() => {
  const found = {};
  let dose = "";
  const views = [...document.querySelectorAll("#matrix thead th")].slice(2).map((th) => th.textContent);
  for (const row of document.querySelectorAll("#matrix tbody tr")) {
    const heads = [...row.querySelectorAll("th")].map((th) => th.firstChild.textContent);
    if (heads.length === 2) dose = heads[0];
    row.querySelectorAll("td").forEach((td, i) => {
      found[`${dose}/${views[i]}/${heads[heads.length - 1]}`] = {
        state: td.className,
        mark: td.querySelector(".mark").textContent,
        text: td.innerText,
        points: td.querySelector("polyline").getAttribute("points"),
      };
    });
  }
  return found;
})()
"""


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory) -> Path:
    named = os.environ.get("FLY64DASK_ARTIFACTS")
    return Path(named) if named else tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def seen(tmp_path_factory, artifacts):
    """What a browser saw of a run from its first cells to its end, which waits for it where it looks."""
    chromium()
    folder = tmp_path_factory.mktemp("pages")
    with (
        opened_browser(tmp_path_factory.mktemp("profile")) as page,
        running(folder, study=MATRIX, faults={"*": 1}, epoch_s=0.7) as run,
    ):
        page.open(run.address("fly64"), width=1280, height=860)
        page.wait_for("document.querySelectorAll('#matrix td').length > 0")
        looks = [page.evaluate(CELLS)]
        run.tell(FAULTS | ONE_WAITS)
        run.wait_for(lambda: "failed" in _states(page, looks))
        run.tell(FAULTS | {"*": 4})
        run.wait_for(lambda: {"failed", "running"} <= _states(page, looks) and _has_seen_both_workers(looks))
        page.screenshot(artifacts / "fly64-while-running.png")
        failures = page.evaluate("document.getElementById('failures').innerText")
        title = page.evaluate("document.title")
        ours = list(page.console_errors), list(page.requested)
        violations = axe_violations(page)
        page.open(run.address("fly64"), width=390, height=860, dark=True)
        page.wait_for("document.querySelectorAll('#matrix td').length > 0")
        violations += axe_violations(page)
        width_px = page.evaluate("document.documentElement.scrollWidth")
        page.open(run.address("status"), width=1400, height=900)
        status = page.wait_for(ALL_SHOWN_BY_BOKEH)
        page.screenshot(artifacts / "status-while-running.png")
        page.open(run.address("fly64"), width=1280, height=860)
        run.tell(FAULTS)
        run.process.wait(timeout=300)
        page.wait_for("!document.getElementById('silence').hidden")
        silence = page.evaluate("document.getElementById('silence').innerText")
        page.requested.clear()
        page.open(run.layout.dask_report_file.as_uri())
        page.wait_for("window.Bokeh && Bokeh.documents.length > 0 && document.readyState === 'complete'")
        asked_by_report = [url for url in page.requested if not url.startswith(("file:", "data:"))]
    return {
        "looks": looks,
        "failures": failures,
        "title": title,
        "errors": ours[0],
        "requested": ours[1],
        "status": status,
        "silence": silence,
        "asked_by_report": asked_by_report,
        "violations": violations,
        "width_px": width_px,
        "origin": run.address(""),
    }


# Bokeh draws on canvases in shadow roots: what is asked is the data behind the progress bars.
# At the run's end they go one by one: they are taken in the look that finds all.
ALL_SHOWN_BY_BOKEH = """
(() => {
  if (!window.Bokeh) return false;
  const found = Object.fromEntries(Bokeh.documents.flatMap((one) => [...one._all_models.values()])
    .filter((model) => model.type === "ColumnDataSource" && model.data.name && model.data.all && model.data.done)
    .flatMap((model) => model.data.name.map((name, i) => [name, model.data.all[i]])));
  return Object.keys(found).length === 5 && found;
})()
"""


def _states(page: Page, looks: list) -> set[str]:
    """Look at the page, and remember what was seen; gives the states of the cells that are not degenerate."""
    looks.append(page.evaluate(CELLS))
    return {cell["state"] for name, cell in looks[-1].items() if "/one/" not in name}


def _has_seen_both_workers(looks: list) -> bool:
    return all(_running_texts(looks, worker) for worker in (0, 1))


def _running_texts(looks: list, worker: int) -> list[str]:
    """What the page said of cells while a worker ran an epoch of theirs."""
    texts = [cell["text"] for look in looks for cell in look.values() if cell["state"] == "running"]
    return [text for text in texts if re.search(rf"epoch [1-6] of 6.*worker {worker} on", text, re.DOTALL)]


def test_page_shows_all_18_cells(seen):
    wanted = {f"{dose}/{view}/{split}" for dose in DOSES for view in VIEWS for split in SPLITS}
    assert set(seen["looks"][-1]) == wanted


def test_page_changes_while_it_is_watched(seen):
    first, last = seen["looks"][0], seen["looks"][-1]
    assert any(first[name]["state"] != last[name]["state"] for name in last)


def test_page_shows_the_epoch_and_worker_of_a_running_cell(seen):
    assert _running_texts(seen["looks"], 0)
    assert _running_texts(seen["looks"], 1)


def test_page_draws_the_course_of_the_loss(seen):
    drawn = [cell["points"] for look in seen["looks"] for cell in look.values() if cell["state"] == "running"]
    assert max(len(points.split()) for points in drawn) >= 3


def test_page_tells_states_by_marks_as_well_as_colours(seen):
    marks = {(cell["state"], cell["mark"]) for look in seen["looks"] for cell in look.values()}
    assert len({state for state, _ in marks}) == len(marks) == len({mark for _, mark in marks}) >= 3


def test_page_shows_markup_in_a_failure_as_text(seen):
    assert MARKUP in seen["failures"]
    assert "ptychi.log" in seen["failures"]
    assert seen["title"].endswith("tiny · fly64dask")


def test_page_says_nothing_on_the_console(seen):
    assert seen["errors"] == []


def test_axe_finds_nothing_serious_on_a_light_page_and_on_a_dark_one(seen):
    assert seen["violations"] == []


def test_page_needs_no_scrolling_sideways_on_a_phone(seen):
    assert seen["width_px"] == 390


def test_page_asks_nobody_but_its_own_scheduler(seen):
    from_elsewhere = [url for url in seen["requested"] if not url.startswith((seen["origin"], "data:"))]
    assert from_elsewhere == []


def test_page_says_so_when_the_run_has_ended(seen):
    assert "fly64dask status RUN" in seen["silence"]


def test_dasks_page_counts_the_cells_as_one_kind_of_task(seen):
    assert seen["status"] == {"reconstruct": 18, "expose": 6, "select": 6, "prepare-scan": 1, "collect": 1}


def test_dasks_report_of_the_run_asks_nobody(seen):
    assert seen["asked_by_report"] == []


def test_pictures_of_both_pages_are_kept(seen, artifacts):
    sizes = {path.name: path.stat().st_size for path in artifacts.glob("*.png")}
    assert set(sizes) >= {"fly64-while-running.png", "status-while-running.png"}
    assert min(sizes.values()) > 10_000
