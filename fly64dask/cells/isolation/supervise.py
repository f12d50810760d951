"""Calls a function in a supervised child process, and gives its result or how the child ended."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import psutil

from fly64dask.base import Failure, FailureKind
from fly64dask.cells.isolation.children import calling_child
from fly64dask.cells.isolation.protocol import Begun, Reported, Returned

if TYPE_CHECKING:
    from fly64dask.study import Limits

POLL_S = 0.25

Report = Callable[[int, float], None]
T = TypeVar("T")
Work = Callable[[Report], T]


@dataclass(frozen=True, slots=True)
class Failed:
    """A child ended without a result, or was ended for going past a limit."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A child was ended because its caller did not want the result any more."""


def call_in_child(
    function: Work[T],
    *,
    log_file: Path,
    limits: Limits,
    on_report: Report,
    stopped: Callable[[], bool] = lambda: False,
    preload: Sequence[str] = (),
    leaves_nothing: bool = False,
) -> Returned[T] | Failed | Cancelled:
    """Call a function in another process and wait for it, whatever becomes of it.

    Parameters
    ----------
    function : callable
        Picklable, from a module that can be imported; called with a function that passes its arguments on to
        `on_report`. What it returns must be picklable; exceptions are its own business.
    log_file : Path
        Gets everything the child writes to standard output and standard error.
    limits : Limits
        Wall time and resident memory, after which the child is killed.
    on_report : callable
        Called here for each report of the child.
    stopped : callable
        Asked several times a second; the child is killed once it says yes.
    preload : sequence of str
        Modules that are loaded once: with pty-chi among them a child starts in a tenth of a second, not in six.
    leaves_nothing : bool
        Whether a call that ends well leaves its process as it was, so that the next one finds what a new process would
        have. The child then stays for it, with what libraries set up once, such as CUDA's context.

    Returns
    -------
    Returned, Failed or Cancelled
        What `function` returned; a failure of kind `timed_out`, `out_of_memory` or `crashed`; or that it was stopped.

    Notes
    -----
    The child dies with this process. Its parent is another one (`fork_server`), which may live on: the kernel's
    parent-death signal would come too late.

    No child stays that gave a `Failure`, crashed, was ended or has made `children.MAX_CALLS` calls. One with a limit of
    memory neither stays nor follows another: what an earlier call has left to the process would count as its own.
    """
    may_stay = leaves_nothing and limits.memory_bytes is None
    with calling_child(function, log_file=log_file, preload=preload, may_stay=may_stay) as child:
        started = time.monotonic()
        while True:
            if child.pipe.poll(POLL_S):
                try:
                    message: Begun | Reported | Returned[T] = child.pipe.recv()
                except (EOFError, ConnectionResetError):
                    return Failed(_how_it_ended(child.wait()))
                if isinstance(message, Returned):
                    child.is_idle = not isinstance(message.value, Failure)
                    return message
                if isinstance(message, Reported):
                    on_report(message.epoch, message.loss)
            if stopped():
                return Cancelled()
            failure = _over_limit(child.pid, time.monotonic() - started, limits)
            if failure is not None:
                return Failed(failure)


def _over_limit(pid: int, seconds: float, limits: Limits) -> Failure | None:
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


def _resident_bytes(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _how_it_ended(exitcode: int | None) -> Failure:
    if exitcode is None:
        return Failure(
            kind=FailureKind.CRASHED,
            message="engine process was lost with the process that forked it (a person ended them, or the kernel for "
            "want of memory); run again",
        )
    if exitcode >= 0:
        return Failure(kind=FailureKind.CRASHED, message=f"engine process left with exit code {exitcode}; see its log")
    name = signal.Signals(-exitcode).name
    hint = " (a person, or the kernel for want of memory)" if name == "SIGKILL" else ""
    return Failure(
        kind=FailureKind.CRASHED, message=f"engine process was ended by {name}{hint}; see its log, then run again"
    )
