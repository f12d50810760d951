"""An engine's state between two epochs <-> one file, from which a killed cell goes on."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.publish import publish_bytes

if TYPE_CHECKING:
    from fly64dask.study import Checkpoints

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class CheckpointFile:
    """Where one cell's engine keeps its state, and when.

    Parameters
    ----------
    path : Path
        The file.
    cell_key : str
        Digest of what determines the cell's numbers: the state of another is not taken.
    settings : Checkpoints
        How often.
    """

    path: Path
    cell_key: str
    settings: Checkpoints
    _saved_at: float = field(default_factory=time.monotonic)

    def load(self) -> bytes | None:
        """Read the state of an earlier attempt; None if there is none that can be trusted."""
        try:
            head, _, state = self.path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        if head != self._head(state):
            log.warning("checkpoint %s is damaged or of other inputs: starting from epoch 0", self.path)
            return None
        return state

    def is_due(self, epoch: int) -> bool:
        """Whether to save after this epoch (1 is the first): a short cell never gets there."""
        waited = time.monotonic() - self._saved_at >= self.settings.min_seconds
        return waited and epoch % self.settings.every_n_epochs == 0

    def save(self, capture: Callable[[], bytes]) -> None:
        """Replace the file in one step.

        Parameters
        ----------
        capture : callable
            Gives the engine's state.
        """
        state = capture()
        publish_bytes(self.path, lambda stream: stream.writelines([self._head(state), b"\n", state]))
        self._saved_at = time.monotonic()

    def _head(self, state: bytes) -> bytes:
        return json.dumps({"cell_key": self.cell_key, "sha256": hashlib.sha256(state).hexdigest()}).encode()
