"""Shows a run under way on a page and in Prometheus metrics, and writes Dask's performance report at its end."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from distributed import performance_report
from distributed.scheduler import Scheduler

from fly64dask.base import ResourceError, result_or_failure
from fly64dask.monitoring.dashboard.page import PATH, add_page
from fly64dask.monitoring.dashboard.prometheus import COLLECTOR
from fly64dask.monitoring.dashboard.run_state import RunState
from fly64dask.monitoring.events import CellEvent, CellOutcome, RoomAwaited, Say
from fly64dask.records import ManifestRow, RowContext, each_row, read_row
from fly64dask.store import publish_text, storing
from fly64dask.study import Cell, Study, cells, doses_of, repeats_of

if TYPE_CHECKING:
    from distributed import Client

    from fly64dask.monitoring.events import Hear, Notify
    from fly64dask.store import RunLayout

# Dask draws 18 cells in a second or two; a scheduler that does not answer must not hold up the end of a run.
REPORT_S = 20.0
# Dask's report may run the scripts that it contains and load nothing: Bokeh would fetch MathJax for text like TeX.
REPORT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
)


@contextmanager
def monitored(
    client: Client, study: Study, layout: RunLayout, requested: Sequence[Cell], notify: Notify, say: Say
) -> Iterator[Hear]:
    """Show a run on a page and in Prometheus metrics for as long as the block lasts.

    Parameters
    ----------
    client : distributed.Client
        Connected.
    study : Study
        The study.
    layout : RunLayout
        The run, held by this process.
    requested : sequence of Cell
        Cells of this run.
    notify : callable
        Called with every event as well.
    say : callable
        Called with lines for a person, such as the address of the page.

    Yields
    ------
    callable
        To be called with each event, from any thread.
    """
    context = RowContext(study, layout, lambda cell: read_row(layout, cell))
    state = RunState(study, requested, context.complete_all(each_row(layout, cells(study))), now_s=time.time())
    scheduler = getattr(client.cluster, "scheduler", None)
    is_here, has_floors = isinstance(scheduler, Scheduler), "noise_free" in study.doses_photons
    if isinstance(scheduler, Scheduler):
        add_page(scheduler.http_application, lambda page: state.as_json(page, now_s=time.time()))
        say(f"matrix: {client.dashboard_link.removesuffix('/status')}{PATH}")
    else:
        say("matrix: no page on a scheduler of another process; use `fly64dask status RUN --watch`")

    def both(event: CellEvent | RoomAwaited) -> None:
        if isinstance(event, RoomAwaited):
            line = state.wait(event, now_s=time.time())
            if line is not None:
                say(line)
            return
        # Read before the state is locked, so that the scheduler's thread does not wait for a disk.
        row = read_row(layout, event.cell) if isinstance(event, CellOutcome) and event.committed else None
        state.take(event, row, now_s=time.time())
        for completed in () if row is None or not has_floors else _completed_by(row, study, layout):
            state.complete(completed)
        notify(event)

    exporting = COLLECTOR.exporting(state) if is_here else nullcontext()
    with exporting, reported(client, layout.dask_report_file, say):
        yield both


def _completed_by(row: ManifestRow, study: Study, layout: RunLayout) -> Iterator[ManifestRow]:
    """Complete the row of a cell that has just ended, and those of all cells whose floor it is, by their context."""
    context = RowContext(study, layout, lambda cell: read_row(layout, cell))
    if row.dose != "noise_free":
        yield context.complete(row)
        return
    for dose in doses_of(study):
        for repeat in repeats_of(study, dose):
            dependent = read_row(layout, replace(row.cell, dose=dose, repeat=repeat))
            if dependent is not None:
                yield context.complete(dependent)


def without_network(page: str) -> str:
    """Forbid a page of Dask's to load anything, and remove the icon that it would load."""
    page = re.sub(r'<link rel="shortcut icon"[^>]*>', '<link rel="icon" href="data:,">', page, count=1)
    return page.replace("<head>", f'<head>\n<meta http-equiv="Content-Security-Policy" content="{REPORT_POLICY}">', 1)


@contextmanager
def reported(client: Client, path: Path, say: Say) -> Iterator[None]:
    """Write Dask's performance report of what happens in the block; a failure to do so is reported and not raised.

    An earlier report is replaced.
    """
    stack = AsyncExitStack()

    def begin(draft: Path) -> None:
        with storing(path):
            path.unlink(missing_ok=True)
        # Its scripts are inside the page, so that it opens without a network and in years to come.
        report = performance_report(filename=str(draft), mode="inline")
        client.sync(stack.enter_async_context, report, callback_timeout=REPORT_S)

    def finish(draft: Path) -> None:
        client.sync(stack.aclose, callback_timeout=REPORT_S)
        publish_text(path, without_network(draft.read_text(encoding="utf-8")))

    with TemporaryDirectory() as folder:
        draft = Path(folder, path.name)
        failure = result_or_failure(lambda: begin(draft), what="dask report")
        answers = True
        try:
            yield
        except ResourceError:
            answers = False
            raise
        finally:
            if answers and failure is None:
                failure = result_or_failure(lambda: finish(draft), what="dask report")
            if failure is not None:
                say(f"no {path.name}: {failure.message}")
