"""Verification of a run: nothing to say of a whole one, and every damage named."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest
from finished_runs import SIX_CELLS
from pydantic import ValidationError

from fly64dask.records import Manifest
from fly64dask.runs import verify_run
from fly64dask.store import RunLayout, held_run
from fly64dask.study import cells

STUDY = SIX_CELLS


@pytest.fixture
def run(six_cells, tmp_path):
    shutil.copytree(six_cells.root, tmp_path / "run")
    return RunLayout(tmp_path / "run")


def damaged_paths(layout):
    return [damage.path for damage in verify_run(STUDY, layout)]


def test_verify_run_finds_nothing_wrong_with_a_whole_run(six_cells):
    assert verify_run(STUDY, six_cells) == ()


def stored_files(root: Path) -> list[Path]:
    """Chunks of exposures, and what a cell's directory holds."""
    files = [*(root / "exposures.zarr").rglob("c.*"), *root.glob("dose_*/**/*")]
    return sorted(f for f in files if f.is_file())


@pytest.mark.parametrize("seed", range(40))
def test_verify_run_finds_a_flipped_bit(run, seed):
    rng = random.Random(seed)
    path = rng.choice(stored_files(run.root))
    data = bytearray(path.read_bytes())
    at = rng.randrange(len(data))
    data[at] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    assert damaged_paths(run)


@pytest.mark.parametrize("damage", ["delete", "empty", "truncate"])
@pytest.mark.parametrize("seed", range(8))
def test_verify_run_finds_a_lost_chunk(run, damage, seed):
    rng = random.Random(seed)
    path = rng.choice([f for f in stored_files(run.root) if f.name.startswith("c.")])
    data = path.read_bytes()
    if damage == "delete":
        path.unlink()
    else:
        path.write_bytes(data[: len(data) // 2] if damage == "truncate" else b"")
    assert damaged_paths(run)


def test_verify_run_finds_a_record_of_another_cell(run):
    train, test = (run.root / "dose_100000" / "all" / split / "record.json" for split in ("train", "test"))
    shutil.copy(train, test)
    assert "dose_100000/all/test" in damaged_paths(run)


def test_verify_run_finds_a_reconstruction_of_another_cell(run):
    train, test = (run.root / "dose_100000" / "all" / split / "reconstruction.zarr.zip" for split in ("train", "test"))
    shutil.copy(train, test)
    assert "dose_100000/all/test/reconstruction.zarr.zip/object_recon" in damaged_paths(run)


def test_verify_run_finds_a_directory_without_a_record(run):
    run.record_file(cells(STUDY)[0]).unlink()
    assert "dose_100000/all/train" in damaged_paths(run)


def test_verify_run_finds_a_manifest_that_says_something_else(run):
    document = json.loads(run.manifest_file.read_text())
    document["execution_results"][0]["final_loss"] = 0.0
    run.manifest_file.write_text(json.dumps(document))
    assert damaged_paths(run) == ["reconstruction_manifest.json"]


def test_report_names_on_the_terminal_what_it_cannot_show(run, fly64dask):
    (run.root / "dose_100000" / "all" / "train" / "reconstruction.zarr.zip").unlink()
    done = fly64dask("report", run.root)
    assert done.returncode == 0
    assert "the page lacks damaged parts, named in 1 notice on it, such as: Damaged, dose_100000" in done.stderr
    assert "dose_100000/all/train/reconstruction.zarr.zip" in done.stderr


def test_verify_exits_1_and_names_the_damage(run, fly64dask):
    (run.exposure_group(1e5, "train") / "counts" / "c.0.0.0").unlink()
    done = fly64dask("verify", run.root)
    assert done.returncode == 1
    assert "damaged exposures.zarr/dose_100000/train/counts: " in done.stdout
    assert "chunk c.0.0.0 is missing or empty" in done.stdout


def test_verify_exits_0_for_a_whole_run(six_cells, fly64dask):
    done = fly64dask("verify", six_cells.root, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"damaged": [], "outdated": {}}


@pytest.mark.parametrize("path", ["/etc/passwd", "../../elsewhere", "dose_1000/../../x"])
@pytest.mark.parametrize("key", ["log_path", "input", "output_dir"])
def test_manifest_refuses_a_path_that_leads_out_of_the_run(six_cells, key, path):
    document = json.loads(six_cells.manifest_file.read_text())
    document.pop("sha256")
    part = document["execution_results" if key == "log_path" else "jobs"][0]
    part[key] = path
    with pytest.raises(ValidationError, match="leads out of the run directory"):
        Manifest.model_validate(document)


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


@pytest.mark.parametrize("lost", ["manifest_file", "skip_summary_file", "snapshots"])
def test_verify_names_a_table_that_a_finished_run_has_lost_and_repairs_it(run, fly64dask, lost):
    path = getattr(run, lost)
    remove(path)
    done = fly64dask("verify", run.root)
    assert done.returncode == 1
    assert f"damaged {path.name}" in done.stdout
    assert "is missing, though a run has ended here" in done.stdout
    assert fly64dask("verify", run.root, "--repair").returncode == 0
    assert path.exists()
    assert verify_run(STUDY, run) == ()


def test_verify_run_names_all_tables_where_every_cell_has_ended_and_none_is_there(run):
    for path in (run.manifest_file, run.skip_summary_file, run.snapshots):
        remove(path)
    assert {damage.path: damage.problem for damage in verify_run(STUDY, run)} == {
        name: "is missing, though all cells have ended"
        for name in ("reconstruction_manifest.json", "skip_summary.json", "snapshots")
    }


def test_verify_run_misses_every_file_that_is_deleted_but_journals(run):
    unnoticed, others = [], (run.study_file, run.lock_file)  # a lock is left by whoever has looked at a run
    for path in sorted(path for path in run.root.rglob("*") if path.is_file() and path not in others):
        content = path.read_bytes()
        path.unlink()
        unnoticed += [path] if verify_run(STUDY, run) == () else []
        path.write_bytes(content)
    assert unnoticed == sorted(run.journals.rglob("*.log"))


def test_verify_run_misses_no_table_of_a_run_that_was_killed_before_its_end(run):
    for path in (run.manifest_file, run.skip_summary_file, run.snapshots, run.cell_directory(cells(STUDY)[0])):
        remove(path)
    assert verify_run(STUDY, run) == ()


def test_verify_run_misses_no_table_of_a_run_under_way(run):
    for path in (run.manifest_file, run.skip_summary_file):
        remove(path)
    with held_run(run):
        assert verify_run(STUDY, run) == ()


def test_verify_says_of_a_run_without_its_study_what_to_do(run, fly64dask):
    run.study_file.unlink()
    done = fly64dask("verify", run.root)
    assert done.returncode == 2
    assert "no study.json there; its other files are there: run the study again" in done.stderr


def test_verify_run_finds_a_damaged_comparison(run):
    run.comparison_file.write_text("{}")
    assert damaged_paths(run) == ["comparison.json"]
