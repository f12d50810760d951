"""Runs below a folder: which are found, how far each is, and what room it takes."""

from __future__ import annotations

import os
import shutil

import pytest
from finished_runs import SIX_CELLS

from fly64dask.base import FailureKind
from fly64dask.records import read_record, write_record
from fly64dask.runs import find_runs
from fly64dask.store import RunLayout, held_run
from fly64dask.study import cells


@pytest.fixture
def run(six_cells, tmp_path):
    shutil.copytree(six_cells.root, tmp_path / "deep" / "run")
    return RunLayout(tmp_path / "deep" / "run")


def found(folder):
    (summary,) = find_runs(folder)
    return summary


def test_find_runs_finds_those_at_any_depth_in_order(run, tmp_path):
    shutil.copytree(run.root, tmp_path / "another")
    assert [summary.path for summary in find_runs(tmp_path)] == [str(tmp_path / "another"), str(run.root)]


def test_find_runs_does_not_look_inside_a_run(run, tmp_path):
    shutil.copytree(run.root, run.root / "copy")
    assert found(tmp_path).path == str(run.root)


def test_find_runs_follows_no_link(run, tmp_path):
    (tmp_path / "link").symlink_to(run.root)
    assert found(tmp_path).path == str(run.root)


def test_find_runs_finds_the_folder_itself(run):
    assert found(run.root).path == str(run.root)


def test_summary_counts_the_cells_by_state(run):
    summary = found(run.root)
    assert (summary.study, summary.n_cells, summary.cells) == ("tiny", 6, {"completed": 4, "failed": 2})


def test_state_is_failed_where_a_cell_has_no_reconstruction(run):
    assert found(run.root).state == "failed"


def test_state_is_unfinished_where_a_cell_is_pending(run):
    shutil.rmtree(run.cell_directory(cells(SIX_CELLS)[0]))
    assert found(run.root).state == "unfinished"


def test_state_is_unfinished_where_a_cell_was_interrupted(run):
    cell = cells(SIX_CELLS)[0]
    ending = {"state": "interrupted", "failure_kind": FailureKind.INTERRUPTED, "error": "stopped", "returncode": 1}
    write_record(run.cell_directory(cell), read_record(run, cell).model_copy(update=ending))
    assert found(run.root).state == "unfinished"


def test_state_is_damaged_with_the_reason_where_the_study_is(run):
    run.study_file.write_text("{}")
    summary = found(run.root)
    assert (summary.state, "study.json" in summary.problem) == ("damaged", True)


def test_state_is_running_while_a_process_holds_the_run(run):
    with held_run(run):
        summary = found(run.root)
    assert (summary.state, f"process {os.getpid()}" in summary.holder) == ("running", True)


def test_used_bytes_are_the_blocks_of_all_files_of_which_one_has_two_names(run):
    os.link(run.manifest_file, run.snapshots / "another_name.json")
    files = [os.path.join(folder, name) for folder, _, names in os.walk(run.root) for name in names]
    blocks = {os.stat(file).st_ino: os.stat(file).st_blocks for file in files}
    summary = found(run.root)
    assert (summary.used_bytes, summary.n_files) == (512 * sum(blocks.values()), len(files))
