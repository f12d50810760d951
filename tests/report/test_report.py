"""A run's report: every row and every damage is in it, a browser shows it from disk, nothing of a run is obeyed.

Pictures of the page are written to the directory that FLY64DASK_ARTIFACTS names, else to pytest's temporary one.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pyarrow.parquet
import pytest
from archives import change_member, remove_member
from browser import Page, chromium, opened_browser
from faulty_engine import MARKUP
from loaded_modules import loaded_by_status
from report_runs import copied_run, real_run

from fly64dask.reconstruction import StoppingFacts
from fly64dask.records import read_completed_rows, read_record, read_rows, read_run_study, write_record
from fly64dask.report import write_report
from fly64dask.report.cells import CellReader
from fly64dask.report.columns import flat_row
from fly64dask.store import ReconstructionAttributes, RunLayout, held_run, open_group
from fly64dask.study import Cell, cells

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
BEST = Cell(dose=1e5, view="all", split="train")


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    return real_run(tmp_path_factory.mktemp("report"))


@pytest.fixture
def run(real, tmp_path) -> RunLayout:
    """A copy of the real run that a test may spoil."""
    shutil.copytree(real[0], tmp_path / "run")
    return RunLayout(tmp_path / "run")


def written(layout: RunLayout) -> str:
    """The page of a run."""
    write_report(read_run_study(layout), layout, layout.report_file)
    return layout.report_file.read_text()


def shown(page: str) -> dict:
    """What its script reads."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def cell_of(page: str, cell: Cell) -> dict:
    return next(one for one in shown(page)["cells"] if one["name"] == cell.name)


def manifest_rows(layout: RunLayout) -> list[dict]:
    """The rows of the manifest; a record in which nothing could be computed has no columns in a table."""
    rows = json.loads(layout.manifest_file.read_text())["execution_results"]
    return [without_empty_records(row) for row in rows]


def without_empty_records(record: dict) -> dict:
    inner = {k: without_empty_records(v) if isinstance(v, dict) else v for k, v in record.items()}
    return {name: value for name, value in inner.items() if value != {}}


def nested(columns: dict) -> dict:
    """A flat row as it was in the manifest."""
    found: dict = {}
    for column, value in columns.items():
        *records, name = column.split(".")
        inner = found
        for record in records:
            inner = inner.setdefault(record, {})
        inner[name] = json.loads(value) if column in ("digests", "versions") else value
    return found


def test_run_with_report_says_last_where_it_is_though_cells_failed(real):
    _, done = real
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[-2:] == ["manifest: run/reconstruction_manifest.json", "report: run/report.html"]


def test_report_command_writes_page_and_figures_where_it_is_told(real, tmp_path, fly64dask):
    done = fly64dask("report", real[0], "--out", "page.html", "--figures", "figures")
    assert done.stdout.splitlines() == ["report: page.html", "figures: figures"], done.stderr
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names >= {"phases.png", "phases.svg", "map-metrics.phase_rmse_rad.png", "map-metrics.phase_rmse_rad.svg"}


def test_report_command_exits_2_for_what_is_no_run(tmp_path, fly64dask):
    done = fly64dask("report", tmp_path)
    assert done.returncode == 2
    assert "study.json" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_report_says_which_cells_lack_what_their_recipe_asked_for_and_why(run):
    stopping = StoppingFacts(rule="half_sets", best_epoch=3, n_epochs_run=3, fallback="first half: loss not finite")
    write_record(run.cell_directory(BEST), read_record(run, BEST).model_copy(update={"stopping": stopping}))
    page = written(run)
    assert sum("stopping rule" in notice["text"] for notice in shown(page)["notices"]) == 1
    (said,) = cell_of(page, BEST)["caveats"]
    assert "last epoch kept: first half: loss not finite" in said
    assert all(cell["caveats"] == [] for cell in shown(page)["cells"] if cell["name"] != BEST.name)


def test_status_and_help_do_not_load_what_a_report_needs(real):
    assert not {"matplotlib", "pyarrow", "bokeh"} & loaded_by_status(real[0])


