"""Gives a run its Dask client: the caller's own, a local cluster's, a scheduler's at an address, or a Slurm site's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.base import gpu_memory_bytes, visible_gpus
from fly64dask.cells import engine_modules
from fly64dask.deploy import Placement, connect
from fly64dask.deploy.slurm import is_cluster_file
from fly64dask.scheduling import WorkerSupply, external_workers, plan_cells, refuse_crowded, refuse_idle_slots

if TYPE_CHECKING:
    from distributed import Client

    from fly64dask.datasets import ScanInputs
    from fly64dask.scheduling import PlannedCell
    from fly64dask.store import RunLayout
    from fly64dask.study import Cell, Study

# How long a run may be without any worker of the caller's own client, as with a scheduler at an address.
PATIENCE_S = 600.0


@contextmanager
def run_workers(
    placement: Placement | Client,
    study: Study,
    layout: RunLayout,
    inputs: ScanInputs,
    cells_to_run: Sequence[Cell],
    *,
    say: Callable[[str], None],
    engine: str,
) -> Iterator[tuple[Client, WorkerSupply]]:
    """Give a client, and the watch over its workers, for as long as the block lasts.

    A given client is used as it is, and neither changed nor closed. `inputs` decide how much memory a cell needs; the
    engine's modules, `module:function`, are loaded by local workers in advance. Raises Fly64Error if the cluster cannot
    be started or reached.
    """
    if not isinstance(placement, Placement):
        with external_workers(placement, PATIENCE_S) as supply:
            yield placement, supply
        return
    _check_gpus(placement, study, inputs, cells_to_run, say)
    if is_cluster_file(placement.where):
        # Where nobody uses Slurm, nobody waits for its modules.
        from fly64dask.deploy.slurm import slurm_cluster

        def plan_of(cells: Sequence[Cell]) -> Sequence[PlannedCell]:
            return plan_cells(study, inputs, cells)

        path = Path(placement.where)
        with slurm_cluster(path, layout, study, cells_to_run, plan_of=plan_of, engine=engine, say=say) as placed:
            yield placed
    else:
        with (
            connect(
                placement.where,
                device=study.recipe.device,
                n_workers=placement.n_workers,
                n_cells=len(cells_to_run),
                access=placement.access,
                slots_per_gpu=placement.slots_per_gpu,
                n_threads=study.recipe.threads,
                preload=engine_modules(engine),
                fork_server=placement.fork_server,
            ) as client,
            external_workers(client, placement.patience_s) as supply,
        ):
            yield client, supply


def _check_gpus(
    placement: Placement,
    study: Study,
    inputs: ScanInputs,
    cells_to_run: Sequence[Cell],
    say: Callable[[str], None],
) -> None:
    """Refuse slots that share no GPU, or more cells on a GPU than its memory holds."""
    slots = placement.slots_per_gpu
    gpus = visible_gpus() if placement.where == "local" and study.recipe.device != "cpu" else ()
    refuse_idle_slots(slots, where=placement.where, gpus=gpus)
    if not gpus:
        return
    memory_bytes = gpu_memory_bytes(gpus)
    refuse_crowded(plan_cells(study, inputs, cells_to_run), memory_bytes, slots_per_gpu=slots)
    unknown = ", ".join(gpu for gpu in gpus if gpu not in memory_bytes)
    if unknown and slots > 1:
        say(f"gpu: the memory of {unknown} is unknown, so cells that do not fit into {slots} slots will fail")


def n_workers_of(client: Client) -> int:
    """Count the workers that a client's scheduler has now."""
    return len(client.scheduler_info(n_workers=-1)["workers"])
