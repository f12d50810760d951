"""A Dask cluster as a cluster file describes it: the scheduler lives in this process, workers are Slurm jobs."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import dask
from distributed import Client, Scheduler
from distributed.deploy.spec import SpecCluster
from distributed.security import Security

from fly64dask.base import repeated
from fly64dask.deploy.certificates import published_certificates, read_certificates, temporary_certificates
from fly64dask.deploy.local import DASHBOARD_LOCAL, SCHEDULER_SETTINGS
from fly64dask.deploy.process_settings import many_descriptors, quiet_dask
from fly64dask.deploy.slurm.batch import cancel_workers, commands_of, end_workers
from fly64dask.deploy.slurm.jobscript import CONTROLLER_VARIABLE, worker_script
from fly64dask.deploy.slurm.names import RunJobs
from fly64dask.deploy.slurm.preflight import refuse_bad_script, refuse_bad_worker, refuse_small_jobs
from fly64dask.deploy.slurm.reconciler import INTERVAL_S, Reconciler
from fly64dask.deploy.slurm.site import SlurmFile, read_slurm_file
from fly64dask.scheduling import PlannedCell
from fly64dask.store import RunLayout
from fly64dask.study import Cell, Study

POLL_S = 0.5


@contextlib.contextmanager
def slurm_cluster(
    path: Path,
    layout: RunLayout,
    study: Study,
    cells_to_run: Sequence[Cell],
    *,
    plan_of: Callable[[Sequence[Cell]], Sequence[PlannedCell]],
    engine: str,
    say: Callable[[str], None],
) -> Iterator[tuple[Client, Reconciler]]:
    """Start a scheduler here and worker jobs on Slurm, for as long as the block lasts.

    Parameters
    ----------
    path : Path
        The cluster file.
    layout : RunLayout
        The run, whose directory exists; temporary certificates and logs go there.
    study : Study
        The study.
    cells_to_run : sequence of Cell
        Cells to run; never more workers than that.
    plan_of : callable
        Plans cells of the study, which says what memory they need.
    engine : str
        `module:function`, whose modules each job loads once.
    say : callable
        Gets lines for a person.

    Yields
    ------
    client : distributed.Client
        Connected; a first worker has joined and passed its check.
    reconciler : Reconciler
        Keeps the worker jobs.

    Raises
    ------
    InputError
        If the cluster file or its certificates cannot be used.
    ResourceError
        If there is no Slurm here, it refuses the job script, or no worker can be had.
    """
    site = read_slurm_file(path)
    commands_of(site.system).refuse_without()
    device = study.recipe.device
    refuse_small_jobs(site, path, plan_of(cells_to_run), study.recipe)
    jobs = RunJobs(layout=layout, study=study.name, controller=os.environ.get(CONTROLLER_VARIABLE))
    cancel_workers(site.system, layout)  # of a run that was killed
    logs = Path(site.directories.logs or layout.slurm_logs)
    for folder in (layout.slurm_logs, logs):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with (
            quiet_dask(),
            many_descriptors(),
            dask.config.set(SCHEDULER_SETTINGS),
            _certificates(site, layout) as security,
            _scheduler(site, security) as cluster,
            Client(cluster) as client,
        ):
            for pool in site.pools:
                script = layout.slurm_logs / f"{pool.name}.sbatch"
                script.write_text(
                    worker_script(
                        site, pool, jobs, device=device, engine=engine, scheduler_address=cluster.scheduler_address
                    )
                )
                refuse_bad_script(path, script, section=site.section(pool), system=site.system)
            reconciler = Reconciler(
                cluster.scheduler,
                client,
                site,
                layout,
                device=device,
                plan_of=plan_of,
                n_cells=len(cells_to_run),
                remedy=f"read the newest {jobs.name('*')}-*.log in {logs}, then correct [workers] or [environment] "
                f"of {path}",
                say=say,
            )
            reconciler.resources_of(cells_to_run)
            try:
                reconciler.reconcile()
                with repeated(reconciler.reconcile, every_s=INTERVAL_S, name="slurm-reconciler"):
                    while not client.scheduler_info(n_workers=1)["workers"]:
                        reconciler.check()
                        time.sleep(POLL_S)
                    refuse_bad_worker(client, path, device=device)
                    yield client, reconciler
            finally:
                end_workers(site.system, layout, reconciler.known, say=say)
    finally:
        # A job that was submitted as the reconciler ended.
        end_workers(site.system, layout, (), say=say)


@contextlib.contextmanager
def _certificates(site: SlurmFile, layout: RunLayout) -> Iterator[Security]:
    """Make the certificates, as links leave this machine and are always encrypted; jobs find them on disk."""
    if site.network.tls_directory is not None:
        yield read_certificates(Path(site.network.tls_directory))
        return
    with published_certificates(temporary_certificates(), layout.tls_directory):
        yield read_certificates(layout.tls_directory)


def _scheduler(site: SlurmFile, security: Security) -> SpecCluster:
    """Start the scheduler alone: workers come as jobs, which Dask's own cluster objects would not replace."""
    return SpecCluster(
        workers={},
        scheduler={
            "cls": Scheduler,
            "options": {
                "protocol": "tls://",
                "security": security,
                "interface": site.network.interface,
                "dashboard_address": DASHBOARD_LOCAL,
            },
        },
        security=security,
        silence_logs=logging.ERROR,
        name="slurm",
    )
