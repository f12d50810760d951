"""Name an operating system's refusal to store something: where, how much is free, and what to do."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fly64dask.base import BAD_DEVICE, NO_DESCRIPTORS, NO_PLACE, NO_RIGHT, NO_SPACE, StorageError


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
    """Raise StorageError if the file system of an existing directory has fewer bytes free than will be stored."""
    if shutil.disk_usage(path).free < n_bytes:
        raise StorageError(
            f"write {path}: {_free(path)}, needed are {n_bytes / 1e6:.1f} MB", remedy="make space and run again"
        )


def _storage_error(path: Path, error: OSError) -> StorageError | None:
    message = f"write {path}: {error.strerror}"
    if error.errno in NO_SPACE:
        return StorageError(f"{message}; {_free(path)}", remedy="make space and run again: what is committed stays")
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
