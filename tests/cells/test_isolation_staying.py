"""A child whose call has ended well stays for the next one, and no fault of one call reaches another."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import faulty
import psutil
import pytest

from fly64dask.cells.isolation import Cancelled, Failed, ForkServer, Returned, call_in_child, share_server
from fly64dask.cells.isolation.children import MAX_CALLS, forget_server
from fly64dask.study import Limits


@pytest.fixture
def call(tmp_path):
    """Make a call that leaves nothing. pytest tells each test's name in the environment: none gets another's child."""

    def run(work, *, log="log", stopped=lambda: False, preload=(), leaves_nothing=True, **limits):
        asked = {"limits": Limits(**limits), "on_report": lambda *_: None, "stopped": stopped, "preload": preload}
        return call_in_child(work, log_file=tmp_path / log, leaves_nothing=leaves_nothing, **asked)

    return run


@pytest.fixture
def process_of(call):
    """Make a good call; gives the number of the process that has made it."""
    return lambda **asked: call(faulty.tell_process, **asked).value


def test_call_in_child_goes_on_in_the_process_of_a_call_that_ended_well(process_of):
    assert process_of() == process_of()


def test_call_in_child_gives_a_call_that_may_leave_something_a_process_of_its_own(process_of):
    processes = [process_of(leaves_nothing=stays) for stays in (True, False, True, False)]
    assert processes[0] == processes[2]
    assert len(set(processes)) == 3


FAULTS = {
    "a failure by name": (faulty.fail_by_name, {}, Returned),
    "an exception": (faulty.lose_connection, {}, Failed),
    "an exit": (faulty.leave, {}, Failed),
    "a crash": (functools.partial(faulty.die, signal.SIGKILL), {}, Failed),
    "the end of its time": (faulty.hang, {"wall_time_s": 0.5}, Failed),
    "cancellation": (faulty.hang, {"stopped": lambda: True}, Cancelled),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_call_in_child_uses_no_process_again_after(call, process_of, fault):
    work, asked, outcome = FAULTS[fault]
    before = process_of()
    assert isinstance(call(work, **asked), outcome)
    assert not psutil.pid_exists(before)
    assert process_of() not in (before, None)


def test_call_in_child_watches_the_memory_of_a_process_that_made_no_other_call(process_of):
    kept, watched, next_one = process_of(), process_of(memory_bytes=2**32), process_of()
    assert kept == next_one
    assert watched != kept


def test_call_in_child_takes_no_process_of_another_environment(process_of, monkeypatch):
    before = psutil.Process(process_of())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "another")
    assert process_of() != before.pid
    assert psutil.wait_procs([before], timeout=60)[1] == []


def test_call_in_child_takes_no_process_of_another_import_path(process_of, monkeypatch, tmp_path):
    before = process_of()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert process_of() != before


def test_call_in_child_takes_no_process_that_lacks_its_modules(process_of):
    assert process_of() != process_of(preload=("fractions",))


def test_call_in_child_does_not_blame_a_call_for_the_end_of_a_process_that_waited(call, process_of):
    before = psutil.Process(process_of())
    before.kill()
    psutil.wait_procs([before], timeout=60)
    assert call(faulty.answer) == Returned({"answer": 42})


def test_call_in_child_takes_no_process_whose_server_is_gone(process_of, caplog):
    with ForkServer([]) as server:
        share_server(server.address)
        before = psutil.Process(process_of())
    assert process_of() != before.pid
    assert psutil.wait_procs([before], timeout=60)[1] == []
    assert "fork server of this process has ended" in caplog.text
    forget_server()


def test_call_in_child_ends_a_process_after_so_many_calls(process_of):
    processes = [process_of() for _ in range(MAX_CALLS + 1)]
    assert len(set(processes[:MAX_CALLS])) == 1
    assert processes[MAX_CALLS] != processes[0]


def test_call_in_child_gives_each_call_the_log_of_its_own(call, tmp_path):
    processes = {call(functools.partial(faulty.say, f"call {log}"), log=log).value for log in "abc"}
    assert len(processes) == 1
    assert [(tmp_path / log).read_text() for log in "abc"] == ["call a\n", "call b\n", "call c\n"]


def test_call_in_child_has_closed_the_log_of_a_call_that_returned(call, process_of, tmp_path):
    speaker = call(faulty.say_later, log="of the speaker").value
    time.sleep(0.6)
    assert process_of() == speaker
    assert (tmp_path / "of the speaker").read_text() == ""


SUPERVISE = """
import functools, os, sys, time
from pathlib import Path
import faulty
from fly64dask.cells.isolation import call_in_child
from fly64dask.study import Limits

def call(work):
    log = Path(sys.argv[1] + ".log")
    return call_in_child(work, log_file=log, limits=Limits(), on_report=print, leaves_nothing=True)

if __name__ == "__main__":
    first = call(faulty.tell_process).value
    print(first, flush=True)
    if sys.argv[2] == "waits":
        time.sleep(600)
    elif sys.argv[2] == "computes":
        call(functools.partial(faulty.name_process, sys.argv[1]))
    elif os.fork() == 0:
        print(call(faulty.tell_process).value, flush=True)
    else:
        os.wait()
        print(call(faulty.tell_process).value, flush=True)
"""


@pytest.fixture
def supervise(tmp_path):
    """Run a supervisor of its own; gives its process and the file in which a child names itself."""
    script, told = tmp_path / "supervise.py", tmp_path / "pid"
    script.write_text(SUPERVISE)
    environment = {**os.environ, "PYTHONPATH": str(Path(faulty.__file__).parent)}
    started = []

    def start(then):
        command = [sys.executable, "-W", "ignore", str(script), str(told), then]
        started.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
        return started[0], told

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_child_that_waits_dies_with_its_supervisor(supervise):
    supervisor, _ = supervise("waits")
    child = psutil.Process(int(supervisor.stdout.readline()))
    supervisor.kill()
    assert psutil.wait_procs([child], timeout=60)[1] == []


def test_child_that_makes_a_further_call_dies_with_its_supervisor(supervise):
    supervisor, told = supervise("computes")
    child = psutil.Process(int(supervisor.stdout.readline()))
    deadline = time.monotonic() + 60
    while not (told.exists() and told.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert int(told.read_text()) == child.pid
    supervisor.kill()
    assert psutil.wait_procs([child], timeout=60)[1] == []


def test_child_that_waits_is_not_shared_with_a_process_forked_from_its_supervisor(supervise):
    supervisor, _ = supervise("forks")
    before, of_forked, after = (int(line) for line in supervisor.stdout.read().split())
    assert before == after
    assert of_forked != before
