"""The state of the runs in this process -> Prometheus metrics, served where Dask serves its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import prometheus_client
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from fly64dask.monitoring.board import Board, count_cells

Metric = GaugeMetricFamily | CounterMetricFamily


class RunCollector(Collector):
    """Cells by state and epochs done, of each run that is under way."""

    def __init__(self) -> None:
        self.boards: list[Callable[[], Board]] = []

    def collect(self) -> Iterator[Metric]:
        """Give the metrics as they are now."""
        n_cells = GaugeMetricFamily("fly64dask_cells", "Cells of a study by state", labels=["study", "state"])
        n_epochs = CounterMetricFamily("fly64dask_epochs", "Epochs that this run has done", labels=["study"])
        for board in [give() for give in self.boards]:
            for state, number in count_cells(board).items():
                n_cells.add_metric([board.study.name, state], number)
            n_epochs.add_metric([board.study.name], board.n_epochs_done)
        yield n_cells
        yield n_epochs


# One for the process, as the registry is: two collectors of one metric's name cannot be registered.
COLLECTOR = RunCollector()
prometheus_client.REGISTRY.register(COLLECTOR)


@contextmanager
def counted(board: Callable[[], Board]) -> Iterator[None]:
    """Count a run's cells for as long as the block lasts.

    Parameters
    ----------
    board : callable
        Gives the board as it is now.
    """
    COLLECTOR.boards.append(board)
    try:
        yield
    finally:
        COLLECTOR.boards.remove(board)
