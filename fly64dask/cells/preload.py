"""Chooses which modules a process of an engine loads before its first cell and before Dask, and which process stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fly64dask.cells.isolation import ForkServer
from fly64dask.reconstruction import LSQML

# What an engine's process loads before the engine: pty-chi without what no reconstruction uses.
BEFORE_ENGINE = {LSQML: ("fly64dask.reconstruction.lsqml.lazy_imports",)}
# What it runs beside the engine. What measures is imported there alone: it takes 0.5 s.
BESIDE_ENGINE = ("fly64dask.cells.engine_call", "fly64dask.reconstruction.half_sets", "fly64dask.metrics.against_truth")


def engine_modules(engine: str) -> tuple[str, ...]:
    """Name the modules that the processes of an engine, `module:function`, need loaded, in their order."""
    return *BEFORE_ENGINE.get(engine, ()), engine.partition(":")[0], *BESIDE_ENGINE


def leaves_nothing(engine: str) -> bool:
    """Tell whether an engine, `module:function`, leaves its process as it was, so that it stays for the next cell.

    The project's own does (`lsqml.process_settings`). What others leave behind, such as a random stream that has gone
    on, nobody knows: each of their cells has a process of its own.
    """
    return engine == LSQML


@contextmanager
def loading_engine(where: str = "local") -> Iterator[ForkServer | None]:
    """Start to load the project's engine where local workers will need it, beside all that a run does before.

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
