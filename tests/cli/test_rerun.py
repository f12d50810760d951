"""`fly64dask rerun` and the script for cron on the record case: real processes, real pty-chi."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import jsonschema
import numpy as np
import psutil
import pytest
import tiny
from archives import remove_member
from command_line import run_command
from forked_python import forked_python
from process_families import descendants_of

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "rerun_failed_sparse.sh"
FIVE = {"selection_strategy", "acceptance_rate", "spacing_threshold", "n_accepted", "n_rejected"}
RECORDED = {
    "selection_strategy": "greedy",
    "acceptance_rate": 0.125,
    "spacing_threshold": 102.4,
    "n_accepted": 1,
    "n_rejected": 7,
}
pytestmark = [pytest.mark.slow, pytest.mark.cluster]


@pytest.fixture
def toy(record_case, tmp_path):
    """The record case after `run`: four cells completed, the two sparse ones degenerate; beside it its study file."""
    shutil.copytree(record_case, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run"


def fly(*arguments: object) -> subprocess.CompletedProcess[str]:
    return run_command(*arguments, cwd=Path.cwd())


@pytest.fixture
def script(tmp_path):
    """Run the script from a directory that is not the checkout's, with a fly64dask whose processes are forked."""
    program = tmp_path / "bin" / "fly64dask"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{forked_python()}" -m fly64dask "$@"\n')
    program.chmod(0o755)

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(SCRIPT), *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
            cwd=tmp_path,
            env={**os.environ, "FLY64DASK": str(program), **environment},
        )

    return run


def rows_of(out: Path) -> dict:
    rows = json.loads((out / "reconstruction_manifest.json").read_text())["execution_results"]
    return {(row["view"], row["split"]): row for row in rows}


