"""What the writer and the reader of a Zarr group share: the name and the digests of its metadata, and blosc's lock."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path

from numcodecs import blosc

from fly64dask.base import digest

METADATA_NAME = "zarr.json"  # of a group or array in Zarr's format 3


def _lock_blosc_between_threads() -> None:
    """Spare each process the lock between processes that numcodecs makes when it first compresses or decompresses.

    Notes
    -----
    numcodecs (0.15 to 0.16) makes it in `get_mutex`, and then only asks whether there is one: zarr tells blosc to use
    no threads, so nothing is locked. The lock holds a semaphore which a process that is killed never gives back to
    the system. Of a release that keeps its lock elsewhere nothing is changed, and killed processes leave semaphores.
    """
    if getattr(blosc, "_MUTEX", lambda: None) is None and getattr(blosc, "_MUTEX_IS_INIT", None) is False:
        blosc._MUTEX, blosc._MUTEX_IS_INIT = threading.Lock(), True


_lock_blosc_between_threads()


def attributes_sha256(directory: Path) -> str:
    """Compute the digest of all that a group's metadata say but the digest itself; of floats, of how they are spelt."""
    document = json.loads((directory / METADATA_NAME).read_bytes(), parse_float=str)
    document["attributes"].pop("attributes_sha256", None)
    return digest(document)


def metadata_sha256(directory: Path) -> str:
    """Compute the SHA-256 of the metadata file of an array or group."""
    return hashlib.sha256((directory / METADATA_NAME).read_bytes()).hexdigest()
