"""Keeps a run's worker jobs as desired: observes Slurm and the scheduler, decides, and acts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.base import Failure, ResourceError, result_or_failure
from fly64dask.deploy.slurm.batch import BatchCommands, BatchJob, commands_of, jobs_words
from fly64dask.deploy.slurm.decisions import Action, Cancel, Desired, GiveUp, History, Observation, Say, Submit, decide
from fly64dask.deploy.slurm.names import CONTROLLER
from fly64dask.deploy.slurm.pools import PoolUse, jobs_wanted, needed, pool_uses
from fly64dask.records import write_worker_jobs

if TYPE_CHECKING:
    from distributed import Client, Scheduler

    from fly64dask.deploy.slurm.site import SlurmFile, Workers
    from fly64dask.scheduling import PlannedCell
    from fly64dask.store import RunLayout
    from fly64dask.study import Cell

log = logging.getLogger(__name__)
INTERVAL_S = 3.0
NamedWorkers = Sequence[tuple[str, bool]]  # workers at the scheduler: name, and whether it computes


@dataclass(slots=True, kw_only=True)
class _Pool:
    """A pool's jobs as this process knows them; `problem` says why no more of them can be had."""

    settings: Workers
    script: Path
    history: History
    submitted: list[str] = field(default_factory=list)
    refusal: str = ""
    problem: ResourceError | None = None

    @property
    def known(self) -> frozenset[str]:
        """Jobs of the pool, also those that Slurm's list leaves out."""
        return self.history.expected | self.history.has_connected | self.history.let_go | set(self.submitted)


