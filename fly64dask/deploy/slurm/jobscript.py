"""Job scripts of a run: one for all workers and one for the controller, with one writer of their `#SBATCH` lines."""

from __future__ import annotations

import functools
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
from jinja2 import Environment as Templates, StrictUndefined, TemplateError

from fly64dask.base import KEEP_MEMORY, SINGLE_THREAD, InputError
from fly64dask.cells import engine_modules
from fly64dask.deploy.certificates import certificate_options
from fly64dask.deploy.local import DASHBOARD_LOCAL
from fly64dask.deploy.slurm.job_server import ENGINE_MODULES
from fly64dask.deploy.slurm.names import CONTROLLER, RunJobs
from fly64dask.deploy.slurm.pools import GPU, offered, resources_text
from fly64dask.deploy.slurm.site import (
    Controller,
    Environment,
    SlurmFile,
    System,
    Workers,
    in_bytes,
    in_seconds,
)
from fly64dask.reconstruction import ENDS_AT, LSQML

JOB_SERVER = "fly64dask.deploy.slurm.job_server"
DEATH_TIMEOUT_S = 60  # a worker that cannot reach the scheduler for so long ends
CONTROLLER_VARIABLE = "FLY64DASK_CONTROLLER_JOB"  # id of the controller job, in which the driver runs
PROXY_VARIABLES = "http_proxy https_proxy ftp_proxy all_proxy HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY"
# Seconds before its wall time at which Slurm tells the controller to stop in order.
WARNING_S = 120
# Shell has `${#name}`: the mark of Jinja's comments must be another one.
TEMPLATES = Templates(
    undefined=StrictUndefined, keep_trailing_newline=True, comment_start_string="{{#", comment_end_string="#}}"
)


def worker_script(
    site: SlurmFile,
    pool: Workers,
    jobs: RunJobs,
    *,
    device: str = "auto",
    engine: str = LSQML,
    scheduler_address: str = "tls://SCHEDULER",
) -> str:
    """Write the batch script of every worker job of a pool; a preview has no scheduler yet.

    One job has as many processes with one thread each as the pool has slots, and one server that forks their engines;
    `cores` counts threads, `job_cpu` what Slurm reserves. A worker's name begins with the id of its job. A job does not
    come back by itself: a new one takes its place. The recipe's device decides what memory a cell has of the pool.
    """
    layout = jobs.layout
    logs = site.directories.logs or str(layout.slurm_logs)
    has = offered(pool, device) if len(site.pools) > 1 else {GPU: 1.0} if pool.gpus else {}
    if site.system == "pbs":
        directives = ["-r n", "-j oe", f"-o {_log_folder(logs, 'pbs')}/"]
        worker_name = "${PBS_JOBID%%.*}"
    else:
        log = _log_file(logs, jobs.name(pool.name))
        directives = [log, "--nodes=1", "--no-requeue", *([pool.gpu_directive] if pool.gpus else [])]
        # Dask makes a number of a name that Python reads as one, and 6_0 is 60.
        of_array = "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID-w"
        worker_name = of_array if pool.submit == "array" else "$SLURM_JOB_ID"
    job = _job(
        pool,
        jobs.name(pool.name),
        directives=directives,
        system=site.system,
        processes=pool.slots,
        scheduler=scheduler_address,
        name=worker_name,
        python=shlex.quote(site.environment.python or sys.executable),
        job_script_prologue=prologue(site, pool, engine),
        worker_extra_args=[
            *("--dashboard-address", DASHBOARD_LOCAL),
            *(("--resources", resources_text(has)) if has else ()),
            *("--preload-nanny", JOB_SERVER, "--preload", JOB_SERVER),
            *map(shlex.quote, certificate_options(Path(site.network.tls_directory or layout.tls_directory))),
        ],
        local_directory=site.directories.scratch and f'"{site.directories.scratch}"',
        death_timeout=DEATH_TIMEOUT_S,
        interface=site.network.interface,
    )
    script: str = job.job_script()
    return script


def prologue(site: SlurmFile, pool: Workers, engine: str) -> list[str]:
    """List the lines that a worker job's shell runs before Python starts."""
    settings = {**SINGLE_THREAD, **KEEP_MEMORY, "DASK_DISTRIBUTED__WORKER__DAEMON": "False"}
    settings |= {ENGINE_MODULES: shlex.quote(" ".join(engine_modules(engine)))}
    if any(other.gpus for other in site.pools) and not pool.gpus:
        settings |= {"CUDA_VISIBLE_DEVICES": ""}  # a GPU that its node may have is another job's
    lines = [f"export {name}={value}" for name, value in settings.items()]
    lines += _site_lines(site.environment)
    controller = os.environ.get(CONTROLLER_VARIABLE)
    if controller:
        # A job that waited for long may start after its run has ended. No answer is no news of that.
        lines += [
            f"controller=$(squeue --noheader --states=all --format=%T --jobs={shlex.quote(controller)} 2>&1)",
            'case "$controller" in *"Invalid job id"*) controller=ENDED ;; *[!A-Z_]*|"") controller=RUNNING ;; esac',
            "[ \"$controller\" = RUNNING ] || { echo 'the run has ended'; exit 0; }",
        ]
    # When the job will be ended: the engine writes a checkpoint shortly before.
    end = 'squeue --noheader --format=%e --jobs="$SLURM_JOB_ID" 2>/dev/null'
    if site.system == "pbs":
        end = f"date -d '+{in_seconds(pool.walltime)} seconds' +%FT%T"
    lines.append(f'export {ENDS_AT}="$({end})"')
    return lines


