"""Worker jobs that Slurm lost, refused or ended -> others in their place, or the reason why there are none."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from distributed.core import Status

from fly64dask.base import ResourceError
from fly64dask.deploy.slurm.commands import Job, cancel, how_it_ended, jobs_named

if TYPE_CHECKING:
    from dask_jobqueue.slurm import SLURMCluster

    from fly64dask.deploy.slurm.site_file import Patience

log = logging.getLogger(__name__)
LOOK_S = 3.0
# Slurm may list a job a moment after `sbatch` returned, and a worker leaves its queue before Dask sees it go.
LOOKS_UNTIL_GONE = 2
# From a job's start to its worker's first word: shells, module loads and Python on a cold file system.
CONNECT_S = 600.0
MOST_RETRY_S = 300.0


@dataclass(slots=True, kw_only=True)
class _State:
    """What the keeper remembers between two looks."""

    wanted: int
    connected_once: set[str] = field(default_factory=set)  # job ids
    looks_missing: dict[str, int] = field(default_factory=dict)  # by worker name
    running_since: dict[str, float] = field(default_factory=dict)  # by job id
    failures: int = 0  # in a row: jobs that ended before their worker reached the run
    last_failure: str = ""
    retry_at: float = 0.0
    told: str = ""


class Keeper:
    """Keep as many worker jobs as a run has use for.

    Dask neither tries a failed `sbatch` again nor notices a job that ends before its worker has
    reached the scheduler, and replaces no worker that Slurm ended, so a passing fault would stop a
    run for good.

    Parameters
    ----------
    cluster : dask_jobqueue.SLURMCluster
        Whose scheduler lives in this process.
    job_name : str
        Of the worker jobs; of this run alone.
    max_jobs : int
        Never more at once.
    wanted : int
        Cells that have not ended.
    patience : Patience
        When to give up.
    remedy : str
        What to do about jobs that fail.
    say : callable
        Gets lines for a person.
    """

    def __init__(
        self,
        cluster: SLURMCluster,
        *,
        job_name: str,
        max_jobs: int,
        wanted: int,
        patience: Patience,
        remedy: str,
        say: Callable[[str], None],
    ) -> None:
        self._cluster = cluster
        self._scheduler: Any = cluster.scheduler
        self._job_name = job_name
        self._max_jobs = max_jobs
        self._patience = patience
        self._remedy = remedy
        self._say = say
        self._state = _State(wanted=wanted)
        self._started = time.monotonic()
        self._hopeless: ResourceError | None = None

    def want(self, n_cells: int) -> None:
        """Say how many cells have not ended; workers beyond that are let go."""
        self._state.wanted = n_cells

    def check(self) -> None:
        """Raise ResourceError if no worker can be had."""
        if self._hopeless is not None:
            raise self._hopeless

    def look(self) -> None:
        """Compare what there is with what is wanted, and mend it; called every few seconds."""
        try:
            jobs = jobs_named(self._job_name)
        except ResourceError as error:
            # Slurm's controller may be restarting; workers that run do not need it.
            self._tell(str(error))
            return
        connected = self._connected()
        now = time.monotonic()
        for job_id in self._lost(jobs, connected):
            how = how_it_ended(job_id)
            if job_id in self._state.connected_once:
                self._say(f"worker job {job_id} ended ({how}); another takes its place")
            else:
                self._failed(f"job {job_id} ended before its worker reached the run ({how})", now)
        self._cancel_silent(jobs, connected, now)
        if now >= self._state.retry_at:
            problem = self._cluster.sync(self._correct, connected)
            if problem:
                self._failed(f"sbatch refused a worker job: {problem}", now)
        self._judge(jobs, connected, now)

    def _connected(self) -> set[str]:
        names = {str(worker.name) for worker in list(self._scheduler.workers.values())}
        for name, job in list(self._cluster.workers.items()):
            if str(name) in names and job.job_id not in self._state.connected_once:
                self._state.connected_once.add(job.job_id)
                self._state.failures = 0
        return names

    def _lost(self, jobs: Mapping[str, Job], connected: set[str]) -> list[str]:
        """Forget the workers whose jobs are gone, so that others are started; gives those jobs."""
        lost = []
        for name, job in list(self._cluster.workers.items()):
            if job.job_id is None or job.job_id in jobs or str(name) in connected:
                self._state.looks_missing.pop(str(name), None)
                continue
            looks = self._state.looks_missing.get(str(name), 0) + 1
            self._state.looks_missing[str(name)] = looks
            if looks >= LOOKS_UNTIL_GONE:
                del self._state.looks_missing[str(name)]
                lost.append(str(job.job_id))
                self._cluster.sync(self._forget, name)
        return lost

    def _cancel_silent(self, jobs: Mapping[str, Job], connected: set[str], now: float) -> None:
        """Cancel jobs that have run for long and whose worker has not said a word."""
        for name, job in list(self._cluster.workers.items()):
            found = jobs.get(str(job.job_id))
            if found is None or found.state != "RUNNING" or str(name) in connected:
                self._state.running_since.pop(str(job.job_id), None)
            elif now - self._state.running_since.setdefault(str(job.job_id), now) > CONNECT_S:
                self._say(f"worker job {job.job_id} has run for {CONNECT_S:g} s without reaching the run; cancelled")
                cancel([str(job.job_id)])

    async def _forget(self, name: str) -> None:
        self._cluster.workers.pop(name, None)

    async def _correct(self, connected: set[str]) -> str | None:
        """Bring the jobs to the wanted number; gives what Slurm said if it refused one."""
        cluster, spec = self._cluster, self._cluster.worker_spec
        wanted = min(self._max_jobs, max(1, self._state.wanted))
        while len(spec) < wanted:
            spec.update(cluster.new_worker_spec())
        if len(spec) > wanted:
            busy = {str(worker.name) for worker in self._scheduler.workers.values() if worker.processing}
            # Those that still wait in Slurm's queue first, then idle ones.
            for name in sorted(set(spec) - busy, key=lambda name: str(name) in connected)[: len(spec) - wanted]:
                del spec[name]
        if set(spec) == set(cluster.workers):
            return None
        try:
            await cluster._correct_state()
        except RuntimeError as error:
            for name, job in [(name, job) for name, job in cluster.workers.items() if job.job_id is None]:
                # Else the cluster, when it closes, takes it for one that still starts.
                job.status = Status.failed
                del cluster.workers[name]
            said = re.search(r"stderr:\s*(.+?)\s*$", str(error), re.DOTALL)
            return " ".join((said[1] if said else str(error)).split())
        return None

    def _failed(self, what: str, now: float) -> None:
        self._state.failures += 1
        self._state.last_failure = what
        wait_s = min(MOST_RETRY_S, self._patience.retry_s * 2 ** (self._state.failures - 1))
        self._state.retry_at = now + wait_s
        self._say(f"{what}; failure {self._state.failures} in a row, next try in {wait_s:g} s")

    def _judge(self, jobs: Mapping[str, Job], connected: set[str], now: float) -> None:
        if connected:
            return
        if self._state.failures >= self._patience.failures_in_a_row:
            self._hopeless = ResourceError(
                f"slurm: {self._state.failures} worker jobs in a row failed, and no worker is there; the last: "
                f"{self._state.last_failure}",
                remedy=self._remedy,
            )
        limit = self._patience.first_worker_s
        if limit is not None and not self._state.connected_once and now - self._started > limit:
            self._hopeless = ResourceError(
                f"slurm: no worker came within {limit:g} s ({_describe(jobs)})",
                remedy="wait longer (patience.first_worker_s) or use another queue; what is done stays",
            )
        self._tell(_describe(jobs))

    def _tell(self, line: str) -> None:
        """Say something once, until there is something else to say."""
        if line != self._state.told:
            self._state.told = line
            self._say(line)


@contextlib.contextmanager
def kept(keeper: Keeper) -> Iterator[Keeper]:
    """Let a keeper look after its cluster for as long as the block lasts."""
    done = threading.Event()

    def keep() -> None:
        while not done.is_set():
            # Closing down, the cluster's loop may be gone before this thread is.
            with contextlib.suppress(RuntimeError, TimeoutError, OSError):
                keeper.look()
            done.wait(LOOK_S)

    keeping = threading.Thread(target=keep, name="slurm-keeper", daemon=True)
    keeping.start()
    try:
        yield keeper
    finally:
        done.set()
        keeping.join(timeout=60)


def _describe(jobs: Mapping[str, Job]) -> str:
    if not jobs:
        return "no worker job is queued yet"
    waiting = sorted({f"{job.state.lower()}, {job.reason}" for job in jobs.values()})
    return f"waiting for a worker: {len(jobs)} jobs ({'; '.join(waiting)})"
