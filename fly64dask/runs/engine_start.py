"""Loads the engine for local workers before Dask is imported, beside all that a run does before its first cell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fly64dask.cells import engine_modules
from fly64dask.cells.isolation import ForkServer
from fly64dask.reconstruction import LSQML


@contextmanager
def loading_engine(where: str = "local") -> Iterator[ForkServer | None]:
    """Start to load the project's engine where local workers will need it.

    Parameters
    ----------
    where : str
        `local`, or where else cells are computed.

    Yields
    ------
    ForkServer or None
        For `Placement`; None where no local worker will run.
    """
    if where == "local":
        with ForkServer(engine_modules(LSQML)) as fork_server:
            yield fork_server
    else:
        yield None
