"""Loads the engine for local CPU workers before Dask is imported, beside all that a run does before its first cell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fly64dask.base import visible_gpus
from fly64dask.cells import engine_modules
from fly64dask.isolation import ForkServer
from fly64dask.reconstruction import LSQML


@contextmanager
def loading_engine(device: str, *, where: str = "local") -> Iterator[ForkServer | None]:
    """Start to load the project's engine where local CPU workers will need it.

    Parameters
    ----------
    device : "auto", "cpu" or "cuda"
        Device of the recipe.
    where : str
        `local`, or where else cells are computed.

    Yields
    ------
    ForkServer or None
        For `Placement`; None where no local CPU worker will run.
    """
    if where == "local" and (device == "cpu" or not visible_gpus()):
        with ForkServer(engine_modules(LSQML)) as fork_server:
            yield fork_server
    else:
        yield None