def test_record_and_row_of_every_cell_hold_its_prediction(real):
    found = {
        (row["view"], row["state"]): row["identifiability"]["prediction"] for row in manifest_rows(RunLayout(real[0]))
    }
    assert found == {("all", "completed"): "marginal", ("one", "failed"): "underdetermined"}


def test_dry_run_predicts_what_the_records_hold(real, fly64dask):
    done = fly64dask("run", real[0].parent / "tiny.toml", "--out", "x", "--dry-run", "--json")
    planned = {(c["dose"], c["view"], c["split"]): c["identifiability"] for c in json.loads(done.stdout)["cells"]}
    recorded = {(r["dose"], r["view"], r["split"]): r["identifiability"] for r in manifest_rows(RunLayout(real[0]))}
    assert planned.keys() == recorded.keys()
    for place, found in planned.items():
        expected = recorded[place]
        assert found.pop("prediction") == expected.pop("prediction")
        # A dry run has the probe as it is drawn, a record as it is stored, in photons: the same to single precision.
        assert found == pytest.approx(expected, rel=1e-6)


def test_csv_reads_back_as_the_manifests_rows(real):
    page = RunLayout(real[0]).report_file.read_text()
    (text,) = re.findall(r'href="data:text/csv;base64,([^"]*)"', page)
    read = list(csv.DictReader(io.StringIO(base64.b64decode(text).decode())))
    wanted = [flat_row(row) for row in read_completed_rows(read_run_study(RunLayout(real[0])), RunLayout(real[0]))]
    assert [{k: v for k, v in row.items() if v} for row in read] == [
        {k: str(v) for k, v in row.items()} for row in wanted
    ]


def test_parquet_reads_back_as_the_manifests_rows(real):
    layout = RunLayout(real[0])
    (text,) = re.findall(r'href="data:application/vnd.apache.parquet;base64,([^"]*)"', layout.report_file.read_text())
    read = pyarrow.parquet.read_table(io.BytesIO(base64.b64decode(text))).to_pylist()
    assert [nested({k: v for k, v in row.items() if v is not None}) for row in read] == manifest_rows(layout)


def test_page_carries_content_of_the_published_schema(real, fly64dask):
    schema = json.loads(fly64dask("schema", "report").stdout)
    jsonschema.validate(shown(RunLayout(real[0]).report_file.read_text()), schema)


def test_page_counts_states_and_names_every_cell(real):
    page = RunLayout(real[0]).report_file.read_text()
    assert shown(page)["counts"] == {"completed": 4, "failed": 4}
    assert [one["name"] for one in shown(page)["cells"]] == [
        cell.name for cell in cells(read_run_study(RunLayout(real[0])))
    ]


def test_page_says_why_a_cell_failed_and_what_to_try(real):
    found = cell_of(RunLayout(real[0]).report_file.read_text(), Cell(dose=1e4, view="one", split="test"))
    assert found["kind"] == "degenerate_scan"
    assert "lower the spacing threshold" in found["error"]
    assert any(c.endswith("--dose 10000 --view one --split test --remedy guarded") for c in found["commands"])


def test_phase_and_truth_differ_by_what_the_metric_has_measured(real):
    layout = RunLayout(real[0])
    rows = read_rows(layout, cells(read_run_study(layout)))
    row = next(row for row in rows if row.cell == BEST)
    images = {image.key: image.values for image in CellReader(read_run_study(layout), layout, rows).read(row).images}
    apart = np.angle(np.exp(1j * (images["phase"] - images["phase_truth"])))
    np.testing.assert_allclose(apart, images["phase_difference"], atol=1e-6)
    assert np.sqrt(np.nanmean(apart**2)) == pytest.approx(row.metrics.phase_rmse_rad, rel=1e-6)


