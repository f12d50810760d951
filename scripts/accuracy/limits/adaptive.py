"""Measures how many cells an adaptive study needs against grids, and how often its limits hold the truth.

Errors are a fluence^-0.5 + floor with a spread of their logarithms, in three views of different a, drawn once for each
cell; limits are found by the code of a run. Each grid has its own spacing and repeats in the same range of doses. The
cheapest is that with the fewest cells whose limits are as narrow as wanted in all three views: it is chosen by its
result, which nobody knows beforehand.

    python scripts/accuracy/limits/adaptive.py                          # the first table of docs/how-to/adaptive.md
    python scripts/accuracy/limits/adaptive.py --seeds 134 --no-grids   # the second; some minutes each
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fly64dask.metrics import TruthMetrics
from fly64dask.records import ManifestRow, Outlook, next_additions, outlooks
from fly64dask.study import Adaptive, BaselineView, Cell, Study, Target, cells

LOW, HIGH = 1e3, 1e6  # photons per exposure
GOAL_RAD, FLOOR_RAD = 0.05, 0.01
LIMITS = {"baseline": 5e3, "dense": 2e4, "sparse": 1.1e5}  # at which each view's error is the goal
GRID_DOSES = (4, 5, 7, 10, 13, 19, 25, 33, 49)
GRID_REPEATS = (2, 3, 4, 5, 7, 9, 11, 15, 19, 24, 32, 48, 64, 96)
MOST_CELLS = 400  # of a view; no larger grid is looked at
# Repeats of the study, spread, factor. Simulated cells of this project's studies have spreads of 0.01 to 0.04.
CASES = (
    (1, 0.03, 1.25),
    (2, 0.03, 1.1),
    (3, 0.03, 1.25),
    (3, 0.03, 1.1),
    (3, 0.1, 1.25),
    (3, 0.2, 1.25),
)


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


def study_of(doses: Sequence[float], repeats: int, factor: float, views: Sequence[str] = tuple(LIMITS)) -> Study:
    """A study of views that keep the whole field."""
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
            "views": tuple(BaselineView(name=name, rule="baseline") for name in views),
            "split": "none",
            "repeats": repeats,
            "targets": (Target(phase_error_rad=GOAL_RAD),),
            "adaptive": Adaptive(max_cells=100_000, factor=factor),
        }
    )


_ROW = ManifestRow.model_validate(
    {"dose": 1.0, "view": "baseline", "split": "whole", "state": "completed", "returncode": 0, "log_path": "none"}
)


def row_of(cell: Cell, error_rad: float) -> ManifestRow:
    """The row of a completed cell with an error."""
    known: Any = {
        "phase_rmse_rad": error_rad,
        "empty_phase_rmse_rad": 1.0,
        "frc": None,
    }  # the limits of phase errors need no more
    metrics = TruthMetrics.model_construct(**known)
    stated = {"dose": cell.dose, "view": cell.view, "repeat": cell.repeat, "dose_photons": cell.dose}
    return _ROW.model_copy(update=stated | {"metrics": metrics})


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


def cheapest_grid(repeats: int, factor: float, errors: Errors) -> int | None:
    """Cells of the smallest grid whose limits are all within the factor; None if there is none."""
    grids = sorted(
        (n_doses * n_repeats, n_doses, n_repeats)
        for n_doses in GRID_DOSES
        for n_repeats in (GRID_REPEATS if repeats > 1 else (1,))
        if n_doses * n_repeats <= MOST_CELLS
    )
    for n_cells, n_doses, n_repeats in grids:
        doses = [float(f"{dose:.4g}") for dose in np.geomspace(LOW, HIGH, n_doses)]
        studies = (study_of(doses, n_repeats, factor, views=[view]) for view in LIMITS)
        if all(_is_within(outlook, factor) for study in studies for outlook in looked_at(study, errors)):
            return n_cells * len(LIMITS)
    return None


def _is_within(outlook: Outlook, factor: float) -> bool:
    """Narrow as that of a grid is, whose numbers of repeats may be even."""
    return outlook.width is not None and outlook.width <= factor


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """What one seed gave: cells and rounds of the adaptive study, cells of the cheapest grid, how its limits are."""

    n_cells: int
    n_rounds: int
    n_grid: int | None
    n_narrow: int
    n_held: int
    n_limits: int


def seed_of(seed: int, repeats: int, spread: float, factor: float, *, with_grids: bool) -> Seed:
    """Run the adaptive study of a seed, and look for its grid."""
    errors = Errors(seed, spread)
    n_cells, n_rounds, found = adaptive_cells(repeats, factor, errors)
    return Seed(
        n_cells=n_cells,
        n_rounds=n_rounds,
        n_grid=cheapest_grid(repeats, factor, errors) if with_grids else None,
        n_narrow=sum(outlook.is_narrow for outlook in found),
        n_held=sum(map(_is_held, found)),
        n_limits=len(found),
    )


def _is_held(outlook: Outlook) -> bool:
    """Whether the interval, or the bracket without repeats, holds the true limit."""
    limit = outlook.limit
    if limit.last_miss is None or limit.first_reach is None:
        return False
    ends = limit.interval.doses if limit.interval else (limit.last_miss, limit.first_reach)
    return (ends[0] or 0.0) <= LIMITS[limit.view] <= (ends[1] or math.inf)


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="of each line (default: 20)")
    parser.add_argument("--no-grids", action="store_true", help="look for no grid: much faster")
    options = parser.parse_args()
    with_grids = not options.no_grids
    of_grids = " cheapest grid | of its cells | seeds within 40 % |" if with_grids else ""
    print(f"| repeats | spread | factor | cells | rounds | narrow limits | limits held |{of_grids}")
    print(f"|---|---|---|---|---|---|---|{'---|---|---|' if with_grids else ''}")
    for case in CASES:
        seeds = [seed_of(seed, *case, with_grids=with_grids) for seed in range(options.seeds)]
        grids = _grid_words(seeds) if with_grids else ""
        print(f"| {case[0]} | {case[1]:g} | {case[2]:g} | {_line(seeds)}{grids}", flush=True)


def _line(seeds: Sequence[Seed]) -> str:
    n_limits = sum(each.n_limits for each in seeds)
    narrow, held = (100 * sum(getattr(each, name) for each in seeds) / n_limits for name in ("n_narrow", "n_held"))
    cells_words = _median_and_most([each.n_cells for each in seeds])
    rounds_words = _median_and_most([each.n_rounds for each in seeds])
    return f"{cells_words} | {rounds_words} | {narrow:.0f} % | {held:.1f} % |"


def _grid_words(seeds: Sequence[Seed]) -> str:
    pairs = [(each.n_cells, each.n_grid) for each in seeds if each.n_grid is not None]
    if not pairs:
        return f" none up to {MOST_CELLS * len(LIMITS)} cells | | |"
    shares = [100 * n_cells / n_grid for n_cells, n_grid in pairs]
    n_without = len(seeds) - len(pairs)
    without = f" (none for {n_without} seeds)" if n_without else ""
    n_within = sum(share <= 40 for share in shares)
    grid = f"{np.median([n_grid for _, n_grid in pairs]):.0f}{without}"
    return f" {grid} | {_median_and_most(shares)} % | {n_within} of {len(pairs)} |"


def _median_and_most(numbers: Sequence[float]) -> str:
    return f"{np.median(numbers):.0f}, at most {max(numbers):.0f}"


if __name__ == "__main__":
    main()
