"""Work for a supervised child that ends well or in some other way. A module: children import it by name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np

from fly64dask.base import Failure, FailureKind


def answer(report):
    for epoch in (1, 2, 3):
        report(epoch, epoch / 2)
    return {"answer": 42}


def return_nothing(report):
    return None


def talk(report):
    print("said on stdout")
    sys.stderr.write("said on stderr\n")
    subprocess.run(["echo", "said by a child"], check=True)


def die(number, report):
    report(1, 0.5)
    os.kill(os.getpid(), number)
    time.sleep(60)


def leave(report):
    os._exit(3)


def hang(report):
    while True:
        time.sleep(1)


def hang_without_giving_up(report):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        pass


def grow(report):
    kept = []
    while True:
        kept.append(np.ones(2**22))
        time.sleep(0.02)


def name_process(path, report):
    with open(path, "w") as stream:
        stream.write(str(os.getpid()))
    time.sleep(600)


def lose_connection(report):
    raise ConnectionResetError("somebody else's connection")


def describe_process(report):
    return {
        "parent": os.getppid(),
        "told": os.environ.get("TOLD_TO_CHILD"),
        "has_fractions": "fractions" in sys.modules,
    }


def end_parent(report):
    """End who forked this process; then return all the same."""
    os.kill(os.getppid(), signal.SIGKILL)
    return {"answer": 42}


def end_parent_and_die(report):
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def tell_process(report):
    return os.getpid()


def say(words, report):
    print(words)
    return os.getpid()


def say_later(report):
    """Let a thread speak that the call does not wait for."""
    threading.Timer(0.3, print, ["said after the end"], {"flush": True}).start()
    return os.getpid()


def fail_by_name(report):
    return Failure(kind=FailureKind.NOT_FINITE, message="the loss is NaN")
