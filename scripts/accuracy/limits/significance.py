"""How often chance alone is called a difference, and how often a true one is found: cells, and limits.

Errors a fluence^-0.5 + floor with a normal spread of their logarithm, of which views share a part as they share their
photons, go as rows of a run through the same code as `fly64dask compare` and `fly64dask limits`; no engine runs.

    python scripts/accuracy/limits/significance.py               # 200 seeds a line, 50 where views differ: some minutes
    python scripts/accuracy/limits/significance.py --seeds 50
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from limits import FLOOR_RAD, GOAL_RAD, METRICS, STUDY

from fly64dask.records import ManifestRow, RelativeError, answer_of, run_differences
from fly64dask.study import BaselineView, Study, Target, parse_study

VIEWS = ("a", "b", "c")  # of which the last may differ from the others
N_DOSES, STEP = 5, 10**0.5
SPREAD = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One line of a table: errors of the last view are so many times those of the others; `shared` is a correlation."""

    repeats: int
    shared: float
    factor: float = 1.0

    def rows(self, study: Study, rng: np.random.Generator) -> Iterator[ManifestRow]:
        """Rows of a run whose errors are drawn."""
        for dose in study.doses_photons:
            assert not isinstance(dose, str)
            for repeat in range(self.repeats):
                common = rng.standard_normal()
                for view in VIEWS:
                    own = math.sqrt(self.shared) * common + math.sqrt(1 - self.shared) * rng.standard_normal()
                    factor = self.factor if view == VIEWS[-1] else 1.0
                    yield row_of(dose, view, repeat, factor * (dose**-0.5 + FLOOR_RAD) * math.exp(SPREAD * own))


CASES = (
    *(Case(repeats=repeats, shared=shared) for repeats in (2, 3, 5, 10) for shared in (0.0, 0.8)),
    *(Case(repeats=repeats, shared=0.8, factor=factor) for factor in (1.1, 1.2, 1.5) for repeats in (3, 5, 10)),
)
MODEL = ManifestRow.model_validate(
    {"dose": 1.0, "view": "a", "split": "whole", "state": "completed", "returncode": 0, "log_path": "log"}
)


def row_of(dose: float, view: str, repeat: int, error_rad: float) -> ManifestRow:
    """The row of a completed cell with this error, of an empty object's 1 rad."""
    light = {"dose": dose, "dose_photons": dose, "fluence_photons_per_px2": dose}
    metrics = METRICS.model_copy(update={"phase_rmse_rad": error_rad})
    relative = RelativeError(error_over_empty=error_rad, limited_by="unknown")
    own = {"view": view, "repeat": repeat, "metrics": metrics, "relative": relative}
    return MODEL.model_copy(update=light | own)


def shares(case: Case, study: Study, n_seeds: int) -> list[float]:
    """Shares of families with a false difference, and of true ones that were found: of cells, then of limits."""
    n_false, n_found, n_true = [0, 0], [0, 0], [0, 0]
    limit = (GOAL_RAD - FLOOR_RAD) ** -2
    for seed in range(n_seeds):
        rng = np.random.default_rng(seed)
        place = np.arange(N_DOSES) - (N_DOSES - 1) / 2 + rng.uniform(-0.5, 0.5)
        doses = tuple(float(dose) for dose in limit * STEP**place)
        drawn = study.model_copy(update={"doses_photons": doses, "repeats": case.repeats})
        rows = list(case.rows(drawn, rng))
        answer = answer_of(drawn, rows, [Target(phase_error_rad=GOAL_RAD)]).targets[0]
        for kind, found in enumerate((run_differences(drawn, rows).differences, answer.differences)):
            is_true = [case.factor != 1 and VIEWS[-1] in (each.first, each.second) for each in found]
            n_false[kind] += any(each.lower and not true for each, true in zip(found, is_true, strict=True))
            n_found[kind] += sum(each.lower is not None for each, true in zip(found, is_true, strict=True) if true)
            n_true[kind] += sum(is_true)
    return [
        share
        for kind in (0, 1)
        for share in (n_false[kind] / n_seeds, n_found[kind] / n_true[kind] if n_true[kind] else math.nan)
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seeds", type=int, default=200, help="of each line without a difference (200), a fourth for others"
    )
    n_seeds = parser.parse_args().seeds
    study = parse_study(STUDY, origin="known-limit.toml").model_copy(
        update={"views": tuple(BaselineView(name=view, rule="baseline") for view in VIEWS)}
    )
    of_kind = "families with a false call | power"
    print(f"| repeats | shared | true factor | cells: {of_kind} | limits: {of_kind} |")
    print("|---|---|---|---|---|---|---|")
    for case in CASES:
        found = shares(case, study, n_seeds if case.factor == 1 else max(1, n_seeds // 4))
        numbers = ["–" if math.isnan(share) else f"{100 * share:.1f} %" for share in found]
        print(f"| {case.repeats} | {case.shared:g} | {case.factor:g} | {' | '.join(numbers)} |", flush=True)


if __name__ == "__main__":
    main()
