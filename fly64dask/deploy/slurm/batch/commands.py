"""Calls of Slurm's commands: submit, list and cancel jobs, ask how one ended; errors quote what Slurm said."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fly64dask.base import ResourceError
from fly64dask.deploy.slurm.batch.calling import NoAnswerError, call, complaint, refuse_missing
from fly64dask.deploy.slurm.names import role_of
from fly64dask.store import RunLayout

ACCOUNTING_TIMEOUT_S = 5.0  # so that a run asks Slurm's controller if the database does not answer
# States of a job that has ended (`man squeue`, JOB STATE CODES).
ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED"}
ENDED |= {"NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"}
# Words of a command that cannot tell about the job, because Slurm's controller is busy or starting again.
TIMED_OUT = "timed out"  # after which a job may exist all the same
NO_ANSWER = ("unable to contact", TIMED_OUT, "connection refused", "temporarily unable")
# Part of the name of every limit on the number of jobs, such as AssocMaxSubmitJobLimit and QOSGrpSubmitJobsLimit.
TOO_MANY = "SubmitJob"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchJob:
    """A job that Slurm or PBS still knows as waiting or running."""

    job_id: str
    role: str  # `controller`, or the name of a pool
    state: str
    reason: str

    @property
    def words(self) -> str:
        """The state, and the site's reason for it, such as `pending (Priority)`."""
        return self.state.lower() + (f" ({self.reason})" if self.reason not in ("", "None") else "")


def jobs_words(jobs: Iterable[BatchJob]) -> str:
    """Count jobs by their state and the site's reason for it, such as `14 pending (Priority), 2 running`."""
    return ", ".join(f"{n} {words}" for words, n in sorted(Counter(job.words for job in jobs).items()))


def queue_status(jobs: Mapping[str, BatchJob], n_expected: int) -> str:
    """Say what a run without workers waits for: the states of its jobs and the site's reasons."""
    if not jobs:
        return (
            f"waiting for a worker: none of the jobs that were submitted is listed ({n_expected})"
            if n_expected
            else "waiting for a worker: no worker job is queued yet"
        )
    return f"waiting for a worker; worker jobs: {jobs_words(jobs.values())}"


def submit_script(script: Path) -> str:
    """Submit a batch script and give the job's id.

    Raises ResourceError if Slurm refuses it, NoAnswerError if a job may or may not exist.
    """
    return _job_id(_slurm("sbatch", "--parsable", str(script)))


def submit_array(script: Path, n_jobs: int) -> list[str]:
    """Submit a batch script as an array of jobs and give their ids; raises ResourceError if Slurm refuses it."""
    job_id = _job_id(_slurm("sbatch", "--parsable", f"--array=0-{n_jobs - 1}", str(script)))
    return [f"{job_id}_{number}" for number in range(n_jobs)]


def _job_id(printed: str) -> str:
    """Find the id in what `sbatch --parsable` printed; a site's own `sbatch` may print more, and Slurm the cluster."""
    found: list[str] = re.findall(r"^(\d+)(?:;\S*)?$", printed, re.MULTILINE)
    if not found:
        raise NoAnswerError(
            f"slurm: `sbatch --parsable` printed no id of a job: {printed.strip() or 'nothing'}",
            remedy="see what `sbatch` is at this site: `type sbatch`",
        )
    return found[-1]


def refusal(script: Path) -> str | None:
    """Ask Slurm what is wrong with a batch script, without submitting it.

    None if Slurm would accept it, does not answer, or would refuse it only for the number of jobs.
    """
    completed = call("sbatch", "--test-only", str(script))
    says = complaint(completed)
    no_answer = any(words in says.lower() for words in NO_ANSWER)
    return None if completed.returncode == 0 or no_answer or is_job_limit(says) else says


def is_job_limit(says: str) -> bool:
    """Tell whether Slurm refused a job because of a limit on the number of jobs."""
    return TOO_MANY in says


def jobs_of(layout: RunLayout) -> dict[str, BatchJob]:
    """List the waiting and running jobs of a run, by id; raises ResourceError if Slurm does not answer."""
    text = _slurm("squeue", "--noheader", "--me", "--array", "--format=%i|%T|%r|%j")
    rows = [line.split("|", 3) for line in text.splitlines() if line.count("|") >= 3]
    return {
        job_id: BatchJob(job_id=job_id, role=role, state=state, reason=why)
        for job_id, state, why, name in rows
        if (role := role_of(name, layout)) is not None
    }


