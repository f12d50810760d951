"""Computes the digest of a file's bytes, at once or in a thread."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event

BLOCK_BYTES = 2**22


def file_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class FileDigest:
    """Computes the SHA-256 of a file in a thread while a block lasts; at its end an unfinished computation is dropped.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._stopped, self._thread = path, Event(), ThreadPoolExecutor(1)
        self._found: Future[str] | None = None

    def __enter__(self) -> FileDigest:
        """Start."""
        self._found = self._thread.submit(self._compute)
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop, wherever it is."""
        self._stopped.set()
        self._thread.shutdown(wait=True)

    def result(self) -> str:
        """Wait for the digest, 64 hexadecimal digits; raises OSError if the file cannot be read."""
        assert self._found is not None, "entered"
        return self._found.result()

    def _compute(self) -> str:
        # A library that maps the file, or reads it in parts, has most of it in the system's memory by then.
        digest = hashlib.sha256()
        with self._path.open("rb") as stream:
            while not self._stopped.is_set() and (block := stream.read(BLOCK_BYTES)):
                digest.update(block)
        return digest.hexdigest()
