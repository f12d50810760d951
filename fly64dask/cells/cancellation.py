"""Cancellation: a run that is told to stop ends its cells in this worker process, each with a record."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fly64dask.store import RunLayout

# Asked every 50 ms; an engine is ended within isolation.POLL_S, its record takes milliseconds.
WAIT_S = 0.05
GIVE_UP_S = 15.0


@dataclass(frozen=True, slots=True)
class RunId:
    """The identity of one call of `fly64dask run`: a worker that outlived an earlier one can tell them apart."""

    root: str
    token: str


def new_run_id(layout: RunLayout) -> RunId:
    """Name one call of a run on a directory."""
    return RunId(root=str(layout.root), token=uuid.uuid4().hex[:6])


# Of this process: a request reaches a worker beside its tasks, and outlives none of them.
_stopped: set[RunId] = set()
_running: Counter[RunId] = Counter()


@contextmanager
def running_cell(run_id: RunId) -> Iterator[None]:
    """Count a cell as running for as long as the block lasts."""
    _running[run_id] += 1
    try:
        yield
    finally:
        _running[run_id] -= 1


def is_stopped(run_id: RunId) -> bool:
    """Tell whether this run's cells shall end."""
    return run_id in _stopped


async def stop_run(run_id: RunId) -> None:
    """Tell this process to end a run's cells, and wait until their records are committed."""
    _stopped.add(run_id)
    await _until_idle({run_id})


async def stop_earlier_runs(run_id: RunId) -> None:
    """End what a run of the same directory, whose driver died, left running in this process."""
    earlier = {other for other in _running if other.root == run_id.root and other != run_id}
    _stopped.update(earlier)
    await _until_idle(earlier)


async def _until_idle(runs: set[RunId]) -> None:
    for _ in range(int(GIVE_UP_S / WAIT_S)):
        if not any(_running[run_id] for run_id in runs):
            return
        await asyncio.sleep(WAIT_S)
