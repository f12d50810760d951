"""A run whose study has changed since some of its cells ran: every surface names these, and in what they differ."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from faulty_engine import ENGINE, FOLDER
from one_cell import run_one
from tiny import tiny_study

from fly64dask.base import EDITIONS, METRICS
from fly64dask.datasets import expose_split, prepare_scan, select_view
from fly64dask.monitoring import RunReader
from fly64dask.records import (
    DERIVED_FIELDS,
    Manifest,
    ManifestHead,
    read_completed_rows,
    read_record,
    read_rows,
    write_manifest,
    write_record,
    write_run_study,
)
from fly64dask.report import write_report
from fly64dask.runs import open_run, verify_run
from fly64dask.store import RunLayout, read_document, write_document
from fly64dask.study import Cell, Filters, cells

VIEWS = [{"name": "all", "rule": "baseline"}, {"name": "few", "rule": "min_spacing", "threshold_px": 12.0}]
STUDY = type(tiny_study()).model_validate(
    tiny_study(n_epochs=2).model_dump() | {"doses_photons": [1e4, 1e5], "views": VIEWS}
)
LONGER = STUDY.with_recipe(n_epochs=3)
OLDER = "of an older recipe"


def publish(study, layout, doses=STUDY.doses_photons, views=("all", "few")):
    prepare_scan(study, layout)
    for split in study.splits:
        for dose in doses:
            expose_split(study, dose, split, layout)
        for view in views:
            select_view(study, view, split, layout)


def run_cells(study, layout, wanted):
    for cell in wanted:
        run_one(study, cell, layout, engine=ENGINE)
    write_run_study(layout, study)
    write_manifest(study, layout, Filters(), {}, read_rows(layout, cells(study)))


def of_view(view):
    return [cell for cell in cells(STUDY) if cell.view == view]


def outdated(study, layout):
    return {row.cell.name: row.outdated for row in read_completed_rows(study, layout) if row.outdated}


@pytest.fixture(scope="module", autouse=True)
def no_faults(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    (folder / "faults.json").write_text("{}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(folder))
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory, no_faults):
    made = RunLayout(tmp_path_factory.mktemp("finished") / "run")
    publish(STUDY, made)
    run_cells(STUDY, made, cells(STUDY))
    return made


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, finished):
    """The same after a run of `LONGER` for one view alone: the other's cells are of the older recipe. Only read."""
    made = RunLayout(tmp_path_factory.mktemp("mixed") / "run")
    shutil.copytree(finished.root, made.root)
    run_cells(LONGER, made, of_view("few"))
    return made


@pytest.fixture
def layout(tmp_path, finished):
    """A finished run of the study, with an epoch less than `LONGER` has."""
    made = RunLayout(tmp_path / "run")
    shutil.copytree(finished.root, made.root)
    return made


OLD_NAMES = {cell.name: OLDER for cell in of_view("all")}


def test_no_cell_of_a_finished_run_is_outdated(layout):
    assert outdated(STUDY, layout) == {}


def test_rows_name_the_cells_of_an_older_recipe(mixed):
    assert outdated(LONGER, mixed) == OLD_NAMES


def test_status_names_the_cells_of_an_older_recipe(mixed, fly64dask):
    done = fly64dask("status", mixed.root)
    assert done.returncode == 0
    assert sum(line.startswith("≠ study") for line in done.stdout.splitlines()) == 1
    assert {line.split()[0] for line in done.stdout.splitlines() if OLDER in line} == set(OLD_NAMES)


def test_status_of_a_finished_run_has_no_such_mark(layout, fly64dask):
    assert "≠ study" not in fly64dask("status", layout.root).stdout


def test_status_in_json_names_the_cells_of_an_older_recipe(mixed, fly64dask):
    rows = json.loads(fly64dask("status", mixed.root, "--json").stdout)["cells"]
    named = {(row["dose"], row["view"], row["split"]) for row in rows if row.get("outdated") == OLDER}
    assert named == {(cell.dose, cell.view, cell.split) for cell in of_view("all")}


def test_manifest_names_the_cells_of_an_older_recipe(mixed):
    manifest = read_document(mixed.manifest_file, Manifest, remedy="")
    assert {row.cell.name: row.outdated for row in manifest.execution_results if row.outdated} == OLD_NAMES


def test_api_names_the_cells_of_an_older_recipe(mixed):
    run = open_run(mixed.root)
    assert {cell.name: cell.row.outdated for cell in run.cells if cell.row.outdated} == OLD_NAMES
    assert OLDER in repr(run.sel(dose=1e4, view="all", split="train"))
    assert set(run.table().query("outdated.notna()").index) == {
        (cell.dose, cell.view, cell.split, cell.repeat) for cell in of_view("all")
    }


def test_notebook_marks_the_cells_of_an_older_recipe(mixed):
    html = open_run(mixed.root)._repr_html_()
    assert len(re.findall(r"<td[^>]*>[^<]*≠ study[^<]*</td>", html)) == len(OLD_NAMES)
    assert OLDER in html


