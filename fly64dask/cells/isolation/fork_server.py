"""A server loads modules once and forks a process that has them for each caller on this machine.

Each process would load pty-chi for seconds and hold it in memory; a fork has it after milliseconds and shares the
memory. `multiprocessing` has such a server for each process that wants one; this one is for all workers.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from fly64dask.base import KEEP_MEMORY, SINGLE_THREAD
from fly64dask.cells.isolation.forked_process import take_calls

NUMBER = struct.Struct("q")  # a process's number, or its exit code, on its way from the server
MAX_PATH = 80  # of the folder for temporary files; a socket's name has 107 bytes
PATIENCE_S = 10.0  # with one who asks for a child and then says nothing


class ForkServer:
    """A process that loads modules and then forks itself for each connection to its address.

    Parameters
    ----------
    preload : sequence of str
        Modules. One that cannot be imported is left to the children, who can say so.

    Notes
    -----
    It loads while this process goes on; who asks meanwhile waits. It ends with the process that started it, by a
    pipe that closes then; its children do not, they end with who asked for them.
    """

    def __init__(self, preload: Sequence[str]) -> None:
        # For this user alone. A socket's name has no room for a long path.
        usual = tempfile.gettempdir()
        self._folder = tempfile.mkdtemp(
            prefix="fly64dask-", dir=usual if len(os.fsencode(usual)) < MAX_PATH else "/tmp"
        )
        self.address = str(Path(self._folder, "fork"))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.address)
            listener.listen(128)
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, str(listener.fileno()), *preload],
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
                env=os.environ
                | SINGLE_THREAD
                | KEEP_MEMORY
                | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the server; its children go on."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def serve(listener: socket.socket, lifeline: int) -> None:
    """Fork a child for each connection and tell it how the child ended, until the lifeline, a pipe's reading end,
    closes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as selector:
        for source in (listener, lifeline, woken):
            selector.register(source, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if lifeline in ready:
                return
            if woken in ready:
                os.read(woken, 4096)
                _tell_ends(children)
            if listener in ready:
                control, _ = listener.accept()
                try:
                    with _receive(control) as pipe:
                        pid = os.fork()
                        if pid == 0:
                            selector.close()
                            for ours in (listener, control, *children.values()):
                                ours.close()
                            _become_child(pipe, (woken, wake))
                except OSError:
                    # Who asked sees that nothing comes; the others' children are not to suffer.
                    control.close()
                    continue
                children[pid] = control
                with contextlib.suppress(OSError):
                    control.sendall(NUMBER.pack(pid))


def _receive(control: socket.socket) -> Connection:
    """Receive a child's end of its pipe."""
    control.settimeout(PATIENCE_S)
    _, descriptors, _, _ = socket.recv_fds(control, 16, 1)
    control.settimeout(None)
    if not descriptors:
        raise ConnectionError("asked for a child without a pipe to it")
    os.set_inheritable(descriptors[0], False)
    return Connection(descriptors[0])


def _tell_ends(children: dict[int, socket.socket]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        control = children.pop(pid, None)
        if control is None:
            continue  # something that a module has left behind
        with control, contextlib.suppress(OSError):
            control.sendall(NUMBER.pack(os.waitstatus_to_exitcode(status)))


def _become_child(pipe: Connection, of_server: tuple[int, int]) -> NoReturn:
    """Put off what a process has of the server that forked it, and carry out the calls of the one that asked."""
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        for descriptor in of_server:
            os.close(descriptor)
        take_calls(pipe)
    finally:
        os._exit(1)


def main() -> None:
    """Load the modules, then serve; ended in order, it leaves nothing."""
    descriptor, *preload = sys.argv[1:]
    listener = socket.socket(fileno=int(descriptor))
    folder = Path(listener.getsockname()).parent
    # Slurm ends all processes of a job in this way.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        _load(preload)
        serve(listener, lifeline=0)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _load(modules: Sequence[str]) -> None:
    if modules:
        from fly64dask.base import load_for_good

        load_for_good(modules)
    # From 3.12 on Python warns of forks beside threads. pyarrow has one, which gives memory back now and then.
    warnings.filterwarnings("ignore", message="This process .* is multi-threaded", category=DeprecationWarning)


if __name__ == "__main__":
    main()
