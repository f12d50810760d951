"""New study files: templates as they are in data/, and studies whose numbers suit a measured scan."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from measured import write_scan
from noisy_engine import ENGINE
from one_cell import run_one
from small_scan import small_counts, small_probe

from fly64dask.base import InputError
from fly64dask.cli.main import cli
from fly64dask.datasets import expose_split, prepare_scan, select_view
from fly64dask.runs.new_study import TEMPLATES, new_study, new_study_of_scan
from fly64dask.store import RunLayout
from fly64dask.study import Study, cells, parse_study

DATA = Path(__file__).resolve().parents[2] / "data"


def raster(n_rows: int, n_columns: int, step_px: float = 3.0) -> np.ndarray:
    """Positions of a raster, (n, 2), order (y, x), a little off so that none is as far from two others."""
    places = np.stack(np.divmod(np.arange(n_rows * n_columns), n_columns), axis=1) * step_px
    return places + np.random.default_rng(1).uniform(-0.3, 0.3, places.shape)


def stored(store: Path, positions: np.ndarray, photons: float = 3000.0) -> Path:
    """A scan as `ingest` stores it, of so many photons per exposure, with a beam of 24 x 24 px."""
    counts = np.resize(small_counts(photons=photons), (len(positions), 24, 24))
    write_scan(store, counts, positions=positions, probe=small_probe()[None, None])
    return store


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A raster of 24 rows of 12 exposures."""
    return stored(tmp_path / "scan.zarr", raster(24, 12))


def command(*arguments: object) -> tuple[int, str]:
    """A command's exit code and what it prints on standard output."""
    done = CliRunner().invoke(cli, [str(each) for each in arguments], standalone_mode=False)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout


def test_every_study_file_in_data_is_a_template():
    assert sorted(path.stem for path in DATA.glob("*.toml")) == sorted(TEMPLATES)


@pytest.mark.parametrize("template", TEMPLATES)
def test_new_study_differs_from_the_file_in_data_by_its_name_alone(tmp_path: Path, template: str):
    new_study(tmp_path / "mine.toml", template)
    original = (DATA / f"{template}.toml").read_text()
    assert (tmp_path / "mine.toml").read_text() == original.replace(f'name = "{template}"', 'name = "mine"', 1)


@pytest.mark.parametrize("template", sorted({*TEMPLATES} - {"fly64"}))
def test_new_study_passes_a_dry_run(tmp_path: Path, template: str):
    stored(tmp_path / "star.zarr", raster(30, 12), photons=2e5)
    command("new", tmp_path / "mine.toml", "--template", template)
    code, _ = command("run", tmp_path / "mine.toml", "--out", tmp_path / "run", "--dry-run")
    assert code == (1 if template == "toy" else 0)  # whose sparse view is made to fail


def test_new_says_of_which_half_a_view_keeps_isolated_exposures_alone(tmp_path: Path):
    """Its "dense" view then has fewer exposures than its "sparse" one, and another overlap in each half."""
    positions = np.random.default_rng(4).uniform(0, (40, 80), (220, 2))
    new_study_of_scan(tmp_path / "mine.toml", stored(tmp_path / "scan.zarr", positions))
    text = (tmp_path / "mine.toml").read_text()
    view = tomllib.loads(text)["views"][1]
    left = positions[positions[:, 1] < (positions[:, 1].min() + positions[:, 1].max()) / 2]
    apart = np.hypot(*(left[:, None] - left[None]).transpose(2, 0, 1)) + np.diag(np.full(len(left), np.inf))
    n_isolated = int((apart.min(axis=1) >= view["threshold_px"]).sum())
    line = next(line for line in text.splitlines() if 'name = "dense"' in line)
    assert f"# {n_isolated} and " in line
    assert re.search(r"linear overlap \d+ and \d+ %$", line)
    assert "# It keeps only exposures without a near neighbour (train), which leaves parts of the field out." in text


def test_new_replaces_no_file(tmp_path: Path):
    (tmp_path / "mine.toml").write_text("mine")
    with pytest.raises(InputError, match="it exists"):
        new_study(tmp_path / "mine.toml")
    assert (tmp_path / "mine.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("file", "name"),
    [("mine.toml", "mine"), ("My study 2.toml", "my-study-2"), ("2026.toml", "study-2026"), ("ü.toml", "study")],
)
def test_new_study_is_named_after_its_file(tmp_path: Path, file: str, name: str):
    assert new_study(tmp_path / file).name == name


def test_new_without_a_template_is_the_demo(tmp_path: Path):
    command("new", tmp_path / "mine.toml")
    assert Study.from_toml(tmp_path / "mine.toml").source == Study.from_toml(DATA / "demo.toml").source


def test_new_says_what_comes_next_and_that_the_scan_of_a_template_is_missing(tmp_path: Path):
    _, lines = command("new", tmp_path / "mine.toml", "--template", "star")
    assert f"fly64dask ingest FILE --out {tmp_path / 'star.zarr'}" in lines
    assert f"fly64dask run {tmp_path / 'mine.toml'} --out runs/mine --dry-run" in lines


def test_new_takes_a_template_or_a_scan(scan: Path):
    with pytest.raises(InputError, match="give one of them"):
        command("new", scan.parent / "mine.toml", "--template", "demo", "--scan", scan)


def test_new_of_a_scan_passes_a_dry_run(scan: Path):
    command("new", scan.parent / "mine.toml", "--scan", scan)
    assert command("run", scan.parent / "mine.toml", "--out", scan.parent / "run", "--dry-run")[0] == 0


