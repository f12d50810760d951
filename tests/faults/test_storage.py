"""A full disk, a read-only one, too few descriptors: said clearly, and the run is finished once that is mended."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest
import tiny
from command_line import run_command
from faulty_engine import ENGINE
from one_cell import run_one
from running import running

from fly64dask.base import FailureKind
from fly64dask.datasets import expose_split, prepare_scan, select_view
from fly64dask.reconstruction import CheckpointFile
from fly64dask.records import read_run_study
from fly64dask.runs import merge_runs, verify_run
from fly64dask.store import RunLayout
from fly64dask.study import Checkpoints, Study, cells, parse_study

pytestmark = [pytest.mark.slow, pytest.mark.cluster]
WAITING = tiny.TEXT.replace("[1e4, 1e5]", "[1e5]").replace('    {name = "all", rule = "baseline"},\n', "")
STUDY = WAITING.replace("[source]", "limits = {room_wait_s = 0}\n[source]")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, 8 MB, that can be filled, grown and made read-only."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or mount("-t", "tmpfs", "-o", "size=8m", "tmpfs", place) != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs a small file system, which a privileged user may mount")
        pytest.skip("mounting a small file system needs a privileged user")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def mount(*arguments: object) -> int:
    return subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=False).returncode


def fill(disk: Path, n_free: int) -> None:
    """Leave so many bytes free; if somebody takes some of them meanwhile, what is left is filled."""
    free = os.statvfs(disk)
    with (disk / "filler").open("wb", buffering=0) as filler:
        try:
            filler.write(bytes(free.f_bavail * free.f_frsize - n_free))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def run(folder: Path, out: Path, **limits: int) -> subprocess.CompletedProcess[str]:
    study = folder / "tiny.toml"
    study.write_text(STUDY)
    return run_command("run", study, "--out", out, "--workers", 2, cwd=folder, timeout=300, limits=limits)


def assert_finished(folder: Path, out: Path) -> None:
    """Run again: four cells are there, the degenerate ones failed, and every byte is right."""
    assert run(folder, out).returncode == 1
    rows = json.loads((out / "reconstruction_manifest.json").read_text())["execution_results"]
    assert [row["state"] for row in rows].count("completed") == 2
    assert len(rows) == 4
    assert verify_run(read_run_study(RunLayout(out)), RunLayout(out)) == ()


@pytest.mark.parametrize("n_free", [60_000, 1_300_000], ids=["before_the_first_cell", "at_the_cells"])
def test_run_says_that_the_disk_is_full_and_goes_on_when_there_is_space(small_disk, tmp_path, n_free):
    out = small_disk / "run"
    fill(small_disk, n_free)
    full = run(tmp_path, out)
    assert full.returncode in (1, 2)
    assert "of 8 MB are free" in full.stderr
    assert "make space and do the same again" in full.stderr
    (small_disk / "filler").unlink()
    assert_finished(tmp_path, out)


@pytest.fixture
def on_small_disk(small_disk, tmp_path):
    """A folder whose run is on the small file system."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (small_disk / "run").mkdir()
    (folder / "run").symlink_to(small_disk / "run")
    return folder


@pytest.mark.parametrize("n_free", [60_000, 1_300_000], ids=["before_the_first_cell", "at_the_cells"])
def test_run_waits_on_a_full_disk_and_ends_by_itself_once_there_is_room(small_disk, on_small_disk, n_free):
    fill(small_disk, n_free)
    with running(on_small_disk, study=WAITING, epoch_s=0.0) as found:
        found.wait_for(lambda: "the run waits until there is space" in found.said.read_text())
        assert list(small_disk.glob("run/dose_*/few/*/record.json")) == []
        (small_disk / "filler").unlink()
        assert found.process.wait(timeout=300) == 1, "the degenerate cells turn the exit code"
        assert "the wait for space is over" in found.said.read_text()
    assert_waited_well(small_disk / "run")


def test_run_waits_where_the_disk_fills_up_while_its_cells_run(small_disk, on_small_disk):
    with running(on_small_disk, study=WAITING, faults={"*": 1}, epoch_s=0.5) as found:
        found.wait_for(lambda: [cell for cell in found.state()["cells"] if cell.get("epoch")])
        fill(small_disk, 0)
        found.tell({})
        found.wait_for(lambda: [cell for cell in found.state()["cells"] if "waits" in cell])
        (small_disk / "filler").unlink()
        assert found.process.wait(timeout=300) == 1
    assert_waited_well(small_disk / "run")


