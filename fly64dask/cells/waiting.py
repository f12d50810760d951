"""Shows that a cell waits for disk space: in its journal, in its live file and to its caller."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from fly64dask.base import result_or_failure
from fly64dask.cells.commit import note_event
from fly64dask.cells.request import CellRequest
from fly64dask.monitoring import live_file
from fly64dask.records import next_attempt


@contextmanager
def shown_waiting(
    request: CellRequest, *, worker: str, tell: Callable[[str | None], None]
) -> Iterator[Callable[[str | None], None]]:
    """Give the function to call with the reason when a cell begins to wait, and with None when it continues.

    Parameters
    ----------
    request : CellRequest
        What is asked.
    worker : str
        Name of the Dask worker.
    tell : callable
        Called with the same.

    Notes
    -----
    On a disk that is full to the last byte neither the line nor the file can be written. The cell waits all the same.
    """
    what = f"cell={request.cell.name}"

    def show(reason: str) -> None:
        live = live_file(
            request.layout,
            request.cell,
            attempt=next_attempt(request.layout, request.cell),
            run=request.run_id.token,
            n_epochs=request.recipe.n_epochs,
            worker=worker,
            waits=reason,
        )
        shown.enter_context(live)

    def wait(reason: str | None) -> None:
        # Without this line, a worker whose job ends meanwhile would count as killed by the cell.
        event = "goes on" if reason is None else "waits for room"
        result_or_failure(lambda: note_event(request.layout, request.cell, event), what=what)
        shown.close()
        if reason is not None:
            result_or_failure(lambda: show(reason), what=what)
        tell(reason)

    with ExitStack() as shown:
        yield wait
