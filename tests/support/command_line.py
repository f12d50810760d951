"""`python -m fly64dask` in processes of their own, forked from one that has loaded what commands import.

A command that starts from nothing takes 1 to 3 s of CPU time for imports, of which only the tests of imports say
anything. All else is as from a shell: working directory, environment, arguments, output, exit code.
"""

from __future__ import annotations

import atexit
import functools
import os
import pickle
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

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
    *arguments: object, cwd: Path, timeout: float = 600, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; one that takes longer than the timeout is killed."""
    words = ["fly64dask", *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        stdout, stderr = Path(folder, "stdout"), Path(folder, "stderr")
        child = Child(_server().address)
        call = functools.partial(_be_the_command, words=words, cwd=str(cwd), stdout=str(stdout))
        orders = ChildOrders(
            log_file=str(stderr),
            environment={**os.environ, **(environment or {})},
            import_path=sys.path,
            call=pickle.dumps(call),
        )
        late = threading.Timer(timeout, os.kill, (child.pid, signal.SIGKILL))
        late.start()
        try:
            child.pipe.send(orders)
            code = child.wait()
        finally:
            late.cancel()
            child.close()
        return subprocess.CompletedProcess(words, code, stdout.read_text(), stderr.read_text())


def _be_the_command(pipe: Connection, *, words: Sequence[str], cwd: str, stdout: str) -> None:
    """Become the command, in a new process whose output goes to the file for errors until now."""
    with open(stdout, "wb") as stream:
        os.dup2(stream.fileno(), 1)
    os.chdir(cwd)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the server ignores it
    sys.argv = list(words)
    runpy.run_module("fly64dask", run_name="__main__", alter_sys=True)
