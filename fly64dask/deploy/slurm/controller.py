"""Submitted runs: a controller job that holds scheduler and driver is submitted, found again and cancelled."""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from fly64dask.base import Frozen, InputError, ResourceError, host_name, utc_now
from fly64dask.datasets import ScanInputs
from fly64dask.deploy.slurm.commands import (
    BatchJob,
    cancel_jobs,
    how_it_ended,
    jobs_of,
    jobs_words,
    refuse_without,
    submit_script,
    wait_until_gone,
)
from fly64dask.deploy.slurm.jobscript import controller_script, worker_script
from fly64dask.deploy.slurm.names import CONTROLLER, RunJobs
from fly64dask.deploy.slurm.preflight import refuse_bad_script, refuse_small_jobs
from fly64dask.deploy.slurm.site import SlurmFile, read_slurm_file
from fly64dask.scheduling import plan_cells
from fly64dask.store import RunLayout, held_file, publish_text, read_document, write_document
from fly64dask.study import Cell, Filters, Study

ORDERLY_S, HARD_S = 60.0, 60.0
ASK_S = 1.0  # between two looks at a list of jobs that may be wrong


class SubmittedController(Frozen):
    """The controller job of a run as it was submitted: its id, when and where from, its command, its cells.

    `filters` choose the cells that were asked for, and cells that cannot be selected count as no failure if
    `allow_missing`.
    """

    job_id: str
    submitted_at: str
    host: str
    user: str
    command: tuple[str, ...]
    filters: Filters = Filters()
    allow_missing: bool = False


def submit_run(
    study: Study,
    inputs: ScanInputs,
    cells_to_run: Sequence[Cell],
    layout: RunLayout,
    cluster_file: Path,
    options: Sequence[str],
    *,
    filters: Filters,
    allow_missing: bool,
) -> SubmittedController:
    """Submit a controller job for a run; returns at once.

    Parameters
    ----------
    study : Study
        The study, its paths resolved; a copy goes into the run directory.
    inputs : ScanInputs
        Of the study.
    cells_to_run : sequence of Cell
        Cells that will run.
    layout : RunLayout
        The run directory; made if missing, continued if not.
    cluster_file : Path
        How the site wants its jobs; a copy goes into the run directory.
    options : sequence of str
        Further words of `fly64dask run`: filters, device.
    filters : Filters
        The cells that are asked for, those too that are done.
    allow_missing : bool
        Whether cells that cannot be selected count as no failure.

    Returns
    -------
    SubmittedController

    Raises
    ------
    InputError
        If the run has a controller already or is just being submitted, or the cluster file cannot be used.
    ResourceError
        If a cell needs more memory than a job has, or Slurm refuses a job.
    """
    site = read_slurm_file(cluster_file)
    refuse_without()
    scripts = preview(study, inputs, cells_to_run, layout, cluster_file, options)
    layout.slurm_logs.mkdir(parents=True, exist_ok=True)
    with held_file(layout.submission_lock, what=f"submit to {layout.root}"):
        _refuse_second(layout)
        write_document(layout.submitted_study, study)
        publish_text(layout.submitted_cluster_file, cluster_file.read_text(encoding="utf-8"))
        publish_text(layout.controller_script, scripts[CONTROLLER])
        for pool in site.pools:
            # Not the script of a driver that may be at work without a controller.
            worker_preview = layout.slurm_logs / f"{pool.name}-preview.sbatch"
            publish_text(worker_preview, scripts[pool.name])
            refuse_bad_script(cluster_file, worker_preview, section=site.section(pool))
        refuse_bad_script(cluster_file, layout.controller_script, section="[controller]")
        submission = SubmittedController(
            job_id=submit_script(layout.controller_script),
            submitted_at=utc_now(),
            host=host_name(),
            user=getpass.getuser(),
            command=_command(site, layout, options),
            filters=filters,
            allow_missing=allow_missing,
        )
        write_document(layout.submission_file, submission)
    return submission


def preview(
    study: Study,
    inputs: ScanInputs,
    cells_to_run: Sequence[Cell],
    layout: RunLayout,
    cluster_file: Path,
    options: Sequence[str],
) -> dict[str, str]:
    """Check a submission as far as that goes without Slurm, and give the scripts of its `controller` and of each pool.

    It takes what `submit_run` takes, and raises the same errors about the cluster file and the memory of jobs.
    """
    site = read_slurm_file(cluster_file)
    if site.system != "slurm":
        raise InputError(
            f"cluster file {cluster_file}: a controller job is for Slurm, found system = {site.system!r}",
            remedy=f"use `fly64dask run ... --cluster {cluster_file}` in a session on a login node that stays open",
        )
    refuse_small_jobs(site, cluster_file, plan_cells(study, inputs, cells_to_run), study.recipe)
    jobs = RunJobs(layout=layout, study=study.name)
    device = study.recipe.device
    return {
        CONTROLLER: controller_script(site, cluster_file, jobs, _command(site, layout, options)),
        **{pool.name: worker_script(site, pool, jobs, device=device) for pool in site.pools},
    }