def test_doses_of_a_scan_are_a_hundredth_a_tenth_and_all_of_the_measured_photons(scan: Path):
    study = new_study_of_scan(scan.parent / "mine.toml", scan)
    assert study.doses_photons == (30.0, 300.0, "measured")


def test_a_scan_with_few_photons_has_no_dose_below_ten(tmp_path: Path):
    store = stored(tmp_path / "scan.zarr", raster(24, 12), photons=400.0)
    (low, _) = new_study_of_scan(tmp_path / "mine.toml", store).doses_photons
    assert 38 <= low <= 42


def test_a_scan_with_hardly_any_photons_is_thinned_to_half(tmp_path: Path):
    store = stored(tmp_path / "scan.zarr", raster(24, 12), photons=60.0)
    (low, _) = new_study_of_scan(tmp_path / "mine.toml", store).doses_photons
    assert 28 <= low <= 32


def test_comments_tell_what_the_dry_run_finds_of_each_view(scan: Path):
    command("new", scan.parent / "mine.toml", "--scan", scan)
    plan = json.loads(command("run", scan.parent / "mine.toml", "--out", scan.parent / "run", "--dry-run", "--json")[1])
    kept = {(cell["view"], cell["split"]): cell["n_kept"] for cell in plan["cells"]}
    text = (scan.parent / "mine.toml").read_text()
    for view in ("baseline", "dense", "sparse"):
        (line,) = [line for line in text.splitlines() if line.startswith(f'name = "{view}"')]
        assert f"{kept[view, 'train']} and {kept[view, 'test']} exposures" in line


def test_each_view_of_a_scan_keeps_fewer_exposures_than_the_one_before(scan: Path):
    command("new", scan.parent / "mine.toml", "--scan", scan)
    plan = json.loads(command("run", scan.parent / "mine.toml", "--out", scan.parent / "run", "--dry-run", "--json")[1])
    kept = [cell["n_kept"] for cell in plan["cells"] if (cell["dose"], cell["split"]) == ("measured", "train")]
    assert kept[0] == 144
    assert kept[0] > kept[1] > kept[2] >= 12


def test_a_scan_too_small_for_sparse_views_has_the_baseline_alone(tmp_path: Path):
    study = new_study_of_scan(tmp_path / "mine.toml", stored(tmp_path / "scan.zarr", raster(4, 4)))
    assert [view.name for view in study.views] == ["baseline"]
    assert study.split == "none"


@pytest.mark.parametrize(("shape", "axis"), [((24, 12), "y"), ((12, 24), "x")])
def test_a_scan_is_cut_across_its_longer_side(tmp_path: Path, shape: tuple[int, int], axis: str):
    study = new_study_of_scan(tmp_path / "mine.toml", stored(tmp_path / "scan.zarr", raster(*shape)))
    assert (study.split.axis, study.split.fraction) == (axis, 0.5)


def test_an_uneven_scan_is_cut_where_half_of_its_exposures_lie(tmp_path: Path):
    positions = raster(24, 12)
    positions[-12:, 0] += 200.0  # the last row lies far beyond all others, from 0 to 269 px
    study = new_study_of_scan(tmp_path / "mine.toml", stored(tmp_path / "scan.zarr", positions))
    assert study.split.fraction == round(34.5 / 269, 2)


def test_positions_on_a_line_are_refused(tmp_path: Path):
    store = stored(tmp_path / "scan.zarr", np.stack([np.arange(60.0), np.zeros(60)], axis=1))
    with pytest.raises(InputError, match=r"span 59 px in y and 0 px in x, needed 1 px"):
        new_study_of_scan(tmp_path / "mine.toml", store)


def test_a_file_that_is_not_ingested_is_refused_with_the_command_that_ingests_it(tmp_path: Path):
    (tmp_path / "scan.cxi").write_bytes(b"")
    with pytest.raises(InputError, match=r"fly64dask ingest scan\.cxi --out scan\.zarr"):
        new_study_of_scan(tmp_path / "mine.toml", tmp_path / "scan.cxi")


@pytest.mark.parametrize(("folder", "path"), [(".", "scan.zarr"), ("studies", None)])
def test_a_scan_below_the_studys_folder_is_named_from_there(scan: Path, folder: str, path: str | None):
    (scan.parent / "studies").mkdir()
    new_study_of_scan(scan.parent / folder / "mine.toml", scan)
    written = tomllib.loads((scan.parent / folder / "mine.toml").read_text())
    assert written["source"]["path"] == (path or str(scan))


def test_the_target_in_comments_is_one_that_a_study_may_have(scan: Path):
    new_study_of_scan(scan.parent / "mine.toml", scan)
    text = (scan.parent / "mine.toml").read_text()
    uncommented = text.replace("# [[targets]]", "[[targets]]").replace("# resolution_px", "resolution_px")
    assert [target.resolution_px for target in parse_study(uncommented, origin="mine.toml").targets] == [3.0]


def test_a_study_of_a_scan_runs(scan: Path):
    study = new_study_of_scan(scan.parent / "mine.toml", scan).with_recipe(device="cpu")
    layout = RunLayout(scan.parent / "run")
    prepare_scan(study, layout)
    (cell,) = [c for c in cells(study) if (c.dose, c.view, c.split) == (300.0, "dense", "train")]
    expose_split(study, cell.dose, cell.split, layout)
    select_view(study, cell.view, cell.split, layout)
    assert run_one(study, cell, layout, engine=ENGINE).failure is None
