"""A process that a server has forked for this one, which can follow and end it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from multiprocessing import Pipe
from multiprocessing.connection import wait

from fly64dask.cells.isolation.fork_server import NUMBER
from fly64dask.cells.isolation.protocol import Begun, ChildOrders

PATIENCE_S = 10.0  # with a child that has nothing to do but to begin a call


class Child:
    """A forked process as seen by the process that asked for it: its number, a pipe to it, its end.

    `is_idle` says that its last call has ended well: whoever follows the call sets it. It may then be given one more.
    """

    def __init__(self, address: str) -> None:
        self.n_calls, self.is_idle = 0, False
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

    def begin(self, orders: ChildOrders) -> None:
        """Let the child make a call."""
        self.n_calls, self.is_idle = self.n_calls + 1, False
        self.pipe.send(orders)

    def begins_another(self, orders: ChildOrders) -> bool:
        """Let an idle child make one more call; False if it has not begun, as it or its server has ended meanwhile."""
        if wait([self._control], timeout=0):
            return False
        try:
            self.begin(orders)
            if self.pipe.poll(PATIENCE_S) and isinstance(self.pipe.recv(), Begun):
                return True
        except (EOFError, ConnectionError):
            pass
        self.kill()
        return False

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
