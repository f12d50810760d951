"""Runs below a URL of an object store: the same is said of them as in a directory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest
from object_store import environment, s3_server

from fly64dask.runs import find_runs, push_run
from fly64dask.store import RunLayout, held_place, open_place

ABOVE = "s3://bucket/listed"


@pytest.fixture(scope="module")
def pushed(six_cells, tmp_path_factory) -> Iterator[list[RunLayout]]:
    """Two runs at a store, the second with half of its cells, and things of others beside and in them."""
    folder = tmp_path_factory.mktemp("listed")
    with s3_server() as variables, environment({**variables, "FLY64DASK_CACHE": str(folder / "cache")}):
        runs = [RunLayout(folder / name) for name in ("a", "deep/b")]
        for run in runs:
            shutil.copytree(six_cells.root, run.root)
        for record in sorted(runs[1].root.glob("dose_*/*/*/record.json"))[::2]:
            shutil.rmtree(record.parent)
        for run, name in zip(runs, ("a", "deep/b"), strict=True):
            push_run(run.root, f"{ABOVE}/{name}")
        place = open_place(ABOVE)
        place.write("notes.txt", b"of somebody else")
        place.write("a/copy/study.json", b"in a run")
        yield runs


def standing(summary):
    """What is said of a run wherever it is."""
    return summary.model_dump(include={"study", "state", "n_cells", "cells", "problem"})


def test_runs_at_a_store_are_found_at_any_depth_with_the_state_that_they_have_in_a_directory(pushed):
    found = list(find_runs(ABOVE))
    assert [summary.path for summary in found] == [f"{ABOVE}/a", f"{ABOVE}/deep/b"]
    for summary, run in zip(found, pushed, strict=True):
        (in_directory,) = find_runs(run.root)
        assert standing(summary) == standing(in_directory)
    assert [summary.state for summary in found] == ["failed", "unfinished"]


def test_the_url_of_a_run_gives_that_run(pushed):
    assert [summary.path for summary in find_runs(f"{ABOVE}/a/")] == [f"{ABOVE}/a"]


def test_the_size_of_a_run_at_a_store_is_that_of_its_objects(pushed):
    (summary,) = find_runs(f"{ABOVE}/deep")
    place = open_place(f"{ABOVE}/deep/b")
    contents = [place.read(key) or b"" for key in place.keys() if key != "push.lock"]  # noqa: SIM118
    assert (summary.n_files, summary.used_bytes) == (len(contents), sum(map(len, contents)))


def test_a_run_that_a_process_holds_is_running_until_the_process_ends(pushed):
    with held_place(open_place(f"{ABOVE}/a")):
        (held,) = find_runs(f"{ABOVE}/a")
    (free,) = find_runs(f"{ABOVE}/a")
    assert (held.state, "process" in (held.holder or "")) == ("running", True)
    assert (free.state, free.holder) == ("failed", None)


def test_a_run_with_a_damaged_study_has_a_problem_and_the_others_none(pushed):
    place = open_place(f"{ABOVE}/deep/b")
    study = place.read("study.json")
    place.write("study.json", study.replace(b"tiny", b"tiry"))
    try:
        found = list(find_runs(ABOVE))
    finally:
        place.write("study.json", study)
    assert [summary.state for summary in found] == ["failed", "damaged"]
    assert "does not match its SHA-256" in found[1].problem


def test_command_lists_runs_at_a_store(pushed, fly64dask):
    done = fly64dask("runs", ABOVE)
    rows = [[word.strip() for word in line.split("│")[1:5]] for line in done.stdout.splitlines() if "│" in line]
    assert rows == [
        [f"{ABOVE}/a", "tiny", "failed", "4 of 6, 2 failed"],
        [f"{ABOVE}/deep/b", "tiny", "unfinished", rows[1][3]],
    ]
    assert len(json.loads(fly64dask("runs", ABOVE, "--json").stdout)["runs"]) == 2
    nothing = fly64dask("runs", f"{ABOVE}/nowhere")
    assert (nothing.returncode, nothing.stdout) == (0, f"no run below {ABOVE}/nowhere\n")
