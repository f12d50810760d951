"""Decides what to do about a run's worker jobs from what is desired, observed and remembered; all functions are pure.

Dask does not try a failed `sbatch` again, does not notice a job that ends before its worker has reached the scheduler,
and does not replace a worker whose job Slurm has ended. So one passing fault would stop a run for good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fly64dask.base import counted
from fly64dask.deploy.slurm.batch import is_job_limit, queue_status

if TYPE_CHECKING:
    from fly64dask.deploy.slurm.batch import BatchJob
    from fly64dask.deploy.slurm.site import Patience

# Time from a job's start until its worker answers: shells, module loads and Python on a cold file system.
CONNECT_S = 600.0
MOST_RETRY_S = 300.0
# At one look: each takes Slurm some 10 ms, and in between, the run hears of what has ended. The first look submits one
# job, each further one twice as many as the one before, for as long as Slurm takes them.
MOST_SUBMISSIONS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """The worker jobs that a run wants."""

    n_jobs: int  # that wait, run or compute at once
    patience: Patience
    remedy: str  # what a person can do about jobs that fail


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The answers of Slurm and the scheduler at one time; jobs are named by their ids, and so are their workers."""

    clock_s: float
    jobs: Mapping[str, BatchJob] = field(default_factory=dict)  # those that wait or run
    connected: frozenset[str] = frozenset()  # those whose worker the scheduler has
    busy: frozenset[str] = frozenset()  # those whose worker computes
    submitted: tuple[str, ...] = ()  # since the observation before
    refusal: str = ""  # of `sbatch` since then; empty if there was none
    n_others: int = 0  # jobs of the run's other pools
    endings: Mapping[str, str] = field(default_factory=dict)  # of expected jobs that have ended: how


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What has to be remembered from one decision to the next."""

    started_s: float
    expected: frozenset[str] = frozenset()  # jobs that were submitted, and neither ended nor were let go
    let_go: frozenset[str] = frozenset()  # jobs that were cancelled because there were too many
    has_connected: frozenset[str] = frozenset()  # jobs whose worker has reached the scheduler once
    running_since_s: Mapping[str, float] = field(default_factory=dict)  # jobs without a worker at the scheduler
    n_failures: int = 0  # in a row: jobs that were refused, or ended before their worker reached the scheduler
    last_failure: str = ""
    retry_at_s: float = 0.0
    portion: int = 1  # jobs that the next look may submit
    alive: frozenset[str] = frozenset()  # jobs at the decision before, when those that it asked for were submitted
    n_others: int = 0  # jobs of other pools then
    granted: int | None = None  # jobs that were there when Slurm refused a further one
    n_refusals: int = 0  # in a row, of jobs beyond those that it granted
    ask_again_at_s: float = 0.0  # when the next job beyond those is tried
    last_status: str = ""


@dataclass(frozen=True, slots=True)
class Say:
    """Tell a person something."""

    line: str


@dataclass(frozen=True, slots=True)
class Submit:
    """Submit so many worker jobs."""

    n_jobs: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel jobs; workers that have reached the scheduler hand over their results first."""

    job_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End the run: no worker can be had."""

    problem: str
    remedy: str


Action = Say | Submit | Cancel | GiveUp
Decision = tuple[History, list[Action]]


def decide(desired: Desired, history: History, observed: Observation) -> Decision:
    """Decide what to do about the worker jobs of a run, in order, and what to remember for the next decision.

    The first history holds the run's start alone.
    """
    actions: list[Action] = []
    for step in (_take_note, _count_failures, _learn_limit, _cancel_silent, _adjust, _judge):
        history, more = step(desired, history, observed)
        actions += more
    return replace(history, alive=_alive(history, observed), n_others=observed.n_others), actions


def _take_note(desired: Desired, history: History, observed: Observation) -> Decision:
    """Remember which jobs were submitted, and whose worker has reached the scheduler, which ends a row of failures."""
    has_connected = history.has_connected | observed.connected
    return replace(
        history,
        expected=history.expected | set(observed.submitted),
        let_go=history.let_go & observed.jobs.keys(),
        has_connected=has_connected,
        n_failures=history.n_failures if has_connected == history.has_connected else 0,
        portion=min(MOST_SUBMISSIONS, 2 * history.portion) if observed.submitted else history.portion,
    ), []


def _count_failures(desired: Desired, history: History, observed: Observation) -> Decision:
    """Forget jobs that have ended, so that others take their place; count what has failed."""
    actions: list[Action] = []
    failures = []
    for job_id in sorted(history.expected & observed.endings.keys()):
        how = observed.endings[job_id]
        if job_id in history.has_connected:
            actions.append(Say(f"worker job {job_id} ended ({how}); another takes its place"))
        else:
            failures.append(f"job {job_id} ended before its worker reached the run ({how})")
    history = replace(history, expected=history.expected - observed.endings.keys())
    if observed.refusal and not _is_limit(history, observed):
        failures.append(f"a worker job was refused: {observed.refusal}")
    for problem in failures:
        n_failures = history.n_failures + 1
        wait_s = _wait_s(desired, n_failures)
        if problem != history.last_failure or not observed.connected:
            actions.append(Say(f"{problem}; failure {n_failures} in a row, next try in {wait_s:g} s"))
        history = replace(
            history, n_failures=n_failures, last_failure=problem, retry_at_s=observed.clock_s + wait_s, portion=1
        )
    return history, actions


def _learn_limit(desired: Desired, history: History, observed: Observation) -> Decision:
    """Go on with the existing jobs when Slurm refuses a further one, as at a site's limit; that is not a failure.

    A job that replaces an ended one is submitted at once; further ones are tried after a while, one at a time.
    """
    if not _is_limit(history, observed):
        is_over = history.granted is not None and len(_alive(history, observed)) > history.granted
        return (replace(history, granted=None, n_refusals=0) if is_over else history), []
    granted = len(_at_refusal(history, observed))
    n_refusals = history.n_refusals + 1
    wait_s = _wait_s(desired, n_refusals)
    limit = f"no more than {counted(granted, 'worker job')}" if granted else "no worker job"
    goes_on = "the run goes on with these" if granted else "it is asked again"
    words = f"the site takes {limit} now ({observed.refusal}); {goes_on}"
    return replace(
        history, granted=granted, n_refusals=n_refusals, ask_again_at_s=observed.clock_s + wait_s, portion=1
    ), [Say(words)] if granted != history.granted else []


def _is_limit(history: History, observed: Observation) -> bool:
    """Whether Slurm refused a job while it had others of the run, or by the name of a limit of jobs."""
    has_jobs = bool(_at_refusal(history, observed) or history.n_others or observed.n_others)
    return bool(observed.refusal) and (has_jobs or is_job_limit(observed.refusal))


def _at_refusal(history: History, observed: Observation) -> frozenset[str]:
    """Name the jobs that there were when Slurm refused one; some may have ended since, and none has been added."""
    return history.alive | set(observed.submitted) | _alive(history, observed)


def _wait_s(desired: Desired, n_times: int) -> float:
    """Tell how long to wait after so many failures in a row: twice as long each time."""
    return float(min(MOST_RETRY_S, desired.patience.retry_s * 2.0 ** min(n_times - 1, 30)))


def _alive(history: History, observed: Observation) -> frozenset[str]:
    """Name the jobs that wait, run or are about to, also those that this process has not submitted."""
    return (history.expected | observed.jobs.keys()) - history.let_go


def _cancel_silent(desired: Desired, history: History, observed: Observation) -> Decision:
    """Cancel jobs that have run for long without a worker at the scheduler, as one that never came or lost its way."""
    silent = {
        job_id
        for job_id in history.expected - observed.connected
        if job_id in observed.jobs and observed.jobs[job_id].state == "RUNNING"
    }
    since_s = {job_id: history.running_since_s.get(job_id, observed.clock_s) for job_id in silent}
    overdue = sorted(job_id for job_id in silent if observed.clock_s - since_s[job_id] > CONNECT_S)
    actions: list[Action] = [
        Say(f"worker job {job_id} has run for {CONNECT_S:g} s without a worker in the run; cancelled")
        for job_id in overdue
    ]
    if overdue:
        actions.append(Cancel(tuple(overdue)))
    return replace(history, running_since_s=since_s), actions


def _adjust(desired: Desired, history: History, observed: Observation) -> Decision:
    """Submit missing jobs, or cancel superfluous ones: first jobs that wait, then idle workers, never busy ones."""
    alive = _alive(history, observed)
    missing = desired.n_jobs - len(alive)
    free = missing
    if history.granted is not None and observed.clock_s < history.ask_again_at_s:
        free = min(missing, history.granted - len(alive))
    if free > 0 and observed.clock_s >= history.retry_at_s:
        return history, [Submit(min(free, history.portion))]
    running = {job_id for job_id, job in observed.jobs.items() if job.state == "RUNNING"}
    dispensable = sorted(
        alive - observed.busy, key=lambda job_id: (job_id in observed.connected, job_id in running, job_id)
    )
    surplus = tuple(dispensable[: max(0, -missing)])
    if not surplus:
        return history, []
    return replace(history, expected=history.expected - set(surplus), let_go=history.let_go | set(surplus)), [
        Cancel(surplus)
    ]


def _judge(desired: Desired, history: History, observed: Observation) -> Decision:
    """Give up if there is no worker and none can be expected; else say what the run waits for."""
    if observed.connected or desired.n_jobs == 0:
        return history, []
    if history.n_failures >= desired.patience.failures_in_a_row:
        problem = (
            f"cluster: {counted(history.n_failures, 'worker job')} in a row failed, and no worker is there; the last: "
            f"{history.last_failure}"
        )
        return history, [GiveUp(problem, desired.remedy)]
    status = queue_status(observed.jobs, len(history.expected))
    limit_s = desired.patience.first_worker_s
    if limit_s is not None and not history.has_connected and observed.clock_s - history.started_s > limit_s:
        problem = f"cluster: no worker came within {limit_s:g} s ({status})"
        return history, [
            GiveUp(problem, "wait longer (first_worker_s in [patience]) or use another queue; what is done stays")
        ]
    return replace(history, last_status=status), [Say(status)] if status != history.last_status else []
