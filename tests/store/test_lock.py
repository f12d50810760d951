"""Two runs on one directory do not mix, and the dead hold nothing. Real processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from fly64dask.base import InputError
from fly64dask.store import RunLayout, held_run, is_held, unchanging_run

TOY = Path(__file__).resolve().parents[2] / "data" / "toy.toml"
HOLD = """
import sys, time
from pathlib import Path
from fly64dask.store.layout import RunLayout
from fly64dask.store.lock import held_run
with held_run(RunLayout(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_held_run_refuses_a_second_process_and_names_the_first(tmp_path, holder):
    with pytest.raises(InputError, match=f"host .*, process {holder.pid}, since 20"), held_run(RunLayout(tmp_path)):
        pass


def test_held_run_takes_over_from_a_killed_process(tmp_path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with held_run(RunLayout(tmp_path)):
        assert str(os.getpid()) in (tmp_path / ".lock").read_text()


def test_held_run_can_be_taken_again_after_it_ends(tmp_path):
    for _ in range(2):
        with held_run(RunLayout(tmp_path)):
            assert str(os.getpid()) in (tmp_path / ".lock").read_text()


def test_held_run_is_given_back_after_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="inside"), held_run(RunLayout(tmp_path)):
        raise RuntimeError("inside")
    with held_run(RunLayout(tmp_path)):
        pass


def test_several_may_read_a_run_at_once_and_nobody_holds_it_then(tmp_path):
    run = RunLayout(tmp_path)
    refused = pytest.raises(InputError, match="begun just now, or reads it to merge it")
    with unchanging_run(run), unchanging_run(run), refused, held_run(run):
        pass
    with held_run(run):
        pass


def test_who_shares_a_run_for_a_moment_is_waited_for(tmp_path, monkeypatch):
    """As `is_held` does, when another process asks."""
    run, stack = RunLayout(tmp_path), ExitStack()
    stack.enter_context(unchanging_run(run))
    monkeypatch.setattr("time.sleep", lambda seconds: stack.close())
    with held_run(run):
        assert is_held(run.lock_file)
    assert not is_held(run.lock_file)


def test_a_run_that_is_held_is_not_read(tmp_path, holder):
    with pytest.raises(InputError, match=f"process {holder.pid}"), unchanging_run(RunLayout(tmp_path)):
        pass


def test_run_refuses_a_directory_that_another_run_holds(tmp_path, holder, fly64dask):
    done = fly64dask("run", TOY, "--out", tmp_path, "--view", "sparse")
    assert done.returncode == 2
    assert f"process {holder.pid}" in done.stderr
