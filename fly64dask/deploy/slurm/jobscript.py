"""Job scripts of a run: one for all workers and one for the controller, with one writer of their `#SBATCH` lines."""

from __future__ import annotations

import functools
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
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
from fly64dask.deploy.slurm.site_file import Controller, Environment, SlurmFile, Workers
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
    `cores` counts threads, `job_cpu` what Slurm reserves. A worker's name is the id of its job, with a number after it
    where there are several. A job does not come back by itself: a new one takes its place. The recipe's device decides
    what memory a cell has of the pool.
    """
    layout = jobs.layout
    has = offered(pool, device) if len(site.pools) > 1 else {GPU: 1.0} if pool.gpus else {}
    directives = ["--no-requeue", *([pool.gpu_directive] if pool.gpus else [])]
    job = _job(
        pool,
        jobs.name(pool.name),
        log=_log_file(site.directories.logs or str(layout.slurm_logs), jobs.name(pool.name)),
        directives=directives,
        processes=pool.slots,
        scheduler=scheduler_address,
        name="${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" if pool.submit == "array" else "$SLURM_JOB_ID",
        python=shlex.quote(site.environment.python or sys.executable),
        job_script_prologue=prologue(site, pool, engine),
        worker_extra_args=[
            *("--dashboard-address", DASHBOARD_LOCAL),
            *(("--resources", resources_text(has)) if has else ()),
            *("--preload-nanny", JOB_SERVER, "--preload", JOB_SERVER),
            *map(shlex.quote, certificate_options(Path(site.network.tls_directory or layout.tls_directory))),
        ],
        local_directory=site.directories.scratch,
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
        # A job that waited for long may start after its run has ended.
        lines.append(
            f'[ "$(squeue --noheader --format=%T --jobs={shlex.quote(controller)} 2>/dev/null)" = RUNNING ] '
            "|| { echo 'the run has ended'; exit 0; }"
        )
    # When Slurm will end this job: the engine writes a checkpoint shortly before.
    lines.append(f'export {ENDS_AT}="$(squeue --noheader --format=%e --jobs="$SLURM_JOB_ID" 2>/dev/null)"')
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
        log=_log_file(str(jobs.layout.slurm_logs), CONTROLLER),
        directives=["--open-mode=append", "--requeue", f"--signal=B:USR1@{WARNING_S}"],
    )
    try:
        return TEMPLATES.from_string(text).render(
            directives=job.job_header,
            setup="\n".join(_site_lines(site.environment)),
            workers=" ".join(jobs.name(pool.name) for pool in site.pools),
            command=shlex.join(command),
        )
    except TemplateError as error:
        raise InputError(
            f"cluster file {cluster_file}: cannot fill in the controller's template {template} ({error})",
            remedy="places are {{ directives }}, {{ setup }}, {{ workers }} and {{ command }}, "
            "as in fly64dask's cluster/controller.sbatch",
        ) from error


def _job(
    settings: Workers | Controller,
    job_name: str,
    *,
    log: str,
    directives: Sequence[str],
    processes: int = 1,
    **worker_command: object,
) -> Any:
    """Describe a job to dask-jobqueue, which writes its lines; less what the site forbids."""
    job_class = _slurm_job()  # first, as with some of its settings here it would take over none of its own
    own = [line for line in (log, "--nodes=1", *directives) if not line.startswith(settings.skip_directives)]
    # Where the cluster file says nothing, a user's own configuration of dask-jobqueue does not count either.
    with dask.config.set({f"jobqueue.slurm.{key}": None for key in ("interface", "local-directory", "log-directory")}):
        return job_class(
            job_name=job_name,
            queue=settings.queue,
            account=settings.account,
            walltime=settings.walltime,
            cores=processes,
            processes=processes,
            job_cpu=settings.cpus,
            memory=settings.memory,
            job_extra_directives=[*own, *settings.extra_directives],
            job_directives_skip=settings.skip_directives,
            config_name="slurm",
            **worker_command,
        )


@functools.cache
def _slurm_job() -> Any:
    """Import dask-jobqueue's description of a Slurm job, and leave nothing where a user keeps Dask's settings."""
    usual = dask.config.PATH
    with tempfile.TemporaryDirectory() as folder:
        dask.config.PATH = folder  # its import copies a file of examples there
        try:
            from dask_jobqueue.slurm import SLURMJob
        finally:
            dask.config.PATH = usual
    return SLURMJob


def _log_file(directory: str, name: str) -> str:
    """Name the file of what a job says; Slurm has a meaning for spaces and percent signs."""
    path = f"{directory}/{name}".replace("%", "%%")
    return f"--output={shlex.quote(f'{path}-%j.log')}"


def _site_lines(environment: Environment) -> list[str]:
    return [*([f"unset {PROXY_VARIABLES}"] if environment.unset_proxies else []), *environment.setup]
