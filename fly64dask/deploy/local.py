"""`local` or a scheduler's address -> a Dask client whose workers can run a study."""

from __future__ import annotations

import logging
import multiprocessing
import resource
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dask
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster
from distributed.comm.addressing import unparse_host_port
from distributed.security import Security

from fly64dask.base import KEEP_MEMORY, SINGLE_THREAD, ResourceError, software_versions, visible_gpus
from fly64dask.deploy.access import LOOPBACK, LOOPBACK_ONLY, Access, client_security, cluster_security
from fly64dask.deploy.local_worker import LocalWorker, QuickNanny
from fly64dask.isolation import ForkServer
from fly64dask.scheduling import n_local_workers

DASHBOARD_PORT = 8787
# Worker deaths until Dask gives a task up, which may only have waited at the workers that died. Which cells kill
# workers is found by other means (see batch.run_graph); this bounds the rest.
ALLOWED_FAILURES = 10
# Counted: 40 descriptors, and 12 for each worker, in the process of the scheduler; 30 in a worker.
MIN_DESCRIPTORS, MANY_DESCRIPTORS = 256, 65536
# Versions that must agree between this process and the workers: they decide numbers and records.
AGREEING = ("fly64dask", "ptychi", "torch", "zarr")

DASHBOARD_LOCAL = f"{LOOPBACK}:0"  # a dashboard knows no password: never beyond loopback, at any free port
SCHEDULER_SETTINGS = {
    # Workers take no second task in advance where Dask can queue it at the scheduler.
    "distributed.scheduler.worker-saturation": 1.0,
    # Who starts workers sees to it that dead ones are replaced; Dask would give them up after 15 s.
    "distributed.deploy.lost-worker-timeout": "1h",
    "distributed.scheduler.allowed-failures": ALLOWED_FAILURES,
    # Dask keeps 100 000 finished tasks for its pages and report; 2 kB each.
    "distributed.scheduler.dashboard.tasks.task-stream-length": 10_000,
    # Dask would name the scheduler's host, where no dashboard listens.
    "distributed.dashboard.link": dask.config.get("distributed.dashboard.link").replace("{host}", LOOPBACK),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a run's cells are computed: here, in so many processes, or at a scheduler's address; and who may join."""

    where: str = "local"
    n_workers: int | None = None
    slots_per_gpu: int = 1
    access: Access = LOOPBACK_ONLY
    # Loads the engine for CPU workers of this machine; if None, one is started with them.
    fork_server: ForkServer | None = None

    @property
    def patience_s(self) -> float:
        """How long a run may be without any worker: local ones are back in seconds, others when their owner sees it."""
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
    """Start or join a cluster for as long as the block lasts.

    Parameters
    ----------
    where : str
        `local` for worker processes of this machine, else a scheduler's address.
    device : "auto", "cpu" or "cuda"
        A local cluster offers GPUs unless this is cpu.
    n_workers : int or None
        Local worker processes; None takes one for each slot of a GPU, or each core. Never more than cells.
    n_cells : int
        Cells to run.
    access : Access
        Where a local cluster listens, and the certificates of its links or of the link to a scheduler.
    slots_per_gpu : int
        Local workers that share a GPU.
    n_threads : int
        What a cell computes on: a local worker is made for so many cores.
    preload : tuple of str
        Modules that the engines' processes need: loading begins at once, for all local CPU workers together, and in
        each GPU worker for itself, once it has its device.
    fork_server : ForkServer, optional
        That has begun to load them for CPU workers.

    Yields
    ------
    distributed.Client

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
    quieten_dask()
    if where != "local":
        with _join(where, client_security(where, access)) as client:
            yield client
        return
    gpus = () if device == "cpu" else visible_gpus()
    raise_descriptor_limit()
    security = cluster_security(access)
    n_cores = max(1, n_local_cores() // n_threads)
    size = n_local_workers(n_workers, gpus=gpus, slots_per_gpu=slots_per_gpu, n_cores=n_cores, n_cells=n_cells)
    settings = {
        **SCHEDULER_SETTINGS,
        "distributed.nanny.pre-spawn-environ": {
            **dask.config.get("distributed.nanny.pre-spawn-environ", {}),
            **SINGLE_THREAD,
            **KEEP_MEMORY,
        },
        # A daemonic process may have no children, and each cell's engine runs in one.
        "distributed.worker.daemon": False,
    }
    with (
        _shared_server(fork_server, preload, gpus=gpus) as server_address,
        dask.config.set(settings),
        LocalCluster(
            n_workers=size,
            threads_per_worker=1,
            worker_class=QuickNanny,
            host=unparse_host_port(access.listen),
            security=security,
            dashboard_address=f"{LOOPBACK}:{free_dashboard_port()}",
            worker_dashboard_address=DASHBOARD_LOCAL,
            resources={"GPU": 1} if gpus else None,
            # Not registered with the scheduler, which would give it to workers of other machines too.
            plugins=(LocalWorker(gpus, preload, server_address),),
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def check_workers(client: Client, *, device: str, run_directory: Path) -> bool:
    """Find out whether the workers can run a study, before anything is submitted.

    Parameters
    ----------
    client : distributed.Client
        Connected.
    device : "auto", "cpu" or "cuda"
        The recipe's device.
    run_directory : Path
        Must be visible to every worker.

    Returns
    -------
    bool
        Whether cells go to workers that offer the resource `GPU`.

    Raises
    ------
    ResourceError
        If there is no worker, one has several threads or other versions or cannot see the run
        directory, or cuda is wanted and none offers a GPU.
    """
    try:
        client.wait_for_workers(1, timeout=60)
    except TimeoutError as error:
        raise ResourceError(
            "cluster: no worker connected within 60 s", remedy="start workers: `dask worker ADDRESS --nthreads 1`"
        ) from error
    workers = client.scheduler_info(n_workers=-1)["workers"]
    for address, worker in workers.items():
        if worker["nthreads"] != 1:
            raise ResourceError(
                f"cluster: worker {address} has {worker['nthreads']} threads, needed 1: pty-chi's settings are global "
                "to a process",
                remedy="start it with `--nthreads 1` and more worker processes",
            )
    ours = software_versions()
    for address, (theirs, sees, is_daemon) in client.run(_worker_facts, str(run_directory)).items():
        if is_daemon:
            raise ResourceError(
                f"cluster: worker {address} is a daemonic process, which may not start the engine's",
                remedy="set DASK_DISTRIBUTED__WORKER__DAEMON=False where you start workers",
            )
        other = [f"{p} {theirs.get(p)} (here {ours[p]})" for p in AGREEING if theirs.get(p) != ours[p]]
        if other:
            raise ResourceError(
                f"cluster: worker {address} has {', '.join(other)}", remedy="install the same environment there"
            )
        if not sees:
            raise ResourceError(
                f"cluster: worker {address} does not see {run_directory}", remedy="put the run on a shared file system"
            )
    offers_gpu = any(worker["resources"].get("GPU", 0) >= 1 for worker in workers.values())
    if device == "cuda" and not offers_gpu:
        raise ResourceError(
            f"cluster: device cuda is wanted and none of {len(workers)} workers offers the resource GPU",
            remedy="run on a machine with an NVIDIA GPU, start workers with `--resources GPU=1`, or give --device cpu",
        )
    return device != "cpu" and offers_gpu


def quieten_dask() -> None:
    """Silence Dask's life-cycle messages, which drown the run's own; what matters comes back as an error."""
    logging.getLogger("distributed").setLevel(logging.ERROR)
    for name in ("distributed.client", "distributed.scheduler", "distributed.core"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # Two runs that start at once both find the dashboard's port free. It takes another then, and the run says which.
    warnings.filterwarnings("ignore", message=r"\s*Port \d+ is already in use", category=UserWarning)


def raise_descriptor_limit() -> None:
    """Let this process and its workers open as many files and sockets as the system allows.

    Raises
    ------
    ResourceError
        If that is too few for a cluster.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = hard == resource.RLIM_INFINITY
    if not unlimited and hard < MIN_DESCRIPTORS:
        raise ResourceError(
            f"cluster: a process may open {hard} files and sockets, needed {MIN_DESCRIPTORS}",
            remedy=f"raise the hard limit: `ulimit -Hn {MIN_DESCRIPTORS}` or limits.conf",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (MANY_DESCRIPTORS if unlimited else hard, hard))


def n_local_cores() -> int:
    """Cores this process may use, as its affinity and control group say."""
    return int(CPU_COUNT)


def free_dashboard_port() -> int:
    """Dask's usual dashboard port if it is free here, else 0: any."""
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, DASHBOARD_PORT))
        except OSError:
            return 0
    return DASHBOARD_PORT


@contextmanager
def _shared_server(
    given: ForkServer | None, preload: tuple[str, ...], *, gpus: tuple[str, ...]
) -> Iterator[str | None]:
    """Give the address of what forks the engines of all local workers; None where each has to see to its own."""
    if gpus or not preload:
        yield None
    elif given is not None:
        yield given.address
    else:
        with ForkServer(preload) as started:
            yield started.address


@contextmanager
def _join(address: str, security: Security | None) -> Iterator[Client]:
    try:
        client = Client(address, security=security, timeout=20)
    except (OSError, ValueError) as error:
        raise ResourceError(
            f"cluster: no Dask scheduler answers at {address!r} ({type(error).__name__}: {error})",
            remedy="give `local` or an address such as tcp://127.0.0.1:8786"
            + (", and certificates that it trusts" if security else ""),
        ) from error
    with client:
        yield client


def _worker_facts(run_directory: str) -> tuple[dict[str, str], bool, bool]:
    return software_versions(), Path(run_directory).is_dir(), multiprocessing.current_process().daemon
