"""Records of a comparison: which reconstructions were compared with a run's own, and the metrics of each."""

from __future__ import annotations

import math
from typing import Literal

from fly64dask.base import Frozen
from fly64dask.metrics import OriginalMetrics, ReferenceMetrics, TruthMetrics
from fly64dask.records import RunDifferences
from fly64dask.study import Cell, CellCoordinates

OURS = "ours"
Convention = Literal["ours", "original"]


class MethodScore(Frozen):
    """The score of one reconstruction of one cell: its numbers in the comparison's convention, or why it has none.

    `reference` holds those of a measured scan, for which there is no truth; where the reconstruction is itself that
    reference, `is_reference` says so, and there is nothing to compare.
    """

    method: str
    metrics: TruthMetrics | None = None
    reference: ReferenceMetrics | None = None
    original: OriginalMetrics | None = None
    is_reference: bool = False
    problem: str | None = None

    @property
    def phase_error(self) -> float | None:
        """The error of the phase by the comparison's convention, root mean square in rad; None if there is none."""
        if self.metrics is not None:
            return self.metrics.phase_rmse_rad
        if self.original is not None:
            return math.sqrt(self.original.phase.mse)
        return None if self.reference is None else self.reference.phase_rmse_rad


class ComparedCell(CellCoordinates):
    """A compared cell: the scores of all methods, the run's own (`ours`) first."""

    n_kept: int | None = None
    scores: tuple[MethodScore, ...]


class RunComparison(Frozen):
    """The document `comparison.json`: the cells of every method, aligned and measured in one way.

    `methods` says where each was read; `reference` names what those of a measured scan are compared with. `differences`
    say which methods differ beyond the spread of repeats, or without other methods which views, recipes and setups of
    the run do.
    """

    schema_version: Literal[1] = 1
    timestamp: str
    study: str
    convention: Convention
    methods: dict[str, str]
    reference: str | None = None
    cells: tuple[ComparedCell, ...]
    differences: RunDifferences | None = None

    @property
    def problems(self) -> list[tuple[Cell, MethodScore]]:
        """The cells and scores that could not be compared."""
        return [(row.cell, score) for row in self.cells for score in row.scores if score.problem]
