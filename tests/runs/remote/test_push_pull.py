"""Runs at object stores: what was pushed comes back byte for byte, and a copy cut off anywhere leaves nothing half."""

from __future__ import annotations

import math
import os
import random
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from archives import remove_member
from dying_store import DyingStore, KilledError
from faulty_engine import ENGINE
from finished_runs import SIX_CELLS
from object_store import environment, s3_server
from obstore.store import MemoryStore, S3Store
from one_cell import run_one
from zarr.storage import ObjectStore

from fly64dask.base import InputError, IntegrityError, StorageError
from fly64dask.cells import Rerun
from fly64dask.datasets import select_view
from fly64dask.records import read_record, write_run_study
from fly64dask.runs import verify_run
from fly64dask.runs.remote import pull_from, push_to
from fly64dask.store import ExposureAttributes, ObjectPlace, RunLayout, ViewAttributes, open_group, open_place
from fly64dask.study import Cell, Remedy, cells

STUDY = SIX_CELLS
CELL = cells(STUDY)[0]
# Nobody who died shall be waited for.
SOON = 0.05


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def place(store) -> ObjectPlace:
    return ObjectPlace("memory://", store)


@pytest.fixture
def run(six_cells, tmp_path) -> RunLayout:
    """A copy of the finished run, to be changed."""
    return RunLayout(Path(shutil.copytree(six_cells.root, tmp_path / "run")))


def n_requests_of(copy: Callable[[ObjectPlace], object], store: MemoryStore) -> int:
    """How many requests a copy makes that nobody kills."""
    counting = DyingStore(store, math.inf)
    copy(ObjectPlace("memory://", counting))
    return counting.n_asked


@pytest.fixture(scope="module")
def n_of_push(six_cells) -> int:
    return n_requests_of(lambda place: push_to(place, six_cells), MemoryStore())


def files_of(layout: RunLayout) -> dict[str, bytes]:
    """All that a copy has to bring: every file but the journals and the lock."""
    left_out = {layout.root / "journal", layout.lock_file}
    return {
        str(path.relative_to(layout.root)): path.read_bytes()
        for path in layout.root.rglob("*")
        if path.is_file() and not left_out & {path, *path.parents}
    }


def test_a_pushed_run_comes_back_byte_for_byte(six_cells, place, tmp_path):
    pushed = push_to(place, six_cells)
    pulled = pull_from(place, RunLayout(tmp_path / "copy"))
    assert (pushed.n_attempts, pulled.n_attempts, pushed.left_out, pulled.left_out) == (6, 6, (), ())
    assert pushed.n_groups == pulled.n_groups > 0
    assert files_of(RunLayout(tmp_path / "copy")) == files_of(six_cells)
    assert verify_run(STUDY, RunLayout(tmp_path / "copy")) == ()


def test_what_is_there_is_copied_no_second_time(six_cells, place, tmp_path):
    first = push_to(place, six_cells)
    again = push_to(place, six_cells)
    assert (again.n_attempts, again.n_attempts_there, again.n_groups) == (0, 6, 0)
    assert again.n_groups_there == first.n_groups
    layout = RunLayout(tmp_path / "copy")
    pull_from(place, layout)
    pulled = pull_from(place, layout)
    assert (pulled.n_attempts, pulled.n_attempts_there, pulled.n_groups) == (0, 6, 0)


def is_not_pushed_yet(damage):
    """Whether a part is missing that a push writes late: a group of exposures, or at last a table."""
    if damage.path.startswith(("reconstruction_manifest.json", "skip_summary.json", "snapshots")):
        return damage.problem.startswith("is missing, though ")
    return damage.problem == "is missing, and committed cells were made from it"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # who renews the lock dies too
@pytest.mark.parametrize("seed", range(20))
def test_a_push_that_is_killed_leaves_whole_cells_alone_and_is_continued(
    six_cells, place, store, tmp_path, seed, n_of_push
):
    rng = random.Random(seed)
    dying = DyingStore(store, rng.randrange(1, n_of_push + 1), done=rng.random() < 0.5)
    with pytest.raises(KilledError):
        push_to(ObjectPlace("memory://", dying), six_cells, patience_s=SOON)
    half = RunLayout(tmp_path / "half")
    if "study.json" in place.keys():  # noqa: SIM118
        pull_from(place, half)
        assert [damage for damage in verify_run(STUDY, half) if not is_not_pushed_yet(damage)] == []
    push_to(place, six_cells, patience_s=SOON)
    pull_from(place, RunLayout(tmp_path / "whole"))
    assert files_of(RunLayout(tmp_path / "whole")) == files_of(six_cells)
    pull_from(place, half)
    assert files_of(half) == files_of(six_cells)


