"""Killed at any moment, run again, done: nothing finished is redone, nothing is lost. Real SIGKILL."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny

from fly64dask.layout import RunLayout
from fly64dask.runs import read_run_study
from fly64dask.verify import verify_run

pytestmark = [pytest.mark.slow, pytest.mark.cluster]
CELLS = 12


def start(study: Path, out: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "fly64dask", "run", str(study), "--out", str(out), "--workers", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def committed(out: Path) -> dict[Path, bytes]:
    """Committed records by path; reading races with nothing, a record never changes in place."""
    return {path: path.read_bytes() for path in out.glob("dose_*/*/*/record.json")}


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A run whose driver was killed in three rounds, each after another cell or two, and then finished."""
    folder = tmp_path_factory.mktemp("resume")
    study, out = folder / "tiny.toml", folder / "run"
    study.write_text(tiny.TEXT.replace("n_epochs = 3", "n_epochs = 60"))
    rng = random.Random(1)
    seen: dict[Path, bytes] = {}
    for _ in range(3):
        process = start(study, out)
        wanted = len(committed(out)) + 1
        deadline = time.monotonic() + 180
        while len(committed(out)) < min(wanted, CELLS) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 1.5))
        seen = committed(out) | seen
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert start(study, out).wait(timeout=600) == 1
    return out, seen


def test_run_finishes_every_cell_after_kills(killed):
    rows = json.loads((killed[0] / "reconstruction_manifest.json").read_text())["execution_results"]
    assert len(rows) == CELLS
    assert {row["state"] for row in rows if row["view"] != "one"} == {"completed"}


def test_run_redoes_no_finished_cell_after_kills(killed):
    _, seen = killed
    assert seen
    assert {path: path.read_bytes() for path in seen} == seen


def test_run_leaves_nothing_in_progress_after_kills(killed):
    assert list((killed[0] / ".scratch").iterdir()) == []


def test_run_leaves_nothing_damaged_after_kills(killed):
    layout = RunLayout(killed[0])
    assert verify_run(read_run_study(layout), layout) == ()


def test_run_gives_the_numbers_of_an_undisturbed_run_after_kills(killed, tmp_path):
    study, out = tmp_path / "tiny.toml", tmp_path / "run"
    study.write_text(tiny.TEXT.replace("n_epochs = 3", "n_epochs = 60"))
    start(study, out).wait(timeout=600)
    digests = []
    for run in (killed[0], out):
        rows = json.loads((run / "reconstruction_manifest.json").read_text())["execution_results"]
        digests.append([(row["view"], row["cell_key"], row.get("digests"), row.get("final_loss")) for row in rows])
    assert digests[0] == digests[1]
