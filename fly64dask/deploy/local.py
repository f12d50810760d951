"""Starts a local Dask cluster, or joins a scheduler at an address, for as long as a run lasts."""

from __future__ import annotations

import logging
import multiprocessing
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dask
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster
from distributed.comm.addressing import unparse_host_port
from distributed.security import Security

from fly64dask.base import KEEP_MEMORY, SINGLE_THREAD, InputError, ResourceError, visible_gpus
from fly64dask.cells.isolation import ForkServer
from fly64dask.deploy.access import LOOPBACK, LOOPBACK_ONLY, Access, client_security, cluster_security, is_loopback
from fly64dask.deploy.local_worker import LocalWorker
from fly64dask.deploy.process_settings import many_descriptors, quiet_dask
from fly64dask.deploy.worker_server import keep_list_of_modules, load_workers, worker_settings
from fly64dask.scheduling import n_local_workers

DASHBOARD_PORT = 8787
# Worker deaths until Dask gives up a task, which may only have been queued at the workers that died. Cells that kill
# workers are found by other means (see scheduling.run_windows); this bounds the rest.
ALLOWED_FAILURES = 10
DASHBOARD_LOCAL = f"{LOOPBACK}:0"  # a dashboard has no password, so it is never beyond loopback; any free port
GUARD = 'in a script, put what starts a run below `if __name__ == "__main__":`'
SCHEDULER_SETTINGS = {
    # Workers take no second task in advance, so that it is queued at the scheduler.
    "distributed.scheduler.worker-saturation": 1.0,
    # Dead workers are replaced by whoever starts them; Dask would give up on them after 15 s.
    "distributed.deploy.lost-worker-timeout": "1h",
    "distributed.scheduler.allowed-failures": ALLOWED_FAILURES,
    # Dask keeps 100 000 finished tasks for its pages and report; 2 kB each.
    "distributed.scheduler.dashboard.tasks.task-stream-length": 10_000,
    # For its developers Dask keeps the last batches of messages of each link, with their tasks and results: 1000
    # batches take 2 to 5 kB for each of tens of thousands of cells.
    "distributed.admin.low-level-log-length": 100,
    # It also keeps a word for each task of each graph.
    "distributed.diagnostics.computations.max-history": 2,
    # Dask would name the scheduler's host, where no dashboard listens.
    "distributed.dashboard.link": dask.config.get("distributed.dashboard.link").replace("{host}", LOOPBACK),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The place where a run's cells are computed, and who may reach it.

    Examples
    --------
    >>> Placement(n_workers=4).where
    'local'
    """

    where: str = "local"  # or a scheduler's address, or a Slurm site's cluster file
    n_workers: int | None = None  # local worker processes; None for one a slot of a GPU, or a core
    slots_per_gpu: int = 1  # local workers that share a GPU
    access: Access = LOOPBACK_ONLY
    fork_server: ForkServer | None = None  # loads the engine of local workers; None: one is started with them

    @property
    def patience_s(self) -> float:
        """Seconds that a run may be without any worker: local ones are restarted soon, others only by their owner."""
        return 60.0 if self.where == "local" else 600.0


@contextmanager
def connect(
    where: str,
    *,
    device: str,
    n_workers: int | None,
    n_cells: int,
    access: Access = LOOPBACK_ONLY,
    slots_per_gpu: int = 1,
    n_threads: int = 1,
    preload: tuple[str, ...] = (),
    fork_server: ForkServer | None = None,
) -> Iterator[Client]:
    """Start a local cluster, or join a scheduler, for as long as the block lasts.

    Parameters
    ----------
    where : str
        `local` for worker processes of this machine, else a scheduler's address.
    device : "auto", "cpu" or "cuda"
        The recipe's device; a local cluster offers its GPUs unless this is cpu.
    n_workers : int or None
        Local worker processes; None takes one for each slot of a GPU, or each core. Never more than cells.
    n_cells : int
        Cells to run.
    access : Access
        Where a local cluster listens, and the certificates of its links or of the link to a scheduler.
    slots_per_gpu : int
        Local workers that share a GPU.
    n_threads : int
        Threads on which a cell computes, each on a core of its own: fewer local workers if there are more.
    preload : tuple of str
        Modules that the engines' processes need; they are loaded once for all local workers.
    fork_server : ForkServer, optional
        A server that has begun to load them; if omitted, one is started.

    Yields
    ------
    distributed.Client
        Connected to the scheduler; the settings of this process are put back when the block ends.

    Raises
    ------
    InputError
        If an address or the certificates cannot be used.
    ResourceError
        If the scheduler does not answer, or the link to it would be open to anyone.

    Notes
    -----
    Dashboards know no password, with TLS or without: they stay on loopback.
    """
    if where != "local":
        with quiet_dask(), _scheduler_at(where, client_security(where, access)) as client:
            yield client
        return
    gpus = () if device == "cpu" else visible_gpus()
    n_cores = max(1, n_local_cores() // n_threads)
    n_processes = n_local_workers(n_workers, gpus=gpus, slots_per_gpu=slots_per_gpu, n_cores=n_cores, n_cells=n_cells)
    with (
        quiet_dask(),
        many_descriptors(),
        _engine_server(fork_server, preload) as server_address,
        _local_cluster(n_processes, access, LocalWorker(gpus, server_address)) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextmanager
def _local_cluster(n_workers: int, access: Access, plugin: LocalWorker) -> Iterator[LocalCluster]:
    """Start a scheduler here and so many worker processes with one thread each."""
    load_workers()
    keep_list_of_modules()
    with (
        dask.config.set(SCHEDULER_SETTINGS | worker_settings()),
        _start_cluster(
            n_workers=n_workers,
            threads_per_worker=1,
            host=unparse_host_port(access.listen),
            security=cluster_security(access),
            dashboard_address=f"{LOOPBACK}:{free_dashboard_port()}",
            # None, as in LocalCluster: a worker's own Dask pages take 0.7 to 1.1 s of CPU time to load, and those of
            # the scheduler show all workers. A worker's HTTP server is then on the worker's address.
            worker_dashboard_address=None if is_loopback(access.listen) else DASHBOARD_LOCAL,
            # The process that forks workers has the environment of its own start.
            env=dict(os.environ) | SINGLE_THREAD | KEEP_MEMORY,
            resources={"GPU": 1} if plugin.gpus else None,
            # It is not registered with the scheduler, which would pass it to workers of other machines too.
            plugins=(plugin,),
            # A worker that tries to reach a scheduler that has just closed prints a traceback; relevant problems come
            # back as errors.
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        yield cluster


def _start_cluster(**settings: Any) -> LocalCluster:
    try:
        return LocalCluster(**settings)
    except RuntimeError as error:
        raise ResourceError(
            f"start workers: a worker process ended before it was ready ({error})",
            remedy=f"{GUARD}; else read above what the process said",
        ) from error


def refuse_unguarded_script() -> None:
    """Refuse to run in a process that is starting and so reads the user's script again, as processes of
    `multiprocessing` do.

    Raises InputError there, with what the script lacks. It is asked as `multiprocessing.spawn` asks it.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise InputError("run: called by a worker process of it, which reads the script as it starts", remedy=GUARD)


def n_local_cores() -> int:
    """Count the cores that this process may use, by its affinity and control group."""
    return int(CPU_COUNT)


def free_dashboard_port() -> int:
    """Return Dask's usual dashboard port if it is free here, else 0, which stands for any port."""
    with socket.socket() as listener:
        try:
            listener.bind((LOOPBACK, DASHBOARD_PORT))
        except OSError:
            return 0
    return DASHBOARD_PORT


@contextmanager
def _engine_server(running: ForkServer | None, preload: tuple[str, ...]) -> Iterator[str | None]:
    """Give the address of the server that forks the engines of all local workers; None if there is nothing to load."""
    if not preload:
        yield None
    elif running is not None:
        yield running.address
    else:
        with ForkServer(preload) as started:
            yield started.address


@contextmanager
def _scheduler_at(address: str, security: Security | None) -> Iterator[Client]:
    try:
        client = Client(address, security=security)
    except (OSError, ValueError, MemoryError) as error:  # Dask reads the answer of a web server as a huge length
        raise ResourceError(
            f"cluster: no Dask scheduler answers at {address!r} ({type(error).__name__}: {error})",
            remedy="give `local` or an address such as tcp://127.0.0.1:8786"
            + (", and certificates that it trusts" if security else ""),
        ) from error
    with client:
        yield client