def cancel_jobs(job_ids: Sequence[str], *, signal: str | None = None) -> None:
    """Cancel jobs, or only send their batch shells a signal such as `TERM`, which these pass on."""
    if job_ids:
        call("scancel", "--quiet", *((f"--signal={signal}", "--batch") if signal else ()), *job_ids)


def how_it_ended(job_id: str) -> str | None:
    """Say how a job ended, such as `TIMEOUT, TimeLimit, exit code 0:15`; None if it has not.

    Accounting knows it, or else for some minutes Slurm's controller, by `scontrol` or, if a site does not have that, by
    `squeue`. Raises ResourceError if Slurm does not answer.
    """
    ending = _ending_from_accounting(job_id)
    if ending is None:
        ending = _ending_from_queue(job_id) if shutil.which("scontrol") is None else _ending_from_controller(job_id)
    return ending


def _ending_from_accounting(job_id: str) -> str | None:
    """Ask `sacct`; None if there is no accounting, if it does not answer, or if it does not know yet that the job
    ended.
    """
    if shutil.which("sacct") is None:
        return None
    question = ("--noheader", "--parsable2", "--allocations", f"--jobs={job_id}", "--format=State,Reason,ExitCode")
    try:
        completed = call("sacct", *question, timeout_s=ACCOUNTING_TIMEOUT_S)
    except ResourceError:
        return None
    rows = completed.stdout.strip().splitlines()
    if completed.returncode != 0 or not rows:
        return None
    # A requeued job has a row for each start; that of a cancelled job names who cancelled it.
    state, reason, exit_code = rows[-1].split("|")
    return _ending(state, reason, exit_code) if state.partition(" ")[0] in ENDED else None


def _ending_from_controller(job_id: str) -> str | None:
    completed = call("scontrol", "--oneliner", "show", "job", job_id)
    if completed.returncode != 0:
        return _unknown(job_id, completed)
    fields = dict(re.findall(r"(JobState|Reason|ExitCode)=(\S+)", completed.stdout))
    state = fields.get("JobState", "")
    return _ending(state, fields.get("Reason", ""), fields.get("ExitCode", "?")) if state in ENDED else None


def _ending_from_queue(job_id: str) -> str | None:
    """Ask `squeue`, which lists jobs of the last minutes in any state; an empty list says nothing."""
    completed = call(
        "squeue", "--noheader", "--states=all", f"--jobs={job_id}", "--Format=State:32,Reason:64,exit_code"
    )
    if completed.returncode != 0:
        return _unknown(job_id, completed)
    rows = completed.stdout.strip().splitlines()
    if not rows:
        return None
    state, *reason, status = rows[-1].split()
    # The status as `wait` returns it, whereas the other commands write code and signal.
    code, signal = divmod(int(status), 256)
    return _ending(state, " ".join(reason), f"{code}:{signal}") if state in ENDED else None


def _unknown(job_id: str, completed: subprocess.CompletedProcess[str]) -> str:
    """Say so of a job that Slurm's controller has forgotten; raises ResourceError if it did not answer."""
    if "invalid job id" in complaint(completed).lower():
        return "unknown to Slurm by now"
    raise ResourceError(
        f"slurm: cannot ask about job {job_id}: {complaint(completed)}", remedy="see whether Slurm is up"
    )


def _ending(state: str, reason: str, exit_code: str) -> str:
    return ", ".join([state, *([reason] if reason not in ("", "None") else []), f"exit code {exit_code}"])


def refuse_without() -> None:
    """Raise ResourceError where Slurm's commands are not on the path."""
    refuse_missing("slurm", ("sbatch", "squeue", "scancel"))


def _slurm(*command: str) -> str:
    completed = call(*command)
    if completed.returncode != 0:
        says = complaint(completed)
        usual = "correct the cluster file if it says so, else see whether Slurm is up: `sinfo`"
        raised = NoAnswerError if TIMED_OUT in says.lower() else ResourceError
        raise raised(
            f"slurm: `{' '.join(command)}` ended with {completed.returncode}: {says}",
            remedy="wait until other jobs of yours have ended" if is_job_limit(says) else usual,
        )
    return completed.stdout