def controller_script(site: SlurmFile, cluster_file: Path, jobs: RunJobs, command: Sequence[str]) -> str:
    """Fill in the template of the controller's batch script, which lies beside the cluster file, with its command.

    Raises InputError if there is no template, or it has places that cannot be filled.
    """
    template = cluster_file.parent / site.controller.template
    try:
        text = template.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cluster file {cluster_file}: cannot read the controller's template {template} ({error})",
            remedy="copy controller.sbatch from fly64dask's `cluster` folder beside the cluster file",
        ) from error
    controller = site.controller.model_copy(
        update={
            "queue": site.controller.queue or site.pools[0].queue,
            "account": site.controller.account or site.pools[0].account,
        }
    )
    job = _job(
        controller,
        jobs.name(CONTROLLER),
        directives=[
            _log_file(str(jobs.layout.slurm_logs), CONTROLLER),
            *("--nodes=1", "--open-mode=append", "--requeue", f"--signal=B:USR1@{WARNING_S}"),
        ],
    )
    # Another controller of the run may be at work, whose workers are not to be ended.
    of_this = replace(jobs, controller=f"${CONTROLLER_VARIABLE}")
    try:
        return TEMPLATES.from_string(text).render(
            directives=job.job_header,
            setup="\n".join(_site_lines(site.environment)),
            workers=" ".join(of_this.name(pool.name) for pool in site.pools),
            command=shlex.join(command),
            script=shlex.quote(str(jobs.layout.controller_script)),
        )
    except TemplateError as error:
        raise InputError(
            f"cluster file {cluster_file}: cannot fill in the controller's template {template} ({error})",
            remedy="places are {{ directives }}, {{ setup }}, {{ workers }}, {{ command }} and {{ script }}, "
            "as in fly64dask's cluster/controller.sbatch",
        ) from error


def _job(
    settings: Workers | Controller,
    job_name: str,
    *,
    directives: Sequence[str],
    system: System = "slurm",
    processes: int = 1,
    **worker_command: object,
) -> Any:
    """Describe a job to dask-jobqueue, which writes its lines; less what the site forbids."""
    # First, as with some of its settings here it would take over none of its own.
    job_class = _job_classes()[system]
    own = [line for line in directives if not line.startswith(settings.skip_directives)]
    walltime = settings.walltime
    size: dict[str, object] = {"job_cpu": settings.cpus}
    if system == "pbs":
        walltime, size = _hours(in_seconds(settings.walltime)), {"resource_spec": _resources(settings)}
    # Where the cluster file says nothing, a user's own configuration of dask-jobqueue does not count either.
    absent = ("interface", "local-directory", "log-directory")
    with dask.config.set({f"jobqueue.{system}.{key}": None for key in absent}):
        return job_class(
            job_name=job_name,
            queue=settings.queue,
            account=settings.account,
            walltime=walltime,
            cores=processes,
            processes=processes,
            memory=settings.memory,
            job_extra_directives=[*own, *settings.extra_directives],
            job_directives_skip=settings.skip_directives,
            config_name=system,
            **size,
            **worker_command,
        )


def _resources(settings: Workers | Controller) -> str:
    """Write what a job of PBS asks for of one node: one chunk with its CPUs, memory and GPU."""
    gpus = ":ngpus=1" if isinstance(settings, Workers) and settings.gpus else ""
    return f"select=1:ncpus={settings.cpus}:mem={in_bytes(settings.memory) // 2**20}mb{gpus}"


def _hours(seconds: int) -> str:
    """Write a wall time as PBS takes it, which knows no days."""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _log_folder(folder: str, system: System) -> str:
    """Give a folder for logs as a batch system takes it; raises InputError where that reads its name otherwise."""
    if "\\" in folder or (system == "pbs" and shlex.quote(folder) != folder):
        raise InputError(
            f"cluster: {system} cannot write logs into {folder!r}, a name that it reads otherwise",
            remedy="give [directories] logs, or another run directory",
        )
    return folder


@functools.cache
def _job_classes() -> dict[System, Any]:
    """Import dask-jobqueue's descriptions of jobs without what its import leaves: a file of examples where a user keeps
    Dask's settings, and an end without a word on Ctrl-C.
    """
    usual, on_interrupt = dask.config.PATH, signal.getsignal(signal.SIGINT)
    with tempfile.TemporaryDirectory() as folder:
        dask.config.PATH = folder  # its import copies a file of examples there
        try:
            from dask_jobqueue.pbs import PBSJob
            from dask_jobqueue.slurm import SLURMJob
        finally:
            dask.config.PATH = usual
            signal.signal(signal.SIGINT, on_interrupt)
    return {"slurm": SLURMJob, "pbs": PBSJob}


def _log_file(directory: str, name: str) -> str:
    """Name the file of what a job says; Slurm has a meaning for spaces and percent signs."""
    path = f"{_log_folder(directory, 'slurm')}/{name}".replace("%", "%%")
    return f"--output={shlex.quote(f'{path}-%j.log')}"


def _site_lines(environment: Environment) -> list[str]:
    return [*([f"unset {PROXY_VARIABLES}"] if environment.unset_proxies else []), *environment.setup]
