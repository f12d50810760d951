"""Keeps a run's worker jobs as they should be: Slurm and the scheduler are observed, then told what was decided."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.base import Failure, ResourceError, result_or_failure
from fly64dask.deploy.slurm.commands import cancel_jobs, how_it_ended, jobs_named, submit_script
from fly64dask.deploy.slurm.decisions import Action, Cancel, Desired, GiveUp, History, Observation, Say, Submit, decide

if TYPE_CHECKING:
    from distributed import Client, Scheduler

    from fly64dask.deploy.slurm.site_file import Patience

log = logging.getLogger(__name__)
INTERVAL_S = 3.0


class Reconciler:
    """Keeps as many worker jobs as a run has use for, and never more than `max_jobs` at once.

    The script is that of every worker job, and the job name belongs to this run alone; a worker's name is the id of its
    job. `n_cells` counts cells that have not ended, and `say` gets lines for a person.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        client: Client,
        script: Path,
        *,
        job_name: str,
        max_jobs: int,
        n_cells: int,
        patience: Patience,
        remedy: str,
        say: Callable[[str], None],
    ) -> None:
        self._scheduler = scheduler
        self._client = client
        self._script = script
        self._job_name = job_name
        self._max_jobs = max_jobs
        self._n_cells = n_cells
        self._patience = patience
        self._remedy = remedy
        self._say = say
        self._history = History(started_s=time.monotonic())
        self._submitted: list[str] = []
        self._refusal = ""
        self._given_up: ResourceError | None = None

    def want(self, n_cells: int) -> None:
        """Say how many cells have not ended; workers beyond that are let go."""
        self._n_cells = n_cells

    def check(self) -> None:
        """Raise ResourceError if no worker can be had."""
        if self._given_up is not None:
            raise self._given_up

    def reconcile(self) -> None:
        """Observe, decide and act once; called every `INTERVAL_S` seconds. What was not foreseen gives the run up."""
        outcome = result_or_failure(self._reconcile, what="reconciler")
        if isinstance(outcome, Failure) and self._given_up is None:
            self._given_up = ResourceError(
                f"slurm: worker jobs can no longer be replaced: {outcome.message}",
                remedy="run the same command again to continue",
            )

    def _reconcile(self) -> None:
        """Do so, and leave to the next time what may pass."""
        try:
            observed = self.observe()
            desired = Desired(
                n_jobs=min(self._max_jobs, max(1, self._n_cells)), patience=self._patience, remedy=self._remedy
            )
            self._history, actions = decide(desired, self._history, observed)
            for action in actions:
                self.act(action, observed)
        except ResourceError as error:
            # Slurm's controller may be restarting; workers that run do not need it.
            if str(error) != self._history.last_status:
                self._say(str(error))
                self._history = replace(self._history, last_status=str(error))
        except (OSError, RuntimeError) as error:
            # The scheduler did not answer; it is asked again.
            log.warning("reconciler=failed error=%s: %s", type(error).__name__, error)

    def observe(self) -> Observation:
        """Ask Slurm and the scheduler about the worker jobs; raises ResourceError if Slurm does not answer."""
        jobs = jobs_named(self._job_name)
        workers = list(self._scheduler.workers.values())
        connected = frozenset(str(worker.name) for worker in workers)
        gone = (self._history.expected | set(self._submitted)) - jobs.keys() - connected
        endings = {job_id: how for job_id in gone if (how := how_it_ended(job_id)) is not None}
        observed = Observation(
            clock_s=time.monotonic(),
            jobs=jobs,
            connected=connected,
            busy=frozenset(str(worker.name) for worker in workers if worker.processing),
            submitted=tuple(self._submitted),
            refusal=self._refusal,
            endings=endings,
        )
        self._submitted, self._refusal = [], ""
        return observed

    def act(self, action: Action, observed: Observation) -> None:
        """Do what was decided."""
        match action:
            case Say(line):
                self._say(line)
            case Submit(n_jobs):
                self._submit(n_jobs)
            case Cancel(job_ids):
                connected = [job_id for job_id in job_ids if job_id in observed.connected]
                try:
                    if connected:
                        self._client.retire_workers(names=connected)
                finally:
                    cancel_jobs(job_ids)
            case GiveUp(problem, remedy):
                self._given_up = ResourceError(problem, remedy=remedy)

    def _submit(self, n_jobs: int) -> None:
        try:
            for _ in range(n_jobs):
                self._submitted.append(submit_script(self._script))
        except ResourceError as error:
            self._refusal = str(error)
