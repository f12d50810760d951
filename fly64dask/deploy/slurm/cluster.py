"""A cluster file -> a Dask cluster whose workers are Slurm jobs, for as long as a run lasts."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dask
from dask_jobqueue.slurm import SLURMCluster, SLURMJob
from distributed import Client
from distributed.security import Security

from fly64dask.base import KEEP_MEMORY, SINGLE_THREAD, InputError, ResourceError
from fly64dask.deploy.certificates import published_certificates, read_certificates
from fly64dask.deploy.local import DASHBOARD_LOCAL, SCHEDULER_SETTINGS, quieten_dask
from fly64dask.deploy.slurm.commands import cancel, jobs_named, refusal, refuse_without_slurm
from fly64dask.deploy.slurm.reconciler import Keeper, kept
from fly64dask.deploy.slurm.site_file import SlurmFile, in_bytes, line_of, parse_slurm_file
from fly64dask.reconstruction import ENDS_AT
from fly64dask.scheduling import ENGINE_BYTES, PlannedCell
from fly64dask.store import RunLayout
from fly64dask.study import Recipe

DEATH_TIMEOUT_S = 60
POLL_S = 0.5
CONTROLLER_VARIABLE = "FLY64DASK_CONTROLLER_JOB"  # where the driver of a submitted run lives


def read_slurm_file(path: Path) -> SlurmFile:
    """Read a cluster file.

    Parameters
    ----------
    path : Path
        TOML; see `cluster/slurm.toml`.

    Returns
    -------
    SlurmFile

    Raises
    ------
    InputError
        If it cannot be read, or a key is unknown or wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"read cluster file {path}: {error}", remedy="give a TOML file in UTF-8") from error
    return parse_slurm_file(text, origin=str(path))


def job_name(layout: RunLayout, role: str) -> str:
    """Name the jobs of a run: the same for the same directory, so that its leftovers are found.

    Parameters
    ----------
    layout : RunLayout
        The run.
    role : str
        `worker` or `controller`.

    Returns
    -------
    str
        Such as `fly64-3f9a2c1b-worker`.
    """
    return f"fly64-{hashlib.sha256(str(layout.root).encode()).hexdigest()[:8]}-{role}"


def cluster_arguments(site: SlurmFile, layout: RunLayout, security: Security) -> dict[str, Any]:
    """Say what dask-jobqueue shall put into the job script.

    Parameters
    ----------
    site : SlurmFile
        The cluster file.
    layout : RunLayout
        The run.
    security : distributed.Security
        Certificates of the links, in files.

    Returns
    -------
    dict
        Keywords of `SLURMCluster`.

    Notes
    -----
    One job is one process with one thread; `cores` counts threads, `job_cpu` what Slurm reserves.
    A job does not come back by itself: a new one takes its place.
    """
    jobs = site.workers
    gpu = (jobs.gpu_directive,) if jobs.gpus else ()
    return {
        "queue": jobs.queue,
        "account": jobs.account,
        "walltime": jobs.walltime,
        "cores": 1,
        "job_cpu": jobs.cpus,
        "memory": jobs.memory,
        "processes": 1,
        "job_extra_directives": ["--nodes=1", "--no-requeue", *gpu, *jobs.extra_directives],
        "job_directives_skip": list(jobs.skip_directives),
        "job_script_prologue": prologue(site),
        "python": shlex.quote(site.environment.python or sys.executable),
        "worker_extra_args": [
            *("--dashboard-address", DASHBOARD_LOCAL),
            *(("--resources", "GPU=1") if jobs.gpus else ()),
        ],
        "local_directory": site.directories.scratch,
        "log_directory": site.directories.logs or str(layout.slurm_logs),
        "death_timeout": DEATH_TIMEOUT_S,
        "interface": site.network.interface,
        "job_name": job_name(layout, "worker"),
        "name": "slurm",
        "security": security,
        "scheduler_options": {"dashboard_address": DASHBOARD_LOCAL},
        "config_name": "slurm",
    }


def prologue(site: SlurmFile) -> list[str]:
    """List what a worker job's shell does before Python starts.

    Parameters
    ----------
    site : SlurmFile
        The cluster file.

    Returns
    -------
    list of str
        Lines of a script.
    """
    settings = {**SINGLE_THREAD, **KEEP_MEMORY, "DASK_DISTRIBUTED__WORKER__DAEMON": "False"}
    lines = [f"export {name}={value}" for name, value in settings.items()]
    if site.environment.unset_proxies:
        lines.append("unset http_proxy https_proxy ftp_proxy all_proxy HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY")
    lines += site.environment.setup
    controller = os.environ.get(CONTROLLER_VARIABLE)
    if controller:
        # A job that waited for long may start after its run has ended.
        lines.append(
            f'[ "$(squeue --noheader --format=%T --jobs={shlex.quote(controller)} 2>/dev/null)" = RUNNING ] '
            "|| { echo 'the run has ended'; exit 0; }"
        )
    # When Slurm will end this job: the engine writes a checkpoint shortly before.
    lines.append(f'export {ENDS_AT}="$(squeue --noheader --format=%e --jobs="$SLURM_JOB_ID" 2>/dev/null)"')
    return lines