def test_pictures_lie_where_the_scan_was(real):
    page = RunLayout(real[0]).report_file.read_text()
    found = cell_of(page, BEST)
    light = next(picture for picture in found["pictures"] if picture["key"] == "illumination")
    y, x = np.array(shown(page)["scans"][found["scan"]]["yx"]).T
    assert light["y_px"] < y.min() < y.max() < light["y_px"] + light["height_px"]
    assert light["x_px"] < x.min() < x.max() < light["x_px"] + light["width_px"]


def test_thresholds_of_ring_correlations_are_those_of_van_heel_and_schatz(real):
    layout = RunLayout(real[0])
    curves = cell_of(layout.report_file.read_text(), BEST)["curves"]
    root = 1 / np.sqrt(open_group(layout.reconstruction_group(BEST), ReconstructionAttributes).read("frc_n_pixels"))
    half_bit, one_bit = (
        (0.2071 + 1.9102 * root) / (1.2071 + 0.9102 * root),
        (0.5 + 2.4142 * root) / (1.5 + 1.4142 * root),
    )
    np.testing.assert_allclose(curves["half_bit"]["y"], np.minimum(half_bit, 1), atol=2e-4)
    np.testing.assert_allclose(curves["one_bit"]["y"], np.minimum(one_bit, 1), atol=2e-4)


def test_crossings_of_ring_correlations_are_those_of_the_record(real):
    study, layout = read_run_study(RunLayout(real[0])), RunLayout(real[0])
    rows = read_completed_rows(study, layout)
    row = next(row for row in rows if row.cell == BEST)
    (curve,) = (curve for curve in CellReader(study, layout, rows).read(row).curves if curve.key == "frc_truth")
    found, recorded = dict(curve.crossings).get("half_bit"), row.metrics.frc.half_bit
    assert (found and found[0]) == (recorded and pytest.approx(recorded.frequency_per_px, rel=1e-4))


def test_page_of_a_run_with_a_missing_chunk_names_it_and_shows_the_rest(run):
    remove_member(run.reconstruction_group(BEST), "object_recon/c.0.0.0")
    page = written(run)
    found = cell_of(page, BEST)
    (problem,) = found["problems"]
    assert "object_recon: chunk c.0.0.0 is missing" in problem
    assert {picture["key"] for picture in found["pictures"]} == {"probe_amplitude", "probe_phase"}
    assert set(found["curves"]) == {"loss", "frc_truth", "frc_empty", "half_bit", "one_bit"}
    assert any(problem in notice["text"] and BEST.name in notice["text"] for notice in shown(page)["notices"])


@pytest.mark.parametrize("group", ["truth_group", "view_group", "exposure_group", "reconstruction_group"])
def test_page_of_a_run_with_a_damaged_group_names_it(run, group):
    arguments = {"view_group": ("all", "train"), "exposure_group": (1e5, "train"), "reconstruction_group": (BEST,)}
    path = getattr(run, group)(*arguments.get(group, ()))
    if path.is_dir():
        (path / "zarr.json").write_text("{}")
    else:
        change_member(path, "zarr.json", lambda metadata: b"{}")
    notices = [notice["text"] for notice in shown(written(run))["notices"] if notice["kind"] == "damaged"]
    assert notices
    assert all(str(path) in text for text in notices)


def test_page_of_a_run_with_a_swapped_array_says_that_it_is_another_cells(run):
    other = Cell(dose=1e4, view="all", split="train")
    shutil.copy(run.reconstruction_group(other), run.reconstruction_group(BEST))
    problems = cell_of(written(run), BEST)["problems"]
    assert any("object_recon is not the array that the cell's record names" in problem for problem in problems)


def test_page_of_a_run_with_a_damaged_record_shows_it_as_damaged(run):
    run.record_file(BEST).write_text("{}")
    found = cell_of(written(run), BEST)
    assert (found["state"], found["commands"]) == ("damaged", [f"fly64dask verify {run.root} --repair"])


def test_page_of_a_run_under_way_says_so_and_shows_what_is_there(run):
    shutil.rmtree(run.cell_directory(BEST))
    with held_run(run):
        data = shown(written(run))
    assert data["counts"] == {"completed": 3, "failed": 4, "pending": 1}
    said = " ".join(notice["text"] for notice in data["notices"])
    assert "This run is still running" in said
    assert "1 of 8 cells has no result yet" in said


