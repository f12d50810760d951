"""Decides how many workers run and which device each of them gets, and refuses what does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fly64dask.base import InputError, ResourceError, counted

if TYPE_CHECKING:
    from fly64dask.scheduling.plan import PlannedCell
    from fly64dask.study import Cell

# What torch takes of a device for a process beside its arrays: CUDA's context and kernels, 804 MB on an H200 with torch
# 2.11 and CUDA 13 (docs/reference/gpu.md), and what recorded minibatches of up to three reconstructions keep side by
# side: each 32 MB for matrix products, and waves of no more than `SIDE_BY_SIDE_BYTES` of `lsqml.steps.launches`.
CONTEXT_BYTES = 1_100_000_000
# Exposures of a cell from which a second thread was measured to help (docs/reference/performance.md).
BIG_CELL_EXPOSURES = 300


def n_local_workers(n_asked: int | None, *, gpus: Sequence[str], slots_per_gpu: int, n_cores: int, n_cells: int) -> int:
    """Count the worker processes of a local cluster.

    Parameters
    ----------
    n_asked : int or None
        What the user wants; None takes one for each slot of a GPU, or for each core where there is none.
    gpus : sequence of str
        Devices to use; empty on the CPU.
    slots_per_gpu : int
        Workers that share one device.
    n_cores : int
        Cores of this machine.
    n_cells : int
        Cells to run: never more workers than that.

    Returns
    -------
    int
        At least 1.
    """
    return max(1, min(n_asked or len(gpus) * slots_per_gpu or n_cores, n_cells))


def cores_hint(lengths: Mapping[Cell, int], *, n_workers: int, n_threads: int, n_cores: int) -> str | None:
    """Say how a few big cells could use idle cores, or that there are more threads than cores.

    Parameters
    ----------
    lengths : mapping of Cell to int
        Exposures that each cell of a run on local CPUs is expected to keep.
    n_workers : int
        Workers of the run.
    n_threads : int
        Threads of one cell.
    n_cores : int
        Cores of this machine.

    Returns
    -------
    str or None
        A sentence for a person; None if each thread has a core and either no core is idle or no cell is big enough to
        gain.
    """
    if n_workers * n_threads > n_cores:
        asked_for = f"workers={n_workers} threads={n_threads} cores={n_cores}"
        return f"{asked_for}: they wait for each other; lower --threads or --workers"
    per_cell = n_cores // len(lengths) if lengths else 0
    if n_threads > 1 or per_cell < 2 or max(lengths.values()) < BIG_CELL_EXPOSURES:
        return None
    return (
        f"cells={len(lengths)} cores={n_cores}: --threads {per_cell} would use them all; last digits then differ from "
        "those on one thread"
    )


def gpu_of_worker(number: int, gpus: Sequence[str]) -> str:
    """Choose the device of a worker, in turn, so that devices have the same number of workers or differ by one.

    Parameters
    ----------
    number : int
        Number of the worker, from 0.
    gpus : sequence of str
        Names as `CUDA_VISIBLE_DEVICES` has them; not empty.
    """
    return gpus[number % len(gpus)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """A cell that needs more memory than there is where it would be computed."""

    planned: PlannedCell
    needed_bytes: int

    def __str__(self) -> str:
        """The cell and its need, for a message."""
        return (
            f"cell {self.planned.cell.name} with {counted(self.planned.n_kept or 0, 'exposure')} needs about "
            f"{self.needed_bytes / 1e9:.1f} GB"
        )


def find_misfit(plan: Sequence[PlannedCell], limit_bytes: int, *, overhead_bytes: int) -> Misfit | None:
    """Find the largest cell of a plan, if it does not fit where it would be computed.

    Parameters
    ----------
    plan : sequence of PlannedCell
        Cells to run.
    limit_bytes : int
        Memory of the place that computes one cell at a time: a job, or a slot of a GPU.
    overhead_bytes : int
        What the process takes of it besides the cell: `ENGINE_BYTES`, `CONTEXT_BYTES`.

    Returns
    -------
    Misfit or None
        None if all cells fit, or none has a predicted need.
    """
    largest = max(plan, key=lambda planned: planned.predicted_memory_bytes or 0, default=None)
    if largest is None or largest.predicted_memory_bytes is None:
        return None
    needed_bytes = largest.predicted_memory_bytes + overhead_bytes
    return Misfit(planned=largest, needed_bytes=needed_bytes) if needed_bytes > limit_bytes else None


def refuse_idle_slots(slots_per_gpu: int, *, where: str, gpus: Sequence[str]) -> None:
    """Refuse a number of slots per GPU that the run would not use.

    Parameters
    ----------
    slots_per_gpu : int
        Workers that share one device; 1 is the default.
    where : str
        `local`, or the address or file of another cluster.
    gpus : sequence of str
        Devices of the local workers.

    Raises
    ------
    InputError
        If workers are started elsewhere.
    ResourceError
        If there is no GPU, or the run is on the CPU.
    """
    if slots_per_gpu == 1:
        return
    if where != "local":
        raise InputError(
            f"run: --slots-per-gpu {slots_per_gpu} applies to local workers, and the cells run at {where}",
            remedy="leave it out; at a scheduler's address, start as many workers for each GPU",
        )
    if not gpus:
        raise ResourceError(
            f"run: --slots-per-gpu {slots_per_gpu}, and no GPU to share: none is visible, or the device is cpu",
            remedy="leave it out; `fly64dask doctor` says which GPUs are visible, --workers how many work on the CPU",
        )


def refuse_crowded(plan: Sequence[PlannedCell], memory_bytes: Mapping[str, int], *, slots_per_gpu: int) -> None:
    """Refuse slots that are too small for a cell, before anything runs.

    Parameters
    ----------
    plan : sequence of PlannedCell
        Cells to run.
    memory_bytes : mapping of str to int
        Memory of each device whose size is known.
    slots_per_gpu : int
        Workers that share one device.

    Raises
    ------
    ResourceError
        If the largest cell needs more than an equal share of the smallest device; the remedy has the number of slots
        that fit.

    Notes
    -----
    Every slot may get every cell, so with this check no sum of cells exceeds a device.
    """
    if not memory_bytes:
        return
    device, size = min(memory_bytes.items(), key=lambda item: item[1])
    misfit = find_misfit(plan, size // slots_per_gpu, overhead_bytes=CONTEXT_BYTES)
    if misfit is None:
        return
    fitting = size // misfit.needed_bytes
    remedy = f"use `--slots-per-gpu {fitting}`" if fitting else "lower the recipe's batch_size, or give --device cpu"
    raise ResourceError(
        f"gpu: {misfit}, a slot of GPU {device} has {size / slots_per_gpu / 1e9:.1f} GB "
        f"({size / 1e9:.1f} GB for {slots_per_gpu})",
        remedy=remedy,
    )
