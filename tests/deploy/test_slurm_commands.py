"""How a job ended and what is refused, from commands that answer as Slurm's own do; no Slurm is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from fly64dask.base import ResourceError
from fly64dask.deploy.slurm.commands import how_it_ended, refusal

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
    ],
)
def test_refusal_does_not_take_silence_for_a_refusal(answers, tmp_path, answer, refused):
    answers(sbatch=answer)
    says = refusal(tmp_path / "script")
    assert (says is None) if refused is None else (refused in says)
