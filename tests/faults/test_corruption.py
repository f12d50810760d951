"""Two hundred random corruptions of a finished run: every one named, none reconstructed, every run repaired."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest
from archives import remove_member
from faulty_engine import ENGINE
from finished_runs import SIX_CELLS
from one_cell import run_one

from fly64dask.base import Failure, Fly64Error
from fly64dask.datasets import expose_split, prepare_scan, select_view
from fly64dask.records import read_record, read_run_study
from fly64dask.runs import verify_run
from fly64dask.store import RunLayout
from fly64dask.study import cells

STUDY = SIX_CELLS
N_SEEDS = 100


def stored_files(root: Path) -> list[Path]:
    """Every file of a run but the journals, of which later runs use nothing."""
    journal = root / "journal"
    return sorted(path for path in root.rglob("*") if path.is_file() and journal not in path.parents)


def corrupt(files: list[Path], rng: random.Random) -> Path:
    """Damage one random file in one random way, so that its bytes are not what they were."""
    path = rng.choice(files)
    before = path.read_bytes()
    after = bytearray(before)
    way = rng.choice(["flip", "flip", "flip", "truncate", "empty", "delete", "zero", "noise", "append", "swap"])
    if way == "delete":
        path.unlink()
        return path
    if way == "flip":
        after[rng.randrange(len(after))] ^= 1 << rng.randrange(8)
    elif way == "truncate":
        del after[rng.randrange(len(after)) :]
    elif way == "empty":
        after.clear()
    elif way in ("zero", "noise"):
        start = rng.randrange(len(after))
        length = min(len(after) - start, rng.randrange(1, 64))
        after[start : start + length] = bytes(length) if way == "zero" else rng.randbytes(length)
    elif way == "append":
        after += rng.randbytes(rng.randrange(1, 64))
    else:
        after = bytearray(rng.choice(files).read_bytes())
    if bytes(after) == before:
        after += b"\n"
    path.write_bytes(after)
    return path


def found_wrong(layout: RunLayout) -> list[str]:
    try:
        return [f"{damage.path}: {damage.problem}" for damage in verify_run(read_run_study(layout), layout)]
    except Fly64Error as error:
        return [str(error)]


def test_verify_run_finds_nothing_wrong_with_the_whole_run(six_cells):
    assert found_wrong(six_cells) == []


def test_every_random_corruption_is_detected_and_none_is_reconstructed(six_cells, tmp_path):
    """One test for a hundred seeds: a corruption of the whole run, a verification and new reconstructions each."""
    numbers = {cell: read_record(six_cells, cell).digests.get("object_recon") for cell in cells(STUDY)}
    silent, reconstructed = [], []
    layout = RunLayout(tmp_path / "run")
    shutil.copytree(six_cells.root, layout.root)
    files = stored_files(layout.root)
    for seed in range(N_SEEDS):
        path = corrupt(files, random.Random(seed))
        was_run = False
        if not found_wrong(layout):
            silent.append((seed, path.relative_to(layout.root)))
        for cell in cells(STUDY):
            reads = {layout.exposure_group(cell.dose, cell.split), layout.view_group(cell.view, cell.split)}
            if reads & set(path.parents):
                # Another number of epochs makes the cell run again from what is stored now.
                again = STUDY.model_copy(update={"recipe": STUDY.recipe.model_copy(update={"n_epochs": 3})})
                run_one(again, cell, layout, None, lambda epoch, loss: None, engine=ENGINE)
                was_run = True
                record = read_record(layout, cell)
                if record.state == "completed" and record.digests["object_recon"] != numbers[cell]:
                    reconstructed.append((seed, cell.name))
        if was_run:
            shutil.rmtree(layout.root)
            shutil.copytree(six_cells.root, layout.root)
        else:
            shutil.copy(six_cells.root / path.relative_to(layout.root), path)
    assert found_wrong(layout) == []
    assert (silent, reconstructed) == ([], [])


@pytest.mark.slow
@pytest.mark.cluster
def test_verify_repair_makes_a_corrupted_run_whole_and_leaves_the_rest_alone(six_cells, tmp_path, fly64dask):
    """Exposures are cut, one cell has failed on them, another lost a chunk of its object, the store its metadata."""
    layout = RunLayout(tmp_path / "run")
    shutil.copytree(six_cells.root, layout.root)
    named = {(cell.view, cell.split): cell for cell in cells(STUDY)}
    refused, victim = named["all", "train"], named["few", "test"]
    chunk = layout.exposure_group(1e5, "train") / "counts" / "c.0.0.0"
    chunk.write_bytes(chunk.read_bytes()[:-9])
    shutil.rmtree(layout.cell_directory(refused))
    run_one(STUDY, refused, layout, None, lambda epoch, loss: None, engine=ENGINE)
    assert read_record(layout, refused).failure_kind == "bad_input"
    remove_member(layout.reconstruction_group(victim), "object_recon/c.0.0.0")
    (layout.store / "zarr.json").unlink()
    records = {cell: layout.record_file(cell).read_bytes() for cell in cells(STUDY)}
    assert fly64dask("verify", layout.root).returncode == 1
    repaired = fly64dask("verify", layout.root, "--repair", "--json")
    assert repaired.returncode == 0, repaired.stderr
    assert json.loads(repaired.stdout) == {"damaged": [], "outdated": {}}
    changed = {cell for cell in cells(STUDY) if layout.record_file(cell).read_bytes() != records[cell]}
    assert changed == {refused, victim}
    for cell in changed:
        assert (read_record(layout, cell).state, read_record(layout, cell).attempt) == ("completed", 2)


def test_a_record_of_another_study_is_detected(six_cells, tmp_path):
    """Whole, of the same cell, and wrong: its exposures were drawn with another seed."""
    other, here = RunLayout(tmp_path / "other"), RunLayout(tmp_path / "here")
    shutil.copytree(six_cells.root, here.root)
    seeds = STUDY.seeds.model_copy(update={"simulation": 43})
    study = STUDY.model_copy(update={"seeds": seeds})
    prepare_scan(study, other)
    expose_split(study, 1e5, "train", other)
    select_view(study, "all", "train", other)
    (cell,) = [one for one in cells(study) if (one.view, one.split) == ("all", "train")]
    run_one(study, cell, other, None, lambda epoch, loss: None, engine=ENGINE)
    shutil.rmtree(here.cell_directory(cell))
    shutil.copytree(other.cell_directory(cell), here.cell_directory(cell))
    assert any("other exposures or another view" in problem for problem in found_wrong(here))
    outcome = run_one(STUDY, cell, here, None, lambda epoch, loss: None, engine=ENGINE)
    assert not outcome.was_done
    assert read_record(here, cell).digests["object_recon"] == read_record(six_cells, cell).digests["object_recon"]


def test_a_record_of_a_study_of_another_name_is_detected(six_cells, tmp_path):
    here = RunLayout(tmp_path / "here")
    shutil.copytree(six_cells.root, here.root)
    (cell, *_) = cells(STUDY)
    shutil.rmtree(here.cell_directory(cell))
    blocked = Failure(kind="bad_input", message="other")
    run_one(STUDY.model_copy(update={"name": "other"}), cell, here, blocked, lambda epoch, loss: None)
    assert any("record is of study 'other'" in problem for problem in found_wrong(here))


@pytest.mark.parametrize("name", ["scan", "truth", "dose_100000/train", "views/few/test"])
def test_a_missing_group_that_records_were_made_from_is_detected(six_cells, tmp_path, name):
    here = RunLayout(tmp_path / "here")
    shutil.copytree(six_cells.root, here.root)
    shutil.rmtree(here.store / name)
    assert any(f"exposures.zarr/{name}: is missing" in problem for problem in found_wrong(here))
