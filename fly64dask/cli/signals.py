"""Ctrl-C and SIGTERM: an orderly stop the first time; a further Ctrl-C ends every process of the run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import psutil

EXIT_INTERRUPTED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM)
FIRST = b"\nstopping: running cells write down that they were interrupted; press Ctrl-C once more to stop at once\n"
SECOND = b"\nstopped at once: committed cells stay; run the same command again to continue\n"


@contextmanager
def stoppable() -> Iterator[None]:
    """Let signals stop what the block does: the first raises KeyboardInterrupt in it.

    At a Ctrl-C after that, this process ends all it has started, then itself, with exit code 130. A further SIGTERM
    changes nothing: it comes twice where a batch system sends it to all processes of a job and its shell hands it on.
    """
    is_stopping = False

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal is_stopping
        if not is_stopping:
            is_stopping = True
            os.write(2, FIRST)
            raise KeyboardInterrupt
        if number == signal.SIGINT:
            os.write(2, SECOND)
            _end_everything()

    before = {number: signal.signal(number, on_signal) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_everything() -> NoReturn:
    """End the children of children too: an engine belongs to its worker's fork server."""
    for process in psutil.Process().children(recursive=True):
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    os._exit(EXIT_INTERRUPTED)
