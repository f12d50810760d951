"""A run of two recipes and two objects: what cells share, what is their own, and what every reader of the run sees."""

from __future__ import annotations

import io
import json
import shutil

import numpy as np
import pytest
from faulty_engine import ENGINE
from one_cell import request_of, run_one
from rich.console import Console
from several import make_run, publish_groups, several_study
from tiny import tiny_study

from fly64dask.base import InputError
from fly64dask.cells.request import open_request
from fly64dask.cli.terminal.matrix import matrix_table
from fly64dask.datasets import select_view
from fly64dask.deploy import Placement
from fly64dask.records import read_record, read_rows, unlisted_cells
from fly64dask.runs import compare_run, open_run, plan_failed, repair_run, run_study, verify_run
from fly64dask.store import ExposureAttributes, RunLayout, ScanAttributes, TruthAttributes, ViewAttributes, open_group
from fly64dask.study import Cell, Filters, cells

STUDY = several_study()
ALONE = tiny_study(doses_photons=(1e5,))
pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    """The run: 24 cells, the eight of view `one` degenerate."""
    return make_run(STUDY, tmp_path_factory.mktemp("several") / "run")


@pytest.fixture(scope="module")
def run(layout):
    return open_run(layout.root)


@pytest.fixture
def copied(layout, tmp_path):
    shutil.copytree(layout.root, tmp_path / "run")
    return RunLayout(tmp_path / "run")


def cell_of(recipe_name, object_seed, view="all", split="train"):
    return Cell(dose=1e5, view=view, split=split, recipe_name=recipe_name, object_seed=object_seed)


def arrays_of(group, attributes):
    return dict(open_group(group, attributes).array_sha256)


def test_every_cell_has_a_record_of_its_own(layout):
    assert {row.cell for row in read_rows(layout, cells(STUDY))} == set(cells(STUDY))
    assert len({row.log_path for row in read_rows(layout, cells(STUDY))}) == 24


def test_a_record_names_recipe_and_object_and_has_the_settings(layout):
    record = read_record(layout, cell_of("poisson", 8))
    assert (record.recipe_name, record.object_seed) == ("poisson", 8)
    assert (record.recipe.noise_model, record.recipe.batch_size, record.n_epochs) == ("poisson", 60, 2)


def test_recipes_of_one_object_read_the_same_exposures(layout):
    gauss, poisson = (read_record(layout, cell_of(name, 7)).digests for name in ("gauss", "poisson"))
    assert gauss["counts"] == poisson["counts"]
    assert gauss["kept_indices"] == poisson["kept_indices"]


def test_objects_share_positions_and_probe_and_nothing_else_of_their_scans(layout):
    seven, eight = (arrays_of(layout.scan_group(seed), ScanAttributes) for seed in (7, 8))
    assert seven == eight
    ours, theirs = (arrays_of(layout.truth_group(seed), TruthAttributes) for seed in (7, 8))
    assert ours["object_truth"] != theirs["object_truth"]


def test_scan_and_truth_of_an_object_are_those_of_a_study_of_it_alone(layout, tmp_path):
    alone = RunLayout(tmp_path)
    publish_groups(ALONE.model_copy(update={"source": ALONE.source.model_copy(update={"seed_pair": 8})}), alone)
    for ours, theirs, kind in (
        (layout.truth_group(8), alone.truth_group(), TruthAttributes),
        (layout.scan_group(8), alone.scan_group(), ScanAttributes),
    ):
        assert arrays_of(ours, kind) == arrays_of(theirs, kind)


def test_objects_have_photons_of_their_own(layout):
    groups = [layout.exposure_group(1e5, "train", 0, seed) for seed in (7, 8)]
    assert len({arrays_of(group, ExposureAttributes)["counts"] for group in groups}) == 2