def test_page_of_a_run_without_any_cell_is_written(run):
    for path in run.root.glob("dose_*"):
        shutil.rmtree(path)
    assert shown(written(run))["counts"] == {"pending": 8}


def test_page_holds_no_markup_of_a_run(run):
    failed = Cell(dose=1e4, view="one", split="test")
    record = read_record(run, failed)
    write_record(run.cell_directory(failed), record.model_copy(update={"error": MARKUP}))
    page = written(run)
    assert cell_of(page, failed)["error"] == MARKUP
    assert MARKUP not in page
    assert page.count("<script") == 2


def test_repeats_share_a_place_with_mean_and_spread(real, tmp_path):
    layout = copied_run(real[0], tmp_path / "run", doses_photons=(1e4,), repeats=3)
    (place,) = [p for p in shown(written(layout))["places"] if (p["view"], p["split"]) == ("all", "train")]
    values = [
        row.metrics.phase_rmse_rad
        for row in read_rows(layout, [Cell(dose=1e4, view="all", split="train", repeat=i) for i in range(3)])
    ]
    found = place["numbers"]["metrics.phase_rmse_rad"]
    assert len(place["cells"]) == found["n"] == 3
    assert found["mean"] == pytest.approx(np.mean(values))
    assert found["standard_deviation"] == pytest.approx(np.std(values, ddof=1))


# ---- in a browser ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory) -> Path:
    named = os.environ.get("FLY64DASK_ARTIFACTS")
    return Path(named) if named else tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium()
    with opened_browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


def opened(browser: Page, path: Path, at: str = "", **how) -> Page:
    """Show a page from disk, until its script has come to its end."""
    browser.console_errors.clear()
    browser.requested.clear()
    browser.open("about:blank")
    browser.open(f"{path.as_uri()}{at}", **how)
    browser.wait_for("document.body && document.body.dataset.ready === 'yes'")
    return browser


def assert_quiet(browser: Page, path: Path) -> None:
    """Nothing on the console, nothing asked for but the file itself."""
    assert browser.console_errors == []
    asked = {url.partition("#")[0] for url in browser.requested if not url.startswith(("data:", "about:"))}
    assert asked == {path.as_uri()}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_page_opens_from_disk_and_asks_for_nothing(browser, real, artifacts, dark):
    path = RunLayout(real[0]).report_file
    page = opened(browser, path, dark=dark, height=2400)
    page.wait_for("document.querySelectorAll('#thumbs img').length === 4")
    page.screenshot(artifacts / f"report-{'dark' if dark else 'light'}.png")
    assert_quiet(page, path)


def over_empty(row):
    """What the page's matrix shows first: the phase error over that of an empty object."""
    return row["metrics"]["phase_rmse_rad"] / row["metrics"]["empty_phase_rmse_rad"]


def test_page_shows_a_place_for_each_dose_view_and_split(browser, real):
    page = opened(browser, RunLayout(real[0]).report_file)
    texts = page.evaluate("[...document.querySelectorAll('#heat .heat button')].map((one) => one.textContent)")
    rows = manifest_rows(RunLayout(real[0]))
    wanted = {f"{over_empty(row):.3f}" for row in rows if row["state"] == "completed"}
    assert {text for text in texts if not text.startswith("✘")} == wanted
    assert texts.count("✘ degenerate_scan") == 4


def test_page_tells_the_value_under_the_pointer(browser, real):
    page = opened(browser, RunLayout(real[0]).report_file)
    centre = page.evaluate(
        "(() => { const box = document.querySelector('#heat .heat button').getBoundingClientRect();"
        " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
    )
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=centre[0], y=centre[1])
    said = page.wait_for("!document.getElementById('tip').hidden && document.getElementById('tip').textContent")
    row = next(
        r for r in manifest_rows(RunLayout(real[0])) if (r["dose"], r["view"], r["split"]) == (1e4, "all", "train")
    )
    assert f"phase error over that of an empty object: {over_empty(row):.5g}" in said
    assert "30 exposures kept" in said


