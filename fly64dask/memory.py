"""A process's limits -> the memory that it may still take."""

from __future__ import annotations

import resource

import psutil


def memory_left_bytes() -> int:
    """Memory that is free on this machine, or within this process's own limit (`ulimit -v`) if that is less."""
    left = int(psutil.virtual_memory().available)
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return left
    return max(0, min(left, limit - int(psutil.Process().memory_info().vms)))
