"""What all who handle a Zarr group share: its metadata file with the attributes and their digests, and blosc's lock."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from fly64dask.base import IntegrityError, digest
from fly64dask.store.groups.files import GroupFiles, opened_group_files

TESTED_NUMCODECS = ("0.15.", "0.16.")
METADATA_NAME = "zarr.json"  # of a group or array in Zarr's format 3


def lock_blosc_between_threads() -> None:
    """Spare each process the lock between processes that numcodecs makes when it first compresses or decompresses.

    Notes
    -----
    numcodecs makes it in `get_mutex`, and then only asks whether there is one: zarr tells blosc to use no threads, so
    nothing is locked. The lock holds a semaphore which a process that is killed never gives back to the system. Where
    the release is not a tested one, or `get_mutex` does not give this lock, nothing is changed, and killed processes
    leave semaphores.
    """
    from numcodecs import __version__ as installed, blosc  # not for those who read attributes alone

    if not installed.startswith(TESTED_NUMCODECS) or blosc._MUTEX_IS_INIT or blosc._MUTEX is not None:
        return
    lock = threading.Lock()
    blosc._MUTEX, blosc._MUTEX_IS_INIT = lock, True
    if blosc.get_mutex() is not lock:
        blosc._MUTEX, blosc._MUTEX_IS_INIT = None, False


def attributes_sha256(metadata: bytes) -> str:
    """Compute the digest of all that a group's metadata say but the digest itself; of floats, of how they are spelt."""
    document = json.loads(metadata, parse_float=str)
    document["attributes"].pop("attributes_sha256", None)
    return digest(document)


def read_attributes(path: Path, purpose: str) -> dict[str, Any]:
    """Read a group's attributes as JSON holds them, and check them; nothing of its arrays is looked at.

    `array_sha256` and `metadata_sha256` among them are the SHA-256 of each array and of its metadata. Raises
    IntegrityError, which names the purpose of reading, if there is no such group or they are not as they were written.
    """
    try:
        with opened_group_files(path) as files:
            return attributes_of(files, purpose)
    except OSError as error:
        raise no_group(purpose, error) from error


def attributes_of(files: GroupFiles, purpose: str) -> dict[str, Any]:
    """Read and check a group's attributes, as `read_attributes` does, of a group whose files are open."""
    try:
        metadata = files.read(METADATA_NAME)
        document: dict[str, Any] = json.loads(metadata)["attributes"]
        stated, computed = document.pop("attributes_sha256", None), attributes_sha256(metadata)
        dict(document["array_sha256"]), dict(document["metadata_sha256"])
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise no_group(purpose, error) from error
    if stated != computed:
        raise damaged(f"{purpose}: attributes do not match their SHA-256 {stated}")
    return document


def no_group(purpose: str, error: Exception) -> IntegrityError:
    """Make the error of a path that holds no group."""
    return IntegrityError(
        f"{purpose}: no readable Zarr v3 group there ({type(error).__name__}: {error})",
        remedy="give the path of a group that fly64dask wrote, or write it again",
    )


def damaged(message: str) -> IntegrityError:
    """Make the error of a group that is not as it was written."""
    return IntegrityError(
        message, remedy="rebuild it with `fly64dask verify RUN --repair`, or ingest again if it is an ingested store"
    )
