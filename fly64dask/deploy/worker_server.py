"""Local workers are forked by a process that has loaded what each of them imports, a second of CPU time, once.

It is `multiprocessing`'s own fork server, which Dask uses if its settings say so. A process has one of them: it serves
every later cluster of this process, and ends with it.
"""

from __future__ import annotations

import os
from multiprocessing import forkserver

from fly64dask.base import KEEP_MEMORY, SINGLE_THREAD

# What it loads, by importing that.
LOADED = ("fly64dask.deploy.worker_modules",)


def load_workers() -> None:
    """Begin to load what local workers import, in a process beside this one; nothing if that has begun before.

    The process gets the environment of a worker, which glibc and the libraries for linear algebra read when a process
    begins.
    """
    before = {name: os.environ.get(name) for name in (*SINGLE_THREAD, *KEEP_MEMORY)}
    os.environ.update(SINGLE_THREAD | KEEP_MEMORY)
    try:
        forkserver.set_forkserver_preload(list(LOADED))
        forkserver.ensure_running()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def worker_settings() -> dict[str, object]:
    """Give Dask's settings for workers that are forked so, and may start engines."""
    import dask  # who begins to load workers does so before Dask

    return {
        "distributed.worker.multiprocessing-method": "forkserver",
        # For the process that forks workers, should it be lost and started again.
        "distributed.nanny.pre-spawn-environ": {
            **dask.config.get("distributed.nanny.pre-spawn-environ", {}),
            **SINGLE_THREAD,
            **KEEP_MEMORY,
        },
        # A daemonic process may have no children, and each cell's engine runs in one.
        "distributed.worker.daemon": False,
        # A worker waits for its engine: to look every 10 ms at what it does takes 1.3 % of a core for each.
        "distributed.worker.profile.interval": "100ms",
    }


def keep_list_of_modules() -> None:
    """Keep Dask from putting its own list of modules in place of ours; it has pandas, and imports all of it here too.

    Where Dask has no such list, this changes nothing.
    """
    import distributed.utils

    distributed.utils._forkserver_preload_set = True
