"""What the writer and the reader of a Zarr group must agree on: names of files, compression, and digests."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numcodecs import blosc
from zarr.codecs import BloscCodec, BloscShuffle

from fly64dask.base import digest

METADATA_NAME = "zarr.json"  # of a group or array in Zarr's format 3
# Measured on the counts of scripts/bench_store.py, 128 x 128: with the bits of uint16 sorted, zstd at level 1 takes
# 0.53, 0.60 and 0.75 of the bytes of plain zstd at 1e3, 1e4 and 1e5 photons, and less of its time. Larger blocks than
# blosc's own choice save another 2 to 10 %. zstd alone missed 25 of 40 flipped bits, blosc 39, with crc32c none.
BLOSC_BLOCK_BYTES = 2**20


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayFacts:
    """What tells how the bytes of an array are to be read: its digest covers all of it."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[np.generic]
    dims: tuple[str, ...]
    units: str
    long_name: str

    def sha256(self, block_sha256: Sequence[str]) -> str:
        """Compute the SHA-256 of an array from these facts and the digests of its blocks, in their order."""
        return digest(
            {
                "shape": list(self.shape),
                "chunks": list(self.chunks),
                "dtype": self.dtype.str,
                "dims": list(self.dims),
                "units": self.units,
                "long_name": self.long_name,
                "blocks": list(block_sha256),
            }
        )


def blosc_codec(dtype: np.dtype[np.generic]) -> BloscCodec:
    """Choose the compression of an array: equal bits of many values side by side, then zstd in blocks of 1 MiB."""
    return BloscCodec(
        typesize=dtype.itemsize, cname="zstd", clevel=1, shuffle=BloscShuffle.bitshuffle, blocksize=BLOSC_BLOCK_BYTES
    )


def attributes_sha256(directory: Path) -> str:
    """Compute the digest of all that a group's metadata say but the digest itself; of floats, of how they are spelt."""
    document = json.loads((directory / METADATA_NAME).read_bytes(), parse_float=str)
    document["attributes"].pop("attributes_sha256", None)
    return digest(document)


def metadata_sha256(directory: Path) -> str:
    """Compute the SHA-256 of the metadata file of an array or group."""
    return hashlib.sha256((directory / METADATA_NAME).read_bytes()).hexdigest()
