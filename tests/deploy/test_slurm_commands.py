"""How a job ended and what is refused, from commands that answer as Slurm's own do; no Slurm is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from fly64dask.base import ResourceError
from fly64dask.deploy.slurm.batch.calling import call
from fly64dask.deploy.slurm.batch.commands import (
    how_it_ended,
    jobs_of,
    refusal,
    submit_array,
    submit_script,
)
from fly64dask.deploy.slurm.names import RunJobs
from fly64dask.deploy.slurm.preflight import refuse_bad_script
from fly64dask.store import RunLayout

POLICY = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)".replace("'", "'\\''")
DISABLED = "echo 'Slurm accounting storage is disabled' >&2; exit 1"
FORGOTTEN = "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1"
UNREACHABLE = "echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1"


@pytest.fixture
def answers(tmp_path, monkeypatch):
    """Put commands with given answers before any of Slurm's."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def put(*, hidden: tuple[str, ...] = (), **scripts: str) -> None:
        if hidden:
            # A folder of its own has all that a machine has, but for what is hidden.
            rest = tmp_path / "rest"
            rest.mkdir()
            for path in Path("/usr/bin").iterdir():
                if path.name not in hidden:
                    (rest / path.name).symlink_to(path)
            monkeypatch.setenv("PATH", f"{tmp_path}:{rest}")
        for name, script in scripts.items():
            command = Path(tmp_path, name)
            command.write_text(f"#!/bin/sh\n{script}\n")
            command.chmod(0o755)

    return put


def controller(state: str, reason: str = "None", exit_code: str = "0:0") -> str:
    """As `scontrol --oneliner show job` prints a job of Slurm 22.05."""
    return f"echo 'JobId=7 JobName=x JobState={state} Reason={reason} Dependency=(null) ExitCode={exit_code} Nodes=1'"


def test_how_it_ended_goes_by_accounting_where_there_is_one(answers):
    answers(sacct="echo 'OUT_OF_MEMORY|None|0:125'", scontrol=FORGOTTEN)
    assert how_it_ended("7") == "OUT_OF_MEMORY, exit code 0:125"


def test_how_it_ended_takes_the_last_row_of_a_job_that_was_requeued(answers):
    answers(sacct="echo 'NODE_FAIL|None|1:0'; echo 'CANCELLED by 1000|None|0:15'", scontrol=FORGOTTEN)
    assert how_it_ended("7") == "CANCELLED by 1000, exit code 0:15"


def test_how_it_ended_asks_the_controller_where_there_is_no_accounting(answers):
    answers(sacct=DISABLED, scontrol=controller("TIMEOUT", "TimeLimit", "0:15"))
    assert how_it_ended("7") == "TIMEOUT, TimeLimit, exit code 0:15"


@pytest.mark.parametrize("accounting", ["true", "echo 'RUNNING|None|0:0'"])
def test_how_it_ended_asks_the_controller_when_accounting_has_not_heard_of_the_end(answers, accounting):
    answers(sacct=accounting, scontrol=controller("FAILED", "NonZeroExitCode", "7:0"))
    assert how_it_ended("7") == "FAILED, NonZeroExitCode, exit code 7:0"


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "COMPLETING", "REQUEUE_HOLD"])
def test_how_it_ended_is_none_for_a_job_that_has_not(answers, state):
    answers(sacct=DISABLED, scontrol=controller(state))
    assert how_it_ended("7") is None


@pytest.mark.parametrize(
    ("answer", "ending"),
    [
        ("echo 'FAILED        NonZeroExitCode          768'", "FAILED, NonZeroExitCode, exit code 3:0"),
        ("echo 'CANCELLED     None                     15'", "CANCELLED, exit code 0:15"),
        ("echo 'PENDING       Priority                 0'", None),
        ("true", None),
        (FORGOTTEN, "unknown to Slurm by now"),
    ],
)
def test_how_it_ended_asks_the_queue_where_there_is_neither_accounting_nor_scontrol(answers, answer, ending):
    """As `squeue --Format=State,Reason,exit_code` of Slurm 22.05 prints it."""
    answers(hidden=("sacct", "scontrol"), squeue=answer)
    assert how_it_ended("7") == ending


def test_how_it_ended_needs_no_scontrol_where_there_is_accounting(answers):
    answers(hidden=("scontrol",), sacct="echo 'TIMEOUT|None|0:0'", squeue="exit 1")
    assert how_it_ended("7") == "TIMEOUT, exit code 0:0"


def test_how_it_ended_asks_the_controller_where_accounting_does_not_answer(answers):
    answers(sacct="exec sleep 60", scontrol=controller("TIMEOUT", "TimeLimit", "0:15"))
    assert how_it_ended("7") == "TIMEOUT, TimeLimit, exit code 0:15"


