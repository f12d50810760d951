"""Publish files and directories in one step, so that a reader finds a whole one or none."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from fly64dask.base import InputError, host_name
from fly64dask.store.disk_errors import storing


@contextmanager
def published_directory(target: Path, *, scratch: Path, lasting: bool = True) -> Iterator[Path]:
    """Build a directory aside and rename it into place when the block ends well.

    Parameters
    ----------
    target : Path
        Where the finished directory appears. If another writer has put a non-empty directory
        there first, theirs stays and ours is dropped: writers of one target write equal content.
    scratch : Path
        Directory on the same file system for work in progress; made if missing.
    lasting : bool
        Whether it survives a power cut, after which it may otherwise be there in part: for copies, of which the
        content is compared with the original before they are used.

    Yields
    ------
    Path
        An empty directory to fill.

    Notes
    -----
    Killed at any line, `target` is absent or whole, on disk and not only in the page cache.

    Raises
    ------
    StorageError
        If the file system has no room or gives no right; `target` is as it was.
    """
    with storing(target):
        # What is in progress is worth nothing after a power cut: its folder needs not survive one.
        scratch.mkdir(parents=True, exist_ok=True)
        unfinished, lock = _make_held_directory(scratch, _work_prefix(target))
        try:
            yield unfinished
            if lasting:
                _sync_tree(unfinished)
                _make_folder(target.parent)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
            try:
                unfinished.rename(target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            if lasting:
                _sync(target.parent)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
            os.close(lock)


def remove_leftovers(target: Path, *, scratch: Path) -> None:
    """Remove what killed writers of a target left in `scratch`, given both as to `published_directory`.

    A writer holds a kernel lock on its directory, which ends with its process: what a living one is filling stays.
    Another host may not see such a lock, so each looks after its own; where there are no locks, nothing is removed.
    """
    prefix = _work_prefix(target)
    for name in os.listdir(scratch) if scratch.is_dir() else ():
        if not re.fullmatch(re.escape(prefix) + "[0-9a-f]{32}", name):
            continue
        with suppress(OSError):  # its writer lives, or it is gone by now
            lock = os.open(scratch / name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(scratch / name, ignore_errors=True)
            finally:
                os.close(lock)


def remove_leftover_files(folder: Path, *, below: bool = False) -> None:
    """Remove what killed calls of `publish_bytes` left beside their targets in a directory, or in all below it too.

    Nobody else is writing in the directory; it need not exist.
    """
    for path in folder.rglob(".*") if below else folder.glob(".*"):
        if re.fullmatch(r"\..+-[0-9a-f]{32}", path.name) and path.is_file():
            path.unlink(missing_ok=True)


def publish_bytes(target: Path, write: Callable[[BinaryIO], object], *, scratch: Path | None = None) -> None:
    """Replace a file's content in one step.

    Parameters
    ----------
    target : Path
        The file; its directory is made if missing.
    write : callable
        Gets a binary stream and writes the whole content.
    scratch : Path, optional
        Directory on the same file system for the file in progress, made if missing; without it
        the file is made beside the target.

    Raises
    ------
    StorageError
        If the file system has no room or gives no right; the old content stays.
    """
    with storing(target):
        _make_folder(target.parent)
        folder = scratch or target.parent
        folder.mkdir(parents=True, exist_ok=True)
        with replaced_file(target, folder=folder) as unfinished, unfinished.open("wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        _sync(target.parent)


@contextmanager
def replaced_file(target: Path, *, folder: Path | None = None) -> Iterator[Path]:
    """Replace a file in one step when the block ends well; whether it survives a power cut is left open.

    The block writes the whole content to the path it gets, beside the target or in a folder on the same file system.
    Raises InputError if the target is a device, a pipe or the like: a file in its place would be its end.
    """
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise InputError(f"write {target}: it is no plain file", remedy="give the name of a new file")
    unfinished = (folder or target.parent) / f".{target.name}-{uuid.uuid4().hex}"
    try:
        yield unfinished
        unfinished.replace(target)
    finally:
        if unfinished.exists():
            unfinished.unlink()


def publish_text(target: Path, text: str) -> None:
    """Replace a file's content in one step with UTF-8 text; its directory is made if missing."""
    publish_bytes(target, lambda stream: stream.write(text.encode()))


def publish_link(target: Path, source: Path) -> None:
    """Replace a file in one step by what another one holds, which nobody writes to again: both become one file.

    Where a file system has no hard links, the content is copied.
    """
    with storing(target):
        with replaced_file(target) as unfinished:
            try:
                os.link(source, unfinished)
            except OSError:  # whatever else is wrong comes up again
                shutil.copyfile(source, unfinished)
                _sync(unfinished)
        _sync(target.parent)


def retire_directory(target: Path, *, to: Path) -> None:
    """Move a directory out of the way in one step, to a path on the same file system that must not exist."""
    with storing(to):
        _make_folder(to.parent)
        target.rename(to)
        _sync(to.parent)


def _make_folder(folder: Path) -> None:
    """Make a directory and its parents; those that are new survive a power cut."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for parent in missing:
        _sync(parent.parent)


def _work_prefix(target: Path) -> str:
    return f".{target.name}-{host_name()}-"


def _make_held_directory(scratch: Path, prefix: str) -> tuple[Path, int]:
    """Make an empty directory and lock it, unless somebody took it for a leftover in between."""
    while True:
        unfinished = scratch / f"{prefix}{uuid.uuid4().hex}"
        unfinished.mkdir()
        try:
            lock = os.open(unfinished, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        except OSError:
            unfinished.rmdir()
            raise
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        if unfinished.exists():
            return unfinished, lock
        os.close(lock)


def _sync_tree(directory: Path) -> None:
    for folder, _, names in os.walk(directory, topdown=False):
        for name in names:
            _sync(Path(folder, name))
        _sync(Path(folder))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