class Reconciler:
    """Keeps as many worker jobs of each pool as a run can use, and never more than its `max_jobs` at once.

    A worker's name begins with the id of its job. `plan_of` plans cells of the run, `n_cells` counts those that have
    not ended, and `say` gets lines for a person.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        client: Client,
        site: SlurmFile,
        layout: RunLayout,
        *,
        device: str,
        plan_of: Callable[[Sequence[Cell]], Sequence[PlannedCell]],
        n_cells: int,
        remedy: str,
        say: Callable[[str], None],
    ) -> None:
        self._scheduler = scheduler
        self._client = client
        self._site = site
        self._batch = commands_of(site.system)
        self._layout = layout
        self._device = device
        self._plan_of = plan_of
        self._n_cells = n_cells
        self._remedy = remedy
        self._say = say
        self._last_error = ""
        self._given_up: ResourceError | None = None
        self._uses: tuple[PoolUse, ...] | None = None  # None of a single pool, which does all
        self._pools = [
            _Pool(
                settings=pool,
                script=layout.slurm_logs / f"{pool.name}.sbatch",
                history=History(started_s=time.monotonic()),
            )
            for pool in site.pools
        ]

    def resources_of(self, requested: Sequence[Cell]) -> dict[Cell, dict[str, float]] | None:
        """Say what of a worker's resources each cell needs, by which it goes to a pool where it fits."""
        if len(self._pools) == 1:
            return None
        plan = self._plan_of(requested)
        self._uses = pool_uses(self._site.pools, plan, self._device)
        return {planned.cell: needed(planned, self._device) for planned in plan}

    def want(self, n_cells: int) -> None:
        """Say how many cells have not ended; workers beyond that are let go."""
        self._n_cells = n_cells

    @property
    def known(self) -> frozenset[str]:
        """Jobs that this run has submitted and that have not ended, as far as it knows."""
        return frozenset(
            job_id for pool in self._pools for job_id in (*pool.history.expected, *pool.history.let_go, *pool.submitted)
        )

    def check(self) -> None:
        """Raise ResourceError if no worker can be had."""
        if self._given_up is not None:
            raise self._given_up

    def reconcile(self) -> None:
        """Observe, decide and act once; called every `INTERVAL_S` seconds. An unforeseen error gives the run up."""
        outcome = result_or_failure(self._reconcile, what="reconciler")
        if isinstance(outcome, Failure) and self._given_up is None:
            self._given_up = ResourceError(
                f"slurm: worker jobs can no longer be replaced: {outcome.message}",
                remedy="run the same command again to continue",
            )

    def _reconcile(self) -> None:
        """Observe, decide and act, and leave errors that may pass to the next time."""
        try:
            jobs = self._batch.jobs_of(self._layout)
            workers = [(str(worker.name), bool(worker.processing)) for worker in self._scheduler.workers.values()]
            observations = [self.observe(pool, jobs, workers) for pool in self._pools]
            for pool, observed, n_jobs in zip(
                self._pools, observations, self._jobs_wanted(observations, workers), strict=True
            ):
                if pool.problem is None:
                    self._keep(pool, observed, n_jobs, workers)
            write_worker_jobs(self._layout, pools_words([pool.history for pool in self._pools], observations))
            self._note_answer("")
        except ResourceError as error:
            # Slurm's controller may be restarting; workers that run do not need it.
            write_worker_jobs(self._layout, f"worker jobs: not known now: {error}")
            self._note_answer(str(error))
        except (OSError, RuntimeError) as error:
            # The scheduler did not answer; it is asked again.
            log.warning("reconciler=failed error=%s: %s", type(error).__name__, error)

    def _note_answer(self, error: str) -> None:
        """Say once that the batch system does not answer, and that it does again."""
        if error != self._last_error:
            self._say(error or "the batch system answers again")
        self._last_error = error

    def _keep(self, pool: _Pool, observed: Observation, n_jobs: int, workers: NamedWorkers) -> None:
        desired = Desired(n_jobs=n_jobs, patience=self._site.patience, remedy=self._remedy)
        pool.history, actions = decide(desired, pool.history, observed)
        pool.submitted, pool.refusal = [], ""
        for action in actions:
            self.act(pool, action, observed, workers)

    def _jobs_wanted(self, observations: Sequence[Observation], workers: NamedWorkers) -> list[int]:
        if self._uses is None:
            pool = self._pools[0].settings
            return [min(pool.max_jobs, max(1, -(-self._n_cells // pool.slots)))]
        n_running = [sum(job_of(name) in observed.connected for name, _ in workers) for observed in observations]
        return jobs_wanted(self._uses, self._n_cells, n_running)

    def observe(self, pool: _Pool, jobs: Mapping[str, BatchJob], workers: NamedWorkers) -> Observation:
        """Observe a pool's jobs, by Slurm's list and the scheduler's workers; Slurm is asked how missing ones ended."""
        own = {job_id: job for job_id, job in jobs.items() if job.role == pool.settings.name}
        known = pool.known | own.keys()
        connected = frozenset(job_of(name) for name, _ in workers) & known
        gone = (pool.history.expected | set(pool.submitted)) - own.keys() - connected
        return Observation(
            clock_s=time.monotonic(),
            jobs=own,
            connected=connected,
            busy=frozenset(job_of(name) for name, is_busy in workers if is_busy) & known,
            submitted=tuple(pool.submitted),
            refusal=pool.refusal,
            endings={job_id: how for job_id in gone if (how := self._batch.how_it_ended(job_id)) is not None},
            n_others=sum(job.role not in (CONTROLLER, pool.settings.name) for job in jobs.values()),
        )

    def act(self, pool: _Pool, action: Action, observed: Observation, workers: NamedWorkers) -> None:
        """Do what was decided about a pool's jobs."""
        before = f"pool {pool.settings.name}: " if len(self._pools) > 1 else ""
        match action:
            case Say(line):
                self._say(f"{before}{line}")
            case Submit(n_jobs):
                _submit(self._batch, pool, n_jobs)
            case Cancel(job_ids):
                names = [name for name, _ in workers if job_of(name) in observed.connected & set(job_ids)]
                try:
                    if names:
                        self._client.retire_workers(names=names)
                finally:
                    self._batch.cancel_jobs(job_ids)
            case GiveUp(problem, remedy):
                pool.problem = ResourceError(f"{before}{problem}", remedy=remedy)
                self._give_up()

    def _give_up(self) -> None:
        """End the run if no pool is left, or cells that fit into one alone."""
        lost = [number for number, pool in enumerate(self._pools) if pool.problem is not None]
        needs_one = self._uses is not None and any(self._uses[number].n_only for number in lost)
        if needs_one or len(lost) == len(self._pools):
            self._given_up = self._pools[lost[-1]].problem
        elif lost:
            self._say(f"{self._pools[lost[-1]].problem}; the run goes on with its other pools")


def pools_words(histories: Sequence[History], observations: Sequence[Observation]) -> str:
    """Describe a run's worker jobs: how many are at work, and what the others wait for."""
    n_at_work = sum(len(observed.connected) for observed in observations)
    others = [
        replace(job, state="STARTING", reason="") if job.state == "RUNNING" else job
        for observed in observations
        for job_id, job in observed.jobs.items()
        if job_id not in observed.connected
    ]
    words = [*([f"{n_at_work} at work"] if n_at_work else []), *([jobs_words(others)] if others else [])]
    limits = [history.granted for history in histories if history.granted is not None]
    if limits:
        words.append(f"no more than {sum(limits)} granted by the site now")
    words += [f"last failure: {history.last_failure}" for history in histories if history.n_failures]
    return f"worker jobs: {', '.join(words) or 'none yet'}"


def _submit(batch: BatchCommands, pool: _Pool, n_jobs: int) -> None:
    try:
        if pool.settings.submit == "array":
            pool.submitted += batch.submit_array(pool.script, n_jobs)
            return
        for _ in range(n_jobs):
            pool.submitted.append(batch.submit_script(pool.script))
    except ResourceError as error:
        pool.refusal = error.message


def job_of(worker_name: str) -> str:
    """Return the id of a worker's job: the worker's name without its number within the job."""
    return worker_name.partition("-")[0]
