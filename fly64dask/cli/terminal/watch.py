"""Shows a run until it ends: as a matrix that is redrawn on a terminal, or as a line for each change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from fly64dask.cli.terminal.matrix import failure_lines, matrix_table
from fly64dask.cli.terminal.overview import overview_lines, overview_table
from fly64dask.cli.terminal.running import live_table, waiting_lines
from fly64dask.monitoring import RunOverview, RunStatus

Seen = TypeVar("Seen", RunStatus, RunOverview)
SeenNow = TypeVar("SeenNow", RunStatus, RunOverview, covariant=True)


class Reader(Protocol[SeenNow]):
    """A reader of a run that is called repeatedly; it reads each cell, or how many cells are in each state."""

    def read(self) -> SeenNow:
        """Look at the run."""


def watch_run(
    reader: Reader[Seen], console: Console, *, interval_s: float, goes_on: Callable[[], bool | None] | None = None
) -> Seen:
    """Show a run until no cell is pending or running any more, or the process that ran it has ended in order.

    A terminal is redrawn; elsewhere each change gets a line. If `goes_on` is given, it tells better than the run's lock
    whether the run is still under way; it returns None if it does not know. Returns the last status of the run.
    """
    if console.is_terminal:
        return _redraw(reader, console, interval_s, _HasEnded(goes_on))
    return _print_changes(reader, console, interval_s, _HasEnded(goes_on))


def _redraw(reader: Reader[Seen], console: Console, interval_s: float, ended: _HasEnded) -> Seen:
    run_status = reader.read()
    with Live(_picture(run_status), console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
        while not ended(run_status):
            time.sleep(interval_s)
            run_status = reader.read()
            live.update(_picture(run_status), refresh=True)
    return run_status


def _print_changes(reader: Reader[Seen], console: Console, interval_s: float, ended: _HasEnded) -> Seen:
    before: Seen | None = None
    worker_jobs = None
    while True:
        run_status = reader.read()
        if run_status.worker_jobs not in (None, worker_jobs):
            worker_jobs = run_status.worker_jobs
            console.print(Text(f"{run_status.now:%H:%M:%S} {worker_jobs}"), soft_wrap=True)
        has_ended = ended(run_status)
        for line in _changes(before, run_status):
            console.print(Text(line), soft_wrap=True)
        if has_ended and isinstance(run_status, RunStatus):
            console.print(Text(_counted(run_status)), soft_wrap=True)
        if has_ended:
            return run_status
        before = run_status
        time.sleep(interval_s)


def _changes(before: RunStatus | RunOverview | None, after: RunStatus | RunOverview) -> Iterator[str]:
    """Write a line for each cell that has changed; for too many cells, one line if the counts have changed."""
    if isinstance(after, RunOverview):
        if before is None or before.counts != after.counts:
            yield _counted(after)
        return
    words_before = before.words if isinstance(before, RunStatus) else {}
    for cell, words in after.words.items():
        if words_before.get(cell) != words:
            # What had ended before the first look gets no time.
            was_there = before is None and cell not in after.live
            yield f"{'before  ' if was_there else f'{after.now:%H:%M:%S}'} {cell.name} {words}"


def _counted(run_status: RunStatus | RunOverview) -> str:
    counts = ", ".join(f"{number} {state}" for state, number in run_status.counts.items())
    return f"{run_status.now:%H:%M:%S} {counts}"


@dataclass(slots=True)
class _HasEnded:
    """Tells when a run has ended."""

    goes_on: Callable[[], bool | None] | None
    was_held: bool = False

    def __call__(self, run_status: RunStatus | RunOverview) -> bool:
        """Whether nothing is left to do, or a run of only some cells was under way and is no longer.

        While an adaptive study is under way, a round may follow.
        """
        is_held = run_status.holder is not None
        ended = self.was_held and not is_held
        self.was_held = self.was_held or is_held
        goes_on = None if self.goes_on is None else self.goes_on()
        if goes_on is not None:
            return not goes_on
        may_go_on = is_held and (run_status.study.adaptive is not None or "interrupted" in run_status.counts)
        return ended or not (may_go_on or {"pending", "running"} & run_status.counts.keys())


def _picture(run_status: RunStatus | RunOverview) -> Group:
    who = f"held by {run_status.holder}" if run_status.holder else "no run is under way on this directory"
    lines = [Text(line, style="dim") for line in (who, run_status.worker_jobs) if line]
    # Running cells come first, because a small terminal cuts off the end.
    parts = [live_table(run_status.live, run_status.now)] if run_status.live else []
    if isinstance(run_status, RunOverview):
        return Group(*lines, *parts, overview_table(run_status), *overview_lines(run_status))
    waiting = list(waiting_lines(run_status.live))
    table = matrix_table(run_status.study, run_status.rows, run_status.live, run_status.now)
    return Group(*lines, *parts, *waiting, table, *failure_lines(run_status.rows))
