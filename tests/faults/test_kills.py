"""Fourteen SIGKILLs at random events of eight commands, then the run of an undisturbed machine. Real processes.

The engine is that of the tests, so that kills hit cells and not the seconds in which torch is imported.
`FLY64DASK_KILL_ROUNDS=20 pytest tests/faults/test_kills.py` does as many rounds instead of eight.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import tiny
from command_line import Command, Wishes
from faulty_engine import EPOCH_S, FOLDER
from forked_python import forked_python
from forked_workers import fork_workers
from free_ports import free_ports
from process_families import descendants_of

from fly64dask.records import read_run_study
from fly64dask.runs import verify_run
from fly64dask.store import RunLayout

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

N_CELLS, N_WORKERS = 30, 2
N_WORKERS_KILLED = 2  # by a round that kills workers
STUDY = tiny.TEXT.replace("[1e4, 1e5]", "[1e3, 3e3, 1e4, 3e4, 1e5]").replace("n_epochs = 3", "n_epochs = 20")
STUDY = STUDY.replace("[source]", "checkpoints = {min_seconds = 0}\n[source]")
DESCENDANTS: set[psutil.Process] = set()  # of every command, when it was killed
CELL_S = 0.5
TIMES = {"seconds", "metrics_seconds"}


SUPPORT = Path(tiny.__file__).parent
ENVIRONMENT = {
    "DASK_DISTRIBUTED__WORKER__DAEMON": "False",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(SUPPORT),
    EPOCH_S: "0.025",
}


def start(module: str, *arguments: object, wishes: Wishes | None = None) -> Command:
    nowhere = Path(os.devnull)
    return Command(module, *arguments, stdout=nowhere, stderr=nowhere, environment=ENVIRONMENT, wishes=wishes)


def run(study: Path, out: Path, where: str = "local") -> Command:
    return start("run_with_faulty_engine", study, out, where)


def run_undisturbed(study: Path, out: Path) -> int:
    """Run to the end, with all processes forked, as none is killed; gives the exit code."""
    forked = Wishes(workers_from=fork_workers(), python=forked_python())
    return start("run_with_faulty_engine", study, out, "local", wishes=forked).wait(timeout=600)


def without_faults(folder: Path) -> Path:
    (folder / "faults.json").write_text("{}")
    ENVIRONMENT[FOLDER] = str(folder)
    return folder


def end(process: Command) -> None:
    DESCENDANTS.update(descendants_of(process.pid))
    process.kill()
    process.wait()


def wait_for(process: Command, happened: Callable[[], object]) -> bool:
    """Wait for an event of a command; tells whether it came before the command's end."""
    deadline = time.monotonic() + 120
    while not happened():
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return True


def commits(out: Path, n: int) -> Callable[[], bool]:
    """The event that so many more cells are committed, of which one is in flight by then."""
    before = n_records(out)
    return lambda: n_records(out) >= before + n and live_files(out) != []


