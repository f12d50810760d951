"""What is merged or exported of runs at an object store is what comes of the same runs in directories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from finished_runs import SIX_CELLS
from object_store import environment, s3_server

from fly64dask.base import IntegrityError
from fly64dask.runs import merge_runs, push_run
from fly64dask.runs.remote import cache_layout
from fly64dask.store import RunLayout, open_place
from fly64dask.study import cells

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


@pytest.mark.process
def test_export_over_a_file_is_refused_before_anything_is_brought(pushed, tmp_path, fly64dask):
    (tmp_path / "x.npz").touch()
    done = fly64dask("export", HIGH_URL, *OF_CELL, "--out", "x.npz", **pushed)
    assert (done.returncode, "x.npz: it exists" in done.stderr) == (2, True)
    assert not (tmp_path / "cache").exists()


@pytest.mark.process
def test_export_of_a_url_without_a_run_says_so(pushed, fly64dask):
    done = fly64dask("export", "s3://bucket/runs", "--out", "x.npz", **pushed)
    assert done.returncode == 2
    assert "open run s3://bucket/runs: no study.json there; give one of the runs below it, such as" in done.stderr
    assert not Path(cache_layout("s3://bucket/runs").root).exists()
