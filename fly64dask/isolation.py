"""A call in a supervised child process -> its result, or how the child ended."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from fly64dask.errors import FailureKind
from fly64dask.outcome import Failure

if TYPE_CHECKING:
    from fly64dask.study import Limits

POLL_S = 0.25

Report = Callable[[int, float], None]
Work = Callable[[Report], Any]


def call_in_child(
    work: Work,
    *,
    log_file: Path,
    limits: Limits,
    on_report: Report,
    stopped: Callable[[], bool] = lambda: False,
    preload: Sequence[str] = (),
) -> Any | Failure | None:
    """Call a function in a process of its own and wait for it, whatever becomes of it.

    Parameters
    ----------
    work : callable
        Picklable; called with a function that passes its arguments on to `on_report`. What it
        returns must be picklable; exceptions are its own business.
    log_file : Path
        Gets everything the child writes to standard output and standard error.
    limits : Limits
        Wall time and resident memory, after which the child is killed.
    on_report : callable
        Called here for each report of the child.
    stopped : callable
        Asked several times a second; the child is killed once it says yes.
    preload : sequence of str
        Modules that the fork server imports once: with pty-chi among them a child starts in
        well under a second, not in six. The first call in a process decides.

    Returns
    -------
    object, Failure or None
        What `work` returned; else a failure of kind `timed_out`, `out_of_memory` or `crashed`;
        None if it was stopped.

    Notes
    -----
    The child kills itself when this end of its pipe closes, so it dies with its supervisor. Its
    parent is the fork server, which outlives a killed supervisor as long as a child lives: the
    kernel's parent-death signal would come too late.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    ours, theirs = context.Pipe()
    process = context.Process(target=_child, args=(theirs, work, str(log_file)))
    process.start()
    theirs.close()
    started = time.monotonic()
    try:
        while True:
            if ours.poll(POLL_S):
                try:
                    kind, payload = ours.recv()
                except (EOFError, ConnectionResetError):
                    process.join()
                    return _how_it_ended(process.exitcode)
                if kind == "result":
                    process.join()
                    return payload
                on_report(*payload)
            if stopped():
                return None
            failure = _over_limit(process.pid, time.monotonic() - started, limits)
            if failure is not None:
                return failure
    finally:
        if process.is_alive():
            process.kill()
            process.join()
        process.close()
        ours.close()


def prepare_children(preload: Sequence[str]) -> None:
    """Start this process's fork server, which loads modules while this process goes on.

    Parameters
    ----------
    preload : sequence of str
        As for `call_in_child`. What is in the environment now, its children will find.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(preload))
    forkserver.ensure_running()


def _over_limit(pid: int | None, seconds: float, limits: Limits) -> Failure | None:
    if limits.wall_time_s is not None and seconds > limits.wall_time_s:
        return Failure(
            kind=FailureKind.TIMED_OUT,
            message=f"engine ran for {seconds:.1f} s, allowed are {limits.wall_time_s:g} s; raise limits.wall_time_s "
            "in the study, or lower the number of epochs",
        )
    if limits.memory_bytes is not None:
        resident = _resident_bytes(pid)
        if resident > limits.memory_bytes:
            return Failure(
                kind=FailureKind.OUT_OF_MEMORY,
                message=f"engine took {resident / 1e6:.0f} MB of memory, allowed are "
                f"{limits.memory_bytes / 1e6:.0f} MB; raise limits.memory_bytes in the study, or lower the batch size",
            )
    return None


def _resident_bytes(pid: int | None) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _how_it_ended(exitcode: int | None) -> Failure:
    if exitcode is None or exitcode >= 0:
        return Failure(kind=FailureKind.CRASHED, message=f"engine process left with exit code {exitcode}; see its log")
    name = signal.Signals(-exitcode).name
    hint = " (a person, or the kernel for want of memory)" if name == "SIGKILL" else ""
    return Failure(
        kind=FailureKind.CRASHED, message=f"engine process was ended by {name}{hint}; see its log, then run again"
    )


def _child(pipe: Connection, work: Work, log_file: str) -> None:
    """Entry of the child: tie its life to the supervisor's, send its words to the log, do the work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_supervisor, args=(pipe,), daemon=True).start()
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    # What the fork server loaded stays. To search it for garbage, as pty-chi asks, would copy its pages: 0.3 s a cell.
    gc.freeze()
    pipe.send(("result", work(lambda epoch, loss: pipe.send(("report", (epoch, loss))))))
    # Everything is sent and stored; torch's own way out takes half a second.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _die_with_supervisor(pipe: Connection) -> None:
    """Nothing is ever sent this way: the pipe becomes readable when its other end is gone."""
    pipe.poll(None)
    os.kill(os.getpid(), signal.SIGKILL)
