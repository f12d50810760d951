"""`python -m fly64dask` in processes of their own, forked from one that has loaded what commands import.

A command that starts from nothing takes 1 to 5 s of CPU time for imports, of which only the tests of imports say
anything. All else is as from a shell: working directory, environment, arguments, output, signals, exit code.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import os
import pickle
import resource
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from forked_python import forked_python
from forked_workers import OUTPUT, fork_workers, fork_workers_at

from fly64dask.cells.isolation.child import Child
from fly64dask.cells.isolation.fork_server import ForkServer
from fly64dask.cells.isolation.protocol import ChildOrders

LOADED = (
    *("fly64dask.cli.main", "fly64dask.cli.terminal.console", "fly64dask.cli.terminal.matrix", "fly64dask.runs.run"),
    *("fly64dask.cells.cell", "fly64dask.report", "distributed.dashboard.scheduler", "scipy.ndimage", "pandas"),
)


@functools.cache
def _server() -> ForkServer:
    server = ForkServer(LOADED)
    atexit.register(server.close)
    return server


def run_command(
    *arguments: object,
    cwd: Path,
    timeout: float = 600,
    environment: Mapping[str, str] | None = None,
    limits: Mapping[str, int] | None = None,
    forks_all: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; one that takes longer than the timeout is killed.

    All that it starts is forked too, unless it is told otherwise, as it must be where others start Python for it.
    """
    with tempfile.TemporaryDirectory() as folder:
        stdout, stderr = Path(folder, "stdout"), Path(folder, "stderr")
        forks = {"workers_from": fork_workers(), "python": forked_python()} if forks_all else {}
        wishes = Wishes(cwd=str(cwd), limits=limits, **forks)
        asked = {"stdout": stdout, "stderr": stderr, "environment": environment, "wishes": wishes}
        with Command("fly64dask", *arguments, **asked) as command, contextlib.suppress(subprocess.TimeoutExpired):
            command.wait(timeout)
        return subprocess.CompletedProcess(command.words, command.wait(), stdout.read_text(), stderr.read_text())


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How a command's process differs from that of who starts it."""

    cwd: str = "."
    limits: Mapping[str, int] | None = None  # by the names that `resource` has
    own_session: bool = False
    workers_from: str | None = (
        None  # address of a server that forks Dask's local workers; None: they start from nothing
    )
    python: str | None = None  # program that starts its other processes, such as the server of engines
    network: str | None = None  # file of a network namespace: it runs on that host


class Command:
    """A module of Python run as a command, as `subprocess.Popen` has it; it is killed when its block ends."""

    def __init__(
        self,
        module: str,
        *arguments: object,
        stdout: Path,
        stderr: Path,
        environment: Mapping[str, str] | None = None,
        wishes: Wishes | None = None,
    ) -> None:
        self.words = [module, *map(str, arguments)]
        self.returncode: int | None = None
        self._child = Child(_server().address)
        self.pid = self._child.pid
        call = functools.partial(_be_the_command, words=self.words, stdout=str(stdout), wishes=wishes or Wishes())
        files = dict(zip(OUTPUT, map(str, (stdout, stderr)), strict=True))
        for path in (stdout, stderr):
            path.write_bytes(b"")
        orders = ChildOrders(
            log_file=str(stderr),
            environment={**os.environ, **(environment or {}), **files},
            import_path=sys.path,
            call=pickle.dumps(call),
        )
        self._child.pipe.send(orders)
        self._waiting = threading.Thread(target=self._wait, daemon=True)
        self._waiting.start()

    def _wait(self) -> None:
        code = self._child.wait()
        self._child.close()
        self.returncode = code

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait()

    def poll(self) -> int | None:
        """Give the exit code, negative for a signal, once the command has ended."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; gives the exit code."""
        self._waiting.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.words, timeout or 0.0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it as a power cut would; what it has started goes on."""
        self.send_signal(signal.SIGKILL)


def _be_the_command(report: object, *, words: Sequence[str], stdout: str, wishes: Wishes) -> None:
    """Become the command, in a new process whose output goes to the file for errors until now."""
    with open(stdout, "ab") as stream:
        os.dup2(stream.fileno(), 1)
    if wishes.own_session:
        os.setsid()
    if wishes.network is not None:
        with open(wishes.network, "rb") as namespace:  # `os.setns` came with Python 3.12
            assert ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0) == 0, ctypes.get_errno()
    os.chdir(wishes.cwd)
    for name, value in (wishes.limits or {}).items():
        resource.setrlimit(getattr(resource, name), (value, value))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the server ignores it
    if wishes.workers_from is not None:
        fork_workers_at(wishes.workers_from)
    if wishes.python is not None:
        sys.executable = wishes.python
    sys.argv = list(words)
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    sys.exit(0)
