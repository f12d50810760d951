"""Slurm's commands -> facts about jobs, or an error that says what Slurm said."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fly64dask.base import ResourceError

TIMEOUT_S = 60.0
# Of the job that a command runs in: Slurm would take them for options of the jobs that this one submits.
JOB_VARIABLES = re.compile(r"^(SLURM|SLURMD|SBATCH|SRUN)_(?!CONF$)")
POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job that Slurm still knows as waiting or running."""

    job_id: str
    name: str
    state: str
    reason: str


def submit(script: Path) -> str:
    """Submit a batch script.

    Parameters
    ----------
    script : Path
        With its `#SBATCH` lines.

    Returns
    -------
    str
        The job's id.

    Raises
    ------
    ResourceError
        If Slurm refuses it.
    """
    return _slurm("sbatch", "--parsable", str(script)).strip().partition(";")[0]


def refusal(script: Path) -> str | None:
    """Ask Slurm whether it would take a script, without submitting it.

    Parameters
    ----------
    script : Path
        With its `#SBATCH` lines.

    Returns
    -------
    str or None
        What is wrong with it, in Slurm's words; None if it would be taken.
    """
    done = _call("sbatch", "--test-only", str(script))
    return None if done.returncode == 0 else _said(done)


def jobs_named(*names: str) -> dict[str, Job]:
    """List this user's waiting and running jobs of some names.

    Parameters
    ----------
    *names : str
        Job names.

    Returns
    -------
    dict of str to Job
        By job id; a job that has ended is not there.

    Raises
    ------
    ResourceError
        If Slurm does not answer.
    """
    text = _slurm("squeue", "--noheader", "--me", f"--name={','.join(names)}", "--format=%i|%j|%T|%r")
    rows = [line.split("|", 3) for line in text.splitlines() if line.strip()]
    return {job_id: Job(job_id=job_id, name=name, state=state, reason=why) for job_id, name, state, why in rows}


def cancel(job_ids: Sequence[str], *, signal: str | None = None) -> None:
    """Cancel jobs; those that have ended do not matter.

    Parameters
    ----------
    job_ids : sequence of str
        Which.
    signal : str, optional
        Only send this to their batch shells and all they started, such as `TERM`.
    """
    if job_ids:
        _call("scancel", "--quiet", *((f"--signal={signal}", "--full") if signal else ()), *job_ids)


def wait_until_gone(names: Sequence[str], timeout_s: float) -> dict[str, Job]:
    """Wait until no job of these names is left; gives those that are when the time is over."""
    deadline = time.monotonic() + timeout_s
    while (left := jobs_named(*names)) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return left


def how_it_ended(job_id: str) -> str:
    """Say how a job ended, as far as the controller remembers.

    Parameters
    ----------
    job_id : str
        The job.

    Returns
    -------
    str
        Such as `TIMEOUT, TimeLimit, exit code 0:15`.
    """
    done = _call("scontrol", "--oneliner", "show", "job", job_id)
    found = dict(re.findall(r"(JobState|Reason|ExitCode)=(\S+)", done.stdout)) if done.returncode == 0 else {}
    if not found:
        return "unknown to Slurm by now"
    why = [] if found.get("Reason") in (None, "None") else [found["Reason"]]
    return ", ".join([found.get("JobState", "?"), *why, f"exit code {found.get('ExitCode', '?')}"])


def refuse_without_slurm() -> None:
    """Refuse a machine that cannot submit jobs.

    Raises
    ------
    ResourceError
        If Slurm's commands are not on the path.
    """
    missing = [name for name in ("sbatch", "squeue", "scancel", "scontrol") if shutil.which(name) is None]
    if missing:
        raise ResourceError(
            f"slurm: {', '.join(missing)} not found on PATH", remedy="run this on a login node of the cluster"
        )


def forget_own_job() -> None:
    """Drop the variables of the job that this process runs in, before it submits others."""
    for name in [name for name in os.environ if JOB_VARIABLES.match(name)]:
        del os.environ[name]


def _slurm(*command: str) -> str:
    done = _call(*command)
    if done.returncode != 0:
        raise ResourceError(
            f"slurm: `{' '.join(command)}` ended with {done.returncode}: {_said(done)}",
            remedy="correct the cluster file if it says so, else see whether Slurm is up: `sinfo`",
        )
    return done.stdout


def _call(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    except FileNotFoundError:
        refuse_without_slurm()
        raise
    except subprocess.TimeoutExpired as error:
        raise ResourceError(
            f"slurm: `{' '.join(command)}` did not answer within {TIMEOUT_S:g} s", remedy="see whether Slurm is up"
        ) from error


def _said(done: subprocess.CompletedProcess[str]) -> str:
    text = (done.stderr or done.stdout).strip()
    return " ".join(text.split()) or "nothing"
