"""Calls of PBS's commands (OpenPBS, PBS Pro): the same questions and orders as `commands` has for Slurm."""

from __future__ import annotations

import getpass
import json
import re
from collections.abc import Sequence
from pathlib import Path

from fly64dask.base import ResourceError
from fly64dask.deploy.slurm.batch.calling import call, complaint, refuse_missing
from fly64dask.deploy.slurm.batch.commands import BatchJob
from fly64dask.deploy.slurm.names import role_of
from fly64dask.store import RunLayout

# Letters of `qstat` (PBS Reference Guide, Job States) that matter here; F and M are jobs that have ended or gone.
STATES = {**dict.fromkeys("QHWT", "PENDING"), "S": "SUSPENDED", "R": "RUNNING", "E": "EXITING"}
ENDED = {"F", "M", "X"}


def submit_script(script: Path) -> str:
    """Submit a batch script and give the job's number; raises ResourceError if PBS refuses it."""
    return _number(_pbs("qsub", str(script)).strip())


def submit_array(script: Path, n_jobs: int) -> list[str]:
    """Submit as many jobs, one after the other: arrays are for Slurm."""
    return [submit_script(script) for _ in range(n_jobs)]


def refusal(script: Path) -> str | None:
    """Give None: PBS tells what is wrong with a script when it is submitted."""


def jobs_of(layout: RunLayout) -> dict[str, BatchJob]:
    """List the waiting and running jobs of a run, by number; raises ResourceError if PBS does not answer."""
    job_ids = _pbs("qselect", "-u", getpass.getuser()).split()
    if not job_ids:
        return {}
    completed = call("qstat", "-f", "-F", "json", *job_ids)
    # A job that has ended since is no fault of the others, which are listed.
    rows = _rows(completed.stdout)
    if not rows and completed.returncode != 0:
        raise ResourceError(f"pbs: `qstat` failed: {complaint(completed)}", remedy="see whether PBS is up: `qstat -B`")
    return {
        _number(job_id): BatchJob(
            job_id=_number(job_id),
            role=role,
            state=STATES[str(row["job_state"])],
            reason=str(row.get("comment", "")),
        )
        for job_id, row in rows.items()
        if (role := role_of(str(row.get("Job_Name", "")), layout)) is not None and row.get("job_state") in STATES
    }


def cancel_jobs(job_ids: Sequence[str]) -> None:
    """Cancel jobs; one that has ended by now is left alone."""
    if job_ids:
        call("qdel", *job_ids)


def how_it_ended(job_id: str) -> str | None:
    """Say how a job ended, such as `exit code 271`; None if it has not. PBS knows it where it keeps a job history."""
    completed = call("qstat", "-x", "-f", "-F", "json", job_id)
    row = next(iter(_rows(completed.stdout).values()), None)
    if row is None:
        if completed.returncode != 0 and "unknown job" in complaint(completed).lower():
            return "unknown to PBS by now"
        raise ResourceError(
            f"pbs: cannot ask about job {job_id}: {complaint(completed)}", remedy="see whether PBS is up: `qstat -B`"
        )
    state = str(row.get("job_state", ""))
    if state not in ENDED:
        return None
    comment = str(row.get("comment", ""))
    return ", ".join([*([comment] if comment else []), f"exit code {row.get('Exit_status', '?')}"])


def refuse_without() -> None:
    """Raise ResourceError where PBS's commands are not on the path."""
    refuse_missing("pbs", ("qsub", "qstat", "qselect", "qdel"))


def _pbs(*command: str) -> str:
    completed = call(*command)
    if completed.returncode != 0:
        raise ResourceError(
            f"pbs: `{' '.join(command)}` ended with {completed.returncode}: {complaint(completed)}",
            remedy="correct the cluster file if it says so, else see whether PBS is up: `qstat -B`",
        )
    return completed.stdout


def _rows(text: str) -> dict[str, dict[str, object]]:
    """Read what `qstat -F json` says of jobs; empty if it says nothing."""
    try:
        found = json.loads(text)["Jobs"]
    except (ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(job_id: str) -> str:
    """Give a job's number, without the name of its server."""
    match = re.match(r"\d+", job_id)
    if match is None:
        raise ResourceError(f"pbs: {job_id!r} is no id of a job", remedy="see what `qsub` prints at this site")
    return match.group()
