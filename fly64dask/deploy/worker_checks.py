"""Checks of a cluster's workers before a run: threads, versions, the run directory, GPUs."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.base import NOT_INSTALLED, ResourceError, counted, software_versions

if TYPE_CHECKING:
    from distributed import Client
    from distributed.security import Security

# Versions that must agree between this process and the workers: they decide numbers and records.
AGREEING = ("fly64dask", "ptychi", "torch", "zarr")
WANTED_KEY = "fly64dask-run"  # of the scheduler's metadata


def check_workers(client: Client, *, device: str, run_directory: Path, libraries: Sequence[str] = ()) -> bool:
    """Check that the workers of a cluster can run a study, before anything is submitted.

    Parameters
    ----------
    client : distributed.Client
        Connected.
    device : "auto", "cpu" or "cuda"
        The recipe's device.
    run_directory : Path
        Must be visible to every worker.
    libraries : sequence of str
        What workers must have, by the names of `software_versions`.

    Returns
    -------
    bool
        Whether cells go to workers that offer the resource `GPU`.

    Raises
    ------
    ResourceError
        If there is no worker, one has several threads or other versions, lacks a library or cannot see the run
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
    wanted = {name: ours[name] for name in AGREEING}
    # For machines that join later and ask before they do.
    client.set_metadata([WANTED_KEY], {"versions": wanted, "run_directory": str(run_directory)})
    for address, (theirs, sees, is_daemon) in client.run(_worker_facts, str(run_directory)).items():
        if is_daemon:
            raise ResourceError(
                f"cluster: worker {address} is a daemonic process, which cannot start the engine's process",
                remedy="set DASK_DISTRIBUTED__WORKER__DAEMON=False where you start workers",
            )
        other = differing(theirs, wanted, whose="here")
        if other:
            raise ResourceError(f"cluster: worker {address} has {other}", remedy="install the same environment there")
        missing = [name for name in libraries if theirs.get(name, NOT_INSTALLED) == NOT_INSTALLED]
        if missing:
            raise ResourceError(
                f"cluster: worker {address} has no {' and no '.join(missing)}",
                remedy="pip install 'fly64dask[engine]' there",
            )
        if not sees:
            raise ResourceError(
                f"cluster: worker {address} does not see {run_directory}", remedy="put the run on a shared file system"
            )
    offers_gpu = any(worker["resources"].get("GPU", 0) >= 1 for worker in workers.values())
    if device == "cuda" and not offers_gpu:
        raise ResourceError(
            f"cluster: device cuda is wanted and none of {counted(len(workers), 'worker')} offers the resource GPU",
            remedy="run on a machine with an NVIDIA GPU, start workers with `--resources GPU=1`, or give --device cpu",
        )
    return device != "cpu" and offers_gpu


def differing(found: Mapping[str, str], wanted: Mapping[str, str], *, whose: str) -> str:
    """Name the packages that are found in other versions than wanted, with both; empty if there are none."""
    return ", ".join(f"{p} {found.get(p)} ({whose} {wanted[p]})" for p in wanted if found.get(p) != wanted[p])


async def refuse_to_join(address: str, security: Security | None) -> None:
    """Raise ResourceError if this machine cannot compute cells of the run that is under way at a scheduler."""
    from distributed import Client

    try:
        async with Client(address, security=security, asynchronous=True) as client:
            run = await client.get_metadata([WANTED_KEY], default=None)
    except (OSError, ValueError, MemoryError) as error:  # Dask takes the words of a web server for a huge length
        raise ResourceError(
            f"worker: what listens at {address} does not talk to this machine ({error})",
            remedy="check that it is the run's scheduler, and that the certificates are those of the run",
        ) from error
    if run is None:
        return  # nobody has started one yet: who does looks at the workers that are there
    other = differing(software_versions(), run["versions"], whose="the run has")
    if other:
        raise ResourceError(f"worker: this machine has {other}", remedy="install the environment of the run")
    if not Path(run["run_directory"]).is_dir():
        raise ResourceError(
            f"worker: this machine does not see {run['run_directory']}",
            remedy="put the run on a file system that both machines share, under the same path",
        )


def _worker_facts(run_directory: str) -> tuple[dict[str, str], bool, bool]:
    return software_versions(), Path(run_directory).is_dir(), multiprocessing.current_process().daemon