def test_a_recipe_gives_the_numbers_of_a_study_that_has_it_alone(tmp_path):
    study = several_study(source=ALONE.source)
    publish_groups(study, RunLayout(tmp_path))
    alone = ALONE.with_recipe(noise_model="poisson", batch_size=60, n_epochs=2)
    named = Cell(dose=1e5, view="all", split="train", recipe_name="poisson")
    unnamed = Cell(dose=1e5, view="all", split="train")
    keys = [open_request(request_of(s, c, RunLayout(tmp_path)))[0] for s, c in ((study, named), (alone, unnamed))]
    assert keys[0] == keys[1]


def test_a_view_that_another_object_asks_for_stays_as_it_is(copied):
    before = open_group(copied.view_group("few", "train"), ViewAttributes).attributes
    select_view(STUDY, "few", "train", copied, object_seed=8)
    assert open_group(copied.view_group("few", "train"), ViewAttributes).attributes == before


def test_manifest_says_what_each_cell_read_and_how_long_its_recipe_is(layout):
    manifest = json.loads(layout.manifest_file.read_text())
    job = next(job for job in manifest["jobs"] if job["output_dir"] == "dose_100000.object_8/few/test.poisson")
    assert job["input"] == "exposures.zarr/dose_100000.object_8/test"
    assert (job["num_epochs"], job["recipe_name"], job["object_seed"]) == (2, "poisson", 8)


def test_verify_finds_a_whole_run_whole(layout):
    assert verify_run(STUDY, layout) == ()


@pytest.mark.parametrize("group", ["truth.object_8", "scan.object_7", "dose_100000.object_8/train"])
def test_verify_misses_a_group_of_one_object_and_repair_makes_it_again(copied, group):
    before = arrays_of(copied.store / "dose_100000.object_8" / "train", ExposureAttributes)
    shutil.rmtree(copied.store / group)
    damages = verify_run(STUDY, copied)
    assert [damage.path for damage in damages] == [f"exposures.zarr/{group}"]
    repair_run(STUDY, copied, damages, engine=ENGINE)
    assert verify_run(STUDY, copied) == ()
    assert arrays_of(copied.store / "dose_100000.object_8" / "train", ExposureAttributes) == before


def test_table_is_indexed_by_recipe_and_object_too(run):
    table = run.table()
    assert list(table.index.names) == ["dose", "view", "split", "repeat", "recipe_name", "object_seed"]
    assert table.loc[(1e5, "all", "train", 0, "poisson", 8), "n_epochs"] == 2


def test_metrics_have_recipe_and_object_as_dimensions(run):
    error = run.metrics.phase_rmse_rad.sel(dose=1e5, view="all", split="train", repeat=0)
    for recipe_name, object_seed in (("gauss", 7), ("poisson", 8)):
        expected = read_record(run.layout, cell_of(recipe_name, object_seed)).metrics.phase_rmse_rad
        assert float(error.sel(recipe_name=recipe_name, object_seed=object_seed)) == expected


def test_sel_gives_the_cell_of_a_recipe_and_an_object(run):
    found = run.sel(dose=1e5, view="all", split="train", recipe_name="poisson", object_seed=8)
    assert found.name == "dose_100000.object_8/all/train.poisson"


@pytest.mark.parametrize(
    "chosen", [{}, {"recipe_name": "poisson"}, {"object_seed": 8}, {"recipe_name": "x", "object_seed": 8}]
)
def test_sel_asks_for_a_recipe_and_an_object_that_the_study_has(run, chosen):
    with pytest.raises(InputError, match="recipes gauss, poisson, objects 7, 8"):
        run.sel(dose=1e5, view="all", split="train", **chosen)


def test_the_truth_of_a_cell_is_that_of_its_object(run):
    for seed in (7, 8):
        shown = run.sel(dose=1e5, view="all", split="train", recipe_name="gauss", object_seed=seed).truth
        stored = open_group(run.layout.truth_group(seed), TruthAttributes).read("object_truth")
        assert np.array_equal(shown.object_truth.values, stored)


def test_the_truth_of_a_run_of_several_objects_is_asked_of_its_cells(run):
    with pytest.raises(InputError, match="2 objects"):
        _ = run.truth


