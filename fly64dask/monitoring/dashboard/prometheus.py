"""Exports the cells by state of each run in this process to Prometheus, where Dask exports its own metrics."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from fly64dask.monitoring.dashboard.run_state import RunState

Metric = GaugeMetricFamily | CounterMetricFamily


class RunCollector(Collector):
    """Metrics of all runs under way in this process; registered only while there are any.

    A registry refuses two collectors of one metric's name, so runs side by side share one.
    """

    def __init__(self) -> None:
        self._runs: list[RunState] = []
        self._lock = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        """Yield the number of cells by state and the number of epochs done, of each run."""
        n_cells = GaugeMetricFamily("fly64dask_cells", "Cells of a study by state", labels=["study", "state"])
        n_epochs = CounterMetricFamily("fly64dask_epochs", "Epochs that this run has done", labels=["study"])
        for run in list(self._runs):
            for state, number in run.counts().items():
                n_cells.add_metric([run.study.name, state], number)
            n_epochs.add_metric([run.study.name], run.n_epochs_done)
        yield n_cells
        yield n_epochs

    @contextmanager
    def exporting(self, run: RunState) -> Iterator[None]:
        """Export the metrics of a run for as long as the block lasts."""
        with self._lock:
            if not self._runs:
                REGISTRY.register(self)
            self._runs.append(run)
        try:
            yield
        finally:
            with self._lock:
                self._runs.remove(run)
                if not self._runs:
                    REGISTRY.unregister(self)


COLLECTOR = RunCollector()
