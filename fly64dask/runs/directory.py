"""Makes, holds and cleans a run directory while this process computes in it, and waits for room there."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fly64dask.base import Failure, InputError, NoRoomError
from fly64dask.cells import RoomWait
from fly64dask.deploy import remove_certificates
from fly64dask.monitoring import Say
from fly64dask.store import RunLayout, held_run, remove_leftover_files, storing


@contextmanager
def held_directory(layout: RunLayout) -> Iterator[None]:
    """Make a run directory and hold it for as long as the block lasts.

    Files that only a run under way needs are removed at the end; a directory that was made here and holds nothing is
    removed as well. Raises InputError if another living process holds the directory, or a file is in its place.
    """
    is_new = not layout.root.exists()
    if not is_new and not layout.root.is_dir():
        raise InputError(f"run into {layout.root}: it is a file", remedy="give a directory, or another name")
    with storing(layout.root):
        layout.root.mkdir(parents=True, exist_ok=True)
    with held_run(layout):
        remove_certificates(layout.tls_directory)
        try:
            yield
        finally:
            shutil.rmtree(layout.scratch, ignore_errors=True)
            shutil.rmtree(layout.live, ignore_errors=True)
            remove_certificates(layout.tls_directory)
            layout.dashboard_file.unlink(missing_ok=True)
            if is_new and [path.name for path in layout.root.iterdir()] == [layout.lock_file.name]:
                # The cluster could not be used: the directory is left as if nothing had been asked.
                layout.lock_file.unlink()
                layout.root.rmdir()


def clear_leftovers(layout: RunLayout) -> None:
    """Remove what a process that died in this held directory had in progress."""
    shutil.rmtree(layout.scratch, ignore_errors=True)
    shutil.rmtree(layout.live, ignore_errors=True)
    remove_leftover_files(layout.root)
    remove_leftover_files(layout.snapshots)
    remove_leftover_files(layout.checkpoints, below=True)


def written_in_room(layout: RunLayout, patience_s: float, say: Say, write: Callable[[], None]) -> None:
    """Write something of a run, once there is room for it.

    Raises NoRoomError if there was none for so many seconds.
    """

    def tell(reason: str | None) -> None:
        say("disk: the wait for space is over" if reason is None else f"disk: {reason}; waiting until there is space")

    room = RoomWait(folder=layout.root, patience_s=patience_s, what="tables of the run", say=tell)
    while True:
        try:
            return write()
        except NoRoomError as error:
            if not room.helps(Failure(kind=error.kind, message=str(error), room_bytes=error.n_bytes)):
                raise
