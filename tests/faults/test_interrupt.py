"""Ctrl-C or SIGTERM stops in order, a second Ctrl-C at once; nothing is left running. Real signals, real processes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import tiny
from command_line import Command, run_command
from free_ports import free_ports
from process_families import descendants_of, grandchildren_of

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

# Two cells of seven seconds each, with a checkpoint every tenth epoch: neither has ended when the other has its first.
N_EPOCHS = 3600
LONG = tiny.TEXT.replace("n_epochs = 3", f"n_epochs = {N_EPOCHS}").replace(
    "[source]", "checkpoints = {min_seconds = 0}\n[source]"
)
ONLY = ("--dose", "1e5", "--view", "few")


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, arguments)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "DASK_DISTRIBUTED__WORKER__DAEMON": "False", "OMP_NUM_THREADS": "1"},
        # A shell starts what it puts into the background with the interrupt ignored, tests too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(happened, seconds=120):
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def n_checkpoints(out: Path) -> int:
    return len(list(out.glob("checkpoints/*/*/*.state")))


@pytest.fixture
def started(tmp_path):
    """Start commands; whatever happens, their process groups end."""
    processes = []

    def start_one(*arguments: object) -> subprocess.Popen[str]:
        processes.append(start(*arguments))
        return processes[-1]

    yield start_one
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def long_run(tmp_path, started):
    """A run whose two cells have both written a checkpoint."""
    study, out = tmp_path / "tiny.toml", tmp_path / "run"
    study.write_text(LONG)
    process = started("fly64dask", "run", study, "--out", out, "--workers", 2, *ONLY)
    wait_for(lambda: n_checkpoints(out) == 2 or process.poll() is not None)
    assert process.poll() is None, process.communicate()[1]
    return process, study, out


def rows(out: Path) -> list[dict[str, object]]:
    return json.loads((out / "reconstruction_manifest.json").read_text())["execution_results"]


def test_ctrl_c_stops_in_order_and_the_next_run_continues_from_the_checkpoints(long_run):
    process, study, out = long_run
    children = descendants_of(process.pid)
    # As a terminal does: the whole foreground group gets the signal.
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "on disk: 2 interrupted, 10 pending" in stderr
    assert "run the same command again to continue" in stderr
    assert "Traceback" not in stderr
    assert children
    assert psutil.wait_procs(children, timeout=120)[1] == []
    assert [row["failure_kind"] for row in rows(out)] == ["interrupted"] * 2
    assert "stopped on request after epoch" in rows(out)[0]["error"]
    n_epochs = {path.parent.name: path for path in out.glob("dose_*/few/*/record.json")}
    assert set(n_epochs) == {"train", "test"}
    again = run_command("run", study, "--out", out, "--workers", 2, *ONLY, cwd=out.parent)
    assert again.returncode == 0, again.stderr
    for path in n_epochs.values():
        record = json.loads(path.read_text())
        assert record["state"] == "completed"
        assert record["n_epochs"] == N_EPOCHS
        assert record["resumed_from_epoch"] >= 10
    assert n_checkpoints(out) == 0


def test_a_second_ctrl_c_stops_at_once(long_run):
    process, *_ = long_run
    children = descendants_of(process.pid)
    os.kill(process.pid, signal.SIGINT)
    # Two signals at once may reach a process as one: the second waits until the first was heard.
    assert process.stderr is not None
    assert any("once more to stop at once" in line for line in process.stderr)
    os.kill(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "stopped at once: committed cells stay" in stderr
    assert psutil.wait_procs(children, timeout=120)[1] == []


def test_a_second_sigterm_hurries_nothing(long_run):
    """A batch system sends it to all processes of a job, and the job's shell hands it on."""
    process, *_ = long_run
    os.kill(process.pid, signal.SIGTERM)
    assert process.stderr is not None
    assert any("stopping: " in line for line in process.stderr)
    os.kill(process.pid, signal.SIGTERM)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "on disk: 2 interrupted, 10 pending" in stderr


@pytest.fixture
def command():
    """Start commands that are forked; whatever happens, they end."""
    with contextlib.ExitStack() as commands:

        def start_one(*words: object) -> Command:
            nowhere = Path(os.devnull)
            return commands.enter_context(Command(*words, stdout=nowhere, stderr=nowhere))

        yield start_one


@pytest.fixture
def users_own(command):
    """A scheduler of the user's own and its worker: the scheduler's address, and the worker."""
    (port,) = free_ports(1)
    local = ("--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0")
    command("dask", "scheduler", "--port", port, *local)
    address = f"tcp://127.0.0.1:{port}"
    return address, command("dask", "worker", address, "--nthreads", 1, "--no-nanny", *local)


def test_sigterm_ends_the_engines_on_workers_that_go_on(tmp_path, command, users_own):
    """The workers of another scheduler live, what they ran for us does not."""
    study, out = tmp_path / "tiny.toml", tmp_path / "run"
    study.write_text(LONG)
    address, worker = users_own
    run = command("fly64dask", "run", study, "--out", out, "--cluster", address, *ONLY)
    wait_for(lambda: n_checkpoints(out) == 1 or run.poll() is not None)
    engines = grandchildren_of(worker.pid)
    assert engines
    run.send_signal(signal.SIGTERM)
    assert run.wait(timeout=120) == 130
    assert psutil.wait_procs(engines, timeout=120)[1] == []
    assert worker.poll() is None
    assert {row["failure_kind"] for row in rows(out)} == {"interrupted"}


def test_a_new_run_ends_what_a_killed_command_left_on_workers_that_go_on(tmp_path, command, users_own):
    study, out = tmp_path / "tiny.toml", tmp_path / "run"
    study.write_text(LONG)
    address, _ = users_own
    one = (*ONLY, "--split", "train")
    killed = command("fly64dask", "run", study, "--out", out, "--cluster", address, *one)
    wait_for(lambda: n_checkpoints(out) == 1 or killed.poll() is not None)
    killed.kill()
    killed.wait()
    again = command("fly64dask", "run", study, "--out", out, "--cluster", address, *one)
    assert again.wait(timeout=600) == 0
    journal = (out / "journal" / "dose_100000" / "few" / "train.log").read_text()
    states = [re.sub(" run=.*", "", line.split("pid=")[1].split(" ", 1)[1]) for line in journal.splitlines()]
    assert states == [
        "started attempt=1",
        "ended state=interrupted kind=interrupted",
        "started attempt=2",
        "ended state=completed kind=None",
    ]
