"""Waits for disk space, and repeats what failed because there was none."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fly64dask.base import Failure, NoRoomError
from fly64dask.store import ROOM_REMEDY, has_room

log = logging.getLogger(__name__)
# Between two looks whether there is room; longer each time that what has room fails all the same, as with a quota of
# files, of which a look needs but one.
LOOK_S, LONGEST_S = 1.0, 60.0
ASK_S = 0.25  # between two questions whether to wait on


@dataclass(slots=True, kw_only=True)
class RoomWait:
    """The patience of one task with a full disk.

    Parameters
    ----------
    folder : Path
        An existing directory of the file system.
    patience_s : float
        How long to wait, all in all.
    what : str
        What waits, for the log.
    say : callable
        Gets why it waits as it begins to, and None as it goes on or gives up.
    stopped : callable
        Asked several times a second; waiting ends once it says yes.
    """

    folder: Path
    patience_s: float
    what: str
    say: Callable[[str | None], None]
    stopped: Callable[[], bool] = lambda: False
    _waited_s: float = 0.0
    _look_s: float = LOOK_S

    @property
    def is_over(self) -> bool:
        """Whether it has waited for as long as it may."""
        return self._waited_s >= self.patience_s

    def refuse_to_end(self, result: object) -> None:
        """Raise NoRoomError if a result failed for want of room, and may still wait for some."""
        if isinstance(result, Failure) and result.room_bytes and not self.is_over:
            error = NoRoomError(result.message, remedy="")
            error.n_bytes = result.room_bytes
            raise error

    def helps(self, result: object) -> bool:
        """Wait for room if that is what a result failed for; tells whether to do it again."""
        if not isinstance(result, Failure) or result.room_bytes == 0 or self.is_over or self.stopped():
            return False
        self._wait(result)
        # Once more in any case, so that what has waited in vain can say itself why it failed.
        return not self.stopped()

    def _wait(self, result: Failure) -> None:
        log.warning("%s state=waiting error=%s", self.what, result.message)
        # Nobody has to run it again.
        self.say(result.message.removesuffix(f"; {ROOM_REMEDY}"))
        began = time.monotonic()
        before_s = self._waited_s
        try:
            while not self.is_over and not self.stopped():
                self._pause()
                self._waited_s = before_s + time.monotonic() - began
                if has_room(self.folder, result.room_bytes):
                    return
        finally:
            self._look_s = min(2 * self._look_s, LONGEST_S)
            log.warning("%s state=waited seconds=%.1f", self.what, self._waited_s)
            self.say(None)

    def _pause(self) -> None:
        for _ in range(int(self._look_s / ASK_S)):
            if self.stopped():
                return
            time.sleep(ASK_S)
