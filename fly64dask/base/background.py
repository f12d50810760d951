"""Repeats a call in a thread of its own while a block lasts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def repeated(call: Callable[[], object], *, every_s: float, name: str, wait_s: float = 60.0) -> Iterator[None]:
    """Repeat a call in a thread for as long as the block lasts.

    Parameters
    ----------
    call : callable
        Called for the first time after one interval. An error that it raises ends the thread.
    every_s : float
        Seconds between the end of a call and the next one.
    name : str
        Name of the thread.
    wait_s : float
        Seconds that the end of the block waits for a call under way.
    """
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(every_s):
            call()

    thread = threading.Thread(target=repeat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=wait_s)
