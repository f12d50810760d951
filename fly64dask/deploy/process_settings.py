"""Sets the process that holds a scheduler, for as long as it does: Dask's messages and the limit of open files."""

from __future__ import annotations

import logging
import resource
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from fly64dask.base import ResourceError

# Counted: 40 descriptors, and 12 for each worker, in the process of the scheduler; 30 in a worker.
MIN_DESCRIPTORS, MANY_DESCRIPTORS = 256, 65536
LOG_LEVELS = {
    "distributed": logging.ERROR,
    "distributed.client": logging.CRITICAL,
    "distributed.scheduler": logging.CRITICAL,
    "distributed.core": logging.CRITICAL,
}


@contextmanager
def quiet_dask() -> Iterator[None]:
    """Silence Dask's life-cycle messages, which would hide those of a run; relevant problems come back as errors.

    Afterwards levels and filters are restored.
    """
    loggers = {name: logging.getLogger(name) for name in LOG_LEVELS}
    before = {name: logger.level for name, logger in loggers.items()}
    with warnings.catch_warnings():
        # Two runs that start at once both find the dashboard's port free; one then takes another and says so.
        warnings.filterwarnings("ignore", message=r"\s*Port \d+ is already in use", category=UserWarning)
        for name, level in LOG_LEVELS.items():
            loggers[name].setLevel(level)
        try:
            yield
        finally:
            for name, level in before.items():
                loggers[name].setLevel(level)


@contextmanager
def many_descriptors() -> Iterator[None]:
    """Raise the limit of open files of this process and of workers that it starts to the system's, in the block.

    Raises ResourceError if that is too few for a cluster.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = hard == resource.RLIM_INFINITY
    if not unlimited and hard < MIN_DESCRIPTORS:
        raise ResourceError(
            f"cluster: a process may open {hard} files and sockets, needed {MIN_DESCRIPTORS}",
            remedy=f"raise the hard limit: `ulimit -Hn {MIN_DESCRIPTORS}` or limits.conf",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (MANY_DESCRIPTORS if unlimited else hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
