"""The loop of a forked process: it carries out calls, one after the other, as they come through its pipe."""

from __future__ import annotations

import os
import pickle
import select
import signal
import sys
import threading
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import NoReturn

from fly64dask.base import result_or_failure
from fly64dask.cells.isolation.protocol import Begun, ChildOrders, Reported, Returned

# Without a call for so long a process ends, which gives back its memory and its GPU's. Our choice: a worker that waits
# for exposures or a selection gets its next cell sooner.
IDLE_S = 60.0


def take_calls(pipe: Connection) -> NoReturn:
    """Carry out the calls that come through a pipe; leave when nobody has any more, or when one raises.

    This process dies with the one at the pipe's other end, whatever it is doing then.
    """
    code = 1
    try:
        threading.Thread(target=_die_with_supervisor, args=(pipe,), daemon=True).start()
        while (orders := _next_orders(pipe)) is not None:
            _carry_out(orders, pipe)
            del orders  # arrays may be among them
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        # Everything is sent and stored; torch's own way out takes half a second.
        with suppress(OSError, ValueError):
            _flush()
        os._exit(code)


def _die_with_supervisor(pipe: Connection) -> None:
    """Wait until the pipe's other end is gone, whatever is sent through it meanwhile."""
    hang_up = select.poll()
    hang_up.register(pipe.fileno(), select.POLLHUP)
    hang_up.poll()
    os.kill(os.getpid(), signal.SIGKILL)


def _next_orders(pipe: Connection) -> ChildOrders | None:
    """Wait for a call; None if there is none for long, or nobody to have one."""
    try:
        orders: ChildOrders | None = pipe.recv() if pipe.poll(IDLE_S) else None
    except (EOFError, ConnectionError):
        return None
    return orders


def _carry_out(orders: ChildOrders, pipe: Connection) -> None:
    """Take on the environment of the process that asks, call its function and send what it returns.

    A log that finds no room on the disk is sent as the failure that it is: the call can be made again later.
    """
    pipe.send(Begun())
    refused = result_or_failure(
        lambda: _redirect(orders.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 1, 2), what=str(orders.log_file)
    )
    if refused is not None:
        pipe.send_bytes(pickle.dumps(Returned(refused)))
        return
    _redirect(os.devnull, os.O_RDONLY, 0)
    os.environ.clear()
    os.environ.update(orders.environment)
    sys.path[:] = orders.import_path
    value = pickle.loads(orders.call)(lambda epoch, loss: pipe.send(Reported(epoch, loss)))
    # Who is told of the result may close the log and count on what it says.
    refused = result_or_failure(_flush, what=str(orders.log_file))
    returned = pickle.dumps(Returned(value if refused is None else refused))
    _redirect(os.devnull, os.O_WRONLY, 1, 2)
    _flush()  # what found no room is not for the next call's log
    pipe.send_bytes(returned)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def _redirect(path: str, flags: int, *descriptors: int) -> None:
    opened = os.open(path, flags, 0o644)
    for descriptor in descriptors:
        os.dup2(opened, descriptor)
    os.close(opened)