def test_report_marks_the_cells_of_an_older_recipe(mixed, tmp_path):
    write_report(LONGER, mixed, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    content = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S).group(1))
    assert {place["cells"][0] for place in content["places"] if "≠ study" in place["marks"]} == set(OLD_NAMES)
    assert {cell["name"] for cell in content["cells"] if OLDER in cell["caveats"]} == set(OLD_NAMES)
    assert any("4 of 8 cells are not of the study as it is now" in notice["text"] for notice in content["notices"])


def test_verify_names_the_cells_of_an_older_recipe_and_exits_0(mixed, fly64dask):
    done = fly64dask("verify", mixed.root, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"damaged": [], "outdated": OLD_NAMES}


def test_words_of_a_watched_cell_name_its_older_recipe(mixed):
    words = RunReader(LONGER, mixed).read().words
    assert words[of_view("all")[0]] == f"completed ({OLDER})"


def test_running_the_others_too_leaves_no_cell_outdated(layout):
    run_cells(LONGER, layout, cells(LONGER))
    assert outdated(LONGER, layout) == {}


def test_cell_made_from_exposures_that_were_replaced_is_of_other_data(layout):
    other = STUDY.model_copy(update={"seeds": STUDY.seeds.model_copy(update={"simulation": 7})})
    publish(other, layout)
    run_cells(other, layout, of_view("few"))
    assert outdated(other, layout) == {cell.name: "of other data" for cell in of_view("all")}


def test_cell_whose_exposures_the_study_would_make_anew_is_of_other_data(layout):
    """Of a dose that the changed study has not run yet: its group still holds what the cell was made from."""
    other = STUDY.model_copy(update={"seeds": STUDY.seeds.model_copy(update={"simulation": 7})})
    publish(other, layout, doses=[1e5])
    high = [cell for cell in cells(STUDY) if cell.dose == 1e5]
    run_cells(other, layout, high)
    assert outdated(other, layout) == {cell.name: "of other data" for cell in cells(STUDY) if cell not in high}


def test_cell_of_a_view_with_another_spacing_is_of_other_data(layout):
    wider = [VIEWS[0], VIEWS[1] | {"threshold_px": 14.0}]
    other = type(STUDY).model_validate(STUDY.model_dump() | {"views": wider})
    assert outdated(other, layout) == {cell.name: "of other data" for cell in of_view("few")}


WIDER_DISCS = STUDY.model_copy(update={"overlap": STUDY.overlap.model_copy(update={"diameter_px": 30.0})})


def n_engine_calls():
    folder = Path(os.environ[FOLDER])
    return sum(len(path.read_text().splitlines()) for path in folder.iterdir() if path.name != "faults.json")


def test_cells_by_another_measure_of_overlap_are_named_before_and_after_views_are_made_anew(layout):
    named = {cell.name: "of another measure of overlap" for cell in cells(STUDY)}
    assert outdated(WIDER_DISCS, layout) == named
    publish(WIDER_DISCS, layout)
    assert outdated(WIDER_DISCS, layout) == named


def test_running_a_cell_by_another_measure_of_overlap_measures_it_again_without_the_engine(layout):
    (cell, *_), n_before = of_view("few"), n_engine_calls()
    before = read_record(layout, cell)
    publish(WIDER_DISCS, layout)
    run_cells(WIDER_DISCS, layout, [cell])
    after = read_record(layout, cell)
    assert n_engine_calls() == n_before
    assert cell.name not in outdated(WIDER_DISCS, layout)
    assert after.group_overlap == pytest.approx(overlap_of_discs(kept_positions(layout, cell), 30.0))
    assert after.group_overlap != before.group_overlap
    assert after.digests == before.digests


def kept_positions(layout, cell):
    view = xr.open_zarr(layout.view_group(cell.view, cell.split), consolidated=False)
    exposures = xr.open_zarr(layout.exposure_group(cell.dose, cell.split), consolidated=False)
    return exposures.positions_px.values[view.kept_indices.values]


def overlap_of_discs(positions, diameter):
    """The mean, over positions, of the mean share of a disc that each of those which overlap it covers."""
    shares = {tuple(position): [0.0] for position in positions}
    for first, second in itertools.permutations(positions, 2):
        turn = math.hypot(*(first - second)) / diameter
        if turn < 1:
            shares[tuple(first)].append(2 / math.pi * (math.acos(turn) - turn * math.sqrt(1 - turn**2)))
    return np.mean([sum(of_position) / max(1, len(of_position) - 1) for of_position in shares.values()])


def of_editions(layout, cell, **editions):
    """A cell as a run by other editions of this package left it."""
    record = read_record(layout, cell)
    versions = record.versions | {f"fly64dask {part.replace('_', ' ')}": edition for part, edition in editions.items()}
    write_record(layout.cell_directory(cell), record.model_copy(update={"versions": versions}))


