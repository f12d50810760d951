"""A call that is repeated in a thread while a block lasts."""

from __future__ import annotations

import threading
import time

from fly64dask.base import repeated


def test_repeated_calls_again_and_again_in_another_thread():
    threads = []
    third = threading.Event()

    def call():
        threads.append(threading.current_thread().name)
        if len(threads) == 3:
            third.set()

    with repeated(call, every_s=0.01, name="clock"):
        assert third.wait(timeout=300)
    assert set(threads) == {"clock"}


def test_repeated_calls_no_more_after_the_block():
    calls = []
    once = threading.Event()
    with repeated(lambda: (calls.append(1), once.set()), every_s=0.01, name="clock"):
        assert once.wait(timeout=300)
    n_calls = len(calls)
    time.sleep(0.1)
    assert len(calls) == n_calls
    assert "clock" not in [thread.name for thread in threading.enumerate()]