def test_a_disk_that_fills_up_during_a_cell_is_named_whichever_write_finds_no_room(small_disk, engine_faults):
    """Each page more lets one more write succeed: of the log, the arrays, the record, the journal."""
    study, layout = small_study(small_disk)
    ends = [end_of_cell(study, layout, small_disk, n_pages) for n_pages in range(24)]
    assert set(ends) == {FailureKind.STORAGE_FAILED, None}
    assert ends[-1] is None


def small_study(disk: Path) -> tuple[Study, RunLayout]:
    """A study whose cells do not wait for space, and a run of it on the disk that has all a first cell needs."""
    study, layout = parse_study(STUDY, origin="tiny.toml"), RunLayout(disk / "run")
    prepare_scan(study, layout)
    expose_split(study, 1e5, "train", layout)
    select_view(study, "few", "train", layout)
    return study, layout


def end_of_cell(study: Study, layout: RunLayout, disk: Path, n_pages: int) -> FailureKind | None:
    """Say how a cell ends for which so many pages of the disk are left after its first epoch."""
    for place in (layout.root / "dose_100000", layout.history, layout.journals, layout.scratch):
        shutil.rmtree(place, ignore_errors=True)
    (disk / "filler").unlink(missing_ok=True)

    def fill_once(epoch: int, loss: float) -> None:
        if epoch == 1:
            fill(disk, n_pages * resource.getpagesize())

    failure = run_one(study, cells(study)[0], layout, progress=fill_once, engine=ENGINE).failure
    return None if failure is None else failure.kind


def test_checkpoint_for_which_there_is_no_room_is_left_out(small_disk):
    fill(small_disk, 0)
    checkpoint = CheckpointFile(path=small_disk / "cell.state", cell_key="key", settings=Checkpoints())
    checkpoint.save(lambda: bytes(10**6))
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


def assert_waited_well(out: Path) -> None:
    """All cells have ended in their first attempt, and nothing is left in progress."""
    rows = json.loads((out / "reconstruction_manifest.json").read_text())["execution_results"]
    ends = [(row.get("failure_kind"), row.get("error"), row["attempt"]) for row in rows]
    others = [end for end in ends if end[0] != "degenerate_scan"]
    assert (others, len(ends)) == ([(None, None, 1)] * 2, 4)
    assert verify_run(read_run_study(RunLayout(out)), RunLayout(out)) == ()
    assert list(out.rglob(".room-*")) == []


def test_run_says_that_the_directory_is_read_only_and_goes_on_when_it_is_not(small_disk, tmp_path):
    out = small_disk / "run"
    assert mount("-o", "remount,ro", small_disk) == 0
    refused = run(tmp_path, out)
    assert refused.returncode == 2
    assert f"write {out}: Read-only file system; make it writable, or give another place" in refused.stderr
    assert mount("-o", "remount,rw", small_disk) == 0
    assert_finished(tmp_path, out)


def test_runs_on_a_read_only_disk_are_merged(small_disk, six_cells, low_dose, tmp_path):
    runs = [small_disk / "high", small_disk / "low"]
    for layout, copy in zip((six_cells, low_dose), runs, strict=True):
        shutil.copytree(layout.root, copy, ignore=shutil.ignore_patterns(layout.lock_file.name))
    assert mount("-o", "remount,ro", small_disk) == 0
    merged = merge_runs(runs, tmp_path / "both")
    assert (merged.verify(), len(merged.table())) == ((), 12)


def test_run_names_a_file_that_may_not_grow(tmp_path):
    """A quota by another name; no privilege is needed for it."""
    out = tmp_path / "run"
    limited = run(tmp_path, out, RLIMIT_FSIZE=1000)
    assert limited.returncode == 2
    assert "study.json: File too large" in limited.stderr


def test_run_refuses_a_descriptor_limit_that_no_cluster_fits_in(tmp_path):
    out = tmp_path / "run"
    refused = run(tmp_path, out, RLIMIT_NOFILE=64)
    assert refused.returncode == 2
    assert "a process may open 64 files and sockets, needed 256" in refused.stderr
    assert not out.exists()