def test_how_it_ended_says_that_nobody_knows_the_job_any_more(answers):
    answers(sacct="true", scontrol=FORGOTTEN)
    assert how_it_ended("7") == "unknown to Slurm by now"


def test_how_it_ended_does_not_take_silence_for_an_end(answers):
    answers(sacct=DISABLED, scontrol=UNREACHABLE)
    with pytest.raises(ResourceError, match="Unable to contact slurm controller"):
        how_it_ended("7")


@pytest.mark.process
@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        ("echo 'sbatch: Job 9 to start at 2026-11-27T10:00:00' >&2", None),
        ("echo 'allocation failure: Invalid partition name specified' >&2; exit 1", "Invalid partition name"),
        ("echo 'allocation failure: Socket timed out on send/recv operation' >&2; exit 1", None),
        (UNREACHABLE, None),
        (f"echo 'sbatch: error: AssocMaxSubmitJobLimit\nallocation failure: {POLICY}' >&2; exit 1", None),
        (f"echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit\nallocation failure: {POLICY}' >&2; exit 1", None),
    ],
)
def test_refusal_does_not_take_silence_for_a_refusal(answers, tmp_path, answer, refused):
    answers(sbatch=answer)
    says = refusal(tmp_path / "script")
    assert (says is None) if refused is None else (refused in says)


@pytest.mark.process
@pytest.mark.parametrize(
    ("says", "keys"),
    [
        (f"sbatch: error: QOSMaxWallDurationPerJobLimit\nallocation failure: {POLICY}", "walltime"),
        (f"sbatch: error: QOSMaxCpuPerJobLimit\nallocation failure: {POLICY}", "cpus"),
        (f"sbatch: error: QOSMaxMemoryPerJob\nallocation failure: {POLICY}", "memory"),
        (f"allocation failure: {POLICY}", "walltime or memory or cpus"),
        ("allocation failure: Invalid qos specification", "extra_directives"),
        ("allocation failure: Invalid account or account/partition combination specified", "account or queue"),
    ],
)
def test_a_refused_script_names_the_key_of_the_limit_that_it_exceeds(answers, tmp_path, says, keys):
    """As `sbatch --test-only` of Slurm 22.05 with slurmdbd says it."""
    answers(sbatch=f"echo '{says}' >&2; exit 1")
    with pytest.raises(ResourceError) as caught:
        refuse_bad_script(tmp_path / "site.toml", tmp_path / "script", section="[workers]")
    assert caught.value.remedy.startswith(f"correct {keys} in [workers] of ")


@pytest.mark.process
@pytest.mark.parametrize("printed", ["echo 4711", "echo '4711;cluster'", "echo 'Welcome to 7 nodes'; echo 4711; echo"])
def test_the_id_of_a_job_is_found_in_what_the_sbatch_of_a_site_prints(answers, tmp_path, printed):
    answers(sbatch=printed)
    assert submit_script(tmp_path / "script") == "4711"
    assert submit_array(tmp_path / "script", 2) == ["4711_0", "4711_1"]


@pytest.mark.process
def test_a_site_whose_sbatch_prints_no_id_is_told_so(answers, tmp_path):
    answers(sbatch="echo thank you")
    with pytest.raises(ResourceError, match="printed no id of a job: thank you"):
        submit_script(tmp_path / "script")


@pytest.mark.process
def test_a_job_refused_at_a_limit_of_jobs_is_to_wait(answers, tmp_path):
    answers(sbatch=f"echo 'sbatch: error: AssocMaxSubmitJobLimit {POLICY}' >&2; exit 1")
    with pytest.raises(ResourceError, match="AssocMaxSubmitJobLimit") as caught:
        submit_script(tmp_path / "script")
    assert caught.value.remedy == "wait until other jobs of yours have ended"


@pytest.mark.process
def test_lines_that_are_no_jobs_are_passed_over_in_a_list_of_jobs(answers, tmp_path):
    layout = RunLayout(tmp_path)
    name = RunJobs(layout=layout, study="demo").name("worker")
    answers(squeue=f"echo 'CLUSTER: one'; echo '7|RUNNING|None|{name}'; echo")
    assert {job_id: job.state for job_id, job in jobs_of(layout).items()} == {"7": "RUNNING"}


@pytest.mark.process
def test_defaults_of_a_persons_own_calls_do_not_count_in_those_of_a_run(monkeypatch):
    for name in ("SQUEUE_STATES", "SCANCEL_INTERACTIVE", "SBATCH_PARTITION", "SACCT_FORMAT", "SLURM_CONF"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("SLURM_TIME_FORMAT", "relative")
    found = [line for line in call("env").stdout.splitlines() if line.startswith(("SLURM_", "SQ", "SC", "SB", "SA"))]
    assert sorted(found) == ["SLURM_CONF=x", "SLURM_TIME_FORMAT=standard"]