def test_a_pull_that_is_killed_leaves_whole_cells_alone_and_is_continued(six_cells, place, store, tmp_path):
    push_to(place, six_cells)
    n_requests = n_requests_of(lambda place: pull_from(place, RunLayout(tmp_path / "counted")), store)
    layout = RunLayout(tmp_path / "copy")
    for share in (0.02, 0.3, 0.4):
        with pytest.raises(KilledError):
            pull_from(ObjectPlace("memory://", DyingStore(store, share * n_requests)), layout)
        assert all(damage.problem.startswith("is missing") for damage in verify_run(STUDY, layout))
    pull_from(place, layout)
    assert files_of(layout) == files_of(six_cells)


def test_attempts_that_were_made_since_are_added(run, place, tmp_path):
    layout = RunLayout(tmp_path / "copy")
    push_to(place, run)
    pull_from(place, layout)
    again = STUDY.model_copy(update={"recipe": STUDY.recipe.model_copy(update={"n_epochs": 3})})
    run_one(again, CELL, run, engine=ENGINE)
    assert push_to(place, run).n_attempts == 1
    assert pull_from(place, layout).n_attempts == 1
    assert read_record(layout, CELL) == read_record(run, CELL)
    assert (read_record(layout, CELL).attempt, read_record(layout, CELL).n_epochs) == (2, 3)
    past = layout.history_directory(CELL, 1)
    assert read_record(layout, CELL, directory=past).n_epochs == 2


def test_a_view_at_the_spacing_of_a_remedy_comes_with_its_cell(run, place, tmp_path):
    cell = Cell(dose=1e5, view="one", split="train")
    remedy = Remedy(kind="respace", spacing_threshold=5.0, study_spacing_threshold=60.0, min_exposures=4)
    select_view(STUDY, cell.view, cell.split, run, threshold_px=5.0)
    run_one(STUDY, cell, run, engine=ENGINE, rerun=Rerun(remedy=remedy))
    push_to(place, run)
    layout = RunLayout(tmp_path / "copy")
    pull_from(place, layout)
    assert open_group(layout.kept_group(cell, remedy), ViewAttributes).attributes.n_exposures > 1


def test_a_pulled_run_is_run_on_without_its_finished_cells(six_cells, place, tmp_path):
    layout = RunLayout(tmp_path / "copy")
    push_to(place, six_cells)
    pull_from(place, layout)
    assert run_one(STUDY, CELL, layout, engine=ENGINE).was_done


def test_another_result_of_the_same_attempt_is_refused_on_both_ways(run, six_cells, place):
    push_to(place, six_cells)
    again = STUDY.model_copy(update={"recipe": STUDY.recipe.model_copy(update={"n_epochs": 3})})
    shutil.rmtree(run.cell_directory(CELL))
    run_one(again, CELL, run, engine=ENGINE)
    before = place.read(f"{CELL.name}/attempt_001.json")
    for copy in (lambda: push_to(place, run, patience_s=SOON), lambda: pull_from(place, run)):
        with pytest.raises(InputError, match=f"attempt 1 of {CELL.name} here is another"):
            copy()
    assert place.read(f"{CELL.name}/attempt_001.json") == before
    assert read_record(run, CELL).n_epochs == 3


def test_a_damaged_cell_is_left_out_by_name(run, place):
    remove_member(run.reconstruction_group(CELL), "loss/c.0")
    pushed = push_to(place, run)
    assert pushed.n_attempts == 5
    (words,) = pushed.left_out
    assert words.startswith(f"attempt 1 of {CELL.name}: ")
    assert "does not match its SHA-256" in words
    assert f"{CELL.name}/attempt_001.json" not in place.keys()  # noqa: SIM118