def test_exposures_of_a_cell_are_those_of_its_object(run):
    photons = [
        run.sel(
            dose=1e5, view="all", split="train", recipe_name="gauss", object_seed=seed
        ).exposures.counts.values.sum()
        for seed in (7, 8)
    ]
    stored = [
        open_group(run.layout.exposure_group(1e5, "train", 0, seed), ExposureAttributes).read("counts").sum()
        for seed in (7, 8)
    ]
    assert photons == stored


def drawn(study, rows, **options):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(matrix_table(study, rows, **options))
    return console.export_text()


def test_matrix_has_a_row_for_each_recipe_and_object(layout):
    lines = drawn(STUDY, read_rows(layout, cells(STUDY))).splitlines()
    places = [[part.strip() for part in line.split("│")[1:5]] for line in lines if line.startswith("│")]
    assert places == [
        ["dose_100000", split, recipe, seed]
        for split in ("train", "test")
        for recipe in ("gauss", "poisson")
        for seed in ("7", "8")
    ]


def test_matrix_shows_the_cells_that_are_asked_for_alone(layout):
    shown = [cell_of("poisson", 8, view) for view in ("all", "few")]
    rows = [row for row in read_rows(layout, cells(STUDY)) if row.cell in shown]
    text = drawn(STUDY, rows, shown=shown)
    assert text.splitlines()[0].strip() == "tiny: 2 completed"
    assert [word for word in ("gauss", "one", "test") if word in text] == []


def test_unlisted_cells_are_those_of_the_study_before_it_got_recipes_and_objects(copied):
    publish_groups(ALONE, copied)
    run_one(ALONE, Cell(dose=1e5, view="all", split="train"), copied, engine=ENGINE)
    assert unlisted_cells(STUDY, copied) == ("dose_100000/all/train",)
    assert len(unlisted_cells(ALONE, copied)) == 24


def test_a_study_of_one_recipe_finds_its_cell_done_in_a_directory_of_several(copied):
    publish_groups(ALONE, copied)
    cell = Cell(dose=1e5, view="all", split="train")
    first = run_one(ALONE, cell, copied, engine=ENGINE)
    publish_groups(STUDY, copied)
    publish_groups(ALONE, copied)
    again = run_one(ALONE, cell, copied, engine=ENGINE)
    assert (first.was_done, again.was_done) == (False, True)


def test_a_cell_of_several_is_done_after_the_study_had_one_recipe_meanwhile(copied):
    publish_groups(ALONE, copied)
    publish_groups(STUDY, copied)
    assert run_one(STUDY, cell_of("poisson", 8), copied, engine=ENGINE).was_done


def test_compare_finds_the_recipe_and_the_object_of_another_run(layout, tmp_path):
    source = ALONE.source.model_copy(update={"seed_pair": 8})
    alone = ALONE.model_copy(update={"source": source})
    other = make_run(alone, tmp_path / "other", [Cell(dose=1e5, view="all", split="train")])
    compared = [cell_of("poisson", 8)]
    (row,) = compare_run(STUDY, layout, {"alone": other.root}, compared).cells
    expected = read_record(other, Cell(dose=1e5, view="all", split="train")).metrics
    assert row.scores[1].metrics.phase_rmse_rad == pytest.approx(expected.phase_rmse_rad, rel=1e-6)


def test_compare_refuses_a_run_that_lacks_one_of_the_objects(layout, tmp_path):
    source = ALONE.source.model_copy(update={"seed_pair": 8})
    other = make_run(ALONE.model_copy(update={"source": source}), tmp_path / "other", [])
    with pytest.raises(InputError, match="another object"):
        compare_run(STUDY, layout, {"alone": other.root}, [cell_of("gauss", 7)])


def test_compare_says_which_recipes_the_other_run_has(layout, tmp_path):
    study = several_study(recipes=tuple(one.model_copy(update={"name": f"x{one.name}"}) for one in STUDY.recipes))
    other = make_run(study, tmp_path / "other", [])
    (row,) = compare_run(STUDY, layout, {"other": other.root}, [cell_of("gauss", 7)]).cells
    assert "has recipes xgauss, xpoisson" in row.scores[1].problem


