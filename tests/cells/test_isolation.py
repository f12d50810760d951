"""A supervised child: its result, or how it ended. Real processes, real signals."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import faulty
import psutil
import pytest

from fly64dask.cells.isolation import Cancelled, Failed, ForkServer, Returned, call_in_child, share_server
from fly64dask.cells.isolation.children import forget_server
from fly64dask.study import Limits


@pytest.fixture
def call(tmp_path):
    def run(work, *, on_report=lambda epoch, loss: None, stopped=lambda: False, preload=(), **limits):
        asked = {"limits": Limits(**limits), "on_report": on_report, "stopped": stopped, "preload": preload}
        return call_in_child(work, log_file=tmp_path / "log", **asked)

    return run


def test_call_in_child_returns_the_result(call):
    assert call(faulty.answer) == Returned({"answer": 42})


def test_call_in_child_passes_reports_on_in_order(call):
    reports = []
    call(faulty.answer, on_report=lambda *report: reports.append(report))
    assert reports == [(1, 0.5), (2, 1.0), (3, 1.5)]


def test_call_in_child_keeps_what_was_said(call, tmp_path):
    call(faulty.talk)
    assert sorted((tmp_path / "log").read_text().splitlines()) == [
        "said by a child",
        "said on stderr",
        "said on stdout",
    ]


def test_call_in_child_says_why_a_log_cannot_be_opened(tmp_path):
    found = call_in_child(
        functools.partial(print, "said"), log_file=tmp_path / "absent" / "log", limits=Limits(), on_report=print
    )
    assert isinstance(found, Returned)
    assert "No such file or directory" in found.value.message


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGABRT", "SIGBUS"])
def test_call_in_child_names_the_signal_that_ended_it(call, name):
    found = call(functools.partial(faulty.die, getattr(signal, name)))
    assert isinstance(found, Failed)
    assert found.failure.kind == "crashed"
    assert name in found.failure.message


def test_call_in_child_names_an_exit_without_a_result(call):
    found = call(faulty.leave)
    assert (found.failure.kind, "exit code 3" in found.failure.message) == ("crashed", True)


def test_call_in_child_keeps_the_trace_of_an_error_that_left_it(call, tmp_path):
    assert call(faulty.lose_connection).failure.kind == "crashed"
    assert "ConnectionResetError: somebody else's connection" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("work", [faulty.hang, faulty.hang_without_giving_up])
def test_call_in_child_ends_a_hang_at_its_limit(call, work):
    found = call(work, wall_time_s=1.5)
    assert found.failure.kind == "timed_out"
    assert "allowed are 1.5 s" in found.failure.message


def test_call_in_child_tells_a_call_that_was_stopped_from_one_that_returned_nothing(call):
    assert call(faulty.hang, stopped=lambda: True) == Cancelled()
    assert call(faulty.return_nothing) == Returned(None)


def test_call_in_child_ends_a_child_that_takes_too_much_memory(call):
    found = call(faulty.grow, memory_bytes=1_500_000_000, wall_time_s=60)
    assert found.failure.kind == "out_of_memory"
    assert "allowed are 1500 MB" in found.failure.message


SUPERVISE = """
import functools, sys
from pathlib import Path
import faulty
from fly64dask.cells.isolation.supervise import call_in_child
from fly64dask.study.model import Limits

if __name__ == "__main__":
    work = functools.partial(faulty.name_process, sys.argv[1])
    call_in_child(work, log_file=Path(sys.argv[1] + ".log"), limits=Limits(), on_report=print)
"""


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_child_dies_with_its_supervisor(tmp_path, name):
    script = tmp_path / "supervise.py"
    script.write_text(SUPERVISE)
    told = tmp_path / "pid"
    environment = {**os.environ, "PYTHONPATH": str(Path(faulty.__file__).parent)}
    supervisor = subprocess.Popen([sys.executable, str(script), str(told)], env=environment)
    wait_until(lambda: told.exists() and told.read_text())
    child = psutil.Process(int(told.read_text()))
    os.kill(supervisor.pid, getattr(signal, name))
    supervisor.wait()
    _, alive = psutil.wait_procs([child], timeout=60)
    assert alive == []


def test_call_in_child_has_its_modules_loaded_once_whatever_other_calls_need(call):
    found = [call(faulty.describe_process, preload=modules).value for modules in ((), ("fractions",)) * 2]
    assert [child["has_fractions"] for child in found] == [False, True, False, True]
    assert len({child["parent"] for child in found}) == 2


def test_call_in_child_goes_on_where_a_module_to_be_loaded_before_raises(call, tmp_path, monkeypatch):
    (tmp_path / "broken_module.py").write_text('raise RuntimeError("compiled against another NumPy")\n')
    monkeypatch.syspath_prepend(tmp_path)
    found = call(faulty.describe_process, preload=("broken_module", "fractions")).value
    assert found["has_fractions"]


OWN_SERVER = """
import sys, time
from fly64dask.cells.isolation.fork_server import ForkServer

server = ForkServer([])
print(server.address, flush=True)
time.sleep(600)
"""


@pytest.fixture
def shared():
    """A server that this process's children are forked by."""
    with ForkServer(["fractions"]) as server:
        share_server(server.address)
        yield server
    forget_server()


def test_fork_server_has_its_modules_loaded_once_for_all(call, shared):
    first, second = (call(faulty.describe_process).value for _ in range(2))
    assert first["has_fractions"]
    assert first["parent"] == second["parent"]


def test_fork_server_gives_children_the_environment_of_who_asks(call, shared, monkeypatch):
    monkeypatch.setenv("TOLD_TO_CHILD", "later than the server's start")
    assert call(faulty.describe_process).value["told"] == "later than the server's start"


def test_call_in_child_goes_on_without_a_server_that_was_killed_and_says_so(call, shared, caplog):
    shared.close()
    assert call(faulty.answer) == Returned({"answer": 42})
    assert "fork server of this process has ended" in caplog.text


def test_call_in_child_names_the_loss_of_both_processes(call, shared):
    found = call(faulty.end_parent_and_die)
    assert found.failure.kind == "crashed"
    assert "lost with the process that forked it" in found.failure.message


def test_child_outlives_the_server_that_forked_it(call, shared):
    assert call(faulty.end_parent) == Returned({"answer": 42})


def test_fork_server_finds_a_short_name_where_temporary_files_have_long_ones(call, tmp_path, monkeypatch):
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with ForkServer([]) as server:
        share_server(server.address)
        assert call(faulty.answer) == Returned({"answer": 42})
    forget_server()


def test_fork_server_that_is_told_to_end_leaves_nothing(call, shared):
    parent = psutil.Process(call(faulty.describe_process).value["parent"])
    parent.terminate()
    parent.wait(timeout=60)
    assert not Path(shared.address).parent.exists()


def test_fork_server_ends_with_its_owner_and_leaves_nothing():
    with subprocess.Popen([sys.executable, "-c", OWN_SERVER], stdout=subprocess.PIPE, text=True) as owner:
        address = Path(owner.stdout.readline().strip())
        (server,) = psutil.Process(owner.pid).children()
        assert address.exists()
        owner.kill()
    _, alive = psutil.wait_procs([server], timeout=60)
    assert alive == []
    assert not address.parent.exists()


def wait_until(happened, seconds=60):
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)