def test_page_sorts_its_table_up_and_down(browser, real):
    page = opened(browser, RunLayout(real[0]).report_file)
    click = (
        "[...document.querySelectorAll('#rows th button')]"
        ".find((one) => one.textContent.startsWith('phase error against the truth')).click()"
    )
    names = "[...document.querySelectorAll('#rows tbody tr')].map((row) => row.dataset.cell)"
    rows = [row for row in manifest_rows(RunLayout(real[0])) if row["state"] == "completed"]
    rows.sort(key=lambda row: row["metrics"]["phase_rmse_rad"])
    wanted = [f"dose_{row['dose']:.0f}/{row['view']}/{row['split']}" for row in rows]
    page.evaluate(click)
    assert page.evaluate(names)[:4] == wanted
    page.evaluate(click)
    assert page.evaluate(names)[:4] == wanted[::-1]


def test_page_draws_a_cell_only_when_it_is_asked_for(browser, real, artifacts):
    page = opened(browser, RunLayout(real[0]).report_file, height=300)
    assert page.evaluate("document.querySelectorAll('#cell figure, #thumbs img').length") == 0
    page.evaluate(
        f"[...document.querySelectorAll('#rows td button')].find((b) => b.textContent === '{BEST.name}').click()"
    )
    assert page.evaluate("document.querySelectorAll('#cell figure').length") == 9 + 3
    page = opened(browser, RunLayout(real[0]).report_file, f"#cell={BEST.name}", height=1500)
    page.screenshot(artifacts / "report-cell.png")


def test_page_says_what_was_not_computed(browser, real):
    page = opened(browser, RunLayout(real[0]).report_file, f"#cell={BEST.name}")
    assert "Validation\n\nnot computed" in page.evaluate("document.getElementById('cell').innerText")


def test_page_is_readable_where_there_is_little_room(browser, real, artifacts):
    page = opened(browser, RunLayout(real[0]).report_file, width=390, height=1600)
    page.screenshot(artifacts / "report-narrow.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_page_shows_markup_of_a_run_as_text(browser, run):
    for failed in (Cell(dose=1e4, view="one", split=split) for split in ("train", "test")):
        record = read_record(run, failed)
        write_record(run.cell_directory(failed), record.model_copy(update={"error": MARKUP, "host": MARKUP}))
    written(run)
    page = opened(browser, run.report_file, "#cell=dose_10000/one/test")
    assert page.evaluate("document.body.innerText").count(MARKUP) >= 2
    assert page.evaluate("document.title").startswith("tiny")
    assert_quiet(page, run.report_file)


def test_page_of_500_cells_is_small_and_works(browser, real, tmp_path, artifacts):
    layout = copied_run(real[0], tmp_path / "run", doses_photons=tuple(100.0 * 1.1**i for i in range(25)), repeats=5)
    written(layout)
    assert layout.report_file.stat().st_size < 15e6
    page = opened(browser, layout.report_file, height=1000)
    assert page.evaluate("document.querySelectorAll('#rows tbody tr').length") == 500
    assert page.evaluate("document.querySelectorAll('#heat .heat button').length") == 100
    assert "mean ± standard deviation of 5 repeats" in page.evaluate(
        "document.querySelector('#heat .heat button').ariaLabel"
    )
    page.screenshot(artifacts / "report-500-cells.png")
    assert_quiet(page, layout.report_file)


def test_page_of_two_cells_works(browser, real, tmp_path):
    views = tuple(view for view in read_run_study(RunLayout(real[0])).views if view.name == "all")
    layout = copied_run(real[0], tmp_path / "run", doses_photons=(1e4,), views=views)
    written(layout)
    page = opened(browser, layout.report_file)
    assert page.evaluate("document.querySelectorAll('#heat .heat button').length") == 2
    assert_quiet(page, layout.report_file)
