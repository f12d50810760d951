"""Gives all workers of a job one server that forks their engines; Dask loads this in its nannies and its workers."""

from __future__ import annotations

import atexit
import os
from typing import TYPE_CHECKING

from distributed import Worker

from fly64dask.cells.isolation import ForkServer, share_server

if TYPE_CHECKING:
    from distributed import Nanny

ENGINE_MODULES = "FLY64DASK_ENGINE_MODULES"  # what the server loads; set by the job script
ADDRESS = "FLY64DASK_ENGINE_SERVER"  # where it is; workers have it from the process of their nannies


def dask_setup(process: Nanny | Worker) -> None:
    """Start the server with the first nanny of a job, and let each worker use it; called by Dask."""
    if isinstance(process, Worker):
        if ADDRESS in os.environ:
            share_server(os.environ[ADDRESS])
    elif ADDRESS not in os.environ:
        server = ForkServer(os.environ.get(ENGINE_MODULES, "").split())
        atexit.register(server.close)
        os.environ[ADDRESS] = server.address