def test_a_study_of_one_recipe_and_one_object_has_the_paths_and_keys_that_it_always_had(six_cells):
    manifest = json.loads(six_cells.manifest_file.read_text())
    assert set(manifest["jobs"][0]) == {
        *("dose", "view", "split", "repeat", "input", "output_dir", "algorithm", "num_epochs"),
    }
    assert set(manifest["filters"]) == {"dose", "view", "split", "gridsize", "repeat"}
    assert not {"recipe_name", "object_seed"} & {key for row in manifest["execution_results"] for key in row}
    assert manifest["jobs"][0]["input"] == "exposures.zarr/dose_100000/train"
    assert sorted(path.name for path in six_cells.store.iterdir() if path.is_dir()) == [
        *("dose_100000", "scan", "truth", "views"),
    ]


def test_the_study_file_of_one_recipe_is_kept_without_recipes(six_cells):
    assert not json.loads(six_cells.study_file.read_text()).get("recipes")


@pytest.mark.parametrize(
    ("chosen", "asked"),
    [
        ((), "the run has 7, 8, found no --object; give --object with one of them"),
        (("--object", "9"), "the run has 7, 8, found --object 9"),
        (("--object", "8", "--view", "few"), "the run has gauss, poisson, found no --recipe"),
    ],
)
def test_export_asks_for_the_object_and_where_a_view_is_given_for_the_recipe(
    layout, tmp_path, fly64dask, chosen, asked
):
    done = fly64dask("export", layout.root, "--dose", "1e5", "--split", "train", *chosen, "--out", tmp_path / "x.npz")
    assert done.returncode == 2
    assert asked in done.stderr


def test_export_writes_the_exposures_and_the_truth_of_an_object(layout, tmp_path, fly64dask):
    chosen = ("--dose", "1e5", "--split", "train", "--object", "8", "--with-truth")
    fly64dask("export", layout.root, *chosen, "--out", tmp_path / "x.npz")
    written = np.load(tmp_path / "x.npz")["objectGuess"]
    assert np.array_equal(written, open_group(layout.truth_group(8), TruthAttributes).read("object_truth"))


def test_status_gives_the_rows_of_a_recipe_and_an_object(layout, fly64dask):
    done = fly64dask("status", layout.root, "--recipe", "poisson", "--object", "8", "--json")
    document = json.loads(done.stdout)
    assert {(row["recipe_name"], row["object_seed"]) for row in document["cells"]} == {("poisson", 8)}
    assert document["states"] == {"completed": 4, "failed": 2}
    assert document["not_in_the_matrix"] == []


def test_status_says_that_cells_have_no_place_in_the_matrix(copied, fly64dask):
    publish_groups(ALONE, copied)
    run_one(ALONE, Cell(dose=1e5, view="all", split="train"), copied, engine=ENGINE)
    said = fly64dask("status", copied.root).stdout
    assert "1 committed cell has no place in the study's matrix as it is now, such as dose_100000/all/train" in said


def test_run_study_runs_one_recipe_of_one_object_and_makes_nothing_of_the_other(tmp_path):
    chosen = Filters(recipe=("poisson",), object=(8,), view=("all",))
    run = run_study(STUDY, tmp_path / "run", filters=chosen, placement=Placement(n_workers=1), engine=ENGINE)
    assert {row.cell.name for row in run.rows} == {
        f"dose_100000.object_8/all/{half}.poisson" for half in ("train", "test")
    }
    assert {path.name for path in run.layout.store.iterdir() if path.is_dir()} == {
        *("scan.object_8", "truth.object_8", "dose_100000.object_8", "views"),
    }
    skipped = json.loads(run.layout.skip_summary_file.read_text())["skipped_jobs"]
    assert len(skipped) == 22
    assert {job["recipe_name"] for job in skipped if job["reason"].startswith("recipe")} == {"gauss"}


def test_rerun_plans_the_epochs_of_each_recipe(layout):
    plan = plan_failed(STUDY, layout, filters=Filters(split=("train",), object=(7,)), remedy="guarded")
    assert {(one.recipe_name, one.n_epochs) for one in plan} == {("gauss", 3), ("poisson", 2)}
