"""Journal of a cell: a file to which each start and end of an attempt adds a line, and which a run reads back."""

from __future__ import annotations

import os
import re
from pathlib import Path

from fly64dask.base import host_name, utc_now


def note(path: Path, event: str) -> None:
    """Append an event to a cell's journal with time, host and process, in one write, so that none is cut in two."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, f"{utc_now()} host={host_name()} pid={os.getpid()} {event}\n".encode())
    finally:
        os.close(descriptor)


def started(attempt: int, *, run: str, checkpoint: str) -> str:
    """Word the event that a run started an attempt, from a checkpoint if there is one."""
    return f"started attempt={attempt} run={run} checkpoint={checkpoint or '-'}"


def starts_in_vain(path: Path, *, run: str, checkpoint: str) -> int:
    """Count how often a run has started a cell of late that neither ended nor got any further.

    These are the last lines of its journal that say `started` by this run, from the checkpoint where the cell is now.
    """
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return 0
    same_start = re.compile(rf" started attempt=\d+ run={re.escape(run)} checkpoint={re.escape(checkpoint or '-')}$")
    in_vain = 0
    for line in reversed(lines):
        if not same_start.search(line):
            break
        in_vain += 1
    return in_vain
