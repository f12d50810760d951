"""Name an operating system's refusal to store something: where, how much is free, and what to do."""

from __future__ import annotations

import os
import resource
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fly64dask.base import BAD_DEVICE, NO_DESCRIPTORS, NO_PLACE, NO_RIGHT, NO_ROOM, NO_SPACE, NoRoomError, StorageError

ROOM_REMEDY = "make space and do the same again: what is committed stays"


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Name the storage's own failures while a path is written.

    Raises StorageError if there is no space, no right, no descriptor or a failing device; any other error passes.
    """
    try:
        yield
    except OSError as error:
        failure = _storage_error(path, error)
        if failure is None:
            raise
        raise failure from error


def require_space(path: Path, n_bytes: int) -> None:
    """Raise NoRoomError if the file system of an existing directory has fewer bytes free than will be stored."""
    if shutil.disk_usage(path).free < n_bytes:
        error = NoRoomError(f"write {path}: {_free(path)}, needed are {n_bytes / 1e6:.1f} MB", remedy=ROOM_REMEDY)
        error.n_bytes = n_bytes
        raise error


def has_room(folder: Path, n_bytes: int) -> bool:
    """Tell whether so many bytes can be stored in an existing directory.

    They are reserved in a file that is gone at once: what a quota leaves shows in no other way.
    """
    if shutil.disk_usage(folder).free < n_bytes:
        return False  # to try would take from others what is left
    probe = folder / f".room-{uuid.uuid4().hex}"  # as `remove_leftover_files` knows them
    try:
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, n_bytes)
        finally:
            os.close(descriptor)
            probe.unlink()
    except OSError as error:
        return error.errno not in NO_ROOM  # what else is wrong is told by what is stored
    return True


def _storage_error(path: Path, error: OSError) -> StorageError | None:
    message = f"write {path}: {error.strerror}"
    if error.errno in NO_SPACE:
        named = NoRoomError if error.errno in NO_ROOM else StorageError
        return named(f"{message}; {_free(path)}", remedy=ROOM_REMEDY)
    if error.errno in NO_DESCRIPTORS:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return StorageError(f"{message}; a process may have {limit}", remedy="raise it with `ulimit -n` and run again")
    if error.errno in NO_RIGHT | NO_PLACE:
        return StorageError(message, remedy="make it writable, or give another place")
    if error.errno in BAD_DEVICE:
        return StorageError(message, remedy="check the disk, then `fly64dask verify RUN --repair`")
    return None


def _free(path: Path) -> str:
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    usage = shutil.disk_usage(existing)
    return f"{usage.free / 1e6:.1f} of {usage.total / 1e6:.0f} MB are free"
