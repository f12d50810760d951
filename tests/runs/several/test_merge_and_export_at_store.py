"""What is merged or exported of runs at an object store is what comes of the same runs in directories."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from finished_runs import SIX_CELLS
from object_store import environment, s3_server

from fly64dask.base import IntegrityError
from fly64dask.records import read_record, read_run_study, write_record
from fly64dask.runs import bring_cell, cached_study, merge_runs, push_run, read_place
from fly64dask.runs.remote import cache_layout
from fly64dask.store import RunLayout, open_place
from fly64dask.study import Remedy, cells

FIRST = cells(SIX_CELLS)[0]
HIGH_URL, LOW_URL = "s3://bucket/runs/high", "s3://bucket/runs/low"
OF_CELL = ("--dose", 1e5, "--split", "train", "--view", "all")


@pytest.fixture
def pushed(six_cells, low_dose, tmp_path) -> Iterator[dict[str, str]]:
    """Two runs at a store, and a machine without a cache; gives its variables."""
    with s3_server() as of_server:
        variables = {**of_server, "FLY64DASK_CACHE": str(tmp_path / "cache")}
        with environment(variables):
            push_run(six_cells.root, HIGH_URL)
            push_run(low_dose.root, LOW_URL)
            yield variables


def parts(layout: RunLayout) -> dict[str, bytes]:
    """All of a run but what has the time of its making: cells, exposures, journals left out."""
    files = [*layout.root.glob("dose_*/**/*"), *layout.store.rglob("*")]
    return {str(path.relative_to(layout.root)): path.read_bytes() for path in files if path.is_file()}


def test_a_run_at_a_store_merges_with_another_as_in_directories(pushed, six_cells, low_dose, tmp_path):
    said = []
    mixed = merge_runs([HIGH_URL, low_dose.root], tmp_path / "mixed", say=said.append)
    both = merge_runs([HIGH_URL, LOW_URL], tmp_path / "both")
    in_directories = merge_runs([six_cells.root, low_dose.root], tmp_path / "plain")
    assert said[0] == f"6 of 12 cells from {HIGH_URL}"
    assert parts(mixed.layout) == parts(both.layout) == parts(in_directories.layout)
    assert both.verify() == ()
    assert both.counts == in_directories.counts == {"completed": 8, "failed": 4}


def test_a_merge_of_what_is_damaged_at_a_store_is_refused_and_leaves_nothing(pushed, low_dose, tmp_path):
    place = open_place(HIGH_URL)
    (archive,) = [key for key in place.keys(FIRST.name) if key.endswith(".zarr.zip")]
    content = place.read(archive)
    place.write(archive, content[:200] + bytes([content[200] ^ 1]) + content[201:])
    said = []
    with pytest.raises(IntegrityError, match="1 part is damaged"):
        merge_runs([HIGH_URL, low_dose.root], tmp_path / "new", say=said.append)
    assert said[0].startswith(f"damaged at the store, and left out: {FIRST.name}/reconstruction.zarr.zip")
    assert not [path for path in (tmp_path / "new").rglob("*") if path.is_file()]


@pytest.mark.process
def test_export_of_a_run_at_a_store_writes_what_it_writes_of_the_directory(pushed, six_cells, tmp_path, fly64dask):
    for run, name in ((HIGH_URL, "there"), (six_cells.root, "here")):
        for suffix, options in (("npz", ["--with-truth"]), ("tif", ["--reconstruction", "--pixel-size-nm", 8])):
            done = fly64dask("export", run, *OF_CELL, *options, "--out", f"{name}.{suffix}", **pushed)
            assert done.returncode == 0, done.stderr
    assert (tmp_path / "there.tif").read_bytes() == (tmp_path / "here.tif").read_bytes()
    with np.load(tmp_path / "there.npz") as there, np.load(tmp_path / "here.npz") as here:
        assert there.files == here.files
        assert all(np.array_equal(there[key], here[key]) for key in here.files)


def brought(folder: Path) -> set[str]:
    """The files of the only cache below a folder, but for those that name the cache and who holds it."""
    (cache,) = folder.iterdir()
    paths = {path.relative_to(cache).as_posix() for path in cache.rglob("*") if path.is_file()}
    return {path for path in paths if not path.startswith(".")}


def needed(layout: RunLayout, *groups: Path, files: bool) -> set[str]:
    """The files of the study, of one cell and of some groups with their parents."""
    paths = {layout.study_file, layout.record_file(FIRST)}
    paths |= {layout.log_file(FIRST), layout.reconstruction_group(FIRST)} if files else set()
    for group in groups:
        paths |= {path for path in group.rglob("*") if path.is_file()}
        folders = (folder for folder in group.parents if folder.is_relative_to(layout.store))
        paths |= {folder / "zarr.json" for folder in folders}
    return {path.relative_to(layout.root).as_posix() for path in paths}


@pytest.mark.process
@pytest.mark.parametrize("options", [["--with-truth"], ["--reconstruction", "--pixel-size-nm", 8]])
def test_export_of_a_cell_at_a_store_brings_what_that_cell_needs_and_no_more(
    options, pushed, six_cells, tmp_path, fly64dask
):
    is_reconstruction = "--reconstruction" in options
    done = fly64dask("export", HIGH_URL, *OF_CELL, *options, "--out", f"x.{'tif' if is_reconstruction else 'npz'}")
    assert done.returncode == 0, done.stderr
    groups = [six_cells.exposure_group(FIRST.dose, FIRST.split), six_cells.view_group(FIRST.view, FIRST.split)]
    groups += [] if is_reconstruction else [six_cells.truth_group()]
    assert brought(tmp_path / "cache") == needed(six_cells, *groups, files=is_reconstruction)


def test_the_cache_of_one_cell_becomes_that_of_the_run_when_all_of_it_is_read(pushed, six_cells):
    bring_cell(HIGH_URL, read_run_study(cached_study(HIGH_URL)), FIRST, reconstruction=True)
    assert parts(read_place(HIGH_URL)) == parts(six_cells)


def test_of_a_cell_at_another_spacing_the_indices_that_its_record_names_are_brought(pushed, six_cells, tmp_path):
    run = RunLayout(shutil.copytree(six_cells.root, tmp_path / "run"))
    remedy = Remedy(kind="respace", spacing_threshold=5.0, study_spacing_threshold=9.0, min_exposures=4)
    write_record(run.cell_directory(FIRST), read_record(run, FIRST).model_copy(update={"remedy": remedy}))
    kept = run.kept_group(FIRST, remedy)
    shutil.copytree(run.view_group(FIRST.view, FIRST.split), kept)
    url = "s3://bucket/runs/respaced"
    push_run(run.root, url)
    bring_cell(url, read_run_study(cached_study(url)), FIRST)
    of_run = needed(run, run.exposure_group(FIRST.dose, FIRST.split), kept, files=False)
    assert brought(tmp_path / "cache") == of_run


def test_a_cell_is_brought_though_others_are_damaged(pushed, six_cells):
    place = open_place(HIGH_URL)
    for other in cells(SIX_CELLS)[1:]:
        for key in place.keys(other.name):
            place.write(key, b"damaged")
    said = []
    bring_cell(HIGH_URL, SIX_CELLS, FIRST, reconstruction=True, say=said.append)
    here, wanted = cache_layout(HIGH_URL).reconstruction_group(FIRST), six_cells.reconstruction_group(FIRST)
    assert (said, here.read_bytes()) == ([], wanted.read_bytes())


@pytest.mark.process
def test_export_of_a_cell_that_is_damaged_at_the_store_writes_nothing(pushed, tmp_path, fly64dask):
    place = open_place(HIGH_URL)
    (archive,) = [key for key in place.keys(FIRST.name) if key.endswith(".zarr.zip")]
    place.write(archive, b"damaged")
    done = fly64dask("export", HIGH_URL, *OF_CELL, "--reconstruction", "--pixel-size-nm", 8, "--out", "x.tif")
    assert done.returncode == 2
    assert f"damaged at the store, and left out: {FIRST.name}/reconstruction.zarr.zip" in done.stderr
    assert not (tmp_path / "x.tif").exists()


@pytest.mark.process
def test_export_over_a_file_is_refused_before_anything_is_brought(pushed, tmp_path, fly64dask):
    (tmp_path / "x.npz").touch()
    done = fly64dask("export", HIGH_URL, *OF_CELL, "--out", "x.npz", **pushed)
    assert (done.returncode, "write x.npz: there is a file of this name already" in done.stderr) == (2, True)
    assert not (tmp_path / "cache").exists()


@pytest.mark.process
def test_export_of_a_url_without_a_run_says_so(pushed, fly64dask):
    done = fly64dask("export", "s3://bucket/runs", "--out", "x.npz", **pushed)
    assert done.returncode == 2
    assert "open run s3://bucket/runs: no study.json there; give one of the runs below it, such as" in done.stderr
    assert not Path(cache_layout("s3://bucket/runs").root).exists()
