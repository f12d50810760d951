"""A process is forked for one call by a server that has its modules, and this process can follow and end it."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import pickle
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from fly64dask.cells.isolation.fork_server import NUMBER, ForkServer
from fly64dask.cells.isolation.protocol import ChildOrders

log = logging.getLogger(__name__)


class Child:
    """A forked process as seen by the process that asked for it: its number, a pipe to it, its end."""

    def __init__(self, address: str) -> None:
        self._has_ended = False
        self._control = socket.socket(socket.AF_UNIX)
        self.pipe, theirs = Pipe()
        with contextlib.ExitStack() as failed, theirs:
            failed.callback(self.close)
            self._control.connect(address)
            socket.send_fds(self._control, [b"fork"], [theirs.fileno()])
            self.pid = self._read_number()
            failed.pop_all()

    def _read_number(self) -> int:
        received = b""
        while len(received) < NUMBER.size:
            piece = self._control.recv(NUMBER.size - len(received))
            if not piece:
                raise ChildProcessError("the process that forks others has ended")
            received += piece
        (number,) = NUMBER.unpack(received)
        return int(number)

    def wait(self) -> int | None:
        """Wait for the child to end; gives its exit code, negative for a signal; None if the server has ended too."""
        self._has_ended = True
        try:
            return self._read_number()
        except OSError:
            return None

    def kill(self) -> None:
        """End the child and wait until it has ended; nothing happens if its end was waited for before."""
        if not self._has_ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.wait()

    def close(self) -> None:
        """Close the connections to the child; if it still runs, it ends itself."""
        self.pipe.close()
        self._control.close()


def fork_child(call: Callable[[Connection], None], log_file: Path, preload: Sequence[str] = ()) -> Child:
    """Call a picklable function in a forked process, with its end of a pipe; the log file gets its output and errors.

    The process has this one's environment and import path, and ends itself when this end of its pipe closes: it dies
    with this process. `preload` are modules to load once, where this process has to start a server of its own, as none
    is shared or it is gone. Raises ChildProcessError if no process can be forked.
    """
    try:
        child = Child(_servers.address(preload))
    except (ConnectionError, FileNotFoundError, ChildProcessError) as error:
        # Somebody ended the server, perhaps the kernel for want of memory.
        log.warning("fork server of this process is gone (%s): it starts one of its own", error)
        forget_server()
        child = Child(_servers.address(preload))
    with contextlib.ExitStack() as failed:
        failed.callback(child.close)
        child.pipe.send(
            ChildOrders(
                log_file=str(log_file), environment=dict(os.environ), import_path=sys.path, call=pickle.dumps(call)
            )
        )
        failed.pop_all()
    return child


def share_server(address: str) -> None:
    """Let this process's children be forked by the server of another process, at its address."""
    _servers.shared = address


def forget_server() -> None:
    """Let this process's next children be forked by new servers of its own."""
    _servers.forget()


class _Servers:
    """The servers that this process asks: one that was named to it for all, else its own, one for each set of modules.

    A child whose server lacks its modules would load them itself: ten seconds of a core, for each child again.
    """

    def __init__(self) -> None:
        self.shared: str | None = None
        self._own: dict[tuple[str, ...], ForkServer] = {}
        self._lock = threading.Lock()

    def address(self, preload: Sequence[str]) -> str:
        with self._lock:
            if self.shared is not None:
                return self.shared
            modules = tuple(preload)
            if modules not in self._own:
                self._own[modules] = ForkServer(modules)
            return self._own[modules].address

    def forget(self) -> None:
        with self._lock:
            self.shared = None
            while self._own:
                self._own.popitem()[1].close()


_servers = _Servers()
atexit.register(_servers.forget)