def content_of(folder: Path) -> dict[Path, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_script_completes_the_sparse_cells_guarded_and_a_later_run_keeps_them(toy, script):
    done = script(toy)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1
    assert done.stdout.endswith(f"{toy}: 2 of 2 failed cells completed, 0 still failed\n")
    rows = rows_of(toy)
    for split in ("train", "test"):
        row = rows["sparse", split]
        assert (row["state"], row["underdetermined"], row["attempt"]) == ("completed", True, 2)
        assert row["remedy"] == {"kind": "guarded"}
        first, second = row["attempts"]
        assert (first["state"], first["failure_kind"]) == ("failed", "degenerate_scan")
        assert (second["state"], second["remedy"]) == ("completed", {"kind": "guarded"})
        for line in (row, first, second):
            assert {name: line[name] for name in FIVE} == RECORDED
    assert all("attempts" not in row for key, row in rows.items() if key[0] != "sparse")
    before = {path: path.read_bytes() for path in toy.glob("dose_*/*/*/record.json")}
    again = fly("run", toy.parent / "toy.toml", "--out", toy)
    assert again.returncode == 0
    assert {path: path.read_bytes() for path in toy.glob("dose_*/*/*/record.json")} == before
    assert rows_of(toy) == rows
    assert fly("verify", toy).stdout == "0 damaged\n"
    status = fly("status", toy).stdout
    assert [line.count(" ? ") for line in status.splitlines() if "n=1" in line] == [1, 1]
    assert "guarded; attempt 2, the first ended in degenerate_scan; underdetermined (?)" in status
    for document, path in (("manifest", "reconstruction_manifest.json"), ("record", "dose_1000/sparse/train/")):
        file = toy / path / "record.json" if document == "record" else toy / path
        jsonschema.validate(json.loads(file.read_text()), json.loads(fly("schema", document).stdout))
    quiet = script(toy)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def test_respace_gives_the_cell_exposures_of_its_own_and_repair_makes_them_again(toy, tmp_path):
    done = fly("rerun", toy, "--failed", "--remedy", "respace", "--split", "train")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "rerun: 1 of 1 failed cells completed, 0 still failed"
    row = rows_of(toy)["sparse", "train"]
    assert row["remedy"] == {
        "kind": "respace",
        "spacing_threshold": row["spacing_threshold"],
        "study_spacing_threshold": 102.4,
        "min_exposures": 4,
    }
    assert row["spacing_threshold"] == pytest.approx(np.hypot(40, 2))
    assert (row["n_accepted"], row["n_kept"], row["underdetermined"]) == (4, 4, False)
    assert [line["n_accepted"] for line in row["attempts"]] == [1, 4]
    assert fly("verify", toy).returncode == 0
    # What is exported is what was reconstructed.
    fly("export", toy, "--dose", 1e3, "--split", "train", "--view", "sparse", "--out", tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as arrays:
        assert len(arrays["diffraction"]) == 4
        assert json.loads(str(arrays["_metadata"]))["spacing_threshold"] == row["spacing_threshold"]
    # The group and the reconstruction are damaged: both are made again, with the remedy.
    (group,) = (toy / "exposures.zarr" / "respaced" / "sparse").glob("*/train")
    shutil.rmtree(group / "kept_indices")
    remove_member(toy / "dose_1000/sparse/train/reconstruction.zarr.zip", "object_recon/c.0.0.0")
    assert fly("verify", toy).returncode == 1
    repaired = fly("verify", toy, "--repair")
    assert (repaired.returncode, repaired.stdout) == (0, "0 damaged\n"), repaired.stderr
    mended = rows_of(toy)["sparse", "train"]
    assert (mended["state"], mended["attempt"], mended["remedy"]) == ("completed", 3, row["remedy"])
    assert mended["digests"] == row["digests"]
    assert fly("run", toy.parent / "toy.toml", "--out", toy, "--split", "train").returncode == 0


def test_rerun_as_is_fails_again_and_says_so(toy):
    done = fly("rerun", toy, "--kind", "singular_matrix,degenerate_scan", "--split", "test")
    row = rows_of(toy)["sparse", "test"]
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "rerun: 0 of 1 failed cells completed, 1 still failed"
    assert (row["attempt"], row["remedy"]) == (2, {"kind": "as-is"})
    assert [line["failure_kind"] for line in row["attempts"]] == ["degenerate_scan"] * 2
    assert rows_of(toy)["sparse", "train"]["attempt"] == 1


@pytest.mark.parametrize(
    "chosen", [("--kind", "singular_matrix"), ("--failed", "--view", "dense"), ("--kind", "not_selectable")]
)
def test_rerun_without_a_match_says_so_and_writes_nothing(toy, chosen):
    before = content_of(toy)
    done = fly("rerun", toy, *chosen)
    assert (done.returncode, done.stdout) == (0, "rerun: no failed cell matches\n")
    assert content_of(toy) == before


@pytest.mark.parametrize("remedy", ["as-is", "guarded", "respace"])
def test_dry_run_changes_nothing_on_disk(toy, remedy):
    before = content_of(toy)
    table = fly("rerun", toy, "--failed", "--remedy", remedy, "--dry-run")
    planned = json.loads(fly("rerun", toy, "--failed", "--remedy", remedy, "--dry-run", "--json").stdout)["cells"]
    assert table.returncode == 0
    assert table.stdout.count("degenerate_scan") == 2
    assert [(one["view"], one["split"]) for one in planned] == [("sparse", "train"), ("sparse", "test")]
    assert {one["remedy"]["kind"] for one in planned} == {remedy}
    assert ("1 -> 4" in table.stdout, "free -> frozen" in table.stdout) == (remedy == "respace", remedy == "guarded")
    assert content_of(toy) == before


def test_rerun_of_a_cell_that_no_spacing_helps_exits_1_and_starts_no_cluster(toy):
    before = content_of(toy)
    done = fly("rerun", toy, "--failed", "--remedy", "respace", "--min-exposures", 9, "--view", "sparse")
    assert done.returncode == 1
    assert done.stderr.count("stays degenerate_scan: respace view 'sparse': all 8 exposures of the split") == 2
    assert "dashboard" not in done.stderr
    assert done.stdout.splitlines()[-1] == "rerun: 0 of 2 failed cells completed, 2 still failed"
    assert content_of(toy) == before


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "give --failed"),
        (("--kind", "tired"), "'tired' is not a failure kind; the kinds are bad_input"),
        (("--failed", "--json"), "--dry-run"),
        (("--failed", "--min-exposures", "4"), "--remedy respace"),
        (("--failed", "--remedy", "shake"), "shake"),
        (("--failed", "--view", "spares"), "spares"),
    ],
)
def test_rerun_exits_2_on_bad_input_and_names_it(toy, arguments, named):
    done = fly("rerun", toy, *arguments)
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr


