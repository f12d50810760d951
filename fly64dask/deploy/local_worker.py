"""Prepares a worker process of this machine: its GPU, its engine and its signals."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from distributed.diagnostics.plugin import WorkerPlugin

from fly64dask.base import leave_quickly
from fly64dask.cells.isolation import share_server
from fly64dask.scheduling import gpu_of_worker

if TYPE_CHECKING:
    from distributed import Worker


class LocalWorker(WorkerPlugin):
    """Prepares a local worker: its GPU, if there are any, its engine, and that it ignores the terminal's Ctrl-C.

    A terminal sends Ctrl-C to workers as well, but the process that started them ends them.
    """

    name = "fly64dask-local-worker"

    def __init__(self, gpus: tuple[str, ...], server_address: str | None) -> None:
        self.gpus = gpus
        self.server_address = server_address

    def setup(self, worker: Worker) -> None:
        """Set `CUDA_VISIBLE_DEVICES` by the worker's number, and take the server that forks this machine's engines.

        A forked engine gets its worker's environment. CUDA reads it when it starts, which happens in no server.
        """
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        leave_quickly()
        if self.gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu_of_worker(int(worker.name), self.gpus)
        if self.server_address is not None:
            share_server(self.server_address)
