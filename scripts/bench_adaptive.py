"""Measures how many cells an adaptive study needs for the width of its limits, against grids of doses and repeats.

Errors are a fluence^-0.5 + floor with a spread of their logarithms, in three views of different a, drawn once for each
cell; limits are found by the code of a run. Each grid has its own spacing and repeats in the same range of doses, and
counts if the limits of all three views are as narrow as wanted. `python scripts/bench_adaptive.py` prints the table of
docs/adaptive.md.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fly64dask.metrics import TruthMetrics
from fly64dask.records import ManifestRow, Outlook, next_additions, outlooks
from fly64dask.study import Adaptive, BaselineView, Cell, Study, Target, cells

LOW, HIGH = 1e3, 1e6  # photons per exposure
GOAL_RAD, FLOOR_RAD = 0.05, 0.01
LIMITS = {"baseline": 5e3, "dense": 2e4, "sparse": 1.1e5}  # at which each view's error is the goal
GRID_DOSES = (4, 5, 7, 9, 13, 17, 25, 33, 49)
GRID_REPEATS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32)


class Errors:
    """Errors of cells by the formula: the same for a cell whoever asks, and others for another seed."""

    def __init__(self, seed: int, spread: float) -> None:
        self._seed, self._spread = seed, spread

    def of(self, cell: Cell) -> float:
        """Phase error of a cell, rad."""
        assert not isinstance(cell.dose, str), "doses are numbers here"
        entropy = [self._seed, round(cell.dose * 1e3), list(LIMITS).index(cell.view), cell.repeat]
        drawn = np.random.default_rng(entropy).standard_normal()
        level = (GOAL_RAD - FLOOR_RAD) * math.sqrt(LIMITS[cell.view] / cell.dose) + FLOOR_RAD
        return level * math.exp(self._spread * drawn)


def study_of(doses: Sequence[float], repeats: int, factor: float) -> Study:
    """A study of three views that keeps its whole field."""
    return Study.model_validate(
        {
            "schema_version": 1,
            "name": "bench",
            "doses_photons": tuple(doses),
            "source": {
                "kind": "synthetic",
                "seed_pair": 1,
                "object_shape_px": (72, 72),
                "probe_shape_px": (24, 24),
                "scan": {"kind": "uniform", "n_exposures": 60, "low_px": 12, "high_px": 60},
            },
            "views": tuple(BaselineView(name=name, rule="baseline") for name in LIMITS),
            "split": "none",
            "repeats": repeats,
            "targets": (Target(phase_error_rad=GOAL_RAD),),
            "adaptive": Adaptive(max_cells=100_000, factor=factor),
        }
    )


def row_of(cell: Cell, error_rad: float) -> ManifestRow:
    """The row of a completed cell with an error."""
    row = ManifestRow.model_validate(
        {
            "dose": cell.dose,
            "view": cell.view,
            "split": cell.split,
            "repeat": cell.repeat,
            "state": "completed",
            "returncode": 0,
            "log_path": "none",
            "dose_photons": cell.dose,
        }
    )
    known: Any = {"phase_rmse_rad": error_rad, "frc": None}  # the limits of phase errors need no more
    return row.model_copy(update={"metrics": TruthMetrics.model_construct(**known)})


def looked_at(study: Study, errors: Errors) -> tuple[Outlook, ...]:
    """Limits of a study with all of its cells done."""
    return outlooks(study, [row_of(cell, errors.of(cell)) for cell in cells(study)])


def adaptive_cells(repeats: int, factor: float, errors: Errors) -> tuple[int, int, tuple[Outlook, ...]]:
    """Cells, rounds and limits of an adaptive study that begins with a dose each decade."""
    study = study_of(np.geomspace(LOW, HIGH, 4).tolist(), repeats, factor)
    while True:
        found = looked_at(study, errors)
        added = next_additions(study, found)
        if not added:
            return len(cells(study)), max((each.round for each in study.added), default=0), found
        study = study.model_copy(update={"added": (*study.added, *added)})


def grid_cells(repeats: int, factor: float, errors: Errors, *, is_repeated_freely: bool) -> int | None:
    """Cells of the smallest grid whose limits are all within the factor; with the same repeats, or any."""
    grids = sorted(
        (n_doses * n_repeats, n_doses, n_repeats)
        for n_doses in GRID_DOSES
        for n_repeats in (GRID_REPEATS if is_repeated_freely else (repeats,))
    )
    for _, n_doses, n_repeats in grids:
        study = study_of([float(f"{dose:.4g}") for dose in np.geomspace(LOW, HIGH, n_doses)], n_repeats, factor)
        if all(outlook.is_narrow for outlook in looked_at(study, errors)):
            return len(cells(study))
    return None


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--factor", type=float, default=1.25)
    parser.add_argument("--spreads", type=float, nargs="+", default=[0.03, 0.1, 0.2], help="of the logarithm")
    parser.add_argument("--repeats", type=int, nargs="+", default=[1, 3])
    options = parser.parse_args()
    print("| repeats | spread | seed | adaptive (rounds) | grid, same repeats | cheapest grid | limit over truth |")
    print("|---|---|---|---|---|---|---|")
    for repeats in options.repeats:
        for spread in options.spreads if repeats > 1 else options.spreads[:1]:
            for seed in range(options.seeds):
                errors = Errors(seed, spread)
                n_cells, n_rounds, found = adaptive_cells(repeats, options.factor, errors)
                is_narrow = all(outlook.is_narrow for outlook in found)
                finer = grid_cells(repeats, options.factor, errors, is_repeated_freely=False)
                free = grid_cells(repeats, options.factor, errors, is_repeated_freely=True) if repeats > 1 else finer
                print(
                    f"| {repeats} | {spread:g} | {seed} | {n_cells} ({n_rounds}){'' if is_narrow else ', not narrow'} "
                    f"| {_compared(n_cells, finer)} | {_compared(n_cells, free)} | {_ratios(found)} |",
                    flush=True,
                )


def _compared(n_cells: int, n_of_grid: int | None) -> str:
    if n_of_grid is None:
        return f"none up to {GRID_DOSES[-1]} doses"
    return f"{n_of_grid} ({100 * n_cells / n_of_grid:.0f} %)"


def _ratios(found: Sequence[Outlook]) -> str:
    truth: Mapping[str, float] = LIMITS
    lights = {outlook.limit.view: outlook.limit.lowest for outlook in found}
    return ", ".join(f"{light.dose / truth[view]:.2f}" for view, light in lights.items() if light is not None)


if __name__ == "__main__":
    main()