def live_files(out: Path) -> list[Path]:
    """One for each cell in flight; a command that starts removes those of a killed one, folders and all."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(RunLayout(out).live.rglob("*.json"))
    return []


def n_records(out: Path) -> int:
    return len(list(out.glob("dose_*/*/*/record.json")))


def kill_the_command(study: Path, out: Path, rng: random.Random) -> bool:
    process = run(study, out)
    in_flight = wait_for(process, commits(out, rng.randrange(5)))
    time.sleep(rng.uniform(0, CELL_S))
    end(process)
    return in_flight


def kill_workers(study: Path, out: Path, rng: random.Random) -> bool:
    """The run goes on with new workers, until the command is killed too."""
    process = run(study, out)
    killed: list[int] = []

    def killed_one() -> bool:
        family = {child.pid: child for child in descendants_of(process.pid)}
        for path in live_files(out):
            with contextlib.suppress(OSError, ValueError, KeyError, psutil.NoSuchProcess):  # its cell has just ended
                worker = family[json.loads(path.read_text())["pid"]]
                worker.kill()
                killed.append(worker.pid)
                return True
        return False

    in_flight = all(
        wait_for(process, commits(out, rng.randrange(3))) and wait_for(process, killed_one)
        for _ in range(N_WORKERS_KILLED)
    )
    wait_for(process, commits(out, rng.randrange(3)))
    end(process)
    return in_flight


def kill_the_scheduler(study: Path, out: Path, rng: random.Random) -> bool:
    """The command must end by itself."""
    (port,) = free_ports(1)
    local = ("--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0")
    scheduler = start("dask", "scheduler", "--port", port, *local)
    address = f"tcp://127.0.0.1:{port}"
    worker = ("dask", "worker", address, "--nthreads", 1, "--no-nanny", "--death-timeout", 60, *local)
    workers = [start(*worker) for _ in range(N_WORKERS)]
    command = run(study, out, address)
    in_flight = wait_for(command, commits(out, rng.randrange(5)))
    end(scheduler)
    try:
        assert command.wait(timeout=180) not in (0, -signal.SIGKILL)
        for process in workers:
            process.wait(timeout=180)
    finally:
        for process in (command, *workers):
            end(process)
    return in_flight


KINDS = itertools.cycle([kill_the_command, kill_workers, kill_the_scheduler])
ROUNDS = list(itertools.islice(KINDS, int(os.environ.get("FLY64DASK_KILL_ROUNDS", "8"))))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run that nothing happens to."""
    folder = without_faults(tmp_path_factory.mktemp("undisturbed"))
    study, out = folder / "tiny.toml", folder / "run"
    study.write_text(STUDY)
    assert run_undisturbed(study, out) == 1
    return out


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory):
    """A run killed in every round, then left alone; what was committed at each kill, and which kills hit."""
    folder = without_faults(tmp_path_factory.mktemp("kills"))
    study, out = folder / "tiny.toml", folder / "run"
    study.write_text(STUDY)
    rng = random.Random(4)
    committed: dict[Path, bytes] = {}
    hits = []
    for disturb in rng.sample(ROUNDS, len(ROUNDS)):
        hits.append(disturb(study, out, rng))
        # A later round must not touch what an earlier one finished.
        for path in out.glob("dose_*/*/*/record.json"):
            committed.setdefault(path, path.read_bytes())
        if len(committed) > N_CELLS - 8:
            forget(out, committed, rng)
    assert run_undisturbed(study, out) == 1, "the degenerate cells turn the exit code"
    return out, committed, hits


def forget(out: Path, committed: dict[Path, bytes], rng: random.Random) -> None:
    """Nearly everything is done before the last round: take half of it away, so that there is something to kill."""
    for path in rng.sample(sorted(committed), N_CELLS // 2):
        directory = path.parent
        directory.rename(directory.with_name(f".forgotten-{directory.name}-{time.monotonic_ns()}"))
        del committed[path]


def rows(out: Path) -> list[dict[str, object]]:
    found = json.loads((out / "reconstruction_manifest.json").read_text())["execution_results"]
    return [{key: value for key, value in row.items() if key not in TIMES} for row in found]


def test_kills_hit_cells_in_flight(disturbed):
    # A round may find nothing left but cells that end at once.
    assert sum(disturbed[2]) >= len(ROUNDS) - 2


def test_run_ends_with_the_manifest_of_an_undisturbed_run(disturbed, undisturbed):
    assert len(rows(disturbed[0])) == N_CELLS
    assert rows(disturbed[0]) == rows(undisturbed)


def test_run_redoes_no_finished_cell(disturbed):
    _, committed, _ = disturbed
    assert committed
    assert {path: path.read_bytes() for path in committed} == committed


def test_run_starts_again_only_what_was_in_flight(disturbed):
    journals = list((disturbed[0] / "journal").rglob("*.log"))
    n_started = sum(path.read_text().count(" started ") for path in journals)
    n_forgotten = len(list(disturbed[0].rglob(".forgotten-*")))
    # A killed worker costs its cell, a killed command or scheduler those of both workers.
    n_in_flight = sum(2 + N_WORKERS_KILLED * (disturb is kill_workers) for disturb in ROUNDS)
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
    _, alive = psutil.wait_procs(DESCENDANTS, timeout=120)
    for process in alive:
        process.kill()
    assert alive == []
