"""A run under way -> a page and metrics that show every cell, and Dask's performance report when it has ended."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distributed import performance_report
from distributed.scheduler import Scheduler

from fly64dask.base import ResourceError, result_or_failure
from fly64dask.monitoring.board import Board, board_json, new_board, with_event
from fly64dask.monitoring.events import CellEvent, CellOutcome, Say
from fly64dask.monitoring.page import PATH, add_page
from fly64dask.monitoring.prometheus import counted
from fly64dask.records import brief_row, each_row, read_row
from fly64dask.store import storing
from fly64dask.study import Cell, Study, cells

if TYPE_CHECKING:
    from distributed import Client

    from fly64dask.monitoring.events import Notify
    from fly64dask.store import RunLayout

# Drawing 18 cells takes a second or two; a scheduler that does not answer must not hold up the end.
REPORT_S = 20.0


@contextmanager
def monitored(
    client: Client, study: Study, layout: RunLayout, wanted: Sequence[Cell], notify: Notify, say: Say
) -> Iterator[Notify]:
    """Show a run for as long as the block lasts.

    Parameters
    ----------
    client : distributed.Client
        Connected.
    study : Study
        The study.
    layout : RunLayout
        The run, held by this process.
    wanted : sequence of Cell
        Cells of this run.
    notify : callable
        Gets every event as well.
    say : callable
        Gets lines for a person: where the page is.

    Yields
    ------
    callable
        To be told of events, from any thread.
    """
    watcher = _Watcher(study, layout, wanted)
    scheduler = getattr(client.cluster, "scheduler", None)
    here = isinstance(scheduler, Scheduler)
    if isinstance(scheduler, Scheduler):
        add_page(scheduler.http_application, watcher.state)
        say(f"matrix: {client.dashboard_link.removesuffix('/status')}{PATH}")
    else:
        say("matrix: no page on a scheduler of another process; use `fly64dask status RUN --watch`")

    def both(event: CellEvent) -> None:
        watcher.take(event)
        notify(event)

    with counted(watcher.board) if here else nullcontext(), reported(client, layout.dask_report_file, say):
        yield both


@contextmanager
def reported(client: Client, path: Path, say: Say) -> Iterator[None]:
    """Write Dask's performance report of what happens in the block; what prevents that is said, not raised.

    Parameters
    ----------
    client : distributed.Client
        Connected.
    path : Path
        The page; what is there is replaced.
    say : callable
        Gets a line if there is no report.
    """
    # With its scripts inside: it opens without a network, and in ten years.
    work = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    report = performance_report(filename=str(work), mode="inline")

    def begin() -> None:
        with storing(path):
            path.unlink(missing_ok=True)
        client.sync(report.__aenter__, callback_timeout=REPORT_S)

    def finish() -> None:
        with storing(path):
            client.sync(report.__aexit__, None, None, None, code="", callback_timeout=REPORT_S)
            work.replace(path)

    failure = result_or_failure(begin, what="dask report")
    answers = True
    try:
        yield
    except ResourceError:
        answers = False
        raise
    finally:
        if answers and failure is None:
            failure = result_or_failure(finish, what="dask report")
        if failure is not None:
            with suppress(OSError):
                work.unlink(missing_ok=True)
            say(f"no {path.name}: {failure.message}")


class _Watcher:
    """The board of a run, told of events by several threads and read by the scheduler's."""

    def __init__(self, study: Study, layout: RunLayout, wanted: Sequence[Cell]) -> None:
        self._layout = layout
        self._lock = threading.Lock()
        self._board = new_board(study, wanted, map(brief_row, each_row(layout, cells(study))), now_s=time.time())

    def take(self, event: CellEvent) -> None:
        # Read before the lock is taken: the scheduler's thread shall not wait for a disk.
        row = read_row(self._layout, event.cell) if isinstance(event, CellOutcome) and event.committed else None
        row = row and brief_row(row)
        with self._lock:
            self._board = with_event(self._board, event, row, now_s=time.time())

    def board(self) -> Board:
        return self._board

    def state(self) -> dict[str, Any]:
        return board_json(self._board, now_s=time.time())
