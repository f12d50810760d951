"""The interface to the batch system of a cluster file, Slurm or PBS."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from fly64dask.base import ResourceError
from fly64dask.deploy.slurm.batch import commands, pbs
from fly64dask.deploy.slurm.batch.commands import BatchJob
from fly64dask.deploy.slurm.names import CONTROLLER
from fly64dask.deploy.slurm.site import System
from fly64dask.store import RunLayout

# How long a run waits for an answer at its beginning and end: Slurm's controller may be busy, or starting again.
PATIENCE_S, ASK_S = 60.0, 2.0


class BatchCommands(Protocol):
    """The calls that a run makes to a batch system; each system is a module of these functions."""

    def refuse_without(self) -> None:
        """Raise ResourceError where its commands are not on the path."""

    def refusal(self, script: Path) -> str | None:
        """Say why a script would be refused, as far as that can be asked."""

    def submit_script(self, script: Path) -> str:
        """Submit a script and give the job's id; raises ResourceError if it is refused."""

    def submit_array(self, script: Path, n_jobs: int) -> list[str]:
        """Submit a script as several jobs at once and give their ids; raises ResourceError if it is refused."""

    def jobs_of(self, layout: RunLayout) -> Mapping[str, BatchJob]:
        """List a run's waiting and running jobs, by id; raises ResourceError if there is no answer."""

    def cancel_jobs(self, job_ids: Sequence[str]) -> None:
        """Cancel jobs."""

    def how_it_ended(self, job_id: str) -> str | None:
        """Say how a job ended; None if it has not."""


def commands_of(system: System) -> BatchCommands:
    """Give the commands of a batch system."""
    return commands if system == "slurm" else pbs


def cancel_workers(system: System, layout: RunLayout, known: Collection[str] = ()) -> None:
    """Cancel all worker jobs of a run: those that are listed, and those that are known to have been submitted.

    Asks again for a minute where the batch system does not answer, and then raises ResourceError.
    """
    batch = commands_of(system)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            listed = {job_id for job_id, job in batch.jobs_of(layout).items() if job.role != CONTROLLER}
            return batch.cancel_jobs(sorted(listed | set(known)))
        except ResourceError:
            if time.monotonic() > deadline:
                raise
        time.sleep(ASK_S)


def end_workers(system: System, layout: RunLayout, known: Collection[str], *, say: Callable[[str], None]) -> None:
    """Cancel all worker jobs at the end of a run; a failure is reported and not raised, as no result depends on it."""
    try:
        cancel_workers(system, layout, known)
    except ResourceError as error:
        say(
            f"{error.message}; the worker jobs of this run could not be cancelled, and each ends by itself about a "
            "minute after its worker has lost the run"
        )
