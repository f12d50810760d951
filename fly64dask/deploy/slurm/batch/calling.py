"""Calls a command of a batch system, Slurm's or PBS's, and waits for its answer."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable

from fly64dask.base import ResourceError

TIMEOUT_S = 60.0
LOGIN_NODE = "run this on a login node of the cluster"
# Prefixes of variables in which a person keeps defaults for Slurm's commands, such as SQUEUE_STATES=all; a run ignores
# them.
DEFAULTS = ("SBATCH_", "SCANCEL_", "SACCT_", "SQUEUE_")


def refuse_missing(system: str, commands: Iterable[str]) -> None:
    """Raise ResourceError where commands of a batch system are not on the path."""
    missing = [name for name in commands if shutil.which(name) is None]
    if missing:
        raise ResourceError(f"{system}: {', '.join(missing)} not found on PATH", remedy=LOGIN_NODE)


class NoAnswerError(ResourceError):
    """A command of the batch system has not said whether it has done what was asked."""


def call(*command: str, timeout_s: float = TIMEOUT_S) -> subprocess.CompletedProcess[str]:
    """Call a command of a batch system and wait for its answer, whatever it is.

    Raises NoAnswerError if it does not come in time, ResourceError if there is no such command.
    """
    try:
        # A command that asks a question gets no answer.
        return subprocess.run(
            command, input="", capture_output=True, text=True, check=False, timeout=timeout_s, env=_environment()
        )
    except FileNotFoundError as error:
        raise ResourceError(f"cluster: {command[0]} not found on PATH", remedy=LOGIN_NODE) from error
    except subprocess.TimeoutExpired as error:
        raise NoAnswerError(
            f"cluster: `{' '.join(command)}` did not answer within {timeout_s:g} s",
            remedy="see whether the batch system is up: `sinfo`, or `qstat -B`",
        ) from error


def _environment() -> dict[str, str]:
    """Make the environment of commands and submitted jobs: that of this process without a person's defaults."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(DEFAULTS)}
    return {**kept, "SLURM_TIME_FORMAT": "standard"}


def complaint(completed: subprocess.CompletedProcess[str]) -> str:
    """Return what a command said, in one line."""
    text = (completed.stderr or completed.stdout).strip()
    return " ".join(text.split()) or "nothing"
