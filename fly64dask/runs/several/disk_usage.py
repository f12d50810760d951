"""Measures the disk space that a run takes, by kind of content."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from fly64dask.store import RunLayout

BLOCK_BYTES = 512  # of `st_blocks`, whatever the file system's own blocks are


class Usage(NamedTuple):
    """The room that files take: bytes on disk, which a sparse or a tiny file's length does not tell; their number."""

    n_bytes: int = 0
    n_files: int = 0

    def plus(self, other: Usage) -> Usage:
        """Return the sum of both."""
        return Usage(self.n_bytes + other.n_bytes, self.n_files + other.n_files)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunUsage:
    """The room that a run takes, and when the newest of its files was written, seconds since 1970."""

    total: Usage
    changed_s: float


def measure_run(layout: RunLayout) -> RunUsage:
    """Measure a run; files that go meanwhile are left out, and so is the file that says who holds it."""
    total, changed_s = Usage(), layout.root.stat().st_mtime
    for path, status in _files_below(layout.root):
        if path != str(layout.lock_file):
            changed_s = max(changed_s, status.st_mtime)
        total = total.plus(_usage_of(status))
    return RunUsage(total=total, changed_s=changed_s)


def measure(path: Path) -> Usage:
    """Measure a file, or a directory with all that is in it; nothing where there is none."""
    total = Usage()
    if path.is_dir() and not path.is_symlink():
        for _, status in _files_below(path):
            total = total.plus(_usage_of(status))
        return total
    try:
        return _usage_of(path.lstat())
    except OSError:
        return total


def _usage_of(status: os.stat_result) -> Usage:
    # A file with several names, as the last manifest and its dated copy, takes its room once.
    return Usage(status.st_blocks * BLOCK_BYTES // max(1, status.st_nlink), 1)


def _files_below(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Walk all that is no directory below a folder; no link is followed."""
    left = [str(folder)]
    while left:
        try:
            entries = list(os.scandir(left.pop()))
        except OSError:
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                left.append(entry.path)
                continue
            try:
                yield entry.path, entry.stat(follow_symlinks=False)
            except OSError:
                continue
