"""A checkpoint file keeps an engine's state between two epochs, so that a killed cell goes on from there."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.base import NoRoomError
from fly64dask.store import publish_bytes

if TYPE_CHECKING:
    from fly64dask.study import Checkpoints

log = logging.getLogger(__name__)
MARGIN_S = 30.0  # Slurm looks at wall times about twice a minute


@dataclass(slots=True, kw_only=True)
class CheckpointFile:
    """The file in which one cell's engine keeps its state, and when it is due.

    Parameters
    ----------
    path : Path
        The file.
    cell_key : str
        Digest of what determines the cell's numbers: the state of another is not taken.
    settings : Checkpoints
        How often.
    ends_at : float, optional
        Unix time at which this process will be ended from outside; then every epoch that may be
        the last is saved.
    earlier_s : float
        Seconds that earlier attempts took to get to the state from which this one goes on; set by `load`.
    """

    path: Path
    cell_key: str
    settings: Checkpoints
    ends_at: float | None = None
    earlier_s: float = 0.0
    _began_at: float = field(default_factory=time.monotonic)
    _saved_at: float = field(default_factory=time.monotonic)
    _asked_at: float = field(default_factory=time.monotonic)

    def load(self) -> bytes | None:
        """Read the state of an earlier attempt; None if there is none that can be trusted."""
        try:
            head, _, state = self.path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        try:
            found = json.loads(head)
            is_ours = {key: found[key] for key in ("cell_key", "sha256")} == self._digests(state)
            seconds = float(found["seconds"])
        except (ValueError, KeyError, TypeError):
            is_ours = False
        if not is_ours:
            log.warning("checkpoint %s is damaged or belongs to other inputs; starting from epoch 0", self.path)
            return None
        self.earlier_s = seconds
        return state

    def is_due(self, epoch: int) -> bool:
        """Whether to save after this epoch (1 is the first): a short cell never gets there."""
        now = time.monotonic()
        epoch_s, self._asked_at = now - self._asked_at, now
        if self.ends_at is not None and time.time() + 2 * epoch_s + MARGIN_S > self.ends_at:
            return True
        waited = time.monotonic() - self._saved_at >= self.settings.min_seconds
        return waited and epoch % self.settings.every_n_epochs == 0

    def save(self, capture: Callable[[], bytes]) -> None:
        """Replace the file in one step; one for which there is no room is left out.

        Parameters
        ----------
        capture : callable
            Gives the engine's state.
        """
        state = capture()
        seconds = self.earlier_s + time.monotonic() - self._began_at
        head = json.dumps({**self._digests(state), "seconds": round(seconds, 3)}).encode()
        try:
            publish_bytes(self.path, lambda stream: stream.writelines([head, b"\n", state]))
        except NoRoomError as error:
            log.warning("no checkpoint was written: %s", error)  # the cell may well end before it is missed
        self._saved_at = time.monotonic()

    def _digests(self, state: bytes) -> dict[str, str]:
        return {"cell_key": self.cell_key, "sha256": hashlib.sha256(state).hexdigest()}


ENDS_AT = "FLY64DASK_ENDS_AT"  # local time, as `squeue --format=%e` gives it


def job_ends_at() -> float | None:
    """Tell the Unix time at which this process will be ended from outside, as its job says; None if no job does."""
    try:
        return datetime.fromisoformat(os.environ[ENDS_AT]).timestamp()
    except (KeyError, ValueError):
        return None
