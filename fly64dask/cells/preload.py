"""Which modules an engine's process loads before it runs its first cell."""

from __future__ import annotations

# What an engine's process runs beside the engine. What measures is imported there alone: it takes 0.5 s.
BESIDE_ENGINE = ("fly64dask.cells.engine_call", "fly64dask.reconstruction.half_sets", "fly64dask.metrics.against_truth")


def engine_modules(engine: str) -> tuple[str, ...]:
    """Name the modules that the processes of an engine, `module:function`, need loaded."""
    return engine.partition(":")[0], *BESIDE_ENGINE
