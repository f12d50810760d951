"""Processes with all that they have started, while some of these end by themselves."""

from __future__ import annotations

from contextlib import suppress

import psutil


def descendants_of(pid: int) -> list[psutil.Process]:
    """All that a process has started and that lives; none if it has ended."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def grandchildren_of(pid: int) -> list[psutil.Process]:
    """What the children of a process have started: its engines, as servers fork these."""
    found = []
    for process in descendants_of(pid):
        with suppress(psutil.NoSuchProcess):
            if process.ppid() != pid:
                found.append(process)
    return found


def kill_family(pid: int) -> None:
    """End a process and all that it has started, as a power cut would, and wait until they have ended."""
    family = descendants_of(pid)
    with suppress(psutil.NoSuchProcess):
        family.insert(0, psutil.Process(pid))  # what could start more
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    assert psutil.wait_procs(family, timeout=60)[1] == []