def find_controller(layout: RunLayout) -> BatchJob | None:
    """Find the run's controller job; None if it has none that waits or runs."""
    return next((job for job in jobs_of(layout).values() if job.role == CONTROLLER), None)


def controller_goes_on(layout: RunLayout, submission: SubmittedController) -> bool:
    """Whether a run's controller waits or runs: Slurm lists it, or does not say how it ended, as its list may be wrong.

    Raises ResourceError if Slurm does not answer.
    """
    return find_controller(layout) is not None or how_it_ended(submission.job_id) is None


def jobs_line(layout: RunLayout) -> str | None:
    """Say in a line how a run's jobs are, and what they wait for; None if it has none that wait or run.

    Raises ResourceError if Slurm does not answer.
    """
    jobs = jobs_of(layout)
    workers = [job for job in jobs.values() if job.role != CONTROLLER]
    lines = [f"controller job {job.job_id} is {job.words}" for job in jobs.values() if job.role == CONTROLLER]
    return "; ".join([*lines, *([f"worker jobs: {jobs_words(workers)}"] if workers else [])]) or None


def read_submission(layout: RunLayout) -> SubmittedController:
    """Read what was submitted for a run; raises InputError if nothing was."""
    try:
        return read_document(layout.submission_file, SubmittedController, remedy="submit the study again")
    except FileNotFoundError as error:
        raise InputError(
            f"run {layout.root}: no job was submitted for it", remedy="use `fly64dask submit`, or `fly64dask status`"
        ) from error


def cancel_run(layout: RunLayout) -> int:
    """Cancel a run's controller and workers: first so that they stop in order, then at once.

    Parameters
    ----------
    layout : RunLayout
        The run.

    Returns
    -------
    int
        How many jobs there were. Raises ResourceError if some are left.
    """
    refuse_without()
    jobs = _listed_jobs(layout)
    controllers = [job_id for job_id, job in jobs.items() if job.role == CONTROLLER]
    running = [job_id for job_id in controllers if jobs[job_id].state == "RUNNING"]
    cancel_jobs([job_id for job_id in controllers if job_id not in running])
    cancel_jobs(running, signal="TERM")
    # The driver lets running cells write down that they were interrupted, and ends its workers.
    remaining = wait_until_gone(layout, jobs, ORDERLY_S if running else 0.0)
    cancel_jobs(sorted(remaining))
    remaining = wait_until_gone(layout, remaining, HARD_S)
    if remaining:
        raise ResourceError(
            f"slurm: jobs {', '.join(sorted(remaining))} of {layout.root} are still there {HARD_S:g} s after scancel",
            remedy="see `squeue --me`; a node may be down",
        )
    return len(jobs)


def _listed_jobs(layout: RunLayout) -> dict[str, BatchJob]:
    """List the jobs of a run; again, while there are none and nothing says how its controller ended."""
    deadline = time.monotonic() + HARD_S
    while not (jobs := jobs_of(layout)) and layout.submission_file.exists():
        job_id = read_submission(layout).job_id
        if how_it_ended(job_id) is not None:
            break
        if time.monotonic() > deadline:
            problem = f"slurm: `squeue` does not list controller job {job_id}, and nothing says how it ended"
            raise ResourceError(problem, remedy=f"see `squeue --me`, or cancel it yourself: `scancel {job_id}`")
        time.sleep(ASK_S)
    return jobs


def _command(site: SlurmFile, layout: RunLayout, options: Sequence[str]) -> tuple[str, ...]:
    python = site.environment.python or sys.executable
    files = (str(layout.submitted_study), "--out", str(layout.root), "--cluster", str(layout.submitted_cluster_file))
    return (python, "-u", "-m", "fly64dask", "run", *files, *options)


def _refuse_second(layout: RunLayout) -> None:
    job = find_controller(layout)
    if job is not None:
        raise InputError(
            f"run {layout.root}: its controller job {job.job_id} is {job.words} already",
            remedy="follow it with `fly64dask attach`, or end it with `fly64dask cancel`",
        )