@contextlib.contextmanager
def slurm_cluster(
    path: Path, layout: RunLayout, *, recipe: Recipe, plan: Sequence[PlannedCell], say: Callable[[str], None]
) -> Iterator[tuple[Client, Keeper]]:
    """Start a scheduler here and worker jobs on Slurm, for as long as the block lasts.

    Parameters
    ----------
    path : Path
        The cluster file.
    layout : RunLayout
        The run, whose directory exists; temporary certificates and logs go there.
    recipe : Recipe
        The study's.
    plan : sequence of PlannedCell
        Cells to run; never more jobs than that.
    say : callable
        Gets lines for a person.

    Yields
    ------
    client : distributed.Client
        Connected; the first worker may be hours away.
    keeper : Keeper
        Sees to it that there are workers.

    Raises
    ------
    InputError
        If the cluster file or its certificates cannot be used.
    ResourceError
        If there is no Slurm here, or it refuses the job script.
    """
    site = read_slurm_file(path)
    refuse_without_slurm()
    refuse_small_jobs(site, path, plan, device=recipe.device, n_threads=recipe.threads)
    quieten_dask()
    name = job_name(layout, "worker")
    cancel(list(jobs_named(name)))  # of a run that was killed
    settings = {
        **SCHEDULER_SETTINGS,
        # Unset keys come from dask-jobqueue's defaults; a partial section of the user's would lack some.
        "jobqueue.slurm.interface": site.network.interface,
    }
    try:
        with (
            dask.config.set(settings),
            _certificates(site, layout) as security,
            SLURMCluster(**cluster_arguments(site, layout, security)) as cluster,
            Client(cluster) as client,
        ):
            refuse_bad_script(path, cluster.job_script(), layout.slurm_logs / "worker.sbatch", section="workers")
            keeper = Keeper(
                cluster,
                job_name=name,
                max_jobs=site.workers.max_jobs,
                wanted=len(plan),
                patience=site.patience,
                remedy=f"read the newest {name}-*.err in {site.directories.logs or layout.slurm_logs}, then correct "
                f"{at_key(path, 'workers')} or {at_key(path, 'environment')}",
                say=say,
            )
            with kept(keeper):
                while not client.scheduler_info(n_workers=1)["workers"]:
                    keeper.check()
                    time.sleep(POLL_S)
                refuse_bad_worker(client, path, needs_gpu=bool(site.workers.gpus) and recipe.device != "cpu")
                yield client, keeper
    finally:
        # A job that was submitted as the cluster closed.
        cancel(list(jobs_named(name)))


def worker_script(site: SlurmFile, layout: RunLayout) -> str:
    """Write a worker's job script as it will be, but for its name, the scheduler's address and certificates."""
    arguments = cluster_arguments(site, layout, Security())
    for name in ("security", "scheduler_options", "name"):
        del arguments[name]
    job = SLURMJob("tls://SCHEDULER", name="NAME", **arguments)
    script: str = job.job_script()
    return script


def refuse_small_jobs(
    site: SlurmFile, path: Path, plan: Sequence[PlannedCell], *, device: str, n_threads: int = 1
) -> None:
    """Compare what cells need with what jobs have, before anything is queued.

    Parameters
    ----------
    site : SlurmFile
        The cluster file.
    path : Path
        Where it is, for the message.
    plan : sequence of PlannedCell
        The cells that will run.
    device : "auto", "cpu" or "cuda"
        The recipe's.
    n_threads : int
        The recipe's.

    Raises
    ------
    InputError
        If the recipe wants a GPU and jobs have none, or more threads than jobs have CPUs.
    ResourceError
        If a cell needs more memory than a job, or its GPU, has.
    """
    jobs = site.workers
    if device == "cuda" and not jobs.gpus:
        raise InputError(
            f"cluster file: workers have no GPU, and the recipe's device is cuda ({at_key(path, 'workers', 'gpus')})",
            remedy="set gpus = 1 there, or give --device cpu",
        )
    if n_threads > jobs.cpus:
        raise InputError(
            f"cluster file: workers have {jobs.cpus} CPUs, and the recipe's cells compute on {n_threads} threads "
            f"({at_key(path, 'workers', 'cpus')})",
            remedy=f"set cpus = {n_threads} there, or threads = 1 in the recipe",
        )
    on_gpu = jobs.gpus and device != "cpu"
    key = "gpu_memory" if on_gpu else "memory"
    size = jobs.gpu_memory if on_gpu else jobs.memory
    needy = max(plan, key=lambda cell: cell.predicted_memory_bytes or 0, default=None)
    if size is None or needy is None or needy.predicted_memory_bytes is None:
        return
    needed = needy.predicted_memory_bytes + ENGINE_BYTES
    if needed > in_bytes(size):
        raise ResourceError(
            f"slurm: cell {needy.cell.name} with {needy.n_kept} exposures needs about {needed / 1e9:.1f} GB, "
            f"a job has {in_bytes(size) / 1e9:.1f} GB",
            remedy=f"raise {at_key(path, 'workers', key)}, or lower the recipe's batch_size",
        )


