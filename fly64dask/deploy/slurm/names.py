"""Names of a run's jobs: they begin with the study, for `squeue`, and end with what tells their run and controller."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from fly64dask.store import RunLayout

CONTROLLER = "controller"
MOST_LETTERS = 40  # of a study's name: `squeue` shows 8 unless it is asked for more


@dataclass(frozen=True, slots=True, kw_only=True)
class RunJobs:
    """A run as its jobs know it; `controller` is the id of the controller job that submits its workers, if one does."""

    layout: RunLayout
    study: str
    controller: str | None = None

    def name(self, role: str) -> str:
        """Name the jobs of a role, `controller` or a pool's name, such as `demo-worker-3f9a2c1b-4711`."""
        letters = re.sub(r"[^A-Za-z0-9_.]", "_", self.study)[:MOST_LETTERS]
        of_controller = f"-{self.controller}" if self.controller and role != CONTROLLER else ""
        return f"{letters}-{role}-{tag_of(self.layout)}{of_controller}"


def tag_of(layout: RunLayout) -> str:
    """Tell a run directory by 8 hexadecimal digits, whatever its study is called: leftovers are found by it."""
    return hashlib.sha256(str(layout.root).encode()).hexdigest()[:8]


def role_of(name: str, layout: RunLayout) -> str | None:
    """Read the role from the name of a job; None of one that is not of the run."""
    match name.split("-"):
        case [_, role, tag] | [_, role, tag, _] if tag == tag_of(layout):
            return role
    return None
