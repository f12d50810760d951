"""Tells whether a run can still expect workers of its cluster."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from fly64dask.base import ResourceError, repeated

if TYPE_CHECKING:
    from distributed import Client

    from fly64dask.study import Cell

ASK_S = 1.0  # between two questions to the scheduler


class WorkerSupply(Protocol):
    """The provider of a run's workers, which reports when no more will come."""

    def resources_of(self, requested: Sequence[Cell]) -> Mapping[Cell, Mapping[str, float]] | None:
        """Give the worker resources that each cell needs; None if workers differ in nothing except a GPU."""

    def want(self, n_cells: int) -> None:
        """Tell the provider how many cells have not ended."""

    def check(self) -> None:
        """Raise ResourceError if there are no workers and none will come."""


class ExternalWorkers:
    """Workers that somebody else starts; a run gives up when there have been none for `patience_s`."""

    def __init__(self, client: Client, patience_s: float) -> None:
        self._client = client
        self._patience_s = patience_s
        self._seen = time.monotonic()

    def resources_of(self, requested: Sequence[Cell]) -> None:
        """Return None: whoever starts the workers decides what they offer."""

    def want(self, n_cells: int) -> None:
        """Do nothing, because this process starts no workers."""

    def check(self) -> None:
        """Raise ResourceError if there was no worker for too long."""
        if time.monotonic() - self._seen > self._patience_s:
            raise ResourceError(
                f"cluster: no worker is left, and no other connected within {self._patience_s:g} s",
                remedy="see why they ended (memory, environment), start others, and run the same command again",
            )

    def update(self) -> None:
        """Ask the scheduler whether there are workers.

        A scheduler that does not answer counts as one with workers: its silence ends the cells' tasks by itself.
        """
        with contextlib.suppress(OSError, TimeoutError, RuntimeError):
            if self._client.status == "running" and not self._client.scheduler_info(n_workers=1)["workers"]:
                return
        self._seen = time.monotonic()


@contextlib.contextmanager
def external_workers(client: Client, patience_s: float) -> Iterator[ExternalWorkers]:
    """Watch for workers for as long as the block lasts.

    A thread does so, because an interrupt that comes while the client waits for an answer would upset the client.

    Parameters
    ----------
    client : distributed.Client
        Connected.
    patience_s : float
        How long a run may be without any worker.
    """
    supply = ExternalWorkers(client, patience_s)
    with repeated(supply.update, every_s=ASK_S, name="external-workers", wait_s=ASK_S):
        yield supply
