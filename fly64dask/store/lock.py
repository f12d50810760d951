"""Lock of a run directory: one process holds it at a time, or several read it; another is refused by name."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fly64dask.base import InputError, host_name, printable, utc_now
from fly64dask.store.disk_errors import storing
from fly64dask.store.layout import RunLayout

# `is_held` shares a lock for less than a millisecond, and no longer than this on a busy machine (our choice).
MOMENT_S = 0.5


class HeldError(InputError):
    """Another living process holds what is to be held."""


@contextmanager
def held_run(layout: RunLayout) -> Iterator[None]:
    """Hold a run directory for as long as the block lasts.

    Parameters
    ----------
    layout : RunLayout
        The run; its directory exists.

    Raises
    ------
    HeldError
        If a living process holds it, with its host, process id and since when.

    Notes
    -----
    The kernel drops a lock with its process, so one of a dead process is never in the way.
    Its holder may remove the file: who has locked one that is no longer there takes a new one.
    """
    with held_file(layout.lock_file, what=f"run {layout.root}"):
        yield


@contextmanager
def unchanging_run(layout: RunLayout) -> Iterator[None]:
    """Keep everyone from holding a run directory for as long as the block lasts; several may do so at once.

    A directory that may not be written, and that nobody ever held, is read as it is.

    Raises
    ------
    HeldError
        If a living process holds it, as of `held_run`.
    """
    if not layout.lock_file.exists() and not os.access(layout.root, os.W_OK):
        yield
        return
    descriptor = _locked(layout.lock_file, f"run {layout.root}", shared=True)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def held_file(path: Path, *, what: str) -> Iterator[None]:
    """Hold what a lock file stands for, as `held_run` does; `what` names it in the error."""
    descriptor = _locked(path, what)
    try:
        holder = json.dumps({"host": host_name(), "pid": os.getpid(), "since": utc_now()})
        with storing(path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, holder.encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a process holds a lock file now; to know, it is shared for a moment, for which who wants it waits."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def holder_of(layout: RunLayout) -> str | None:
    """Say, for people, who holds a run directory; None if nobody does, or a process of this machine that is gone.

    Of another machine's process it is not known here whether it lives.
    """
    try:
        holder = json.loads(layout.lock_file.read_bytes())
        import psutil

        if holder["host"] == host_name() and not psutil.pid_exists(holder["pid"]):
            return None
        return _words(holder)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _locked(path: Path, what: str, *, shared: bool = False) -> int:
    """Open and lock the file that has the name now; who shares it for a moment is waited for."""
    until = time.monotonic() + MOMENT_S
    access, kind = (os.O_RDONLY, fcntl.LOCK_SH) if shared else (os.O_RDWR, fcntl.LOCK_EX)
    while True:
        with storing(path):
            descriptor = os.open(path, access | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _holder(descriptor)
            os.close(descriptor)
            if time.monotonic() < until:
                time.sleep(MOMENT_S / 10)
                continue
            raise HeldError(
                f"{what}: another run is using it ({holder})", remedy="wait for it, or stop that process"
            ) from error
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    try:
        return _words(json.loads(os.pread(descriptor, 4096, 0)))
    except (ValueError, KeyError, TypeError):
        return "it has begun just now, or reads it to merge it"


def _words(holder: dict[str, object]) -> str:
    return printable(f"host {holder['host']}, process {holder['pid']}, since {holder['since']}")