@pytest.mark.parametrize("ending", ["reconstruction.zarr.zip", "ptychi.log"])
def test_a_cell_that_was_altered_at_the_store_is_not_put_in_its_place(six_cells, place, tmp_path, ending):
    push_to(place, six_cells)
    key = next(key for key in place.keys(CELL.name) if key.endswith(ending))
    place.write(key, place.read(key)[:-1] + b"?")
    layout = RunLayout(tmp_path / "copy")
    with pytest.raises(IntegrityError, match=f"{ending} does not match its SHA-256"):
        pull_from(place, layout)
    assert not layout.cell_directory(CELL).exists()


def test_exposures_that_were_altered_at_the_store_are_not_put_in_their_place(six_cells, place, tmp_path):
    push_to(place, six_cells)
    place.write("exposures.zarr/dose_100000/train/counts/c.0.0.0", b"?")
    layout = RunLayout(tmp_path / "copy")
    with pytest.raises(IntegrityError, match=r"counts: chunk c\.0\.0\.0"):
        pull_from(place, layout)
    assert not layout.exposure_group(1e5, "train").exists()


def test_exposures_that_were_made_anew_from_other_settings_are_replaced(run, place, tmp_path):
    push_to(place, run)
    group = run.exposure_group(1e5, "train")
    shutil.rmtree(group)
    shutil.copytree(run.exposure_group(1e5, "test"), group)
    assert push_to(place, run).n_groups == 1
    layout = RunLayout(tmp_path / "copy")
    assert pull_from(place, layout).n_groups > 1
    assert open_group(layout.exposure_group(1e5, "train"), ExposureAttributes).attributes.split == "test"


def test_a_run_of_another_study_is_refused_on_both_ways(run, six_cells, place):
    push_to(place, six_cells)
    write_run_study(run, STUDY.model_copy(update={"name": "another"}))
    with pytest.raises(InputError, match="holds a run of study 'tiny', this one is of 'another'"):
        push_to(place, run)
    with pytest.raises(InputError, match="holds a run of study 'another', and the one there is of 'tiny'"):
        pull_from(place, run)


def test_where_nothing_was_pushed_there_is_nothing_to_pull(place, tmp_path):
    with pytest.raises(InputError, match=r"no study\.json there"):
        pull_from(place, RunLayout(tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()


@pytest.fixture(scope="module")
def s3() -> Iterator[None]:
    with s3_server() as variables, environment(variables):
        yield


def test_commands_push_to_s3_and_pull_from_it(s3, six_cells, tmp_path, fly64dask):
    pushed = fly64dask("push", six_cells.root, "s3://bucket/runs/six")
    assert pushed.stdout.endswith("pushed to s3://bucket/runs/six: 6 new attempts at cells, 0 were there\n"), pushed
    pulled = fly64dask("pull", "s3://bucket/runs/six", tmp_path / "copy")
    assert (pushed.returncode, pulled.returncode) == (0, 0), pulled.stderr
    assert files_of(RunLayout(tmp_path / "copy")) == files_of(six_cells)


def test_exposures_at_s3_open_in_xarray(s3, six_cells):
    push_to(ObjectPlace("s3://bucket/xarray", S3Store("bucket", prefix="xarray")), six_cells)
    there = ObjectStore(S3Store("bucket", prefix="xarray/exposures.zarr/dose_100000/train"), read_only=True)
    counts = open_group(six_cells.exposure_group(1e5, "train"), ExposureAttributes).read("counts")
    with xr.open_zarr(there, consolidated=False) as opened:
        np.testing.assert_array_equal(opened["counts"].values, counts)


def test_a_key_that_leads_out_of_the_run_is_refused(s3, six_cells, tmp_path):
    place = open_place("s3://bucket/evil")
    place.write("study.json", six_cells.study_file)
    outside = f"{os.environ['AWS_ENDPOINT_URL']}/bucket/evil/snapshots/%2E%2E/%2E%2E/outside.json"
    urllib.request.urlopen(urllib.request.Request(outside, data=b"{}", method="PUT"), timeout=60).close()
    with pytest.raises(StorageError, match=r"invalid path"):
        pull_from(place, RunLayout(tmp_path / "below" / "copy"))
    assert not list(tmp_path.rglob("outside.json"))
