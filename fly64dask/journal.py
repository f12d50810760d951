"""What happened to a cell, as it happened -> lines of one file, which only ever grows."""

from __future__ import annotations

import os
from pathlib import Path

from fly64dask.provenance import host_name, utc_now


def note(path: Path, event: str) -> None:
    """Append one line with the time, host and process; in one write, so that none is cut in two.

    Parameters
    ----------
    path : Path
        A cell's journal; made if missing. For people: nothing is decided by it.
    event : str
        What happened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, f"{utc_now()} host={host_name()} pid={os.getpid()} {event}\n".encode())
    finally:
        os.close(descriptor)
