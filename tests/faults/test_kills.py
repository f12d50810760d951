"""Twenty rounds of SIGKILL at random moments, then the run of an undisturbed machine. Real processes, real signals.

The engine is that of the tests, so that kills hit cells and not the seconds in which torch is imported.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import tiny
from faulty_engine import EPOCH_S, FOLDER

from fly64dask.records import read_run_study
from fly64dask.runs import verify_run
from fly64dask.store import RunLayout

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

N_CELLS, N_ROUNDS, N_WORKERS = 30, 20, 2
STUDY = tiny.TEXT.replace("[1e4, 1e5]", "[1e3, 3e3, 1e4, 3e4, 1e5]").replace("n_epochs = 3", "n_epochs = 40")
STUDY = STUDY.replace("[source]", "checkpoints = {min_seconds = 0}\n[source]")
DESCENDANTS: set[psutil.Process] = set()  # of every command, when it was killed
TIMES = {"seconds", "metrics_seconds"}


SUPPORT = Path(tiny.__file__).parent
ENVIRONMENT = {
    "DASK_DISTRIBUTED__WORKER__DAEMON": "False",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(SUPPORT),
    EPOCH_S: "0.025",
}


def start(*arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **ENVIRONMENT},
    )


def run(study: Path, out: Path, where: str = "local") -> subprocess.Popen[bytes]:
    return start(SUPPORT / "run_with_faulty_engine.py", study, out, where)


def without_faults(folder: Path) -> Path:
    (folder / "faults.json").write_text("{}")
    ENVIRONMENT[FOLDER] = str(folder)
    return folder


def end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        DESCENDANTS.update(psutil.Process(process.pid).children(recursive=True))
    process.kill()
    process.wait()


def kill_the_command(study: Path, out: Path, rng: random.Random, run_s: float) -> None:
    process = run(study, out)
    time.sleep(rng.uniform(0, run_s / 2))
    end(process)


def kill_a_worker(study: Path, out: Path, rng: random.Random, run_s: float) -> None:
    """The run goes on with a new worker, until the command is killed too."""
    process = run(study, out)
    time.sleep(rng.uniform(run_s / 7, run_s / 2))
    workers = [child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())]
    for worker in rng.sample(workers, min(1, len(workers))):
        worker.kill()
    time.sleep(rng.uniform(0, run_s / 4))
    end(process)


def kill_the_scheduler(study: Path, out: Path, rng: random.Random, run_s: float) -> None:
    """The command must end by itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    local = ("--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0")
    scheduler = start("-m", "dask", "scheduler", "--port", port, *local)
    address = f"tcp://127.0.0.1:{port}"
    worker = ("-m", "dask", "worker", address, "--nthreads", 1, "--no-nanny", "--death-timeout", 5, *local)
    workers = [start(*worker) for _ in range(N_WORKERS)]
    command = run(study, out, address)
    time.sleep(rng.uniform(run_s / 5, run_s / 2))
    end(scheduler)
    try:
        assert command.wait(timeout=60) not in (0, -signal.SIGKILL)
        for process in workers:
            process.wait(timeout=60)
    finally:
        for process in (command, *workers):
            end(process)


ROUNDS = [kill_the_command] * 10 + [kill_a_worker] * 6 + [kill_the_scheduler] * 4


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run that nothing happens to, and how long it takes: about 14 s on a quiet machine, 3 of them to start."""
    folder = without_faults(tmp_path_factory.mktemp("undisturbed"))
    study, out = folder / "tiny.toml", folder / "run"
    study.write_text(STUDY)
    started = time.monotonic()
    assert run(study, out).wait(timeout=600) == 1
    return out, time.monotonic() - started


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory, undisturbed):
    """A run that was killed in twenty rounds and then left alone; what was committed at each kill."""
    folder = without_faults(tmp_path_factory.mktemp("kills"))
    study, out = folder / "tiny.toml", folder / "run"
    study.write_text(STUDY)
    rng = random.Random(4)
    committed: dict[Path, bytes] = {}
    for disturb in rng.sample(ROUNDS, N_ROUNDS):
        disturb(study, out, rng, undisturbed[1])
        # A later round must not touch what an earlier one finished.
        for path in out.glob("dose_*/*/*/record.json"):
            committed.setdefault(path, path.read_bytes())
        if len(committed) == N_CELLS:
            forget(out, committed, rng)
    assert run(study, out).wait(timeout=600) == 1, "the degenerate cells turn the exit code"
    return out, committed


def forget(out: Path, committed: dict[Path, bytes], rng: random.Random) -> None:
    """Everything is done before the last round: take half of it away, so that there is something to kill."""
    for path in rng.sample(sorted(committed), N_CELLS // 2):
        directory = path.parent
        directory.rename(directory.with_name(f".forgotten-{directory.name}-{time.monotonic_ns()}"))
        del committed[path]


def rows(out: Path) -> list[dict[str, object]]:
    found = json.loads((out / "reconstruction_manifest.json").read_text())["execution_results"]
    return [{key: value for key, value in row.items() if key not in TIMES} for row in found]


def test_run_ends_with_the_manifest_of_an_undisturbed_run(disturbed, undisturbed):
    assert len(rows(disturbed[0])) == N_CELLS
    assert rows(disturbed[0]) == rows(undisturbed[0])


def test_run_redoes_no_finished_cell(disturbed):
    _, committed = disturbed
    assert committed
    assert {path: path.read_bytes() for path in committed} == committed


def test_run_starts_again_only_what_was_in_flight(disturbed):
    journals = list((disturbed[0] / "journal").rglob("*.log"))
    n_started = sum(path.read_text().count(" started ") for path in journals)
    n_forgotten = len(list(disturbed[0].rglob(".forgotten-*")))
    # A killed worker costs its cell, a killed command or scheduler those of both workers.
    n_in_flight = sum(3 if disturb is kill_a_worker else 2 for disturb in ROUNDS)
    assert len(journals) == N_CELLS
    assert n_started <= N_CELLS + n_forgotten + n_in_flight


def test_run_leaves_nothing_in_progress_and_nothing_damaged(disturbed):
    layout = RunLayout(disturbed[0])
    assert [path for path in layout.scratch.rglob("*") if path.is_file()] == []
    assert [path for path in layout.checkpoints.rglob("*") if path.is_file()] == []
    assert list(layout.root.glob(".*-*")) == []
    assert verify_run(read_run_study(layout), layout) == ()


def test_kills_leave_no_process(disturbed):
    assert DESCENDANTS
    _, alive = psutil.wait_procs(DESCENDANTS, timeout=30)
    for process in alive:
        process.kill()
    assert alive == []