HOLD = """
import sys, time
from pathlib import Path
from fly64dask.store.layout import RunLayout
from fly64dask.store.lock import held_run
with held_run(RunLayout(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(600)
"""


def test_script_goes_on_after_runs_that_it_cannot_use_and_leaves_one_in_use_alone(toy, tmp_path, script):
    used = tmp_path / "used"
    shutil.copytree(toy, used)
    before = content_of(used)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(used)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        done = script(tmp_path / "absent", used, tmp_path / "bin", "run", "--", "--workers", 1)
        holder.kill()
    absent, in_use, no_run, good = done.stdout.splitlines()
    assert done.returncode == 2
    assert f"{tmp_path}/absent: exit code 2: Error: Invalid value for 'RUN'" in absent
    assert f"{used}: in use, left for the next time: (host " in in_use
    assert f"process {holder.pid}" in in_use
    assert "no study.json there" in no_run
    assert good.endswith(" run: 2 of 2 failed cells completed, 0 still failed")
    assert {path for path in content_of(used).items() if path[0].name != ".lock"} == {
        path for path in before.items() if path[0].name != ".lock"
    }


def test_script_takes_view_remedy_and_options_and_exits_1_while_a_cell_stays_failed(toy, script):
    nothing = script("--view", "dense", toy)
    assert (nothing.returncode, nothing.stdout) == (0, "")
    done = script(toy, "--", "--split", "test", FLY64DASK_REMEDY="as-is")
    assert done.returncode == 1
    assert done.stdout.endswith(": 0 of 1 failed cells completed, 1 still failed\n")


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["--help"], 0, "crontab"),
        ([], 2, "Usage:"),
        (["--remdy", "guarded", "x"], 2, "unknown option --remdy"),
        (["--view"], 2, "--view needs a value"),
    ],
)
def test_script_says_how_it_is_used(script, arguments, code, named):
    done = script(*arguments)
    assert done.returncode == code
    assert named in done.stdout + done.stderr


def test_script_names_a_fly64dask_that_is_not_there(script):
    done = script("run", FLY64DASK="/nowhere/fly64dask")
    assert (done.returncode, done.stdout) == (2, "")
    assert "/nowhere/fly64dask cannot be run" in done.stderr


def test_script_is_clean_for_shellcheck():
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck on this machine")
    done = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True, check=False)
    assert done.stdout == ""


# Respaced, its degenerate view takes seconds.
LONG = tiny.TEXT.replace("n_epochs = 3", "n_epochs = 60").replace("[1e4, 1e5]", "[1e5]")


def runs_an_epoch(out):
    """Whether a cell has done an epoch and not ended; its log moves as it ends."""
    with suppress(FileNotFoundError):
        return any(" epoch=" in path.read_text() for path in out.glob(".scratch/cells/*/*/*/.*/ptychi.log"))
    return False


def test_rerun_killed_in_the_middle_leaves_what_run_and_rerun_make_whole(tmp_path):
    study, out = tmp_path / "tiny.toml", tmp_path / "run"
    study.write_text(LONG)
    assert fly("run", study, "--out", out, "--view", "one").returncode == 1
    respace = ("rerun", out, "--failed", "--remedy", "respace")
    with subprocess.Popen(
        [sys.executable, "-m", "fly64dask", *map(str, respace)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + 120
        while not runs_an_epoch(out):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        children = descendants_of(process.pid)
        os.kill(process.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=120)
    assert alive == []
    # Nothing of the killed attempt counts.
    assert {row["attempt"] for row in rows_of(out).values()} == {1}
    assert fly("run", study, "--out", out, "--view", "one").returncode == 1
    done = fly(*respace)
    assert done.returncode == 0, done.stderr
    rows = rows_of(out)
    assert set(rows) == {("one", "train"), ("one", "test")}
    for row in rows.values():
        assert [line["state"] for line in row["attempts"]] == ["failed", "completed"]
        assert row["n_epochs"] == 60
    assert fly("verify", out).stdout == "0 damaged\n"