def test_cell_of_older_metrics_is_named_and_measured_again_without_the_engine(layout):
    cell, *_ = of_view("all")
    of_editions(layout, cell, metrics="0")
    assert outdated(STUDY, layout) == {cell.name: "of other metrics"}
    before, n_before = read_record(layout, cell), n_engine_calls()
    run_cells(STUDY, layout, cells(STUDY))
    after = read_record(layout, cell)
    assert outdated(STUDY, layout) == {}
    assert n_engine_calls() == n_before
    assert (after.attempt, after.metrics, after.digests) == (2, before.metrics, before.digests)
    assert after.versions["fly64dask metrics"] == str(EDITIONS[METRICS])
    assert verify_run(STUDY, layout) == ()


def test_cell_of_older_metrics_whose_arrays_are_damaged_is_reconstructed_again(layout):
    (cell, *_), n_before = of_view("all"), n_engine_calls()
    of_editions(layout, cell, metrics="0")
    archive = layout.reconstruction_group(cell)
    archive.write_bytes(archive.read_bytes()[:-200])
    run_cells(STUDY, layout, [cell])
    assert n_engine_calls() == n_before + 1
    assert outdated(STUDY, layout) == {}


def test_cell_of_an_older_engine_of_this_package_is_of_other_software(layout):
    cell, *_ = of_view("all")
    of_editions(layout, cell, reconstruction="0")
    assert outdated(STUDY, layout) == {cell.name: "of other software"}


def test_older_half_sets_make_those_cells_outdated_that_stop_by_them(layout):
    stopping = STUDY.with_recipe(stop="half_sets", halves="counts")
    first, *_ = of_view("all")
    run_cells(stopping, layout, of_view("all"))
    for cell in (first, *of_view("few")):
        of_editions(layout, cell, half_sets="1")
    assert "of other software" in outdated(stopping, layout)[first.name]
    assert outdated(STUDY, layout).keys() == {cell.name for cell in of_view("all")}


def with_pixel(side_nm):
    return STUDY.model_copy(update={"source": STUDY.source.model_copy(update={"pixel_size_nm": side_nm})})


def test_cell_measured_with_another_pixel_is_named_though_its_arrays_are_the_same(layout):
    publish(with_pixel(20.0), layout)
    assert outdated(with_pixel(20.0), layout) == {cell.name: "of another pixel size" for cell in cells(STUDY)}


def test_running_a_cell_with_another_pixel_gives_its_numbers_in_that_pixel(layout):
    cell = of_view("all")[0]
    fluences = []
    for side_nm in (10.0, 20.0):
        publish(with_pixel(side_nm), layout)
        run_cells(with_pixel(side_nm), layout, [cell])
        fluences.append(read_record(layout, cell).fluence_photons_per_nm2)
        assert cell.name not in outdated(with_pixel(side_nm), layout)
    # As many photons on a pixel of four times the area.
    assert fluences[0] == pytest.approx(4 * fluences[1])


def test_cell_of_another_engine_version_is_of_other_software(layout):
    cell = of_view("all")[0]
    record = read_record(layout, cell)
    versions = record.versions | {"ptychi": "1.0"}
    write_record(layout.cell_directory(cell), record.model_copy(update={"versions": versions}))
    assert outdated(STUDY, layout) == {cell.name: "of other software"}


def test_all_that_differs_is_named(layout):
    other = LONGER.model_copy(update={"seeds": STUDY.seeds.model_copy(update={"simulation": 7})})
    publish(other, layout, doses=[1e5], views=["few"])
    words = outdated(other, layout)[Cell(dose=1e4, view="all", split="train").name]
    assert words == "of an older recipe, of other data"


def test_device_makes_no_cell_outdated(layout):
    assert outdated(STUDY.with_recipe(device="auto"), layout) == {}


def test_order_of_minibatches_makes_cells_outdated(layout):
    seeds = STUDY.seeds.model_copy(update={"grouping": 5})
    assert set(outdated(STUDY.model_copy(update={"seeds": seeds}), layout).values()) == {OLDER}


def test_no_record_holds_what_follows_from_the_study(mixed):
    document = json.loads(mixed.record_file(of_view("all")[0]).read_text())
    assert not set(DERIVED_FIELDS) & set(document)


def test_marks_of_the_manifest_that_are_past_are_no_damage(layout):
    """It says what followed when it was written: here of an engine that is now the installed one again."""
    manifest = read_document(layout.manifest_file, Manifest, remedy="")
    rows = [row.model_copy(update={"outdated": "of other software"}) for row in manifest.execution_results]
    lists = {"jobs": manifest.jobs, "execution_results": rows}
    head = ManifestHead.model_validate(manifest.model_dump(exclude={*lists, "summary"}))
    write_document(layout.manifest_file, head, long_lists=lists)
    assert verify_run(STUDY, layout) == ()
