"""One cell run by a call, as a worker would run it."""

from __future__ import annotations

from fly64dask.cells import Caller, CellRequest, new_run_id, run_cell
from fly64dask.reconstruction import LSQML


def request_of(study, cell, layout, blocked_by=None, *, engine=LSQML, run_id=None, rerun=None):
    """What a run asks of a cell; of a new run unless one is given."""
    return CellRequest(
        study=study,
        cell=cell,
        run_id=run_id or new_run_id(layout),
        engine=engine,
        blocked_by=blocked_by,
        rerun=rerun,
    )


def run_one(study, cell, layout, blocked_by=None, progress=lambda epoch, loss: None, *, caller=None, **asked):
    """Run the cell."""
    return run_cell(request_of(study, cell, layout, blocked_by, **asked), caller or Caller(progress=progress))
