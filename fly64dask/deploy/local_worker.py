"""A worker process of this machine -> its GPU, the engine that it computes with, its pages once they are asked for."""

from __future__ import annotations

import os
import signal
from typing import Any

import tornado.web
from distributed import Nanny
from distributed.diagnostics.plugin import WorkerPlugin

from fly64dask.base import leave_quickly
from fly64dask.isolation import prepare_server, share_server
from fly64dask.scheduling import gpu_of_worker


class QuickNanny(Nanny):
    """Dask's keeper of a worker that starts without Dask's pages: they take as long to load as all the rest of it."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **(keywords | {"dashboard": False}))


class LocalWorker(WorkerPlugin):
    """Prepare a local worker: its GPU if there are any, its engine, and no part in the terminal's Ctrl-C.

    A terminal sends Ctrl-C to workers as well; they are ended by the process that started them.
    """

    name = "fly64dask-local-worker"

    def __init__(self, gpus: tuple[str, ...], preload: tuple[str, ...], server_address: str | None) -> None:
        self.gpus = gpus
        self.preload = preload
        self.server_address = server_address

    def setup(self, worker: Any) -> None:
        """Set `CUDA_VISIBLE_DEVICES` by the worker's number, then start what imports torch, or take the shared one."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        leave_quickly()
        worker.http_application.add_application(_PagesWhenAsked(worker))
        if self.gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu_of_worker(int(worker.name), self.gpus)
        if self.server_address is not None:
            share_server(self.server_address)
        elif self.preload:
            # It takes seconds, during which the run's first cells wait for their exposures anyway.
            prepare_server(self.preload)


class _PagesWhenAsked(tornado.web.Application):
    """Stands in for Dask's pages of a worker until somebody opens one."""

    def __init__(self, worker: Any) -> None:
        super().__init__()
        self._worker = worker

    def find_handler(self, request: Any, **keywords: Any) -> Any:
        """Load the pages, then ask again."""
        import distributed.dashboard.worker as pages

        application = self._worker.http_application
        application.applications.remove(self)
        pages.connect(application, self._worker.http_server, self._worker)  # type: ignore[no-untyped-call]
        return application.find_handler(request, **keywords)
