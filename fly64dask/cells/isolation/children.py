"""Gives a call its child process: one that waits for a further call, or a new one that the fork server makes."""

from __future__ import annotations

import atexit
import logging
import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fly64dask.cells.isolation.child import Child
from fly64dask.cells.isolation.fork_server import ForkServer
from fly64dask.cells.isolation.protocol import ChildOrders

log = logging.getLogger(__name__)

# What a process gathers from call to call, unseen by anybody, goes with it (our choice).
MAX_CALLS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a process has around a call. Libraries read some of it once, as CUDA does its devices."""

    server: str  # the address
    preload: tuple[str, ...]
    environment: dict[str, str]
    import_path: list[str]


@contextmanager
def calling_child(
    call: Callable[..., object], *, log_file: Path, preload: Sequence[str] = (), may_stay: bool = False
) -> Iterator[Child]:
    """Let a child make a call while the block lasts; afterwards it has ended, or waits for one more.

    Parameters
    ----------
    call : callable
        Picklable; called with a function that reports an epoch.
    log_file : Path
        Gets the child's output and errors.
    preload : sequence of str
        Modules to load once, where this process has to start a server of its own, as none is shared or it is gone.
    may_stay : bool
        Whether calls of this kind may follow each other in one process: a child stays if the block has said that it is
        idle, and the call may be made by one that has stayed.

    Yields
    ------
    Child
        It has this process's environment and import path, and dies with this process.

    Raises
    ------
    ChildProcessError
        If no process can be forked.
    """
    orders = ChildOrders(
        log_file=str(log_file), environment=dict(os.environ), import_path=sys.path.copy(), call=pickle.dumps(call)
    )
    surroundings = Surroundings(
        server=_servers.address(tuple(preload)),
        preload=tuple(preload),
        environment=orders.environment,
        import_path=orders.import_path,
    )
    child = (_idle_child(surroundings, orders) if may_stay else None) or _new_child(surroundings, orders)
    try:
        yield child
    finally:
        if may_stay and child.is_idle and child.n_calls < MAX_CALLS:
            _idle.add(child, surroundings)
        else:
            child.kill()
            child.close()


def share_server(address: str) -> None:
    """Let this process's children be forked by the server of another process, at its address."""
    _servers.shared = address


def forget_server() -> None:
    """Let this process's next children be forked by new servers of its own, and end those that wait for a call."""
    _idle.end()
    _servers.forget()


def _idle_child(surroundings: Surroundings, orders: ChildOrders) -> Child | None:
    """Let a child that waits begin a call; None if there is none."""
    while (child := _idle.take(surroundings)) is not None:
        if child.begins_another(orders):
            return child
        child.close()
    return None


def _new_child(surroundings: Surroundings, orders: ChildOrders) -> Child:
    """Let a new child begin a call."""
    try:
        child = Child(surroundings.server)
    except (ConnectionError, FileNotFoundError, ChildProcessError) as error:
        # Somebody ended the server, perhaps the kernel for want of memory.
        log.warning("the fork server of this process has ended (%s); the process starts another one", error)
        forget_server()
        child = Child(_servers.address(surroundings.preload))
    with ExitStack() as failed:
        failed.callback(child.close)
        child.begin(orders)
        failed.pop_all()
    return child


class _Servers:
    """The servers that this process asks: one that was named to it for all, else its own, one for each set of modules.

    A child whose server lacks its modules would load them itself: ten seconds of a core, for each child again.
    """

    def __init__(self) -> None:
        self.shared: str | None = None
        self._own: dict[tuple[str, ...], ForkServer] = {}
        self._lock = threading.Lock()

    def address(self, preload: tuple[str, ...]) -> str:
        with self._lock:
            if self.shared is not None:
                return self.shared
            if preload not in self._own:
                self._own[preload] = ForkServer(preload)
            return self._own[preload].address

    def forget(self) -> None:
        with self._lock:
            self.shared = None
            while self._own:
                self._own.popitem()[1].close()


class _Idle:
    """The children that wait for one more call; a closed one ends."""

    def __init__(self) -> None:
        self._children: list[tuple[Child, Surroundings]] = []
        self._lock = threading.Lock()

    def take(self, wanted: Surroundings) -> Child | None:
        """Give a child with these surroundings; those with others are not wanted any more, and end."""
        with self._lock:
            while self._children:
                child, surroundings = self._children.pop()
                if surroundings == wanted:
                    return child
                child.close()
        return None

    def add(self, child: Child, surroundings: Surroundings) -> None:
        with self._lock:
            self._children.append((child, surroundings))

    def end(self) -> None:
        with self._lock:
            while self._children:
                self._children.pop()[0].close()

    def leave_to_parent(self) -> None:
        """Have none in a process that was forked from the one whose children they are: they end with that one."""
        self._lock = threading.Lock()  # whoever held it is not here
        self.end()


_servers, _idle = _Servers(), _Idle()
atexit.register(forget_server)
os.register_at_fork(after_in_child=_idle.leave_to_parent)