def refuse_bad_script(path: Path, script: str, target: Path, *, section: str) -> None:
    """Ask Slurm whether it would take a job, before any is queued.

    Parameters
    ----------
    path : Path
        The cluster file, for the message.
    script : str
        The job script.
    target : Path
        Where the script is left for a person to look at.
    section : str
        Of the cluster file that it comes from.

    Raises
    ------
    ResourceError
        With Slurm's words and the line to change.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(script)
    said = refusal(target)
    if said is None:
        return
    keys = next((keys for word, keys in REFUSED.items() if word in said.lower()), (None,))
    places = " or ".join(at_key(path, section, key) for key in keys)
    raise ResourceError(
        f"slurm: the {section} job would be refused: {said}", remedy=f"correct {places}; the script is {target}"
    )


def refuse_bad_worker(client: Client, path: Path, *, needs_gpu: bool) -> None:
    """Try on the first worker what a cell needs: imports, torch, GPU.

    Parameters
    ----------
    client : distributed.Client
        With a worker.
    path : Path
        The cluster file, for the message.
    needs_gpu : bool
        Whether its jobs asked for one and cells shall use it.

    Raises
    ------
    ResourceError
        If something fails there.
    """
    address = next(iter(client.scheduler_info(n_workers=1)["workers"]))
    (said,) = client.run(_doctor, workers=[address]).values()
    where = f"slurm: the first worker ({address})"
    try:
        checks = json.loads(said)["checks"]
    except ValueError:
        raise ResourceError(
            f"{where} cannot run fly64dask: {said[-500:]}", remedy=f"correct {at_key(path, 'environment')}"
        ) from None
    bad = [
        f"{check['name']}: {check['found']}"
        for check in checks
        if check["state"] == "failed" and (needs_gpu or check["name"] != "gpu")
    ]
    if bad:
        raise ResourceError(f"{where}: {'; '.join(bad)}", remedy=f"correct {at_key(path, 'environment')}")
    gpu = next(check["found"] for check in checks if check["name"] == "gpu")
    if needs_gpu and gpu.startswith("none"):
        raise ResourceError(
            f"{where} has no GPU that torch can use, and the jobs ask for one",
            remedy=f"correct {at_key(path, 'workers', 'gpu_directive')} or {at_key(path, 'environment')}; "
            "or give --device cpu",
        )


def _doctor() -> str:
    """On a worker: in a process of its own, so that torch stays out of the worker's."""
    done = subprocess.run(
        [sys.executable, "-m", "fly64dask", "doctor", "--json"], capture_output=True, text=True, check=False
    )
    return done.stdout or done.stderr


# What Slurm says of a refused job -> the keys of the cluster file that it may be about.
REFUSED = {
    "partition": ("queue",),
    "account": ("account",),
    "time limit": ("walltime",),
    "timelimit": ("walltime",),
    "generic resource": ("gpu_directive",),
    "gres": ("gpu_directive",),
    "memory": ("memory",),
    "node configuration": ("memory", "cpus", "gpu_directive"),
    "cpu": ("cpus",),
}


@contextlib.contextmanager
def _certificates(site: SlurmFile, layout: RunLayout) -> Iterator[Security]:
    """Links leave this machine, so they are encrypted always; jobs find the certificates on disk."""
    if site.network.tls_directory is not None:
        yield read_certificates(Path(site.network.tls_directory))
        return
    with published_certificates(Security.temporary(), layout.tls_directory):
        yield read_certificates(layout.tls_directory)


def at_key(path: Path, section: str, key: str | None = None) -> str:
    """Say where a key of the cluster file is, as a person looks for it."""
    line = line_of(path.read_text(encoding="utf-8"), section, key or "")
    place = f"[{section}]" + (f" {key}" if key else "")
    return f"{path}, line {line}, {place}" if line else f"{path}, {place}"
