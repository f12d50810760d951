"""Which modules an engine's process loads before it runs its first cell."""

from __future__ import annotations

from fly64dask.reconstruction import LSQML

# What an engine's process loads before the engine: pty-chi without what no reconstruction uses.
BEFORE_ENGINE = {LSQML: ("fly64dask.reconstruction.lsqml.lazy_imports",)}
# What it runs beside the engine. What measures is imported there alone: it takes 0.5 s.
BESIDE_ENGINE = ("fly64dask.cells.engine_call", "fly64dask.reconstruction.half_sets", "fly64dask.metrics.against_truth")


def engine_modules(engine: str) -> tuple[str, ...]:
    """Name the modules that the processes of an engine, `module:function`, need loaded, in their order."""
    return *BEFORE_ENGINE.get(engine, ()), engine.partition(":")[0], *BESIDE_ENGINE
