"""Decides which cells go to which pool of worker jobs, and how many jobs of each a run can use; pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fly64dask.base import ResourceError, counted
from fly64dask.deploy.slurm.site import Workers, in_bytes
from fly64dask.scheduling import CONTEXT_BYTES, ENGINE_BYTES, PlannedCell

# Resources of a Dask worker: what it has for one cell, and what each cell needs of it. No two cells share a worker.
GPU, MEMORY, EXPOSURES = "GPU", "MEMORY", "EXPOSURES"
UNLIMITED = 1e18


def computes_on_gpu(pool: Workers, device: str) -> bool:
    """Whether cells of a recipe's device are computed on the GPUs of a pool."""
    return bool(pool.gpus) and device != "cpu"


def device_kinds(pools: Sequence[Workers], device: str) -> set[str]:
    """Name the kinds of devices on which the pools compute cells of a recipe's device, `cpu` and `cuda`."""
    kinds = {"cuda" if computes_on_gpu(pool, device) else "cpu" for pool in pools}
    return kinds & {"cuda"} if device == "cuda" else kinds


def offered(pool: Workers, device: str) -> dict[str, float]:
    """List what a worker of a pool offers a cell: a GPU or none, bytes beyond the engine's own, a largest number of
    exposures.
    """
    on_gpu = computes_on_gpu(pool, device)
    size, overhead_bytes = (pool.gpu_memory, CONTEXT_BYTES) if on_gpu else (pool.memory, ENGINE_BYTES)
    has = {
        MEMORY: UNLIMITED if size is None else max(0, in_bytes(size) // pool.slots - overhead_bytes),
        EXPOSURES: UNLIMITED if pool.max_exposures is None else pool.max_exposures,
    }
    return has | ({GPU: 1.0} if pool.gpus else {})


def needed(planned: PlannedCell, device: str) -> dict[str, float]:
    """List what a cell needs of its worker; a cell that keeps no exposure ends at once on any worker."""
    needs = {MEMORY: float(planned.predicted_memory_bytes or 1), EXPOSURES: float(planned.n_kept or 1)}
    return needs | ({GPU: 1.0} if device == "cuda" else {})


def fits(planned: PlannedCell, pool: Workers, device: str) -> bool:
    """Whether a cell may go to a pool."""
    has = offered(pool, device)
    return all(has.get(resource, 0.0) >= amount for resource, amount in needed(planned, device).items())


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolUse:
    """The part of a run that a pool can compute: cells that fit there, and those of them that fit nowhere else."""

    n_slots: int
    max_jobs: int
    n_fit: int
    n_only: int


def pool_uses(pools: Sequence[Workers], plan: Sequence[PlannedCell], device: str) -> tuple[PoolUse, ...]:
    """Count for each pool the cells that it can do; raises ResourceError if a cell fits nowhere."""
    places = [[fits(planned, pool, device) for pool in pools] for planned in plan]
    for planned, place in zip(plan, places, strict=True):
        if not any(place):
            raise ResourceError(
                f"slurm: cell {planned.cell.name} with {counted(planned.n_kept or 0, 'exposure')} and about "
                f"{(planned.predicted_memory_bytes or 0) / 1e9:.1f} GB beside the engine fits into no pool "
                f"({', '.join(pool.name for pool in pools)})",
                remedy="raise memory, gpu_memory or max_exposures of one, or lower the recipe's batch_size",
            )
    return tuple(
        PoolUse(
            n_slots=pool.slots,
            max_jobs=pool.max_jobs,
            n_fit=sum(place[number] for place in places),
            n_only=sum(place[number] and sum(place) == 1 for place in places),
        )
        for number, pool in enumerate(pools)
    )


def jobs_wanted(uses: Sequence[PoolUse], n_left: int, n_running: Sequence[int]) -> list[int]:
    """Compute how many jobs of each pool a run can use.

    Parameters
    ----------
    uses : sequence of PoolUse
        Of each pool, the one that is preferred first.
    n_left : int
        Cells that have not ended.
    n_running : sequence of int
        Workers of each pool that are at the scheduler.

    Returns
    -------
    list of int
        A pool gets jobs for cells that would wait for the workers of the pools before it, and for those that fit
        nowhere else; at least one pool gets one.
    """
    wanted, served = [], 0
    for use, running in zip(uses, n_running, strict=True):
        n_cells = min(use.n_fit, max(n_left - served, min(use.n_only, n_left)))
        wanted.append(min(use.max_jobs, math.ceil(max(0, n_cells) / use.n_slots)))
        served += running
    if not any(wanted):
        wanted[next((number for number, use in enumerate(uses) if use.n_fit), 0)] = 1
    return wanted


def resources_text(resources: Mapping[str, float]) -> str:
    """Write resources as `dask worker --resources` takes them."""
    return ",".join(f"{name}={amount:.17g}" for name, amount in resources.items())
