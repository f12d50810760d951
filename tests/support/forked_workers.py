"""Dask's local workers, forked from a process that has loaded what a worker imports.

A worker that starts from nothing takes 3 s of CPU time for imports. `multiprocessing` and Dask have a way to fork it
instead, which is a setting; here one such server, of a process of pytest, serves the clusters of its tests and those of
the commands that they run. Whatever kills or counts workers starts its own from nothing (`faults/`, `slurm/`).
"""

from __future__ import annotations

import functools
import os
from multiprocessing import forkserver
from unittest import mock

from faulty_engine import EPOCH_S, FOLDER

from fly64dask.base import SINGLE_THREAD

LOADED = (
    *("distributed", "distributed.nanny", "distributed.worker", "fly64dask.cells.cell", "fly64dask.scheduling.tasks"),
    *("fly64dask.datasets", "scipy.ndimage", "scipy.spatial", "zarr"),
)
OUTPUT = ("FLY64DASK_TEST_STDOUT", "FLY64DASK_TEST_STDERR")  # environment variables: files of a command's workers
# What workers have from the environment of who starts them; the server has that of its own start.
PASSED_ON = {FOLDER: "", EPOCH_S: "0", "PYTHONPATH": "", "CUDA_VISIBLE_DEVICES": None, **dict.fromkeys(OUTPUT, "")}


@functools.cache
def fork_workers() -> str:
    """Let Dask fork the workers that this process starts; gives the address of the server that forks them."""
    import dask

    with mock.patch.dict(os.environ, SINGLE_THREAD):
        forkserver.set_forkserver_preload(list(LOADED))
        forkserver.ensure_running()
    dask.config.set(_settings())
    return str(forkserver._forkserver._forkserver_address)


def fork_workers_at(address: str) -> None:
    """Let Dask fork the workers of this process, a command, by the server of another one."""
    import dask

    dask.config.set(_settings() | {"distributed.worker.preload": [__name__]})
    # A server's address is found by the processes that it has forked; this one has another parent.
    server = forkserver._forkserver
    server._forkserver_address = address
    server._forkserver_alive_fd = os.open(os.devnull, os.O_WRONLY)
    server.ensure_running = forkserver.ensure_running = lambda: None


def _settings() -> dict[str, object]:
    return {"distributed.worker.multiprocessing-method": "forkserver", "distributed.nanny.environ": PASSED_ON}


def dask_setup(worker: object) -> None:
    """Let a command's worker write where the command does; Dask calls this as the worker starts."""
    for descriptor, name in enumerate(OUTPUT, start=1):
        if path := os.environ.get(name):
            opened = os.open(path, os.O_WRONLY | os.O_APPEND)
            os.dup2(opened, descriptor)
            os.close(opened)
