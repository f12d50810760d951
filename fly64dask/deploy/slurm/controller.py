"""Finds, follows and cancels the controller job of a submitted run, which holds scheduler and driver."""

from __future__ import annotations

import time
from collections.abc import Iterable

from fly64dask.base import Frozen, InputError, ResourceError
from fly64dask.deploy.slurm.batch import (
    BatchJob,
    cancel_jobs,
    how_it_ended,
    jobs_of,
    jobs_words,
    refuse_without,
)
from fly64dask.deploy.slurm.names import CONTROLLER
from fly64dask.store import RunLayout, read_document
from fly64dask.study import Filters

ORDERLY_S, HARD_S = 60.0, 60.0
POLL_S = 0.5  # between two looks whether jobs are gone
ASK_S = 1.0  # between two looks at a list of jobs that may be wrong


class SubmittedController(Frozen):
    """The controller job of a run as it was submitted: its id, when and from where, its command and its cells.

    `filters` choose the requested cells; with `allow_missing`, cells that cannot be selected do not count as failures.
    """

    job_id: str
    submitted_at: str
    host: str
    user: str
    command: tuple[str, ...]
    filters: Filters = Filters()
    allow_missing: bool = False


def find_controller(layout: RunLayout) -> BatchJob | None:
    """Find the run's controller job; None if it has none that waits or runs."""
    return next((job for job in jobs_of(layout).values() if job.role == CONTROLLER), None)


def controller_goes_on(layout: RunLayout, submission: SubmittedController) -> bool:
    """Tell whether a run's controller waits or runs: Slurm lists it or, as its list may be wrong, does not say how it
    ended.

    Raises ResourceError if Slurm does not answer.
    """
    return find_controller(layout) is not None or how_it_ended(submission.job_id) is None


def jobs_line(layout: RunLayout) -> str | None:
    """Describe a run's jobs and what they wait for in a line; None if none waits or runs.

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
    """Cancel a run's controller and workers, first in an orderly way, then at once.

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
    remaining = _wait_until_gone(layout, jobs, ORDERLY_S if running else 0.0)
    cancel_jobs(sorted(remaining))
    remaining = _wait_until_gone(layout, remaining, HARD_S)
    if remaining:
        raise ResourceError(
            f"slurm: jobs {', '.join(sorted(remaining))} of {layout.root} are still there {HARD_S:g} s after scancel",
            remedy="see `squeue --me`; a node may be down",
        )
    return len(jobs)


def _wait_until_gone(layout: RunLayout, job_ids: Iterable[str], timeout_s: float) -> set[str]:
    """Wait until no job of a run is listed, and it is known how each given one ended; gives those that are left."""
    deadline = time.monotonic() + timeout_s
    remaining = set(job_ids)
    while True:
        listed = jobs_of(layout).keys()
        remaining = {job_id for job_id in remaining if job_id in listed or how_it_ended(job_id) is None} | listed
        if not remaining or time.monotonic() > deadline:
            return remaining
        time.sleep(POLL_S)


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
